//! APNs: what Apple would answer (Apple, "Sending notification requests to APNs" and "Handling notification responses
//! from APNs").
//!
//! ```text
//! request ─▶ checks (path, headers; pure) ─▶ authorisation (token or certificate, per connection) ─▶ device ─▶ payload ─▶ 200
//! ```

mod authorisation;
mod checks;
mod provider_token;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::authorisation::Authorisation;
use self::checks::Wanted;
pub(super) use self::provider_token::KnownKey;
use super::quota::{Devices, Meter};
use super::{ApnsDoorSettings, Circumstances, Door, Farewell, Injected, OnExcess, Reply, Request, StreamLimit};
use crate::job::{Provider, UnixMillis};

/// The stream limit until a valid token was accepted.
const UNPROVEN: u32 = 1;

/// MAX_HEADER_LIST_SIZE as APNs announces it, bytes.
const HEADER_LIST: u32 = 8000;

/// How long a dead token is said to have been dead.
const DEAD_SINCE: Duration = Duration::from_secs(24 * 3600);

/// Why a request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: u16,
    pub(super) reason: &'static str,
}

const fn reject(status: u16, reason: &'static str) -> Rejection {
    Rejection { status, reason }
}

/// The door.
pub(super) struct ApnsDoor {
    settings: ApnsDoorSettings,
    seed: u64,
    authorisation: Authorisation,
    /// Errors by connection.
    errors: HashMap<u64, u32>,
    devices: Devices,
    quota: Meter,
}

impl ApnsDoor {
    pub(super) fn new(settings: ApnsDoorSettings, keys: Vec<KnownKey>, seed: u64) -> Self {
        let authorisation = Authorisation::new(&settings, keys);
        Self {
            settings,
            seed,
            authorisation,
            errors: HashMap::new(),
            devices: Devices::default(),
            quota: Meter::default(),
        }
    }

    fn judge(&mut self, request: &Request, circumstances: Circumstances<'_>) -> Result<(), Rejection> {
        let wanted = checks::check(request)?;
        let topic = self.authorisation.authorise(request, &wanted, circumstances.faults.credentials)?;
        if !self.settings.topics.is_empty() && !self.settings.topics.contains(&topic) {
            return Err(reject(400, "TopicDisallowed"));
        }
        self.device(&wanted, request.at, circumstances)?;
        checks::payload(&request.body, wanted.push_type)?;
        match circumstances.injected {
            None => Ok(()),
            Some(Injected::Throttle(_)) => Err(reject(429, "TooManyRequests")),
            Some(Injected::ServerError(error)) => Err(server_error(error.status)),
        }
    }

    fn device(&mut self, wanted: &Wanted<'_>, now: Instant, circumstances: Circumstances<'_>) -> Result<(), Rejection> {
        let begins = |prefix: &String| !prefix.is_empty() && wanted.token.starts_with(prefix.as_str());
        if begins(&self.settings.unknown_prefix) {
            return Err(reject(400, "BadDeviceToken"));
        }
        if begins(&self.settings.foreign_prefix) {
            return Err(reject(400, "DeviceTokenNotForTopic"));
        }
        if circumstances.faults.dead_tokens.contains(wanted.token, self.seed) {
            return Err(reject(410, "Unregistered"));
        }
        if let Some(quota) = circumstances.faults.quota {
            self.quota.take(quota, now).map_err(|_| reject(429, "TooManyRequests"))?;
        }
        let within = self.devices.take(wanted.token, self.settings.device_rate, now);
        if within { Ok(()) } else { Err(reject(429, "TooManyRequests")) }
    }

    /// What an error does to its connection.
    fn penalise(&mut self, connection: u64, rejection: Rejection, reply: &mut Reply) {
        if !(400..500).contains(&rejection.status) || rejection.status == 410 {
            return;
        }
        if self.settings.one_stream_after_error {
            reply.stream_limit = StreamLimit::To(1);
        }
        let errors = self.errors.entry(connection).or_default();
        *errors += if rejection.reason == "BadDeviceToken" { 2 } else { 1 };
        if self.settings.error_budget > 0 && *errors >= self.settings.error_budget {
            reply.goaway = Some(debug(rejection.reason));
        }
    }
}

impl Door for ApnsDoor {
    fn provider(&self) -> Provider {
        Provider::Apns
    }

    fn speaks_http1(&self) -> bool {
        false
    }

    fn first_stream_limit(&self, client_certificate: bool) -> u32 {
        if client_certificate { self.settings.stream_limit } else { UNPROVEN }
    }

    fn full_stream_limit(&self) -> u32 {
        self.settings.stream_limit
    }

    fn header_list_limit(&self) -> Option<u32> {
        Some(HEADER_LIST)
    }

    fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }

    fn idle_farewell(&self) -> Farewell {
        Farewell { code: 0, debug: debug("IdleTimeout") }
    }

    fn on_excess(&self) -> Option<Farewell> {
        let text = "Maximum active streams violated for this endpoint.".to_owned();
        (self.settings.on_excess == OnExcess::GoAway).then_some(Farewell { code: 7, debug: text })
    }

    fn debug_data(&self, reason: &str) -> String {
        debug(reason)
    }

    fn fast_reply(&self) -> Reply {
        Reply::new(200)
    }

    fn is_push(&self, _path: &str) -> bool {
        true
    }

    fn answer(&mut self, request: &Request, circumstances: Circumstances<'_>) -> Reply {
        let id = request.header("apns-id").filter(|id| checks::is_uuid(id));
        let echoed = id.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
        let judged = self.judge(request, circumstances);
        let mut reply = match judged {
            Ok(()) => Reply { accepted: true, stream_limit: StreamLimit::Full, ..Reply::new(200) },
            Err(rejection) => {
                let mut reply = rejected(rejection, request.wall, circumstances.injected);
                self.penalise(request.connection, rejection, &mut reply);
                reply
            }
        };
        if reply.accepted && self.settings.sandbox {
            reply.headers.push(("apns-unique-id", uuid::Uuid::now_v7().to_string()));
        }
        reply.target = checks::token(&request.path).map(str::to_owned);
        reply.headers.push(("apns-id", echoed));
        reply.push = id.map(str::to_owned);
        reply
    }

    fn closed(&mut self, connection: u64) {
        self.authorisation.closed(connection);
        self.errors.remove(&connection);
    }
}

fn debug(reason: &str) -> String {
    serde_json::json!({ "reason": reason }).to_string()
}

fn server_error(status: u16) -> Rejection {
    match status {
        500 => reject(500, "InternalServerError"),
        503 => reject(503, "ServiceUnavailable"),
        _ => reject(status, "ServiceUnavailable"),
    }
}

fn rejected(rejection: Rejection, now: UnixMillis, injected: Option<Injected>) -> Reply {
    let body = match rejection.status {
        410 => {
            let since = now.0.saturating_sub(DEAD_SINCE.as_millis() as u64);
            serde_json::json!({ "reason": rejection.reason, "timestamp": since }).to_string()
        }
        _ => debug(rejection.reason),
    };
    let mut reply = Reply { reason: Some(rejection.reason.to_owned()), ..Reply::new(rejection.status) };
    reply.body = Bytes::from(body);
    reply.headers.push(("content-type", "application/json".to_owned()));
    if rejection.status == 429 || rejection.status >= 500 {
        super::exchange::retry_after(&mut reply, injected, now);
    }
    reply
}
