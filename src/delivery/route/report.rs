//! What a route tells of itself: logs for what an operator must know, status and gauges for the rest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Route, now};
use crate::delivery::origins::WayId;
use crate::delivery::{Gate, Halt, RouteState, RouteStatus};
use crate::job::Push;
use crate::provider::Credential;
use crate::telemetry::{RouteGauges, RouteLabel, trace_id};
use crate::verdict::{Fate, Reason, RouteEffect, Verdict};

/// What was said when, so that a thousand pushes with one fault make one line a minute.
#[derive(Default)]
pub(super) struct Said(HashMap<String, Instant>);

impl Said {
    const EVERY: Duration = Duration::from_secs(60);
    /// Reasons that are told apart; beyond it all are forgotten and told anew.
    const REASONS: usize = 64;

    fn once(&mut self, reason: &str, now: Instant) -> bool {
        if self.0.get(reason).is_some_and(|at| now.saturating_duration_since(*at) < Self::EVERY) {
            return false;
        }
        if self.0.len() >= Self::REASONS {
            self.0.clear();
        }
        self.0.insert(reason.to_owned(), now);
        true
    }
}

/// Says that a route's rate is not what is configured yet, where it is not.
pub(super) fn rising(route: &RouteLabel, gate: &Gate, over: Duration) {
    let (from, to) = (gate.rate(), gate.configured_rate());
    if from < to {
        tracing::info!(%route, from, to, ?over, "the route's rate, in pushes a second, rises: its provider asks that of traffic that begins");
    }
}

impl Route {
    /// Says what an operator must know.
    pub(super) fn report(&mut self, push: &Push, verdict: &Verdict, now: Instant) {
        let reason = verdict.reason.as_deref().unwrap_or("unknown");
        tracing::trace!(
            route = %self.label, job = %push.envelope.job.id, target = ?push.target(), attempt = push.attempts,
            status = verdict.status, reason = verdict.reason.as_deref(),
            trace_id = push.envelope.job.traceparent.as_deref().and_then(trace_id), "answered"
        );
        if matches!(verdict.fate, Fate::Retry { .. }) {
            self.failing = verdict.reason.clone().unwrap_or(Reason::Borrowed("unknown"));
        }
        match verdict.route {
            RouteEffect::Alert | RouteEffect::Misaddressed if self.said.once(reason, now) => {
                tracing::warn!(route = %self.label, reason, status = verdict.status, job = %push.envelope.job.id, "the provider complains of what only an operator or a caller can change; said once a minute for each reason");
            }
            RouteEffect::Alert | RouteEffect::Misaddressed => {}
            RouteEffect::Slow { pause: Some(pause) } => {
                tracing::debug!(route = %self.label, reason, ?pause, "the provider asks for a pause");
            }
            _ if matches!(verdict.fate, Fate::Accepted { .. }) && self.trouble.is_some() => {
                self.trouble = None;
            }
            _ => {}
        }
    }

    /// Says that the provider refuses what we come with, once for each reason.
    pub(super) fn refused(&mut self, verdict: &Verdict, way: Option<WayId>, now: Instant) {
        let reason = verdict.reason.as_deref().unwrap_or("unknown");
        if let Some(way) = self.ways.way(way) {
            if self.said.once(&format!("{} {reason}", way.origin), now) {
                tracing::error!(route = %self.label, origin = %way.origin, reason, status = verdict.status, retry_in = ?way.gate.keep_for(now), "a push service refuses our VAPID key or token; its jobs are kept, the others go on; said once a minute");
            }
            return;
        }
        let text = format!("the provider refuses the credential or configuration: {reason}");
        if self.trouble.as_ref() != Some(&text) {
            tracing::error!(route = %self.label, reason, status = verdict.status, retry_in = ?self.gate.keep_for(now), "route parked: the provider refuses its credential or configuration; its jobs are kept");
        }
        self.trouble = Some(text);
    }

    pub(super) fn credential(&mut self, state: &Credential) {
        match state {
            Credential::Ready { expires } => {
                self.credential_expires = *expires;
                if self.gate.halt(now()) == Some(Halt::Refused) {
                    tracing::info!(route = %self.label, "a fresh credential: the route is tried again");
                }
                self.trouble = None;
            }
            Credential::Pending => {}
            Credential::Broken { reason } => {
                let text = format!("no credential: {reason}");
                if self.trouble.as_ref() != Some(&text) {
                    tracing::error!(route = %self.label, %reason, "route parked: its credential is refused; its jobs are kept");
                }
                self.trouble = Some(text);
            }
        }
        self.gate.credential(matches!(state, Credential::Ready { .. }), now());
    }

