//! How a simulator is set up (TOML, for `tidegate simulate --config`; or built by a test).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::Deserialize;

use super::{Faults, PushService, span};

/// A simulator: the doors and a ledger.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorSettings {
    /// The loopback address to listen on.
    pub listen: IpAddr,
    /// APNs' port; 0: any free one.
    pub apns_port: u16,
    /// FCM's port, the token endpoint (`/token`) included; 0: any free one.
    pub fcm_port: u16,
    /// The ledger's port (plain HTTP); 0: any free one.
    pub ledger_port: u16,
    /// Own threads: 1 for everything, or 2, one a door. The simulator never runs on its caller's runtime.
    pub threads: u8,
    /// Accept everything, straight from the frame reader: no JSON, no JWT, no faults but stalls, GOAWAY, stream limits
    /// and those of connecting. The ledger counts
    /// received and accepted, but knows no single push. For benchmarks.
    pub fast: bool,
    /// HTTP/2 with prior knowledge, without TLS. For micro-benchmarks.
    pub cleartext: bool,
    /// What shares are decided with.
    pub seed: u64,
    /// APNs.
    pub apns: ApnsDoorSettings,
    /// FCM.
    pub fcm: FcmDoorSettings,
    /// The browsers' push services.
    pub webpush: WebpushSettings,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            apns_port: 0,
            fcm_port: 0,
            ledger_port: 0,
            threads: 1,
            fast: false,
            cleartext: false,
            seed: 1,
            apns: ApnsDoorSettings::default(),
            fcm: FcmDoorSettings::default(),
            webpush: WebpushSettings::default(),
        }
    }
}

/// What is done with a stream above the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExcess {
    /// RST_STREAM(REFUSED_STREAM).
    #[default]
    Refuse,
    /// GOAWAY, as the provider was seen to do, and the connection is closed.
    GoAway,
}

/// APNs' door.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApnsDoorSettings {
    /// MAX_CONCURRENT_STREAMS once a valid token was accepted, or at once with a client certificate.
    pub stream_limit: u32,
    /// After a 4xx other than 410 the limit falls to 1, until the next accepted push (seen until 2020).
    pub one_stream_after_error: bool,
    /// What is done with a stream above the limit.
    pub on_excess: OnExcess,
    /// After so many errors of one connection (`BadDeviceToken` counts twice) it is closed with GOAWAY; 0: never.
    pub error_budget: u32,
    /// The topics (bundle ids) that the keys may push to; empty: any.
    pub topics: Vec<String>,
    /// The sandbox: answers carry `apns-unique-id`.
    pub sandbox: bool,
    /// Accept only proper JWTs: base64url without padding, raw signatures. APNs itself is lax.
    pub strict_jwt: bool,
    /// How often a connection may come with a new token.
    #[serde(deserialize_with = "span::read")]
    pub token_update_interval: Duration,
    /// A connection that saw an expired token refuses everything from then on (seen).
    pub wedge_after_expiry: bool,
    /// Pushes to one device per minute, above which 429 `TooManyRequests` is answered; 0: any number.
    pub device_rate: u32,
    /// Tokens that begin so are unknown: 400 `BadDeviceToken`, as those of the other environment are; empty: none.
    pub unknown_prefix: String,
    /// Tokens that begin so belong to another app: 400 `DeviceTokenNotForTopic`; empty: none.
    pub foreign_prefix: String,
    /// A connection without a request for so long is closed with GOAWAY `IdleTimeout`.
    #[serde(deserialize_with = "span::read")]
    pub idle_timeout: Duration,
    /// Its faults.
    pub faults: Faults,
}

impl Default for ApnsDoorSettings {
    fn default() -> Self {
        Self {
            stream_limit: 1000,
            one_stream_after_error: false,
            on_excess: OnExcess::Refuse,
            error_budget: 0,
            topics: Vec::new(),
            sandbox: false,
            strict_jwt: false,
            token_update_interval: Duration::from_secs(20 * 60),
            wedge_after_expiry: false,
            device_rate: 0,
            unknown_prefix: String::new(),
            foreign_prefix: String::new(),
            idle_timeout: Duration::from_secs(60 * 60),
            faults: Faults::default(),
        }
    }
}

