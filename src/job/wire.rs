//! The job as callers write it (SPEC.md, section 3).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::schema::ApnsHeaders;
use super::{Lane, MAX_TARGETS, Target};

/// The longest time to live a job may ask for: 28 days, FCM's maximum.
pub const MAX_TTL_SECONDS: u32 = 2_419_200;

/// One content for one app's devices.
///
/// Read by [`decode`](super::decode); written, it reads back as the same job.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Job {
    /// The idempotency key: 1 to 128 visible ASCII characters. Left out, the AMQP message's `message_id`, else a new UUIDv7.
    #[schemars(with = "Option<String>", length(min = 1, max = 128), regex(pattern = r"^[!-~]+$"))]
    pub id: Box<str>,
    /// The tenant, as the configuration names it; 1 to 128 bytes.
    #[schemars(length(min = 1, max = 128))]
    pub app: Box<str>,
    /// 1 to 1,000 device addresses.
    #[schemars(length(min = 1, max = MAX_TARGETS))]
    pub to: Vec<Target>,
    /// The lane the caller asked for; unset, the lane of the queue the job came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Lane>,
    /// Seconds from acceptance in which the push is worth sending, 0 to [`MAX_TTL_SECONDS`]. 0: one attempt, now or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_TTL_SECONDS))]
    pub ttl: Option<u32>,
    /// A newer push to the same target with the same key replaces an older one; 1 to 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub collapse_key: Option<Box<str>>,
    /// What the person sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification: Option<Notification>,
    /// What the app gets; values are strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<std::collections::BTreeMap<String, String>>")]
    pub data: Option<Map<String, Value>>,
    /// What is merged over the APNs request that Tidegate derives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apns: Option<ApnsSection>,
    /// What is merged over the FCM message that Tidegate derives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcm: Option<Map<String, Value>>,
    /// What is merged over the Web Push message that Tidegate derives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webpush: Option<Map<String, Value>>,
    /// W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Box<str>>,
}

/// What the person sees, the same for every provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Notification {
    /// The first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    /// The line below it; iOS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<Box<str>>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<str>>,
    /// A picture's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<str>>,
    /// A sound's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<Box<str>>,
    /// The number on the app's icon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub badge: Option<u32>,
}

/// A job's raw APNs section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ApnsSection {
    /// Request headers (`apns-push-type`, `apns-priority`, `apns-expiration`, `apns-topic`, `apns-collapse-id`, `apns-id`).
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "Option<ApnsHeaders>")]
    pub headers: Map<String, Value>,
    /// Merged deeply over the payload that Tidegate derives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Map<String, Value>>,
}
