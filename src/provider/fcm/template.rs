//! The message, rendered once per job with two holes: the target, which differs by push, and the ttl, by attempt.
//!
//! ```text
//! size (4 bytes) ‖ {"message":{ HOLE "android":{ "ttl":"HOLEs" ,"priority":"HIGH",…},"notification":{…},…}}
//! ```
//!
//! A hole is a control character, which JSON never holds unescaped: it can't be mistaken for a caller's text. The ttl has
//! a hole only where it is derived. The size is what FCM counts of the payload.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use crate::job::{FcmTarget, Job, Lane};
use crate::provider::merge::merge;

const TARGET_HOLE: u8 = 0x01;
const TTL_HOLE: u8 = 0x02;
const SIZE_BYTES: usize = 4;

/// Renders a job's template for pushes that wait in `lane`.
pub(super) fn render(job: &Job, lane: Lane) -> Bytes {
    let mut message = derive(job, lane);
    if let Some(over) = &job.fcm {
        merge(&mut message, over);
    }
    let size = u32::try_from(payload_size(&message)).unwrap_or(u32::MAX);
    let android = message.remove("android");
    let mut template = BytesMut::with_capacity(1024);
    template.put_u32(size);
    template.put_slice(br#"{"message":{"#);
    template.put_u8(TARGET_HOLE);
    if let Some(android) = android {
        template.put_slice(br#","android":"#);
        put_android(&mut template, android);
    }
    put_fields(&mut template, &message);
    template.put_slice(b"}}");
    template.freeze()
}

/// What FCM counts of the payload: names and values of `notification` and `data`, in bytes.
pub(super) fn size(template: &Bytes) -> usize {
    let head = template.first_chunk::<SIZE_BYTES>().expect("a template starts with its size");
    usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX)
}

/// Fills the holes.
pub(super) fn fill(template: &Bytes, target: &FcmTarget, ttl_seconds: u64) -> Bytes {
    let text = &template[SIZE_BYTES..];
    let (head, rest) = split(text, TARGET_HOLE).expect("a template has a hole for its target");
    let mut body = Vec::with_capacity(text.len() + 300);
    body.extend_from_slice(head);
    put_target(&mut body, target);
    match split(rest, TTL_HOLE) {
        None => body.extend_from_slice(rest),
        Some((middle, tail)) => {
            body.extend_from_slice(middle);
            serde_json::to_writer(&mut body, &ttl_seconds).expect("a number can be written into memory");
            body.extend_from_slice(tail);
        }
    }
    body.into()
}

fn split(text: &[u8], hole: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == hole)?;
    Some((&text[..at], &text[at + 1..]))
}

fn put_target(body: &mut Vec<u8>, target: &FcmTarget) {
    let (name, address) = match target {
        FcmTarget::Token(token) => ("token", token),
        FcmTarget::Fid(fid) => ("fid", fid),
        FcmTarget::Topic(topic) => ("topic", topic),
        FcmTarget::Condition(condition) => ("condition", condition),
    };
    // In pieces: what would be formatted first is allocated for each push.
    [b"\"", name.as_bytes(), b"\":"].into_iter().for_each(|piece| body.extend_from_slice(piece));
    serde_json::to_writer(body, address).expect("a text can be written into memory");
}

/// What Tidegate derives (SPEC.md, section 3). A `null` ttl stands for the hole: a caller's value takes its place, a
/// caller's `null` takes it away.
fn derive(job: &Job, lane: Lane) -> Map<String, Value> {
    let mut android = Map::new();
    android.insert("ttl".to_owned(), Value::Null);
    android.insert("priority".to_owned(), json!(if lane == Lane::High { "HIGH" } else { "NORMAL" }));
    if let Some(key) = job.collapse_key.as_deref().filter(|_| !says_collapse_key_otherwise(job)) {
        android.insert("collapse_key".to_owned(), json!(key));
    }
    let mut message = Map::new();
    if let Some(notification) = &job.notification {
        let texts = [("title", &notification.title), ("body", &notification.body), ("image", &notification.image)];
        let shown: Map<String, Value> =
            texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_deref()?)))).collect();
        if !shown.is_empty() {
            message.insert("notification".to_owned(), Value::Object(shown));
        }
        if let Some(sound) = &notification.sound {
            android.insert("notification".to_owned(), json!({"sound": sound}));
        }
        if notification.sound.is_some() || notification.badge.is_some() {
            message.insert("apns".to_owned(), json!({"payload": {"aps": apple(notification)}}));
        }
    }
    if let Some(data) = &job.data {
        message.insert("data".to_owned(), Value::Object(data.clone()));
    }
    message.insert("android".to_owned(), Value::Object(android));
    message
}

/// What FCM has no common field for, where the token is an Apple device's.
fn apple(notification: &crate::job::Notification) -> Map<String, Value> {
    let sound = notification.sound.as_deref().map(|sound| ("sound".to_owned(), json!(sound)));
    let badge = notification.badge.map(|badge| ("badge".to_owned(), json!(badge)));
    sound.into_iter().chain(badge).collect()
}

/// Protocol buffers' JSON takes `collapseKey` as well; both at once would let the order decide.
fn says_collapse_key_otherwise(job: &Job) -> bool {
    let android = job.fcm.as_ref().and_then(|section| section.get("android"));
    android.is_some_and(|android| android.get("collapseKey").is_some())
}

fn put_android(template: &mut BytesMut, android: Value) {
    match android {
        Value::Object(mut fields) if fields.get("ttl").is_some_and(Value::is_null) => {
            fields.remove("ttl");
            template.put_slice(br#"{"ttl":""#);
            template.put_u8(TTL_HOLE);
            template.put_slice(br#"s""#);
            put_fields(template, &fields);
            template.put_slice(b"}");
        }
        other => put(template, &other),
    }
}

/// Fields after others: each with a comma before it.
fn put_fields(template: &mut BytesMut, fields: &Map<String, Value>) {
    for (name, value) in fields {
        template.put_slice(b",");
        put(template, name);
        template.put_slice(b":");
        put(template, value);
    }
}

fn put(template: &mut BytesMut, value: &impl serde::Serialize) {
    serde_json::to_writer(template.writer(), value).expect("a JSON value can be written into memory");
}

fn payload_size(message: &Map<String, Value>) -> usize {
    ["notification", "data"].into_iter().filter_map(|name| message.get(name)?.as_object()).map(fields_size).sum()
}

fn fields_size(fields: &Map<String, Value>) -> usize {
    let value_size = |value: &Value| value.as_str().map_or(0, str::len);
    fields.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}
