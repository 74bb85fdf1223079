//! The message, before it is encrypted: the same for all subscriptions of a job.
//!
//! What a page's service worker makes of a push is the page's own affair; no standard says what stands in it. Derived is
//! what FCM's and most other libraries' pages read, and what Safari's declarative pushes are written in as well:
//! `{"notification": {"title", "body", "image", "app_badge"}, "data": {…}}`. The caller's `webpush.payload` is merged over
//! it; a text there is sent as it is, `null` makes an empty push, which wakes the service worker and says nothing.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::job::{Job, Notification};
use crate::provider::merge::merge;

/// What a `webpush` section may have.
pub(super) const FIELDS: [&str; 2] = ["headers", "payload"];

/// Why a section can't be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSection;

/// Looks at the section: known fields, of a type that they may have.
pub(super) fn check(job: &Job) -> Result<(), BadSection> {
    let Some(section) = &job.webpush else { return Ok(()) };
    let known = section.keys().all(|name| FIELDS.contains(&name.as_str()));
    let headers = section.get("headers").is_none_or(|headers| headers.is_object() || headers.is_null());
    let payload = section.get("payload");
    let payload = payload.is_none_or(|payload| payload.is_object() || payload.is_string() || payload.is_null());
    if known && headers && payload { Ok(()) } else { Err(BadSection) }
}

/// Whether there is anything in the job for a browser.
pub(super) fn is_empty(job: &Job) -> bool {
    job.notification.is_none() && job.data.is_none() && job.webpush.is_none()
}

/// Renders the plaintext; empty: a push without a body.
pub(super) fn render(job: &Job) -> Bytes {
    let mut message = Map::new();
    if let Some(notification) = job.notification.as_ref().map(derive).filter(|derived| !derived.is_empty()) {
        message.insert("notification".to_owned(), Value::Object(notification));
    }
    if let Some(data) = &job.data {
        message.insert("data".to_owned(), Value::Object(data.clone()));
    }
    match job.webpush.as_ref().and_then(|section| section.get("payload")) {
        Some(Value::Null) => return Bytes::new(),
        Some(Value::String(text)) => return Bytes::copy_from_slice(text.as_bytes()),
        Some(Value::Object(over)) => merge(&mut message, over),
        _ => {}
    }
    match message.is_empty() {
        true => Bytes::new(),
        false => serde_json::to_vec(&message).expect("a map of JSON values can be written").into(),
    }
}

fn derive(notification: &Notification) -> Map<String, Value> {
    let Notification { title, subtitle: _, body, image, sound: _, badge } = notification;
    let texts = [("title", title), ("body", body), ("image", image)];
    let present = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_deref()?))));
    let badge = badge.map(|badge| ("app_badge".to_owned(), json!(badge)));
    present.chain(badge).collect()
}
