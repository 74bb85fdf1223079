//! The words in which the providers' tables of answers are written, the same for each of them.

use std::time::Duration;

use crate::job::UnixMillis;
use crate::verdict::{Fate, RouteEffect, Sent, Verdict};

/// This push can never succeed.
pub(super) const fn rejected() -> Verdict {
    Verdict::of(Fate::Rejected)
}

/// The address is dead, since then where the provider says so.
pub(super) const fn unregistered(since: Option<UnixMillis>) -> Verdict {
    Verdict::of(Fate::Unregistered { since })
}

/// Answered with a refusal that may pass: again, not before `after`.
pub(super) const fn again(after: Duration) -> Verdict {
    Verdict::of(Fate::Retry { after, sent: Sent::Refused })
}

/// The credential or the configuration is broken: the push is kept, the route rests.
pub(super) const fn parked() -> Verdict {
    Verdict::of(Fate::Keep).on_route(RouteEffect::Park)
}

/// The provider is overloaded; nothing goes out for `pause` where one is given.
pub(super) const fn slow(pause: Option<Duration>) -> RouteEffect {
    RouteEffect::Slow { pause }
}
