//! The table: a verdict, and what is left to a push, decide what is done with it. Pure.
//!
//! | fate | attempts, ttl left | what is done |
//! | --- | --- | --- |
//! | accepted, unregistered, rejected | | it ends so |
//! | retry | attempts left, and the retry would come in time | again, after backoff |
//! | retry | attempts left, too late for the ttl | `expired` |
//! | retry | no attempt left, or now or never | `failed`, a dead letter |
//! | resign | not yet resigned | again at once, with a fresh credential |
//! | resign | resigned before | kept: the credential is broken |
//! | keep | | kept: again when the route is mended, no attempt counted |

use std::borrow::Cow;
use std::time::Duration;

use super::OutcomeKind;
use crate::flow::Backoff;
use crate::verdict::{Fate, Reason, Sent, Verdict};

/// How short a delay must be to be waited out in memory; a longer one is durable (FLOW.md, 3.7).
pub const SHORT_DELAY: Duration = Duration::from_secs(2);

/// Backoff of pushes that the provider had and could not serve.
const REFUSED: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(600) };

/// Backoff of pushes that surely did not leave: nothing was asked of the provider, so only a herd is to be avoided.
const UNSENT: Backoff = Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(20) };

/// What is left to a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Attempts made, the one that brought the verdict included.
    pub attempts: u8,
    /// Attempts that may be made in all.
    pub max_attempts: u8,
    /// Whether a fresh credential was tried for it already.
    pub resigned: bool,
    /// How long it is still worth sending.
    pub ttl: Duration,
    /// Whether it may be tried only once.
    pub now_or_never: bool,
}

/// What is done with a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It ends.
    End(OutcomeKind, Option<Reason>),
    /// It is tried again after the delay.
    Again {
        /// Not before.
        delay: Duration,
        /// Whether the attempt just made counts.
        counts: bool,
    },
    /// It is tried again at once, with a fresh credential.
    Resign,
    /// It is kept until the route is mended; the attempt does not count.
    Keep,
}

/// Decides. `sample` is uniform in `0.0..1.0`.
#[must_use]
pub fn dispose(verdict: &Verdict, left: &Left, sample: f64) -> Disposition {
    let reason = || verdict.reason.clone();
    match verdict.fate {
        Fate::Accepted { .. } => Disposition::End(OutcomeKind::Delivered, None),
        Fate::Unregistered { .. } => Disposition::End(OutcomeKind::Unregistered, reason()),
        Fate::Rejected => Disposition::End(OutcomeKind::Rejected, reason()),
        Fate::Retry { after, sent } => again(after, sent, left, reason(), sample),
        Fate::Resign if left.resigned => Disposition::Keep,
        Fate::Resign => Disposition::Resign,
        Fate::Keep => Disposition::Keep,
    }
}

fn again(floor: Duration, sent: Sent, left: &Left, reason: Option<Reason>, sample: f64) -> Disposition {
    let counts = sent != Sent::No;
    if counts && (left.attempts >= left.max_attempts || left.now_or_never) {
        return Disposition::End(OutcomeKind::Failed, reason.or(Some(Cow::Borrowed("attempts_exhausted"))));
    }
    let backoff = if counts { REFUSED } else { UNSENT };
    let delay = backoff.delay(left.attempts, floor, sample);
    if delay >= left.ttl {
        return Disposition::End(OutcomeKind::Expired, reason);
    }
    Disposition::Again { delay, counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Left =
        Left { attempts: 1, max_attempts: 5, resigned: false, ttl: Duration::from_secs(3600), now_or_never: false };

    fn retry(after: u64, sent: Sent) -> Verdict {
        Verdict::of(Fate::Retry { after: Duration::from_secs(after), sent }).because("Busy")
    }

    fn end(kind: OutcomeKind, reason: Option<&'static str>) -> Disposition {
        Disposition::End(kind, reason.map(Cow::Borrowed))
    }

    #[test]
    fn every_row_of_the_table() {
        let accepted = Verdict::of(Fate::Accepted { provider_id: None });
        assert_eq!(dispose(&accepted, &LEFT, 0.5), end(OutcomeKind::Delivered, None));
        let gone = Verdict::of(Fate::Unregistered { since: None }).because("Unregistered");
        assert_eq!(dispose(&gone, &LEFT, 0.5), end(OutcomeKind::Unregistered, Some("Unregistered")));
        let rejected = Verdict::of(Fate::Rejected).because("BadTopic");
        assert_eq!(dispose(&rejected, &LEFT, 0.5), end(OutcomeKind::Rejected, Some("BadTopic")));

        let later = dispose(&retry(10, Sent::Refused), &LEFT, 0.5);
        assert_eq!(later, Disposition::Again { delay: Duration::from_millis(10_250), counts: true });
        let late = Left { ttl: Duration::from_secs(10), ..LEFT };
        assert_eq!(dispose(&retry(10, Sent::Refused), &late, 0.0), end(OutcomeKind::Expired, Some("Busy")));
        let spent = Left { attempts: 5, ..LEFT };
        assert_eq!(dispose(&retry(10, Sent::Unknown), &spent, 0.5), end(OutcomeKind::Failed, Some("Busy")));
        let once = Left { now_or_never: true, ..LEFT };
        assert_eq!(dispose(&retry(0, Sent::Refused), &once, 0.5), end(OutcomeKind::Failed, Some("Busy")));

        let resign = Verdict::of(Fate::Resign);
        assert_eq!(dispose(&resign, &LEFT, 0.5), Disposition::Resign);
        assert_eq!(dispose(&resign, &Left { resigned: true, ..LEFT }, 0.5), Disposition::Keep);
        assert_eq!(dispose(&Verdict::of(Fate::Keep), &LEFT, 0.5), Disposition::Keep);
    }

    #[test]
    fn what_surely_did_not_leave_costs_no_attempt() {
        let spent = Left { attempts: 5, now_or_never: true, ..LEFT };
        let unsent = dispose(&retry(0, Sent::No), &spent, 1.0);
        assert_eq!(unsent, Disposition::Again { delay: Duration::from_millis(20), counts: false });
    }

    #[test]
    fn failed_always_has_a_reason() {
        let mute = Verdict::of(Fate::Retry { after: Duration::ZERO, sent: Sent::Unknown });
        let spent = Left { attempts: 5, ..LEFT };
        assert_eq!(dispose(&mute, &spent, 0.5), end(OutcomeKind::Failed, Some("attempts_exhausted")));
    }
}