/// FCM's door and its token endpoint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FcmDoorSettings {
    /// MAX_CONCURRENT_STREAMS.
    pub stream_limit: u32,
    /// What is done with a stream above the limit.
    pub on_excess: OnExcess,
    /// The projects that exist; empty: any.
    pub projects: Vec<String>,
    /// Tokens that begin so belong to another project: 403 `SENDER_ID_MISMATCH`.
    pub foreign_prefix: String,
    /// Tokens that begin so are malformed: 400 `INVALID_ARGUMENT`.
    pub malformed_prefix: String,
    /// Tokens that begin so are of an iOS device whose APNs token is dead: 400 with an `ApnsError` of 410.
    pub dead_ios_prefix: String,
    /// Tokens that begin so are of a platform whose credential the project has not set up: 401
    /// `THIRD_PARTY_AUTH_ERROR`.
    pub platform_prefix: String,
    /// Pushes to one device per minute, above which 429 `QUOTA_EXCEEDED` is answered (FCM: 240); 0: any number.
    pub device_rate: u32,
    /// `expires_in` of access tokens.
    #[serde(deserialize_with = "span::read")]
    pub token_lifetime: Duration,
    /// A connection without a request for so long is closed with GOAWAY `session_timed_out`.
    #[serde(deserialize_with = "span::read")]
    pub idle_timeout: Duration,
    /// Its faults.
    pub faults: Faults,
}

impl Default for FcmDoorSettings {
    fn default() -> Self {
        Self {
            stream_limit: 100,
            on_excess: OnExcess::Refuse,
            projects: Vec::new(),
            foreign_prefix: "foreign-".to_owned(),
            malformed_prefix: "malformed-".to_owned(),
            dead_ios_prefix: "dead-ios-".to_owned(),
            platform_prefix: "platform-".to_owned(),
            device_rate: 0,
            token_lifetime: Duration::from_secs(3599),
            idle_timeout: Duration::from_secs(240),
            faults: Faults::default(),
        }
    }
}

/// The browsers' push services, each an origin of its own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebpushSettings {
    /// Mozilla's.
    pub mozilla: WebpushDoorSettings,
    /// Google's.
    pub google: WebpushDoorSettings,
    /// Apple's.
    pub apple: WebpushDoorSettings,
    /// Microsoft's.
    pub microsoft: WebpushDoorSettings,
    /// One that keeps to the RFC and has no words.
    pub strict: WebpushDoorSettings,
}

impl WebpushSettings {
    /// One of them.
    #[must_use]
    pub const fn of(&self, service: PushService) -> &WebpushDoorSettings {
        match service {
            PushService::Mozilla => &self.mozilla,
            PushService::Google => &self.google,
            PushService::Apple => &self.apple,
            PushService::Microsoft => &self.microsoft,
            PushService::Strict => &self.strict,
        }
    }

    /// One of them, to be changed.
    pub const fn of_mut(&mut self, service: PushService) -> &mut WebpushDoorSettings {
        match service {
            PushService::Mozilla => &mut self.mozilla,
            PushService::Google => &mut self.google,
            PushService::Apple => &mut self.apple,
            PushService::Microsoft => &mut self.microsoft,
            PushService::Strict => &mut self.strict,
        }
    }
}

/// One push service's door.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebpushDoorSettings {
    /// Its port; 0: any free one.
    pub port: u16,
    /// MAX_CONCURRENT_STREAMS.
    pub stream_limit: u32,
    /// It speaks HTTP/1.1 alone.
    pub http1_only: bool,
    /// Pushes to one subscription per minute, above which 429 is answered; 0: any number.
    pub device_rate: u32,
    /// A connection without a request for so long is closed.
    #[serde(deserialize_with = "span::read")]
    pub idle_timeout: Duration,
    /// Its faults.
    pub faults: Faults,
}

impl Default for WebpushDoorSettings {
    fn default() -> Self {
        Self {
            port: 0,
            stream_limit: 100,
            http1_only: false,
            device_rate: 0,
            idle_timeout: Duration::from_secs(240),
            faults: Faults::default(),
        }
    }
}
