//! The payload: what the device gets, the same for all targets of a job.
//!
//! Kind of push (SPEC.md, section 3): one that shows, sounds or counts something is an `alert`; one that only wakes the
//! app is `background`, and must say `content-available: 1` (Apple, "Pushing background updates to your App").

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::job::{Job, Notification};
use crate::provider::merge::merge;

/// The fields of `aps` that a person notices.
const NOTICEABLE: [&str; 3] = ["alert", "sound", "badge"];

/// What kind of push a job is, unless its caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A person notices it.
    Alert,
    /// Only the app does.
    Background,
}

/// The kind that follows from what the job says.
pub(super) fn kind(job: &Job) -> Kind {
    let aps = raw_aps(job);
    let raw_notices =
        NOTICEABLE.iter().any(|name| aps.and_then(|aps| aps.get(*name)).is_some_and(|value| !value.is_null()));
    let wakes = aps.and_then(|aps| aps.get("content-available")).is_some_and(|value| *value == 1);
    match job.notification.is_some() || raw_notices {
        true => Kind::Alert,
        false if job.data.is_some() || wakes => Kind::Background,
        // A raw payload that says nothing of its kind: Apple's own default.
        false => Kind::Alert,
    }
}

/// Renders the payload: what Tidegate derives, the caller's `apns.payload` merged over it.
pub(super) fn render(job: &Job) -> Bytes {
    let mut payload = Map::new();
    let mut aps = job.notification.as_ref().map(derive).unwrap_or_default();
    if kind(job) == Kind::Background && !says_another_kind(job) {
        aps.insert("content-available".to_owned(), json!(1));
    }
    if let Some(url) = job.notification.as_ref().and_then(|notification| notification.image.as_deref()) {
        payload.insert("image".to_owned(), json!(url));
    }
    // A caller who names a key `image` means that one.
    payload.extend(job.data.iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    if !aps.is_empty() {
        payload.insert("aps".to_owned(), Value::Object(aps));
    }
    if let Some(raw) = raw(job) {
        merge(&mut payload, raw);
    }
    serde_json::to_vec(&payload).expect("a map of JSON values can be written").into()
}

/// Whether there is anything in the job for an Apple device.
pub(super) fn is_empty(job: &Job) -> bool {
    job.notification.is_none() && job.data.is_none() && raw(job).is_none()
}

fn derive(notification: &Notification) -> Map<String, Value> {
    let Notification { title, subtitle, body, image, sound, badge } = notification;
    let texts = [("title", title), ("subtitle", subtitle), ("body", body)];
    let present = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_deref()?))));
    let alert: Map<String, Value> = present.collect();
    let mut aps = Map::new();
    if !alert.is_empty() {
        aps.insert("alert".to_owned(), Value::Object(alert));
    }
    if let Some(sound) = sound {
        aps.insert("sound".to_owned(), json!(sound));
    }
    if let Some(badge) = badge {
        aps.insert("badge".to_owned(), json!(badge));
    }
    // Lets the app's notification service extension fetch the picture before it is shown.
    if image.is_some() {
        aps.insert("mutable-content".to_owned(), json!(1));
    }
    aps
}

fn raw(job: &Job) -> Option<&Map<String, Value>> {
    job.apns.as_ref()?.payload.as_ref()
}

fn raw_aps(job: &Job) -> Option<&Map<String, Value>> {
    raw(job)?.get("aps")?.as_object()
}

/// A Live Activity or a widget push that carries data is no background push.
fn says_another_kind(job: &Job) -> bool {
    let said = job.apns.as_ref().and_then(|section| section.headers.get("apns-push-type"));
    said.is_some_and(|kind| kind != "background")
}
