//! What a message in the dead queue says of itself. Pure.
//!
//! Some are of our making, with our headers; others the broker itself moved there (a message's own expiration, a delivery
//! limit), and they say so in `x-death` (RabbitMQ, "Dead Letter Exchanges", effects on messages). Anybody may publish to
//! the queue besides: nothing here is taken for granted.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde::Deserialize;
use serde_json::Value;

use crate::job::UnixMillis;
use crate::source::amqp::message::{number, parse_targets, text, unsigned};
use crate::source::amqp::names;

/// A dead letter. It has no `Debug`: a body has tokens in it.
pub struct DeadLetter {
    /// The job's id: the message id, else the body's `id`.
    pub id: Option<String>,
    /// The app that its body names, if that much can be read.
    pub app: Option<String>,
    /// Why it is dead: ours (`unknown_app`, …), or the broker's word (`expired`, `delivery_limit`).
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// Since when, RFC 3339 if it is ours.
    pub at: Option<String>,
    /// The queue it came by.
    pub queue: String,
    /// Of how many targets it is, if its body can be read so far.
    pub targets: Option<usize>,
    /// Attempts made for each of them, where the letter says so.
    pub attempts: Option<u64>,
    /// How often the broker has delivered it before.
    pub deliveries: u64,
    /// The body as it came.
    pub body: Bytes,
    pub(super) properties: BasicProperties,
    pub(super) routing_key: String,
    pub(super) tag: u64,
}

/// What a body says at a glance; anything may stand there.
#[derive(Default, Deserialize)]
struct Glance {
    id: Option<Value>,
    app: Option<Value>,
    priority: Option<Value>,
    to: Option<Value>,
}

impl DeadLetter {
    pub(super) fn read(properties: BasicProperties, routing_key: &str, body: Bytes, tag: u64) -> Self {
        let glance: Glance = serde_json::from_slice(&body).unwrap_or_default();
        let word = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        let headers = properties.headers().as_ref();
        let death = last_death(headers);
        let ours = |name| text(headers, name);
        let all = glance.to.as_ref().and_then(Value::as_array).map(Vec::len);
        let part = ours(names::TARGETS).zip(all).and_then(|(list, all)| parse_targets(&list, all));
        let message_id = properties.message_id().as_ref().map(|id| id.to_string()).filter(|id| !id.is_empty());
        Self {
            id: message_id.or_else(|| word(&glance.id)),
            app: word(&glance.app),
            reason: ours(names::REASON)
                .or_else(|| death.and_then(|death| text(Some(death), "reason")))
                .unwrap_or_else(|| "unknown".to_owned()),
            detail: ours(names::DETAIL).or_else(|| death.map(by_the_broker)).unwrap_or_default(),
            at: ours(names::AT).or_else(|| death.and_then(time)),
            queue: ours(names::QUEUE)
                .or_else(|| death.and_then(|death| text(Some(death), "queue")))
                .unwrap_or_else(|| routing_key.to_owned()),
            targets: part.map(|part| part.len()).or(all),
            attempts: number(headers, names::ATTEMPTS),
            deliveries: number(headers, names::DELIVERY_COUNT)
                .unwrap_or(0)
                .max(number(headers, names::ACQUIRED_COUNT).unwrap_or(0)),
            body,
            properties,
            routing_key: routing_key.to_owned(),
            tag,
        }
    }

    /// Its headers as text, in the order of their names.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let table = self.properties.headers().iter().flat_map(|headers| headers.inner());
        table.map(|(name, value)| (name.to_string(), shown(value))).collect()
    }

    /// The lane that its body asks for, by name, if it does.
    pub(super) fn priority(&self) -> Option<String> {
        let glance: Glance = serde_json::from_slice(&self.body).unwrap_or_default();
        glance.priority.as_ref().and_then(Value::as_str).map(str::to_owned)
    }
}

fn last_death(headers: Option<&FieldTable>) -> Option<&FieldTable> {
    match headers?.inner().get(names::DEATHS)? {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => Some(death),
            _ => None,
        },
        _ => None,
    }
}

fn by_the_broker(death: &FieldTable) -> String {
    let queue = text(Some(death), "queue").unwrap_or_default();
    let count = death.inner().get("count").and_then(unsigned).unwrap_or(1);
    match count {
        1 => format!("by the broker, from queue {queue:?}"),
        count => format!("by the broker, from queue {queue:?}, {count} times"),
    }
}

fn time(death: &FieldTable) -> Option<String> {
    match death.inner().get("time")? {
        AMQPValue::Timestamp(seconds) => Some(UnixMillis(seconds.saturating_mul(1000)).to_string()),
        _ => None,
    }
}

fn shown(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => UnixMillis(seconds.saturating_mul(1000)).to_string(),
        AMQPValue::FieldArray(values) => {
            let values: Vec<String> = values.as_slice().iter().map(shown).collect();
            format!("[{}]", values.join(", "))
        }
        AMQPValue::FieldTable(table) => {
            let pairs: Vec<String> =
                table.inner().iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => unsigned(other).map_or_else(|| format!("{other:?}"), |number| number.to_string()),
    }
}
