//! Cuts a body into jobs, each with its own bytes: these are what is kept, and what a dead letter will show. Pure.

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Problem;
use super::problem::quoted;
use crate::job::BadJob;

/// The most jobs of one request.
pub const MAX_JOBS: usize = 10_000;

/// How jobs lie in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One object, or an array of them.
    Json,
    /// One object a line.
    Lines,
}

impl Shape {
    /// What the headers say.
    ///
    /// # Errors
    /// 415; 501 for a transfer coding other than chunked (RFC 9112, section 6.1).
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |title: String, detail: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, title, detail);
        let mut transfer = headers.get_all(header::TRANSFER_ENCODING).iter();
        if let Some(coding) = transfer.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            let title = format!("transfer-encoding {} is not understood", quoted(coding));
            let remedy = "send the body as it is, with content-length, or chunked";
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, title, remedy));
        }
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if let Some(coding) = codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let title = format!("content-encoding {} is not understood", quoted(coding));
            return Err(unsupported(title, "send the body as it is, uncompressed"));
        }
        let remedy =
            "send content-type: application/json (one job or an array), or application/x-ndjson (one job a line)";
        let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(kind) = kinds.next() else {
            return Err(unsupported("there is no content-type".to_owned(), remedy));
        };
        if kinds.next().is_some() {
            return Err(unsupported("there is more than one content-type".to_owned(), remedy));
        }
        let text = kind.to_str().unwrap_or_default();
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        let charset =
            parameters.split(';').filter_map(|parameter| parameter.trim().split_once('=')).all(|(name, value)| {
                !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            });
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" if charset => Ok(Self::Json),
            "application/x-ndjson" if charset => Ok(Self::Lines),
            _ => Err(unsupported(format!("content-type {} is not understood", quoted(kind)), remedy)),
        }
    }
}

/// The jobs of a body, in order; empty lines are none. What a job is worth is not looked at.
///
/// # Errors
/// 400 if it is no JSON or has no job, 413 if it has too many.
pub(super) fn split(shape: Shape, body: &Bytes) -> Result<Vec<Bytes>, Problem> {
    let jobs = match shape {
        Shape::Lines => lines(body),
        Shape::Json if body.trim_ascii_start().first() == Some(&b'[') => elements(body)?,
        Shape::Json if body.trim_ascii().is_empty() => Vec::new(),
        Shape::Json => vec![body.clone()],
    };
    match jobs.len() {
        0 => Err(Problem::new(StatusCode::BAD_REQUEST, "there is no job in the body", "send at least one")),
        1..=MAX_JOBS => Ok(jobs),
        _ => {
            let title = format!("the body has more than {MAX_JOBS} jobs");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title, "send them in several requests"))
        }
    }
}

/// At most one more than may be: a body of nothing but line ends' neighbours must not become millions.
fn lines(body: &Bytes) -> Vec<Bytes> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.take(MAX_JOBS + 1).map(|line| body.slice_ref(line)).collect()
}

/// Likewise.
fn elements(body: &Bytes) -> Result<Vec<Bytes>, Problem> {
    let bad = |index, reason, detail| Problem::of_job(index, BadJob { reason, path: String::new(), detail });
    let text = std::str::from_utf8(body).map_err(|error| bad(0, "not_utf8", error.to_string()))?;
    let mut found = Vec::new();
    let mut document = serde_json::Deserializer::from_str(text);
    let read = document.deserialize_seq(Elements(&mut found)).and_then(|()| document.end());
    match read {
        Err(error) if found.len() <= MAX_JOBS => {
            Err(bad(found.len(), "not_json", format!("the array can't be read: {error}")))
        }
        _ => Ok(found.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect()),
    }
}

/// Notes each element, so that an error's place among them is known.
struct Elements<'b, 'f>(&'f mut Vec<&'b RawValue>);

