//! What an AMQP message says of its job: properties and headers to [`Origin`], and back for a retry. Pure.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::names;
use crate::job::{
    BadJob, Defaults, Envelope, Lane, MAX_JOB_BYTES, MAX_TARGETS, Origin, Receipt, RouteTable, SourceName, UnixMillis,
    decode, is_traceparent,
};
use crate::source::clocks::Clocks;

/// What is known of a queue.
#[derive(Debug, Clone)]
pub(super) struct QueueInfo {
    pub(super) name: Arc<str>,
    pub(super) lane: Lane,
    pub(super) app: Option<String>,
}

/// Reads one message.
///
/// # Errors
/// Why it is a dead letter.
pub(super) fn read(
    properties: &BasicProperties,
    body: Bytes,
    queue: &QueueInfo,
    routes: &RouteTable,
    receipt: Receipt,
    max_deliveries: u32,
    now: Clocks,
) -> Result<Arc<Envelope>, BadJob> {
    if body.len() > MAX_JOB_BYTES {
        return Err(bad("too_large", "", format!("{} bytes; a job has at most {MAX_JOB_BYTES}", body.len())));
    }
    if let Some(coding) = properties.content_encoding().as_ref().map(|coding| coding.as_str())
        && !coding.is_empty()
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(bad("content_encoding", "", format!("{coding:?}; send the body as it is, uncompressed")));
    }
    let id = properties.message_id().as_ref().map(|id| id.as_str()).filter(|id| !id.is_empty());
    let mut job = decode(&body, Defaults { id, app: queue.app.as_deref() })?;
    let headers = properties.headers().as_ref();
    if job.traceparent.is_none() {
        job.traceparent = text(headers, names::TRACEPARENT).filter(|text| is_traceparent(text)).map(Into::into);
    }
    let Some(app_routes) = routes.of(&job.app) else {
        return Err(bad("unknown_app", "app", format!("{:?} is not configured", job.app)));
    };
    let accepted_at = accepted_at(properties, headers, now.wall);
    let deadline = deadline(properties, headers, accepted_at, now)?;
    let selected = match text(headers, names::TARGETS) {
        None => None,
        Some(list) => Some(parse_targets(&list, job.to.len()).ok_or_else(|| {
            bad("bad_header", names::TARGETS, format!("{list:?}; ascending indices below {}: 0,3-7", job.to.len()))
        })?),
    };
    let attempts = number(headers, names::ATTEMPTS).unwrap_or(0).min(u64::from(u8::MAX));
    let deliveries = number(headers, names::DELIVERY_COUNT).unwrap_or(0);
    let origin = Origin {
        source: SourceName::Amqp,
        queue: Arc::clone(&queue.name),
        receipt,
        body,
        accepted_at,
        accepted: now.past(accepted_at),
        deadline,
        attempts: u8::try_from(attempts).expect("cut to 8 bits"),
        lane: queue.lane,
        selected,
        exhausted: deliveries > u64::from(max_deliveries),
    };
    Ok(Envelope::new(job, origin, app_routes))
}

/// Our own header on a retry, else the publisher's `timestamp` (whole seconds), else now. Never in the future.
fn accepted_at(properties: &BasicProperties, headers: Option<&FieldTable>, now: UnixMillis) -> UnixMillis {
    let ours = number(headers, names::ACCEPTED_AT);
    let theirs = properties.timestamp().filter(|seconds| *seconds > 0).map(|seconds| seconds.saturating_mul(1000));
    UnixMillis(ours.or(theirs).unwrap_or(now.0)).min(now)
}

/// The earlier of `x-deadline` (ms since the epoch) and `expiration` (ms from acceptance, as a decimal string).
fn deadline(
    properties: &BasicProperties,
    headers: Option<&FieldTable>,
    accepted_at: UnixMillis,
    now: Clocks,
) -> Result<Option<Instant>, BadJob> {
    let header = match headers.and_then(|table| table.inner().get(names::DEADLINE)) {
        None => None,
        Some(value) => Some(unsigned(value).ok_or_else(|| {
            bad("bad_header", names::DEADLINE, "milliseconds since the epoch, as a whole number".to_owned())
        })?),
    };
    let expiration = match properties.expiration().as_ref().map(|text| text.as_str()).filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(
            text.parse::<u64>()
                .map_err(|_| bad("bad_property", "expiration", format!("{text:?}; milliseconds, as a whole number")))?,
        ),
    };
    let expires = expiration.map(|millis| accepted_at.0.saturating_add(millis));
    let earlier = [header, expires].into_iter().flatten().min();
    Ok(earlier.and_then(|millis| now.deadline(UnixMillis(millis))))
}

fn bad(reason: &'static str, path: &str, detail: String) -> BadJob {
    BadJob { reason, path: path.to_owned(), detail }
}

/// A header's text, whichever string type the caller's library chose.
pub(super) fn text(headers: Option<&FieldTable>, name: &str) -> Option<String> {
    match headers?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::ByteArray(bytes) => Some(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
        _ => None,
    }
}

pub(super) fn number(headers: Option<&FieldTable>, name: &str) -> Option<u64> {
    unsigned(headers?.inner().get(name)?)
}

/// A whole number that is not negative, whichever type the caller's library chose; decimal text too.
pub(super) fn unsigned(value: &AMQPValue) -> Option<u64> {
    match value {
        AMQPValue::ShortShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::ShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::LongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongUInt(n) => Some(u64::from(*n)),
        AMQPValue::LongLongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.parse().ok(),
        _ => None,
    }
}

/// Writes ascending target indices compactly: `0,3-7,12`.
pub(super) fn format_targets(targets: &[u16]) -> String {
    let mut text = String::new();
    for run in targets.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        if !text.is_empty() {
            text.push(',');
        }
        let (first, last) = (run[0], run[run.len() - 1]);
        text += &if first == last { first.to_string() } else { format!("{first}-{last}") };
    }
    text
}

/// Reads what [`format_targets`] wrote; `None` unless it is ascending, not empty and below `count`.
pub(super) fn parse_targets(text: &str, count: usize) -> Option<Box<[u16]>> {
    let mut targets: Vec<u16> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        let ascending = first <= last && targets.last().is_none_or(|before| *before < first);
        if !ascending || usize::from(last) >= count.min(MAX_TARGETS) {
            return None;
        }
        targets.extend(first..=last);
    }
    Some(targets.into())
}

#[cfg(test)]
mod tests;
