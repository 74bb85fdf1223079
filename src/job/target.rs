//! Targets: one device address each, and which provider it belongs to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A push provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Web Push, RFC 8030.
    Webpush,
}

impl Provider {
    /// All providers, in the order of their [`index`](Self::index).
    pub const ALL: [Provider; 3] = [Provider::Apns, Provider::Fcm, Provider::Webpush];

    /// The provider's place in an array of three.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The provider's name, as jobs, configuration and metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Provider::Apns => "apns",
            Provider::Fcm => "fcm",
            Provider::Webpush => "webpush",
        }
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One device address. Written as JSON it is the object that stood in `to`.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// An APNs device token: hexadecimal, of no guaranteed length.
    Apns(Box<str>),
    /// An address within FCM.
    Fcm(FcmTarget),
    /// A browser's subscription.
    Webpush(Box<Subscription>),
    /// An address that can't be one. It does not spoil its job: it is this push's outcome, `rejected`.
    #[serde(untagged)]
    #[schemars(skip)]
    Bad(Box<BadTarget>),
}

/// What FCM can be told to send to (`messages:send`, exactly one of these).
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FcmTarget {
    /// A Firebase installation id.
    Fid(Box<str>),
    /// A topic, without the `/topics/` prefix.
    Topic(Box<str>),
    /// A condition over at most five topics.
    Condition(Box<str>),
    /// A registration token.
    #[serde(untagged)]
    Token(Box<str>),
}

/// A Web Push subscription, as the browser's `PushSubscription.toJSON()` gives it, flattened.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Subscription {
    /// The push service's URL for this subscription. A secret: whoever has it can push.
    pub endpoint: Box<str>,
    /// The browser's public key, base64url, 65 bytes.
    pub p256dh: Box<str>,
    /// The authentication secret, base64url, 16 bytes.
    pub auth: Box<str>,
}

/// An address that names its provider but can't be read, kept as it came so that the caller finds it again.
#[derive(Clone)]
pub struct BadTarget {
    /// The provider whose key it stood under.
    pub provider: Provider,
    /// The object as it stood in `to`.
    pub raw: Box<RawValue>,
    /// What is wrong with it, for people.
    pub detail: Box<str>,
}

/// Without the address.
impl std::fmt::Debug for BadTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} ({})", self.provider, TargetHash::of(self.raw.get()), self.detail)
    }
}

impl Serialize for BadTarget {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl PartialEq for BadTarget {
    fn eq(&self, other: &Self) -> bool {
        self.provider == other.provider && self.raw.get() == other.raw.get()
    }
}

impl Eq for BadTarget {}

impl Target {
    /// The provider this address belongs to.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        match self {
            Target::Apns(_) => Provider::Apns,
            Target::Fcm(_) => Provider::Fcm,
            Target::Webpush(_) => Provider::Webpush,
            Target::Bad(bad) => bad.provider,
        }
    }

    /// What may stand in a log in place of the address.
    #[must_use]
    pub fn hash(&self) -> TargetHash {
        TargetHash::of(self.address())
    }

    /// The address alone, without its provider. A secret.
    #[must_use]
    pub(crate) fn address(&self) -> &str {
        match self {
            Target::Apns(token) => token,
            Target::Fcm(
                FcmTarget::Token(text) | FcmTarget::Fid(text) | FcmTarget::Topic(text) | FcmTarget::Condition(text),
            ) => text,
            Target::Webpush(subscription) => &subscription.endpoint,
            Target::Bad(bad) => bad.raw.get(),
        }
    }
}

/// Addresses are secrets (SPEC.md, promise 12): only a hash of them is ever shown.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.provider(), self.hash())
    }
}

/// Eight hexadecimal characters that stand for an address in logs: enough to find a push again, not enough to send one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetHash(u32);

impl TargetHash {
    fn of(address: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, address.as_bytes());
        let head = digest.as_ref().first_chunk::<4>().expect("a SHA-256 digest has 32 bytes");
        Self(u32::from_be_bytes(*head))
    }
}

impl std::fmt::Display for TargetHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
