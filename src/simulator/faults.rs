//! What goes wrong at a door, as a script: a closed set of faults, each with its share or its time.
//!
//! Times (`from`, `at`) count from the moment the faults were set: the simulator's start, or
//! [`Simulator::set_faults`](super::Simulator::set_faults). Shares are decided per request by a generator seeded with
//! [`SimulatorSettings::seed`](super::SimulatorSettings::seed) and the connection's number; dead tokens by a hash of
//! seed and token, so that a token is always dead or never.
//!
//! ```toml
//! latency = { kind = "log_normal", median = "40ms", sigma = 0.5 }
//! slow = { share = 0.01, latency = "2s" }
//! stalls = [{ from = "5s", for = "3s" }]
//! stream_limits = [{ at = "2s", limit = 10 }, { at = "8s", limit = 500 }]
//! mute = { connection = 2, after_streams = 500 }
//! throttle = { share = 0.02, retry_after = "1s", during = { from = "10s", for = "5s" } }
//! dead_tokens = { share = 0.02 }
//! ```

use std::time::Duration;

use serde::Deserialize;

use super::span;

/// The faults of one door. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// How long an answer takes.
    pub latency: Latency,
    /// A share of answers that takes longer than that.
    pub slow: Option<Slow>,
    /// Times in which nothing is processed: requests are read and held, and processed when the time is over, unless
    /// the client gave up on them before.
    pub stalls: Vec<Window>,
    /// The share of requests that is never answered and never processed (0 to 1).
    pub never_answer: f64,
    /// A share of requests that is reset before it is processed.
    pub reset: Option<Reset>,
    /// A GOAWAY on every connection after so many streams.
    pub goaway: Option<GoAway>,
    /// The stream limit's timeline, for connections that are open then and for those opened later.
    pub stream_limits: Vec<StreamLimitAt>,
    /// A connection that falls silent: it hears nothing any more, not even a PING, and its socket stays open.
    pub mute: Option<Mute>,
    /// A share of requests that is answered 429 though nothing is wrong with it.
    pub throttle: Option<Throttle>,
    /// A share of requests that is answered 5xx though nothing is wrong with it.
    pub server_error: Option<ServerError>,
    /// Tokens that are dead: 410 `Unregistered` (APNs), 404 `UNREGISTERED` (FCM).
    pub dead_tokens: DeadTokens,
    /// At most so many pushes a window; then 429 until the window is over (FCM's project quota; APNs has none, but
    /// answers `TooManyRequests` with it).
    pub quota: Option<Quota>,
    /// What is thought of credentials, whatever they are worth.
    pub credentials: CredentialState,
    /// Times in which connections are accepted and then not a byte is said (no TLS handshake).
    pub silences: Vec<Window>,
    /// Times in which nobody listens: connection refused.
    pub refusals: Vec<Window>,
    /// What goes wrong at the token endpoint (FCM's door only).
    pub token_endpoint: TokenFault,
}

/// A distribution of latencies.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Latency {
    /// Always the same.
    Fixed {
        /// How long.
        #[serde(deserialize_with = "span::read")]
        value: Duration,
    },
    /// Anything between two values, with the same likelihood.
    Uniform {
        /// The shortest.
        #[serde(deserialize_with = "span::read")]
        min: Duration,
        /// The longest.
        #[serde(deserialize_with = "span::read")]
        max: Duration,
    },
    /// Log-normal, as round trips of the Internet nearly are. Cut at a hundred times the median.
    LogNormal {
        /// Half of all answers take longer.
        #[serde(deserialize_with = "span::read")]
        median: Duration,
        /// The standard deviation of the logarithm: 0.25 is calm, 1 is wild.
        sigma: f64,
    },
}

impl Default for Latency {
    fn default() -> Self {
        Latency::Fixed { value: Duration::ZERO }
    }
}

impl Latency {
    /// One latency.
    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Duration {
        match *self {
            Latency::Fixed { value } => value,
            Latency::Uniform { min, max } => min + max.saturating_sub(min).mul_f64(random.f64()),
            Latency::LogNormal { median, sigma } => {
                // Box-Muller; 1 - f64() is never 0.
                let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
                let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
                median.mul_f64((normal * sigma).exp().min(100.0))
            }
        }
    }
}

/// A share of answers that takes longer.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Which share (0 to 1).
    pub share: f64,
    /// How long these take.
    #[serde(deserialize_with = "span::read")]
    pub latency: Duration,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it begins, after the faults were set.
    #[serde(deserialize_with = "span::read", default)]
    pub from: Duration,
    /// How long it lasts.
    #[serde(deserialize_with = "span::read", rename = "for")]
    pub length: Duration,
}

impl Window {
    /// When it is over, if `elapsed` is within it.
    pub(super) fn end_if_within(&self, elapsed: Duration) -> Option<Duration> {
        let end = self.from.saturating_add(self.length);
        (self.from <= elapsed && elapsed < end).then_some(end)
    }
}