impl<'b> Visitor<'b> for Elements<'b, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of jobs")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            self.0.push(element);
            if self.0.len() > MAX_JOBS {
                return Err(A::Error::custom("too many"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(shape: Shape, body: &'static str) -> Result<Vec<String>, u16> {
        let jobs = split(shape, &Bytes::from_static(body.as_bytes()));
        let text = |job: Bytes| String::from_utf8(job.into()).expect("UTF-8");
        jobs.map(|jobs| jobs.into_iter().map(text).collect()).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn each_job_keeps_its_own_bytes() {
        let two = || Ok(vec![r#"{"a" : 1}"#.to_owned(), r#"{"b":[2,{"c":3}]}"#.to_owned()]);
        assert_eq!(cut(Shape::Json, r#" [ {"a" : 1} ,{"b":[2,{"c":3}]}]"#), two());
        assert_eq!(cut(Shape::Lines, "\r\n{\"a\" : 1}\r\n\n{\"b\":[2,{\"c\":3}]}"), two());
        assert_eq!(cut(Shape::Json, r#"{"a":"[1]"}"#), Ok(vec![r#"{"a":"[1]"}"#.to_owned()]));
        for empty in ["[]", " [ ] ", "", " \r\n"] {
            assert_eq!(cut(Shape::Json, empty), Err(400));
        }
        assert_eq!(cut(Shape::Lines, " \n\n"), Err(400));
        for broken in ["[", "[1,]", "[{}] x", "[{}"] {
            assert_eq!(cut(Shape::Json, broken), Err(400), "{broken}");
        }
    }

    #[test]
    fn an_error_between_jobs_has_its_place() {
        for (body, index) in [("[{},{} {}]", 2), ("[", 0), ("[{},", 1), ("[{},]", 1), ("[{}]]", 1), ("[{},{x}]", 1)] {
            let problem = split(Shape::Json, &Bytes::from_static(body.as_bytes())).expect_err(body);
            let (at, bad) = *problem.job.expect("it is a job's problem");
            assert_eq!((at, bad.reason), (index, "not_json"), "{body}");
        }
    }

    #[test]
    fn too_many_are_not_counted_to_the_end() {
        let array = |count: usize| Bytes::from(format!("[{}1]", "1,".repeat(count - 1)));
        let lines = |count: usize| Bytes::from("1\n".repeat(count));
        for shape in [Shape::Json, Shape::Lines] {
            let body = |count| if shape == Shape::Json { array(count) } else { lines(count) };
            assert_eq!(split(shape, &body(MAX_JOBS)).map(|jobs| jobs.len()), Ok(MAX_JOBS));
            for more in [MAX_JOBS + 1, 1_000_000] {
                assert_eq!(split(shape, &body(more)).expect_err("too many").status.as_u16(), 413);
            }
        }
        // What follows is not looked at.
        let broken = Bytes::from(format!("[{}", "1,".repeat(MAX_JOBS + 1)));
        assert_eq!(split(Shape::Json, &broken).expect_err("too many").status.as_u16(), 413);
    }

    #[test]
    fn headers_say_how_to_read_it() {
        let shape = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().expect("a header's value"));
            }
            Shape::of(&headers).ok()
        };
        assert_eq!(shape(&[("content-type", "application/json")]), Some(Shape::Json));
        assert_eq!(shape(&[("content-type", "Application/JSON; charset=UTF-8")]), Some(Shape::Json));
        assert_eq!(shape(&[("content-type", "application/x-ndjson")]), Some(Shape::Lines));
        let json = ("content-type", "application/json");
        assert_eq!(shape(&[json, ("content-encoding", "identity")]), Some(Shape::Json));
        assert_eq!(shape(&[json, ("content-encoding", "gzip")]), None);
        assert_eq!(shape(&[json, ("content-encoding", "identity, gzip")]), None);
        assert_eq!(shape(&[json, ("content-type", "application/x-ndjson")]), None);
        for other in ["text/plain", "application/json; charset=latin1", "application/x-www-form-urlencoded", ""] {
            assert_eq!(shape(&[("content-type", other)]), None, "{other}");
        }
        assert_eq!(shape(&[]), None);
    }
}
