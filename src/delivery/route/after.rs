//! What becomes of a push when it comes, after its attempt, or without one: its turn, its outcome, the shelf, a durable retry.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{AFTER_RENEWAL, Route};
use crate::delivery::order::Arrival;
use crate::delivery::origins::WayId;
use crate::dispatch::KEPT_AFTER_REMOVAL;
use crate::job::{MAX_HELD, Push, UnixMillis};
use crate::outcome::{Disposition, Ended, Left, Outcome, OutcomeKind, Resolution, SHORT_DELAY, dispose};
use crate::verdict::{Fate, Reason, Verdict};

/// How long a push stays away that was held too long.
const PUT_OFF: Duration = Duration::from_secs(60);

impl Route {
    /// Takes in what was asked for.
    pub(super) fn comes(&mut self, chunk: Vec<Push>, now: Instant) {
        if self.order.is_none() {
            return self.buffer.extend(chunk);
        }
        for push in chunk {
            let Some(order) = &mut self.order else { break };
            match order.comes(push, now) {
                Arrival::Leads(push) => self.buffer.push_back(push),
                Arrival::Follows => {}
                Arrival::Away(push, delay) => self.ended.push(Resolution::Later { push, delay }),
            }
        }
    }

    /// Does with a push what the table says. `way`: to which origin it went, where there are many. `made`: the verdict is that of an attempt, not of the lack of one.
    pub(super) fn dispose(&mut self, mut push: Push, verdict: &Verdict, way: Option<WayId>, made: bool, now: Instant) {
        let before = push.attempts - u8::from(made);
        let left = Left {
            attempts: push.attempts,
            max_attempts: self.settings.max_attempts,
            resigned: push.resigned,
            ttl: push.envelope.deadline(self.settings.default_ttl).saturating_duration_since(now),
            now_or_never: push.envelope.now_or_never(),
        };
        match dispose(verdict, &left, fastrand::f64()) {
            Disposition::End(kind, reason) => self.end(push, kind, reason, verdict),
            Disposition::Again { delay, counts } => {
                let mut delay = delay;
                if !counts {
                    push.attempts = before;
                    delay = delay.max(self.ways.gate(way, &mut self.gate).resend_after(fastrand::f64()));
                }
                self.again(push, delay, verdict, now);
            }
            Disposition::Resign => {
                self.protocol.renew();
                push.attempts = before;
                push.resigned = true;
                self.again(push, AFTER_RENEWAL, verdict, now);
            }
            Disposition::Keep => {
                // A token that was young when it was refused was not renewed for that: the probe asks again.
                if matches!(verdict.fate, Fate::Resign) {
                    self.protocol.renew();
                }
                self.ways.gate(way, &mut self.gate).park(now);
                self.refused(verdict, way, now);
                push.attempts = before;
                let delay = self.ways.gate(way, &mut self.gate).keep_for(now).max(SHORT_DELAY);
                self.again(push, delay, verdict, now);
            }
        }
    }

    /// Takes out what waits here for room and shall wait no longer: its time is over, its job has been taken back, or it
    /// has been held so long that the broker would lose patience with its whole queue.
    pub(super) fn sweep(&mut self, now: Instant) {
        let ttl = self.settings.default_ttl;
        let over = |push: &Push| !push.envelope.is_live() || now >= push.envelope.deadline(ttl);
        let held = |push: &Push| now.saturating_duration_since(push.envelope.taken) >= MAX_HELD;
        let overdue = |push: &Push| over(push) || held(push);
        let mut leaving = self.shelf.take_if(now, overdue);
        leaving.extend(self.order.iter_mut().flat_map(|order| order.take_if(over, held)));
        if self.buffer.iter().any(overdue) {
            let (over, staying) = self.buffer.drain(..).partition(overdue);
            self.buffer = staying;
            leaving.extend::<VecDeque<Push>>(over);
        }
        leaving.extend(self.ways.origins_mut().map(|origins| origins.take_if(overdue)).unwrap_or_default());
        for push in leaving {
            if let Some(push) = self.still_good(push, now) {
                self.put_off(push, PUT_OFF, "held_too_long", now);
            }
        }
    }

    /// The push, unless its job has been taken back or its time is over: then it has left.
    pub(super) fn still_good(&mut self, push: Push, now: Instant) -> Option<Push> {
        if !push.envelope.is_live() {
            // Its source has to hear that it was not sent, for it comes again.
            self.leave(Resolution::Returned(push));
            return None;
        }
        if now >= push.envelope.deadline(self.settings.default_ttl) {
            self.end(push, OutcomeKind::Expired, Some("ttl_passed".into()), &Verdict::of(Fate::Rejected));
            return None;
        }
        Some(push)
    }

    fn again(&mut self, push: Push, delay: Duration, verdict: &Verdict, now: Instant) {
        self.retries += 1;
        self.metrics.retry(self.label.provider, verdict.reason.as_deref().unwrap_or("unknown"));
        self.wait(push, delay, now);
    }

    /// Lets a push wait that flow control does not let go, or whose verdict is not told. No attempt is counted.
    pub(super) fn put_off(&mut self, push: Push, delay: Duration, reason: &'static str, now: Instant) {
        if delay >= push.envelope.deadline(self.settings.default_ttl).saturating_duration_since(now) {
            return self.end(push, OutcomeKind::Expired, Some(reason.into()), &Verdict::of(Fate::Rejected));
        }
        self.put_off += 1;
        self.wait(push, delay, now);
    }

    /// A short delay is waited out on the shelf, as long as that has room; a longer one is durable.
    fn wait(&mut self, push: Push, delay: Duration, now: Instant) {
        // A removed route's pushes come again when an operator has had time to bring it back.
        let delay = if self.removed.is_cancelled() { delay.max(KEPT_AFTER_REMOVAL) } else { delay };
        if delay >= SHORT_DELAY || self.draining {
            return self.go_away(push, delay, now);
        }
        if let Err(push) = self.shelf.put(push, now + delay) {
            self.go_away(push, delay, now);
        }
    }

    pub(super) fn end(&mut self, push: Push, kind: OutcomeKind, reason: Option<Reason>, verdict: &Verdict) {
        let (provider_id, since) = match &verdict.fate {
            Fate::Accepted { provider_id } => (provider_id.clone(), None),
            Fate::Unregistered { since } => (None, *since),
            _ => (None, None),
        };
        let outcome = Outcome {
            kind,
            reason,
            status: verdict.status,
            attempts: push.attempts,
            provider_id,
            since,
            at: UnixMillis::now(),
        };
        self.leave(Resolution::Ended(Ended { push, outcome }));
    }

    /// A push has come to its end here; who was behind it may go.
    fn leave(&mut self, resolution: Resolution) {
        if let Some(order) = &mut self.order {
            let next = match &resolution {
                Resolution::Ended(Ended { push, .. }) | Resolution::Returned(push) => order.leaves(push),
                Resolution::Later { .. } => None,
            };
            self.buffer.extend(next);
        }
        self.ended.push(resolution);
    }

    /// A push goes away to come again, and with it who was behind it.
    fn go_away(&mut self, push: Push, delay: Duration, now: Instant) {
        let behind = self.order.as_mut().map(|order| order.goes_away(&push, delay, now)).unwrap_or_default();
        self.ended.push(Resolution::Later { push, delay });
        self.ended.extend(behind.into_iter().map(|push| Resolution::Later { push, delay }));
    }
}
