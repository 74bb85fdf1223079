//! What a verdict says to each of the machines. Pure tables.

use crate::flow::{Health, Life, Signal};
use crate::verdict::{ConnectionEffect, Fate, RouteEffect, Sent, Verdict};

/// What it says of the provider, to the breaker.
///
/// A refusal that concerns this connection, this device or the credential alone says nothing; nor does one that comes
/// with a pause, which the pace keeps; nor what surely was not looked at.
pub(super) fn health(verdict: &Verdict) -> Health {
    match (&verdict.fate, verdict.route) {
        (Fate::Accepted { .. } | Fate::Unregistered { .. } | Fate::Rejected, _) => Health::Up,
        (Fate::Retry { sent: Sent::Unknown, .. }, _) => Health::Down,
        (Fate::Retry { sent: Sent::Refused, .. }, RouteEffect::None | RouteEffect::Slow { pause: None })
            if verdict.connection != ConnectionEffect::Retire =>
        {
            Health::Down
        }
        (Fate::Retry { .. } | Fate::Resign | Fate::Keep, _) => Health::Silent,
    }
}

/// Whether it tells of a connection that was lost with requests under way: all of them say the same, once.
pub(super) fn is_loss(verdict: &Verdict) -> bool {
    matches!(verdict.fate, Fate::Retry { sent: Sent::Unknown, .. }) && verdict.connection == ConnectionEffect::Retire
}

/// What it says of the provider's capacity, to the concurrency limit.
pub(super) fn signal(verdict: &Verdict) -> Option<Signal> {
    match (&verdict.fate, verdict.route) {
        (_, RouteEffect::Slow { .. }) => Some(Signal::Overload),
        (_, RouteEffect::Park) => None,
        (Fate::Accepted { .. }, _) => Some(Signal::Accepted),
        (Fate::Unregistered { .. } | Fate::Rejected, _) => Some(Signal::Answered),
        (Fate::Retry { .. } | Fate::Resign | Fate::Keep, _) => None,
    }
}

/// What it says of the token, to the guard against mass death.
pub(super) fn life(verdict: &Verdict) -> Option<Life> {
    match (&verdict.fate, verdict.route) {
        (Fate::Accepted { .. }, _) => Some(Life::Alive),
        (Fate::Unregistered { .. }, _) | (Fate::Rejected, RouteEffect::Misaddressed) => Some(Life::Dead),
        (Fate::Rejected, _) => Some(Life::Unknown),
        (Fate::Retry { .. } | Fate::Resign | Fate::Keep, _) => None,
    }
}
