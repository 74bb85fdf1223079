//! The payload: what the device gets, the same for all targets of a job.
//!
//! Kind of push (SPEC.md, section 3): one that shows, sounds or counts something is an `alert`; one that only wakes the
//! app is `background`, and must say `content-available: 1` (Apple, "Pushing background updates to your App").

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

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
    let derived = Derived::of(job);
    // Written straight from the job, as nearly every payload can be, it costs 0.3 us; as a tree, which only a merge needs,
    // 1.9 us (`benches/burst`, profiled).
    let written = match raw(job) {
        None => serde_json::to_vec(&derived),
        Some(raw) => {
            let tree = serde_json::to_value(&derived).expect("JSON values, texts and numbers make a JSON value");
            let Value::Object(mut payload) = tree else { unreachable!("a payload is an object") };
            merge(&mut payload, raw);
            serde_json::to_vec(&payload)
        }
    };
    written.expect("JSON values, texts and numbers can be written").into()
}

/// Whether there is anything in the job for an Apple device.
pub(super) fn is_empty(job: &Job) -> bool {
    job.notification.is_none() && job.data.is_none() && raw(job).is_none()
}

/// The payload that Tidegate derives, borrowed from its job. Names come out in their order, as those of a map do.
struct Derived<'j>(Vec<(&'j str, Part<'j>)>);

/// What stands under one name.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'j> {
    Aps(Aps<'j>),
    Image(&'j str),
    Data(&'j Value),
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps<'j> {
    #[serde(skip_serializing_if = "Alert::is_empty")]
    alert: Alert<'j>,
    #[serde(skip_serializing_if = "Option::is_none")]
    badge: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_available: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutable_content: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'j str>,
}

#[derive(Default, PartialEq, Serialize)]
struct Alert<'j> {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'j str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtitle: Option<&'j str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'j str>,
}

impl Alert<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<'j> Derived<'j> {
    fn of(job: &'j Job) -> Self {
        let mut aps = job.notification.as_ref().map(derive).unwrap_or_default();
        if kind(job) == Kind::Background && !says_another_kind(job) {
            aps.content_available = Some(1);
        }
        let has_aps = aps != Aps::default();
        let mut parts = Vec::with_capacity(job.data.as_ref().map_or(0, Map::len) + 2);
        let data = job.data.iter().flatten().filter(|(name, _)| !(has_aps && *name == "aps"));
        parts.extend(data.map(|(name, value)| (name.as_str(), Part::Data(value))));
        let image = job.notification.as_ref().and_then(|notification| notification.image.as_deref());
        // A caller who names a key `image` means that one.
        if let Some(url) = image.filter(|_| parts.iter().all(|(name, _)| *name != "image")) {
            parts.push(("image", Part::Image(url)));
        }
        if has_aps {
            parts.push(("aps", Part::Aps(aps)));
        }
        parts.sort_unstable_by_key(|(name, _)| *name);
        Self(parts)
    }
}

impl Serialize for Derived<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, part)| (name, part)))
    }
}

fn derive(notification: &Notification) -> Aps<'_> {
    let Notification { title, subtitle, body, image, sound, badge } = notification;
    Aps {
        alert: Alert { body: body.as_deref(), subtitle: subtitle.as_deref(), title: title.as_deref() },
        badge: *badge,
        content_available: None,
        // Lets the app's notification service extension fetch the picture before it is shown.
        mutable_content: image.is_some().then_some(1),
        sound: sound.as_deref(),
    }
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
