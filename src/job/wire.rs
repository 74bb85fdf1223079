//! The job as callers write it (SPEC.md, section 3).

use serde_json::{Map, Value};

use super::{Lane, Target};

/// The longest time to live a job may ask for: 28 days, FCM's maximum.
pub const MAX_TTL_SECONDS: u32 = 2_419_200;

/// One content for one app's devices.
#[derive(Debug, Clone)]
pub struct Job {
    /// The idempotency key: 1 to 128 visible ASCII characters.
    pub id: Box<str>,
    /// The tenant, as the configuration names it.
    pub app: Box<str>,
    /// 1 to 1,000 device addresses.
    pub to: Vec<Target>,
    /// The lane the caller asked for; unset, the lane of the queue the job came by.
    pub priority: Option<Lane>,
    /// Seconds from acceptance in which the push is worth sending, 0 to [`MAX_TTL_SECONDS`]. 0: one attempt, now or never.
    pub ttl: Option<u32>,
    /// A newer push to the same target with the same key replaces an older one; 1 to 64 bytes.
    pub collapse_key: Option<Box<str>>,
    /// What the person sees.
    pub notification: Option<Notification>,
    /// What the app gets; values are strings.
    pub data: Option<Map<String, Value>>,
    /// What is merged over the APNs request that Tidegate derives.
    pub apns: Option<ApnsSection>,
    /// What is merged over the FCM message that Tidegate derives.
    pub fcm: Option<Map<String, Value>>,
    /// What is merged over the Web Push message that Tidegate derives.
    pub webpush: Option<Map<String, Value>>,
    /// W3C trace context.
    pub traceparent: Option<Box<str>>,
}

/// What the person sees, the same for every provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    /// The first line.
    pub title: Option<Box<str>>,
    /// The line below it; iOS only.
    pub subtitle: Option<Box<str>>,
    /// The text.
    pub body: Option<Box<str>>,
    /// A picture's URL.
    pub image: Option<Box<str>>,
    /// A sound's name.
    pub sound: Option<Box<str>>,
    /// The number on the app's icon.
    pub badge: Option<u32>,
}

/// A job's raw APNs section.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApnsSection {
    /// Request headers (`apns-push-type`, `apns-priority`, `apns-expiration`, `apns-topic`, `apns-collapse-id`, `apns-id`).
    pub headers: Map<String, Value>,
    /// Merged deeply over the payload that Tidegate derives.
    pub payload: Option<Map<String, Value>>,
}
