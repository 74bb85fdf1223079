//! Messages that we write: retries, dead letters, jobs, outcomes. Pure.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::message::format_targets;
use super::names::{self, Names, RetryLevel};
use super::publish::Message;
use crate::job::{BadJob, Envelope, Lane, UnixMillis};
use crate::source::clocks::Clocks;
use crate::source::{Dead, Later};

/// `delivery_mode` of a message that survives the broker's restart.
const PERSISTENT: u8 = 2;

/// Details longer than this are cut: headers are for people to read, and the broker bounds a frame.
const MAX_DETAIL: usize = 1000;

/// Part of a job, to come back to its queue after a delay.
pub(super) fn retry(names: &Names, later: &Later, now: Clocks) -> Message {
    let Later { envelope, targets, attempts, delay } = later;
    let mut headers = carried(envelope, now);
    headers.insert(names::ATTEMPTS.into(), AMQPValue::LongInt(i32::from(*attempts)));
    select(&mut headers, envelope, targets);
    Message {
        exchange: names.retry(RetryLevel::of(*delay)),
        routing_key: envelope.origin.queue.to_string(),
        properties: properties(envelope, headers),
        body: envelope.origin.body.clone(),
        mandatory: true,
    }
}

/// Part of a job that no retry can help.
pub(super) fn dead(names: &Names, dead: &Dead, now: Clocks) -> Message {
    let Dead { envelope, targets, attempts, reason, detail } = dead;
    let mut headers = carried(envelope, now);
    headers.insert(names::ATTEMPTS.into(), AMQPValue::LongInt(i32::from(*attempts)));
    select(&mut headers, envelope, targets);
    explain(&mut headers, reason, detail, &envelope.origin.queue, now.wall);
    to_dead(names, &envelope.origin.queue, properties(envelope, headers), envelope.origin.body.clone())
}

/// A message that is no job: its body and properties as they came.
pub(super) fn unreadable(
    names: &Names,
    queue: &str,
    properties: &BasicProperties,
    body: Bytes,
    bad: &BadJob,
    now: UnixMillis,
) -> Message {
    let mut headers = properties.headers().clone().filter(fits).unwrap_or_default();
    let detail = match (bad.path.as_str(), bad.detail.as_str()) {
        ("", detail) => detail.to_owned(),
        (path, detail) => format!("{path}: {detail}"),
    };
    explain(&mut headers, bad.reason, &detail, queue, now);
    // An expiration would let the dead letter vanish; a user id must be the publishing user's, and would be refused.
    let mut kept = properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT);
    kept = without_expiration_and_user(kept);
    to_dead(names, queue, kept, body)
}

/// Whether somebody else's headers leave room for ours: the broker refuses a header frame that is larger than it agreed to
/// (128 KiB by default), and closes the connection with it.
fn fits(headers: &FieldTable) -> bool {
    const MOST: usize = 64 << 10;
    // The longest spelling there is, so never less than what goes over the wire.
    format!("{headers:?}").len() <= MOST
}

/// A job, as a caller publishes it; AMQP's own timestamp has whole seconds, our header says it to the millisecond.
pub(super) fn job(names: &Names, lane: Lane, id: &str, body: Bytes, now: UnixMillis) -> Message {
    let properties = job_properties(id, now);
    Message { exchange: names.jobs(), routing_key: lane.to_string(), properties, body, mandatory: true }
}

/// The same, by the default exchange, which knows every queue by its name.
pub(super) fn job_to(queue: &str, id: &str, body: Bytes, now: UnixMillis) -> Message {
    Message {
        exchange: String::new(),
        routing_key: queue.to_owned(),
        properties: job_properties(id, now),
        body,
        mandatory: true,
    }
}

fn job_properties(id: &str, now: UnixMillis) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(names::ACCEPTED_AT.into(), millis(now));
    BasicProperties::default()
        .with_headers(headers)
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(id))
        .with_type("push.job.v1".into())
        .with_timestamp(now.seconds())
}

/// A batch of outcomes. Mandatory, so that it is known when nobody listens.
pub(crate) fn outcomes(names: &Names, routing_key: String, body: Bytes, now: UnixMillis) -> Message {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_type("push.outcomes.v1".into())
        .with_timestamp(now.seconds());
    Message { exchange: names.outcomes(), routing_key, properties, body, mandatory: true }
}

