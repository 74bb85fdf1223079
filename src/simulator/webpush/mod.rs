//! Web Push: five push services, each on a port of its own and in its own words, and the browsers behind them.
//!
//! ```text
//! request ─▶ path ─▶ VAPID (signature, audience, expiry, the subscription's key) ─▶ TTL, Urgency, Topic, coding ─▶ size
//!         ─▶ decrypted with the subscription's key ─▶ 201
//! ```
//!
//! A subscription's id says how it fares: `dead-…` is gone, `other-key-…` was made for another VAPID key, `redirect-…`
//! answers with a redirect into a private network, `verbose-…` with an error of ten megabytes, `endless-…` with a body
//! that never ends.

mod browser;
mod service;
mod vapid;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use self::browser::Browser;
pub use self::service::PushService;
use self::service::Refusal;
use super::quota::{Devices, Meter};
use super::{
    Circumstances, CredentialState, Door, FCM_ID_KEY, Farewell, Injected, Reply, Request, StreamLimit,
    WebpushDoorSettings,
};
use crate::job::{Provider, Subscription};

/// The largest body that must be taken (RFC 8030, section 7.2).
const LARGEST: usize = 4096;
/// Salts and keys that are remembered, so that one that comes twice is seen.
const REMEMBERED: usize = 1_000_000;
/// Messages that are kept in the ledger as they were decrypted.
const MESSAGES: u32 = 10_000;

/// One push service's door.
pub(super) struct WebpushDoor {
    service: PushService,
    settings: WebpushDoorSettings,
    /// As it must stand in `aud`.
    origin: String,
    /// The public half of the VAPID key that subscriptions are made for.
    key: Vec<u8>,
    seed: u64,
    devices: Devices,
    quota: Meter,
    seen: HashSet<Box<[u8]>>,
    accepted: u64,
    messages: u32,
}

impl WebpushDoor {
    pub(super) fn new(
        service: PushService,
        settings: WebpushDoorSettings,
        origin: String,
        key: Vec<u8>,
        seed: u64,
    ) -> Self {
        Self {
            service,
            settings,
            origin,
            key,
            seed,
            devices: Devices::default(),
            quota: Meter::default(),
            seen: HashSet::new(),
            accepted: 0,
            messages: 0,
        }
    }

    /// Whose push it is, and what stood in it.
    fn judge(
        &mut self,
        request: &Request,
        id: Option<&str>,
        circumstances: Circumstances<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let id = id.ok_or(Refusal::NoSuchPath)?;
        if request.method != "POST" {
            return Err(Refusal::Method);
        }
        match circumstances.faults.credentials {
            CredentialState::AsTheyAre => {}
            CredentialState::Expired => return Err(Refusal::Token("bad_expiry")),
            CredentialState::Refused => return Err(Refusal::Token("bad_signature")),
        }
        vapid::check(request.header("authorization"), &self.origin, &self.key, request.wall.seconds())?;
        if id.starts_with("other-key-") {
            return Err(Refusal::OtherKey);
        }
        headers(request)?;
        self.state(id, request, circumstances)?;
        let plain = self.open(id, &request.body)?;
        match circumstances.injected {
            None => Ok(plain),
            Some(Injected::Throttle(_)) => Err(Refusal::Throttled),
            Some(Injected::ServerError(error)) => Err(Refusal::Server(error.status)),
        }
    }

    fn state(&mut self, id: &str, request: &Request, circumstances: Circumstances<'_>) -> Result<(), Refusal> {
        if id.starts_with("dead-") || circumstances.faults.dead_tokens.contains(id, self.seed) {
            return Err(Refusal::Gone);
        }
        if id.starts_with("redirect-") {
            return Err(Refusal::Redirect);
        }
        if id.starts_with("verbose-") {
            return Err(Refusal::Verbose);
        }
        if let Some(quota) = circumstances.faults.quota {
            self.quota.take(quota, request.at).map_err(|_| Refusal::Throttled)?;
        }
        let within = self.devices.take(id, self.settings.device_rate, request.at);
        if within { Ok(()) } else { Err(Refusal::Throttled) }
    }

    /// Decrypts a body; an empty one is an empty push.
    fn open(&mut self, id: &str, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        if body.len() > LARGEST {
            return Err(Refusal::TooLarge);
        }
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let head = browser::head(body).map_err(Refusal::Broken)?;
        let (salt, key) = (Box::from(head.salt), Box::from(head.key));
        let plain = Browser::of(self.seed, self.service, id).decrypt(body).map_err(Refusal::Broken)?;
        let room = self.seen.len() < REMEMBERED;
        if self.seen.contains(&key) || self.seen.contains(&salt) {
            return Err(Refusal::Broken("used_twice"));
        }
        if room {
            self.seen.extend([key, salt]);
        }
        Ok(plain)
    }

