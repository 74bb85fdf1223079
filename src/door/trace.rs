//! A request's `traceparent`: the trace that its jobs belong to, unless they name their own (W3C Trace Context, section 3.2).

use axum::http::HeaderMap;
use bytes::Bytes;

use crate::job::{MAX_JOB_BYTES, is_traceparent};

/// The header, if it is one: whoever sends none that is valid is not traced, and told nothing about it, as the standard asks.
pub(super) fn of(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("traceparent").iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok().filter(|text| is_traceparent(text))
}

/// The body of a job that was read and names no trace, with the trace in it: so it is kept with the job, whatever becomes of
/// it. One that is too long for that, or says `"traceparent": null`, goes as it came.
pub(super) fn put(body: Bytes, traceparent: &str) -> Bytes {
    let field = format!("\"traceparent\":\"{traceparent}\",");
    let said = body.windows(13).any(|bytes| bytes == b"\"traceparent\"");
    if said || body.len() + field.len() > MAX_JOB_BYTES {
        return body;
    }
    let at = body.iter().position(|byte| *byte == b'{').expect("a job was read, so it is an object") + 1;
    [&body[..at], field.as_bytes(), &body[at..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Defaults, decode};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn one_valid_header_counts() {
        let headers = |values: &[&str]| {
            values.iter().map(|value| ("traceparent".parse().unwrap(), value.parse().unwrap())).collect()
        };
        let read = |values: &[&str]| of(&headers(values)).map(str::to_owned);
        assert_eq!(read(&[PARENT]).as_deref(), Some(PARENT));
        for none in [&[][..], &["00-0-0-0"], &[PARENT, PARENT]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_job_with_a_trace_is_the_same_job() {
        let plain = Bytes::from(r#" { "app":"chat","to":[{"fcm":"x"}],"data":{"k":"v"}}"#);
        let defaults = Defaults { id: Some("a"), app: None };
        let mut before = decode(&plain, defaults).map_err(|bad| bad.detail).unwrap();
        let after = decode(&put(plain.clone(), PARENT), Defaults { id: Some("a"), app: None });
        before.traceparent = Some(PARENT.into());
        assert_eq!(after.map_err(|bad| bad.detail).unwrap(), before);
        let null = Bytes::from(r#"{"app":"chat","to":[{"fcm":"x"}],"data":{"k":"v"},"traceparent":null}"#);
        assert_eq!(put(null.clone(), PARENT), null);
        let full = Bytes::from([&plain[..], &vec![b' '; MAX_JOB_BYTES - plain.len()]].concat());
        assert_eq!(put(full.clone(), PARENT), full);
    }
}
