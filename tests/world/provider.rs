//! A provider's end of a route: how long an answer takes, and what it says.

use std::time::Duration;

use tidegate::verdict::{ConnectionEffect, Fate, RouteEffect, Sent, Verdict};

use super::scenario::{Outage, Phase, RouteModel};

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Dead,
    Misaddressed,
    /// 503.
    Unavailable,
    /// 429, for everybody, with a pause in seconds.
    Quota(u32),
    /// 429, for this device.
    DeviceThrottled,
    /// The stream is refused: surely not processed.
    Unprocessed,
    /// 403: the credential or the configuration is broken.
    Forbidden,
    /// Nothing, in the time that the client gives.
    Timeout,
    /// Nothing: the connection is gone.
    Lost,
}

/// Where Apple's and Google's tables differ they are as Apple's for a 503 (a second) and Google's for a 429 (a minute).
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const AFTER_DEVICE_THROTTLE: Duration = Duration::from_secs(5);
/// FCM, a 429 without `Retry-After`.
const AFTER_QUOTA: u32 = 60;

impl Answer {
    /// As the providers' tables read it (`provider/apns/verdict.rs`, `provider/fcm/verdict.rs`, `http2/failure.rs`).
    pub fn verdict(self) -> Verdict {
        let again = |after, sent| Verdict::of(Fate::Retry { after, sent });
        match self {
            Answer::Accepted => Verdict::of(Fate::Accepted { provider_id: None }).with_status(200),
            Answer::Dead => Verdict::of(Fate::Unregistered { since: None }).because("Unregistered").with_status(410),
            Answer::Misaddressed => Verdict::of(Fate::Rejected)
                .because("DeviceTokenNotForTopic")
                .on_route(RouteEffect::Misaddressed)
                .with_status(400),
            Answer::Unavailable => again(AFTER_FAILURE, Sent::Refused)
                .because("ServiceUnavailable")
                .on_route(RouteEffect::Slow { pause: None })
                .with_status(503),
            Answer::Quota(seconds) => {
                let pause = Duration::from_secs(seconds.into());
                again(pause, Sent::Refused)
                    .because("QUOTA_EXCEEDED")
                    .on_route(RouteEffect::Slow { pause: Some(pause) })
                    .with_status(429)
            }
            Answer::DeviceThrottled => again(AFTER_DEVICE_THROTTLE, Sent::Refused)
                .because("TooManyRequests")
                .on_route(RouteEffect::SlowDevice)
                .with_status(429),
            Answer::Unprocessed => again(Duration::ZERO, Sent::No).because("refused_stream"),
            Answer::Forbidden => {
                Verdict::of(Fate::Keep).because("PERMISSION_DENIED").on_route(RouteEffect::Park).with_status(403)
            }
            Answer::Timeout => again(Duration::ZERO, Sent::Unknown)
                .because("timeout")
                .on_route(RouteEffect::Slow { pause: None })
                .on_connection(ConnectionEffect::Suspect),
            Answer::Lost => {
                again(Duration::ZERO, Sent::Unknown).because("connection_lost").on_connection(ConnectionEffect::Retire)
            }
        }
    }
}

/// What the provider makes of one request.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// What its client hears.
    pub answer: Answer,
    /// After what time.
    pub takes: Duration,
    /// Whether the push reaches its device, whatever the client hears.
    pub reaches: bool,
}

/// One provider, as one route sees it.
pub struct ProviderModel {
    rng: fastrand::Rng,
    latency_ms: [f64; 2],
    capacity: Option<f64>,
    queue: Option<u32>,
    timeout: Duration,
    phases: Vec<Phase>,
    /// When it is through with all that it has, since the start.
    busy_until: Duration,
    quota: Option<(u32, Duration)>,
    quota_phase: Duration,
    quota_used: (u128, u32),
}

impl ProviderModel {
    pub fn new(route: &RouteModel, mut rng: fastrand::Rng) -> Self {
        let quota = route.quota.map(|quota| (quota.cells, quota.per.0));
        let quota_phase = quota.map_or(Duration::ZERO, |(_, per)| per.mul_f64(rng.f64()));
        Self {
            rng,
            latency_ms: route.latency_ms,
            capacity: route.capacity,
            queue: route.queue,
            timeout: route.request_timeout.0,
            phases: route.phase.clone(),
            busy_until: Duration::ZERO,
            quota,
            quota_phase,
            quota_used: (0, 0),
        }
    }

    fn phase(&self, at: Duration) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.from.0 <= at && at < phase.to.0)
    }

    /// Whether a connection can be made, or kept.
    pub fn is_reachable(&self, at: Duration) -> bool {
        self.phase(at).is_none_or(|phase| phase.outage != Some(Outage::Unreachable))
    }

    /// Takes a request that comes at `at`.
    pub fn serve(&mut self, at: Duration) -> Served {
        let [least, most] = self.latency_ms;
        let usual = least + (most - least) * self.rng.f64();
        let phase = self.phase(at).cloned();
        let factor = phase.as_ref().map_or(1.0, |phase| phase.latency);
        let quick = Duration::from_secs_f64(least / 2_000.0);
        let refused = |answer| Served { answer, takes: quick, reaches: false };
        if let Some(phase) = &phase {
            match phase.outage {
                Some(Outage::Silent) => return Served { takes: self.timeout, ..refused(Answer::Timeout) },
                Some(Outage::Refusing) => return refused(Answer::Unavailable),
                Some(Outage::Unreachable) => return refused(Answer::Lost),
                None => {}
            }
            if let Some(seconds) = phase.retry_after {
                return refused(Answer::Quota(seconds));
            }
            if phase.forbidden {
                return refused(Answer::Forbidden);
            }
            let shares = [
                (phase.unavailable, Answer::Unavailable),
                (phase.unprocessed, Answer::Unprocessed),
                (phase.device_throttled, Answer::DeviceThrottled),
            ];
            for (share, answer) in shares {
                if share > 0.0 && self.rng.f64() < share {
                    return refused(answer);
                }
            }
        }
        if !self.within_quota(at) {
            return refused(Answer::Quota(AFTER_QUOTA));
        }
        let mut takes = Duration::from_secs_f64(usual * factor / 1_000.0);
        if let Some(capacity) = self.capacity {
            let waits = self.busy_until.saturating_sub(at);
            if self.queue.is_some_and(|queue| waits.as_secs_f64() * capacity > f64::from(queue)) {
                return refused(Answer::Unavailable);
            }
            self.busy_until = self.busy_until.max(at) + Duration::from_secs_f64(1.0 / capacity);
            takes += waits;
        }
        if takes >= self.timeout {
            return Served { answer: Answer::Timeout, takes: self.timeout, reaches: true };
        }
        let sample = self.rng.f64();
        let (dead, elsewhere) = phase.map_or((0.0, 0.0), |phase| (phase.dead, phase.misaddressed));
        let answer = match sample {
            sample if sample < dead => Answer::Dead,
            sample if sample < dead + elsewhere => Answer::Misaddressed,
            _ => Answer::Accepted,
        };
        Served { answer, takes, reaches: answer == Answer::Accepted }
    }

    fn within_quota(&mut self, at: Duration) -> bool {
        let Some((cells, per)) = self.quota else { return true };
        let bucket = (at + self.quota_phase).as_nanos() / per.as_nanos();
        if self.quota_used.0 != bucket {
            self.quota_used = (bucket, 0);
        }
        self.quota_used.1 += 1;
        self.quota_used.1 <= cells
    }
}