    fn accept(&mut self, request: &Request) -> Reply {
        self.accepted += 1;
        let location = format!("{}/m/{}-{}", self.origin, self.seed, self.accepted);
        let mut headers = vec![("location", location), ("ttl", request.header("ttl").unwrap_or("0").to_owned())];
        match self.service {
            PushService::Apple => headers.push(("apns-id", uuid::Uuid::now_v7().to_string())),
            PushService::Microsoft => headers.push(("x-wns-status", "received".to_owned())),
            _ => {}
        }
        Reply { accepted: true, headers, ..Reply::new(201) }
    }

    fn keep(&mut self, plain: &[u8]) -> Option<String> {
        self.messages = self.messages.saturating_add(1);
        (self.messages <= MESSAGES).then(|| String::from_utf8_lossy(plain).into_owned())
    }
}

/// TTL, Urgency, Topic and the coding (RFC 8030, section 5; RFC 8291, section 4).
fn headers(request: &Request) -> Result<(), Refusal> {
    let once = |name: &str| request.headers.iter().filter(|(key, _)| key == name).count() <= 1;
    let ttl = request.header("ttl").ok_or(Refusal::MissingTtl)?;
    if ttl.is_empty() || !ttl.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::BadTtl);
    }
    let urgency = request.header("urgency");
    if urgency.is_some_and(|urgency| !["very-low", "low", "normal", "high"].contains(&urgency)) {
        return Err(Refusal::BadUrgency);
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let topic = request.header("topic");
    if topic.is_some_and(|topic| topic.is_empty() || topic.len() > 32 || !topic.bytes().all(fits)) {
        return Err(Refusal::BadTopic);
    }
    let coding = request.header("content-encoding");
    let good = if request.body.is_empty() { coding.is_none() } else { coding == Some("aes128gcm") };
    if good && once("content-encoding") && once("ttl") { Ok(()) } else { Err(Refusal::Encoding) }
}

/// A subscription at `origin`, whose keys the door knows again.
pub(super) fn subscription(seed: u64, service: PushService, origin: &str, id: &str) -> Subscription {
    let browser = Browser::of(seed, service, id);
    Subscription {
        endpoint: format!("{origin}{}{id}", service.path()).into(),
        p256dh: browser.p256dh().into(),
        auth: browser.auth().into(),
    }
}

impl Door for WebpushDoor {
    fn provider(&self) -> Provider {
        Provider::Webpush
    }

    fn speaks_http1(&self) -> bool {
        true
    }

    fn full_stream_limit(&self) -> u32 {
        self.settings.stream_limit
    }

    fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }

    fn idle_farewell(&self) -> Farewell {
        Farewell { code: 0, debug: String::new() }
    }

    fn on_excess(&self) -> Option<Farewell> {
        None
    }

    fn fast_reply(&self) -> Reply {
        Reply::new(201)
    }

    fn is_push(&self, _path: &str) -> bool {
        true
    }

    fn answer(&mut self, request: &Request, circumstances: Circumstances<'_>) -> Reply {
        let id = request.path.strip_prefix(self.service.path()).filter(|id| !id.is_empty());
        let mut reply = match self.judge(request, id, circumstances) {
            Ok(plain) => {
                let mut reply = self.accept(request);
                reply.push = id.map(|id| format!("{} {}", self.service.as_str(), name(id, &plain)));
                reply.message = self.keep(&plain);
                reply
            }
            Err(refusal) => {
                let words = refusal.words(self.service);
                let mut reply = Reply::new(words.status);
                (reply.headers, reply.body, reply.reason) =
                    (words.headers, Bytes::from(words.body), Some(words.reason));
                if matches!(words.status, 406 | 429 | 500..) {
                    super::exchange::retry_after(&mut reply, circumstances.injected, request.wall);
                }
                reply
            }
        };
        reply.endless = id.is_some_and(|id| id.starts_with("endless-"));
        reply.stream_limit = StreamLimit::Keep;
        reply.target = id.map(str::to_owned);
        reply
    }

    fn closed(&mut self, _connection: u64) {}
}

/// What names a push in the ledger: what its message says, else the message itself.
fn name(id: &str, plain: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(plain).unwrap_or_default();
    match json.pointer(&format!("/data/{FCM_ID_KEY}")).and_then(serde_json::Value::as_str) {
        Some(name) => format!("{id} {name}"),
        None => {
            let digest = ring::digest::digest(&ring::digest::SHA256, plain);
            let head = digest.as_ref().first_chunk::<8>().expect("a SHA-256 digest has 32 bytes");
            format!("{id} {:016x}", u64::from_be_bytes(*head))
        }
    }
}

#[cfg(test)]
mod tests;