/// A share of requests that is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetCode {
    /// REFUSED_STREAM: not processed, safe to send again.
    RefusedStream,
    /// INTERNAL_ERROR: nobody knows.
    InternalError,
    /// CANCEL.
    Cancel,
    /// ENHANCE_YOUR_CALM.
    EnhanceYourCalm,
}

/// A share of requests that is reset before it is processed.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Which share (0 to 1).
    pub share: f64,
    /// With which code.
    #[serde(default = "refused")]
    pub code: ResetCode,
}

fn refused() -> ResetCode {
    ResetCode::RefusedStream
}

/// A GOAWAY on every connection after so many streams.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoAway {
    /// After how many streams of the connection (at least 1).
    pub after_streams: u32,
    /// The reason within the debug data. APNs sends `{"reason":"Shutdown"}`, FCM the bare word.
    #[serde(default = "shutdown")]
    pub reason: String,
    /// The error code: 0 is graceful.
    #[serde(default)]
    pub code: u32,
    /// How many of the connection's last streams were not processed: last-stream-id is so many streams before the
    /// newest, and these are never answered.
    #[serde(default)]
    pub unprocessed: u32,
    /// Leave the socket open afterwards, ignoring every new stream (observed at APNs).
    #[serde(default)]
    pub linger: bool,
    /// Say it twice (observed at APNs).
    #[serde(default)]
    pub twice: bool,
}

fn shutdown() -> String {
    "Shutdown".to_owned()
}

/// One step of the stream limit's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLimitAt {
    /// When, after the faults were set.
    #[serde(deserialize_with = "span::read", default)]
    pub at: Duration,
    /// MAX_CONCURRENT_STREAMS from then on.
    pub limit: u32,
}

/// A connection that falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// Which connection of the door, from 1.
    pub connection: u64,
    /// After how many of its streams.
    pub after_streams: u32,
}

/// A share of requests that is answered 429.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// Which share (0 to 1).
    pub share: f64,
    /// `Retry-After`, in whole seconds, rounded up; absent: no such header.
    #[serde(deserialize_with = "span::read_optional", default)]
    pub retry_after: Option<Duration>,
    /// `Retry-After` as a date instead of seconds.
    #[serde(default)]
    pub as_date: bool,
    /// When; absent: always.
    #[serde(default)]
    pub during: Option<Window>,
}

/// A share of requests that is answered 5xx.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerError {
    /// Which share (0 to 1).
    pub share: f64,
    /// 500, 502 (an HTML page) or 503.
    #[serde(default = "unavailable")]
    pub status: u16,
    /// `Retry-After`, in whole seconds, rounded up; absent: no such header.
    #[serde(deserialize_with = "span::read_optional", default)]
    pub retry_after: Option<Duration>,
}

fn unavailable() -> u16 {
    503
}

/// Which tokens are dead.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadTokens {
    /// Which share of all tokens (0 to 1), decided by a hash of seed and token.
    pub share: f64,
    /// Every token that begins so.
    pub prefixes: Vec<String>,
    /// These.
    pub tokens: Vec<String>,
}

impl DeadTokens {
    /// Whether `token` is dead.
    #[must_use]
    pub fn contains(&self, token: &str, seed: u64) -> bool {
        self.prefixes.iter().any(|prefix| token.starts_with(prefix.as_str()))
            || self.tokens.iter().any(|dead| dead == token)
            || (self.share > 0.0 && unit_hash(token, seed) < self.share)
    }
}

/// A number in [0, 1) that depends on nothing but its arguments: FNV-1a, finished as SplitMix64 is.
fn unit_hash(token: &str, seed: u64) -> f64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = token.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, fold);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// A quota that refills whole at the end of each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Pushes a window. Answers 4xx take from it, 429 do not.
    pub pushes: u64,
    /// How long a window is.
    #[serde(deserialize_with = "span::read", default = "minute")]
    pub window: Duration,
    /// Whether the 429 carries `Retry-After` (the seconds left of the window, rounded up).
    #[serde(default)]
    pub retry_after: bool,
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

/// What the door thinks of credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialState {
    /// What they are worth.
    #[default]
    AsTheyAre,
    /// Expired: 403 `ExpiredProviderToken`, 401 `UNAUTHENTICATED`.
    Expired,
    /// Refused: 403 `InvalidProviderToken` (`BadCertificate` for a certificate), 403 `PERMISSION_DENIED`.
    Refused,
}

/// What goes wrong at the token endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum TokenFault {
    /// Nothing.
    #[default]
    None,
    /// It takes long.
    Slow {
        /// How long.
        #[serde(deserialize_with = "span::read")]
        latency: Duration,
    },
    /// It answers with this 5xx.
    ServerError {
        /// The status.
        status: u16,
    },
    /// It answers 400 `invalid_grant` to everybody.
    InvalidGrant,
}
