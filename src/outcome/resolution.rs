//! What the stages tell the settlement of a push that is theirs no more.

use std::borrow::Cow;
use std::time::Duration;

use super::{Ended, Outcome, OutcomeKind};
use crate::dispatch::{Exit, Why};
use crate::job::{Push, UnixMillis};

/// What became of a push.
pub enum Resolution {
    /// It has its outcome.
    Ended(Ended),
    /// It shall come again, later than memory would hold it.
    Later {
        /// The push, its attempts counted.
        push: Push,
        /// Not before.
        delay: Duration,
    },
    /// It was not sent and goes back to where it came from.
    Returned(Push),
}

impl From<Exit> for Resolution {
    fn from(exit: Exit) -> Self {
        let Exit { push, why } = exit;
        let (kind, reason): (_, Cow<'static, str>) = match why {
            Why::Returned => return Resolution::Returned(push),
            Why::Parked { delay } => return Resolution::Later { push, delay },
            Why::Expired => (OutcomeKind::Expired, "ttl_passed".into()),
            Why::WouldExpire => (OutcomeKind::Expired, "would_expire".into()),
            Why::Collapsed => (OutcomeKind::Collapsed, "replaced".into()),
            Why::TooOld => (OutcomeKind::Shed, "too_old".into()),
            Why::WouldWait => (OutcomeKind::Shed, "overload".into()),
            Why::Exhausted => (OutcomeKind::Failed, "too_many_deliveries".into()),
            Why::NoRoute => (OutcomeKind::Rejected, "no_route".into()),
            Why::BadTarget => (OutcomeKind::Rejected, "bad_target".into()),
        };
        let outcome = Outcome {
            kind,
            reason: Some(reason),
            status: None,
            attempts: push.attempts,
            provider_id: None,
            since: None,
            at: UnixMillis::now(),
        };
        Resolution::Ended(Ended { push, outcome })
    }
}
