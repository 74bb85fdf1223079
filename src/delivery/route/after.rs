//! What becomes of a push after its attempt, or without one: its outcome, the shelf, a durable retry.

use std::time::{Duration, Instant};

use super::{AFTER_RENEWAL, Route};
use crate::job::{Push, UnixMillis};
use crate::outcome::{Disposition, Ended, Left, Outcome, OutcomeKind, Resolution, SHORT_DELAY, dispose};
use crate::verdict::{Fate, Reason, Verdict};

impl Route {
    /// Does with a push what the table says. `made`: the verdict is that of an attempt, not of the lack of one.
    pub(super) fn dispose(&mut self, mut push: Push, verdict: &Verdict, made: bool, now: Instant) {
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
                    delay = delay.max(self.gate.resend_after(fastrand::f64()));
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
                self.gate.park(now);
                push.attempts = before;
                let delay = self.gate.keep_for(now).max(SHORT_DELAY);
                self.again(push, delay, verdict, now);
            }
        }
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
        if delay >= SHORT_DELAY || self.draining {
            self.ended.push(Resolution::Later { push, delay });
            return;
        }
        if let Err(push) = self.shelf.put(push, now + delay) {
            self.ended.push(Resolution::Later { push, delay });
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
        self.ended.push(Resolution::Ended(Ended { push, outcome }));
    }
}
