//! One attempt as APNs wants it (Apple, "Sending notification requests to APNs"; PROVIDERS.md, 1.2 and 1.3).
//!
//! | header | derived from |
//! | --- | --- |
//! | `apns-topic` | the app's bundle id and the push type's suffix |
//! | `apns-push-type` | `alert`, or `background` where nobody would notice anything |
//! | `apns-priority` | the lane: 10, 5, 1; 5 for `background`, which may have no other |
//! | `apns-id` | the app, the job's id and the token: the same at every attempt, in every run |
//! | `apns-expiration` | the push's deadline on the wall clock; 0 for a push that has one attempt |
//! | `apns-collapse-id` | the job's collapse key |
//!
//! A header that the caller set wins. The body is rendered once per job and shared. A job that names one token twice makes
//! two pushes with one `apns-id`.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use super::payload::{self, Kind};
use crate::job::{Job, Lane, Provider, Push, Target, UnixMillis};
use crate::provider::Request;
use crate::provider::wire::{rejected, volatile};
use crate::verdict::Verdict;

/// The largest payload, in bytes (PROVIDERS.md, 1.3).
const MAX_PAYLOAD: usize = 4096;
/// The same for VoIP pushes.
const MAX_VOIP_PAYLOAD: usize = 5120;

const TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");
const ID: HeaderName = HeaderName::from_static("apns-id");

/// The namespace of our `apns-id`s (RFC 9562, section 6.6): made once, at random, and never changed.
const IDS: Uuid = Uuid::from_u128(0x7d1e_5a3c_94b0_4f6e_8c21_6b0f_2d97_e4a8);

/// Puts one attempt, without authorization. `left` is what is left of the push's time to live, `topic` the app's bundle id.
///
/// # Errors
/// `rejected`, with Tidegate's own reason: `bad_target`, `nothing_to_send`, `bad_priority`, `payload_too_large`,
/// `bad_header`.
pub(super) fn request(push: &Push, left: Duration, now: UnixMillis, topic: &Topic) -> Result<Request, Verdict> {
    let Target::Apns(token) = push.target() else { return Err(rejected("bad_target")) };
    let job = &push.envelope.job;
    let path = path(token).ok_or_else(|| rejected("bad_target"))?;
    if payload::is_empty(job) {
        return Err(rejected("nothing_to_send"));
    }
    let said = Said(job);
    let push_type = said.header(&PUSH_TYPE).unwrap_or(match payload::kind(job) {
        Kind::Alert => "alert",
        Kind::Background => "background",
    });
    // Apple refuses it for sure, and slows the connection for each refusal.
    if push_type == "background" && said.header(&PRIORITY).is_some_and(|priority| priority != "5") {
        return Err(rejected("bad_priority"));
    }
    let body = push.envelope.rendered(Provider::Apns, payload::render).clone();
    if body.len() > largest(push_type) {
        return Err(rejected("payload_too_large"));
    }
    let headers = Derived { push, token, left, now, topic, push_type }.headers(&said);
    Ok(Request { path, headers: headers.ok_or_else(|| rejected("bad_header"))?, body })
}

/// `/3/device/<token>`; `None` for what is no token. Nothing but hexadecimal digits gets into a path.
fn path(token: &str) -> Option<PathAndQuery> {
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Of its exact length: what is longer would be copied once more to be shared.
    is_token.then(|| PathAndQuery::try_from(["/3/device/", token].concat()).ok()).flatten()
}

fn largest(push_type: &str) -> usize {
    match push_type {
        "voip" => MAX_VOIP_PAYLOAD,
        _ => MAX_PAYLOAD,
    }
}

/// What a push type appends to the bundle id (PROVIDERS.md, 1.3).
fn suffix(push_type: &str) -> &'static str {
    match push_type {
        "voip" => ".voip",
        "complication" => ".complication",
        "fileprovider" => ".pushkit.fileprovider",
        "location" => ".location-query",
        "liveactivity" => ".push-type.liveactivity",
        "pushtotalk" => ".voip-ptt",
        "controls" => ".push-type.controls",
        "widgets" => ".push-type.widgets",
        _ => "",
    }
}

/// The app's bundle id, as it is and as a header's value: encoded once, shared by all requests.
#[derive(Debug)]
pub(super) struct Topic {
    bundle: Box<str>,
    /// `None` if it can't be one.
    value: Option<HeaderValue>,
}

impl Topic {
    pub(super) fn new(bundle: &str) -> Self {
        Self { bundle: bundle.into(), value: value(bundle) }
    }

    /// With what a push type appends.
    fn of(&self, push_type: &str) -> Option<HeaderValue> {
        match suffix(push_type) {
            "" => self.value.clone(),
            suffix => value(&[&self.bundle, suffix].concat()),
        }
    }
}

/// The headers that the caller set.
struct Said<'j>(&'j Job);

impl<'j> Said<'j> {
    fn header(&self, name: &HeaderName) -> Option<&'j str> {
        self.0.apns.as_ref()?.headers.get(name.as_str()).and_then(Value::as_str)
    }
}

/// What the headers are derived from.
struct Derived<'a> {
    push: &'a Push,
    token: &'a str,
    left: Duration,
    now: UnixMillis,
    topic: &'a Topic,
    push_type: &'a str,
}

impl Derived<'_> {
    /// `None` if one of them can't be a header's value.
    fn headers(&self, said: &Said<'_>) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(PUSH_TYPE, push_type(self.push_type)?);
        headers.insert(TOPIC, said.header(&TOPIC).map_or_else(|| self.topic.of(self.push_type), value)?);
        headers.insert(PRIORITY, said.header(&PRIORITY).map_or_else(|| Some(self.priority()), value)?);
        headers.insert(EXPIRATION, volatile(said.header(&EXPIRATION).map_or_else(|| self.expiration(), value)?));
        headers.insert(ID, volatile(said.header(&ID).map_or_else(|| self.id(), value)?));
        let collapse = said.header(&COLLAPSE_ID).or(self.push.envelope.job.collapse_key.as_deref());
        if let Some(key) = collapse {
            headers.insert(COLLAPSE_ID, volatile(value(key)?));
        }
        Some(headers)
    }

    fn priority(&self) -> HeaderValue {
        HeaderValue::from_static(match (self.push_type, self.push.envelope.lane) {
            ("background", _) | (_, Lane::Normal) => "5",
            (_, Lane::High) => "10",
            (_, Lane::Low) => "1",
        })
    }

    /// Rounded down: Apple must not deliver later than we would.
    fn expiration(&self) -> Option<HeaderValue> {
        if self.push.envelope.now_or_never() || self.left.is_zero() {
            return Some(HeaderValue::from_static("0"));
        }
        let left = u64::try_from(self.left.as_millis()).unwrap_or(u64::MAX);
        Some(UnixMillis(self.now.0.saturating_add(left)).seconds().into())
    }

    fn id(&self) -> Option<HeaderValue> {
        let job = &self.push.envelope.job;
        // No part can hold a line feed, so no two pushes have the same name.
        let name = [&job.app, "\n", &job.id, "\n", self.token].concat();
        let id = Uuid::new_v5(&IDS, name.as_bytes());
        value(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// Those that are derived need no copy.
fn push_type(name: &str) -> Option<HeaderValue> {
    match name {
        "alert" => Some(HeaderValue::from_static("alert")),
        "background" => Some(HeaderValue::from_static("background")),
        other => value(other),
    }
}

fn value(text: &str) -> Option<HeaderValue> {
    // As bytes: a collapse key may be any UTF-8, which HTTP calls opaque (RFC 9110, section 5.5).
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