/// A dead letter to be sent once more, to a queue: as the job came, but that attempts and ttl count from now. What says why it
/// was dead is taken out; which of its targets are meant stays, and so does a caller's deadline.
pub(super) fn replay(queue: &str, properties: &BasicProperties, body: Bytes, now: UnixMillis) -> Message {
    let ours = [names::REASON, names::DETAIL, names::AT, names::QUEUE, names::ATTEMPTS];
    let of_death = |name: &str| {
        ours.contains(&name) || COUNTS.contains(&name) || name.ends_with("-death") || name.contains("-death-")
    };
    let mut headers = headers_without(properties, of_death);
    headers.insert(names::ACCEPTED_AT.into(), millis(now));
    let properties = without_expiration_and_user(properties.clone())
        .with_headers(headers)
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(now.seconds());
    Message { exchange: String::new(), routing_key: queue.to_owned(), properties, body, mandatory: true }
}

/// A dead letter put in its queue once more, as the broker had never delivered it before.
pub(super) fn dead_again(names: &Names, routing_key: &str, properties: &BasicProperties, body: Bytes) -> Message {
    let headers = headers_without(properties, |name| COUNTS.contains(&name));
    let kept = without_expiration_and_user(properties.clone()).with_headers(headers).with_delivery_mode(PERSISTENT);
    to_dead(names, routing_key, kept, body)
}

fn to_dead(names: &Names, queue: &str, properties: BasicProperties, body: Bytes) -> Message {
    // The routing key is the queue the job came from, as with a retry: a replay is a publish to the same place.
    Message { exchange: names.dead(), routing_key: queue.to_owned(), properties, body, mandatory: true }
}

fn properties(envelope: &Envelope, headers: FieldTable) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(&envelope.job.id))
        .with_type("push.job.v1".into())
        .with_timestamp(envelope.origin.accepted_at.seconds())
        .with_headers(headers)
}

/// What a job must not lose on its way through a queue.
fn carried(envelope: &Envelope, now: Clocks) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(names::ACCEPTED_AT.into(), millis(envelope.origin.accepted_at));
    if let Some(deadline) = envelope.origin.deadline {
        headers.insert(names::DEADLINE.into(), millis(now.wall_of(deadline)));
    }
    if let Some(parent) = &envelope.job.traceparent {
        headers.insert(names::TRACEPARENT.into(), AMQPValue::LongString(parent.as_ref().into()));
    }
    headers
}

fn select(headers: &mut FieldTable, envelope: &Envelope, targets: &[u16]) {
    // All of them needs no header. That also keeps a dead letter of a whole job as it came.
    if targets.len() < envelope.job.to.len() {
        headers.insert(names::TARGETS.into(), AMQPValue::LongString(format_targets(targets).into()));
    }
}

fn explain(headers: &mut FieldTable, reason: &str, detail: &str, queue: &str, at: UnixMillis) {
    let detail = cut(detail, MAX_DETAIL);
    for (name, value) in
        [(names::REASON, reason), (names::DETAIL, detail), (names::AT, at.to_string().as_str()), (names::QUEUE, queue)]
    {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
}

/// What the broker counts of a message's deliveries.
const COUNTS: [&str; 2] = [names::DELIVERY_COUNT, names::ACQUIRED_COUNT];

fn headers_without(properties: &BasicProperties, unwanted: impl Fn(&str) -> bool) -> FieldTable {
    let mut kept = FieldTable::default();
    for (name, value) in properties.headers().iter().flat_map(|headers| headers.inner()) {
        if !unwanted(name.as_str()) {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

fn millis(at: UnixMillis) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(at.0).unwrap_or(i64::MAX))
}

/// Short strings have at most 255 bytes; a job's id has at most 128 characters.
fn short(text: &str) -> ShortString {
    cut(text, 255).into()
}

fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The same properties but for two. lapin's builder can't take a property away.
fn without_expiration_and_user(from: BasicProperties) -> BasicProperties {
    let mut to = BasicProperties::default();
    macro_rules! keep {
        ($($get:ident $set:ident),* $(,)?) => { $( if let Some(value) = from.$get().clone() { to = to.$set(value); } )* };
    }
    keep!(
        content_type with_content_type,
        content_encoding with_content_encoding,
        headers with_headers,
        delivery_mode with_delivery_mode,
        priority with_priority,
        correlation_id with_correlation_id,
        reply_to with_reply_to,
        message_id with_message_id,
        timestamp with_timestamp,
        kind with_type,
        app_id with_app_id,
        cluster_id with_cluster_id,
    );
    to
}