    pub(super) fn show(&mut self) {
        let now = now();
        let circuit = self.gate.circuit(now);
        let halt = self.gate.halt(now).or_else(|| self.ways.origins()?.halt(now));
        let state = match halt {
            _ if self.gate.is_paused() => RouteState::PausedByOperator,
            _ if !self.gate.has_credential() && self.trouble.is_some() => RouteState::Parked,
            _ if !self.gate.has_credential() => RouteState::NoCredential,
            Some(Halt::Refused | Halt::MassDeath) => RouteState::Parked,
            Some(Halt::Failing) => RouteState::Unavailable,
            None if self.gate.paused_until(now).is_some() => RouteState::Paused,
            None => RouteState::Ready,
        };
        let until = match state {
            RouteState::Paused => self.gate.paused_until(now),
            RouteState::Parked | RouteState::Unavailable => {
                Some(now + self.gate.keep_for(now)).filter(|until| *until > now)
            }
            RouteState::Ready | RouteState::PausedByOperator | RouteState::NoCredential => None,
        };
        let rate = self.gate.rate();
        let pool = self.ways.status();
        let origins = self.ways.origins().and_then(|origins| origins.trouble(now));
        let trouble =
            self.trouble.clone().or(origins).or_else(|| halt.and_then(|halt| self.why(halt))).or(pool.last_failure);
        let reason = match trouble {
            trouble if !self.gate.is_paused() => trouble,
            None => Some("paused by the operator".to_owned()),
            Some(trouble) => Some(format!("paused by the operator; besides: {trouble}")),
        };
        let status = RouteStatus {
            state,
            reason,
            until,
            in_flight: self.under_way(),
            on_shelf: self.shelf.len(),
            concurrency_limit: self.concurrency_limit(),
            rate: rate.is_finite().then_some(rate),
            connections: pool.open,
            free_streams: self.ways.room(),
            attempts: self.attempts,
            retries: self.retries,
            put_off: self.put_off,
            retry_budget: self.gate.retry_budget(),
        };
        let gauges = RouteGauges {
            in_flight: status.in_flight,
            concurrency_limit: status.concurrency_limit,
            rate_limit: rate,
            breaker: circuit as u8,
            connections: u32::try_from(status.connections).unwrap_or(u32::MAX),
            credential_expires: self.credential_expires,
        };
        self.metrics.route(&self.label, &gauges);
        self.status.send_if_modified(|shown| std::mem::replace(shown, status.clone()) != status);
    }

    /// How many attempts may be under way: to all origins together, where there are many.
    fn concurrency_limit(&self) -> u32 {
        match self.ways.origins() {
            None => self.gate.concurrency_limit(),
            Some(origins) => {
                let sum = origins.iter().map(|way| way.gate.concurrency_limit()).fold(0, u32::saturating_add);
                sum.min(self.settings.max_concurrency)
            }
        }
    }

    /// Says which gates have closed or opened.
    pub(super) fn report_halts(&mut self, now: Instant) {
        self.report_halt(now);
        for way in self.ways.origins_mut().into_iter().flat_map(|origins| origins.iter_mut()) {
            let halt = way.gate.halt(now);
            if halt == way.halt {
                continue;
            }
            way.halt = halt;
            let (route, origin, retry_in) = (&self.label, &way.origin, way.gate.keep_for(now));
            match halt {
                Some(Halt::MassDeath) => {
                    tracing::error!(%route, %origin, ?retry_in, limit = self.settings.max_dead_percent, "so many subscriptions of a push service died at once that this is hardly true (another VAPID key looks like that); no caller is told to delete them, and their jobs are kept");
                }
                Some(Halt::Failing) => {
                    let reason = way.pool.last_failure().map_or("it fails", |failure| failure.kind.as_str());
                    tracing::warn!(%route, %origin, reason, ?retry_in, "a push service fails; its jobs wait, the others go on");
                }
                Some(Halt::Refused) => {}
                None => tracing::info!(%route, %origin, "a push service in use again; it ramps up"),
            }
        }
    }

    /// Says that the gate has closed or opened, once each time. What a refused credential means is said by
    /// [`report`](Self::report) already.
    fn report_halt(&mut self, now: Instant) {
        let halt = self.gate.halt(now);
        if halt == self.halt {
            return;
        }
        self.halt = halt;
        let retry_in = self.gate.keep_for(now);
        match halt {
            Some(Halt::MassDeath) => {
                tracing::error!(route = %self.label, ?retry_in, limit = self.settings.max_dead_percent, "route parked: so many tokens died at once that this is hardly true (a wrong topic, project or environment looks like that); no caller is told to delete them, and its jobs are kept");
            }
            Some(Halt::Failing) => {
                let reason = self.why(Halt::Failing);
                tracing::warn!(route = %self.label, reason, ?retry_in, "the provider fails; its jobs wait, and one push is tried now and then");
            }
            Some(Halt::Refused) => {}
            None => tracing::info!(route = %self.label, "route in use again; it ramps up"),
        }
    }

    /// Why the gate is closed, for people.
    fn why(&self, halt: Halt) -> Option<String> {
        match halt {
            Halt::Refused => None,
            Halt::MassDeath => Some(
                "too many tokens died at once to be believed: is it the right topic, project and environment?"
                    .to_owned(),
            ),
            Halt::Failing => {
                let failure = self.ways.status().last_failure.unwrap_or_else(|| self.failing.to_string());
                Some(format!("the provider fails: {failure}"))
            }
        }
    }
}
