//! One attempt as a push service wants it (RFC 8030, section 5; PROVIDERS.md, 3.1).
//!
//! | header | derived from |
//! | --- | --- |
//! | `ttl` | what is left of the push's time to live, in seconds, rounded down; 0 for a push that has one attempt |
//! | `urgency` | the lane: `high`, `normal`, `low` |
//! | `topic` | the job's collapse key, as it is where it can be one, else a digest of it |
//! | `content-encoding` | `aes128gcm`, where there is a body |
//!
//! A header that the caller set wins; there are no others than these that he may set.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::rand::SystemRandom;
use serde_json::Value;

use super::Padding;
use super::encrypt::{self, MAX_PLAINTEXT, NotEncrypted, Recipient};
use super::endpoint::Endpoint;
use super::payload;
use crate::job::{Job, Lane, MAX_TTL_SECONDS, Provider, Push, Subscription};
use crate::provider::Request;
use crate::provider::wire::{rejected, volatile};
use crate::verdict::{Fate, Sent, Verdict};

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// The longest topic, characters of the base64url alphabet (RFC 8030, section 5.4).
const LONGEST_TOPIC: usize = 32;
/// Urgencies (RFC 8030, section 5.3).
const URGENCIES: [&str; 4] = ["very-low", "low", "normal", "high"];

/// Puts one attempt, without authorization. `left` is what is left of the push's time to live.
///
/// # Errors
/// `rejected`, with Tidegate's own reason: `nothing_to_send`, `bad_webpush_section`, `bad_header`, `payload_too_large`,
/// `bad_subscription_key`.
pub(super) fn request(
    push: &Push,
    subscription: &Subscription,
    endpoint: Endpoint,
    left: Duration,
    padding: Padding,
    random: &SystemRandom,
) -> Result<Request, Verdict> {
    let job = &push.envelope.job;
    payload::check(job).map_err(|_| rejected("bad_webpush_section"))?;
    if payload::is_empty(job) {
        return Err(rejected("nothing_to_send"));
    }
    let seconds = if push.envelope.now_or_never() { 0 } else { left.as_secs() };
    let mut headers = headers(job, push.envelope.lane, seconds).ok_or_else(|| rejected("bad_header"))?;
    let plaintext = push.envelope.rendered(Provider::Webpush, payload::render);
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(rejected("payload_too_large"));
    }
    if plaintext.is_empty() {
        return Ok(Request { path: endpoint.path, headers, body: Bytes::new() });
    }
    let to = recipient(subscription).ok_or_else(|| rejected("bad_subscription_key"))?;
    let body = encrypt::encrypt(plaintext, padding.padded(plaintext.len()), &to, random).map_err(not_encrypted)?;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(Request { path: endpoint.path, headers, body: body.into() })
}

fn not_encrypted(why: NotEncrypted) -> Verdict {
    match why {
        NotEncrypted::BadKey => rejected("bad_subscription_key"),
        NotEncrypted::TooLarge => rejected("payload_too_large"),
        NotEncrypted::NoRandomness => {
            Verdict::of(Fate::Retry { after: Duration::from_secs(1), sent: Sent::No }).because("no_randomness")
        }
    }
}

pub(super) fn recipient(subscription: &Subscription) -> Option<Recipient> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    Some(Recipient {
        public: bytes(&subscription.p256dh)?.try_into().ok()?,
        auth: bytes(&subscription.auth)?.try_into().ok()?,
    })
}

/// `None` if the caller set one that can't be one.
fn headers(job: &Job, lane: Lane, left: u64) -> Option<HeaderMap> {
    let said = Said::read(job)?;
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(TTL, volatile(HeaderValue::from(said.ttl.unwrap_or(left))));
    let urgency = match (said.urgency, lane) {
        (Some(urgency), _) => urgency,
        (None, Lane::High) => "high",
        (None, Lane::Normal) => "normal",
        (None, Lane::Low) => "low",
    };
    headers.insert(URGENCY, HeaderValue::from_static(urgency));
    let topic = said.topic.map(str::to_owned).or_else(|| job.collapse_key.as_deref().map(topic));
    if let Some(topic) = topic {
        headers.insert(TOPIC, volatile(HeaderValue::try_from(topic).ok()?));
    }
    Some(headers)
}

/// What the caller set.
#[derive(Default)]
struct Said<'j> {
    ttl: Option<u64>,
    urgency: Option<&'static str>,
    topic: Option<&'j str>,
}

impl<'j> Said<'j> {
    fn read(job: &'j Job) -> Option<Self> {
        let mut said = Self::default();
        let section = job.webpush.as_ref().and_then(|section| section.get("headers")).and_then(Value::as_object);
        for (name, value) in section.into_iter().flatten() {
            match name.to_ascii_lowercase().as_str() {
                "ttl" => {
                    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
                    said.ttl = Some(seconds).filter(|seconds| *seconds <= u64::from(MAX_TTL_SECONDS));
                    said.ttl?;
                }
                "urgency" => said.urgency = Some(URGENCIES.into_iter().find(|known| Some(*known) == value.as_str())?),
                "topic" => said.topic = Some(value.as_str().filter(|topic| is_topic(topic))?),
                _ => return None,
            }
        }
        Some(said)
    }
}

fn is_topic(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_TOPIC).contains(&text.len()) && text.bytes().all(fits)
}

/// The topic of a collapse key: itself where it can be one, else the first 24 bytes of its SHA-256.
fn topic(key: &str) -> String {
    if is_topic(key) {
        return key.to_owned();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..24])
}

#[cfg(test)]
mod tests;
