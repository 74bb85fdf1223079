//! How much of its rate a route may use that begins to send, where a provider wants that to be little at first.
//!
//! ```text
//!  rate ▲                ╭──────── the rate
//!       │            ╭───╯
//!       │        ╭───╯    evenly, in steps of 1 s
//! FLOOR │────────╯
//!       └────────┼───────┼──────▶
//!             begins   begins + over
//! ```
//!
//! Google asks that traffic to FCM rise from 0 to its most over at least 60 s, and longer for higher rates
//! (PROVIDERS.md 2.3, scale-fcm). What that is for is a project's share of a minute's quota, 10,000 pushes a second
//! unless Google granted more: whoever sends a tenth of it and less is no surge to them, and would only be late to its
//! users. So a rate of [`FLOOR`](Rise::FLOOR) and less does not rise, a higher one begins there; and who has set no rate
//! at all (the simulators, a proxy of one's own) has named nothing to rise to. At the default quota 325,000 pushes go
//! in the first minute instead of 600,000: a backlog of 100,000 needs 31 s instead of 10.
//!
//! Unlike a [`Ramp`](super::Ramp) it leaves concurrency alone: that finds its own way up.

use std::time::{Duration, Instant};

/// How finely it rises.
const STEP: Duration = Duration::from_secs(1);

/// A rise; over, as long as it was not begun.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rise {
    begun: Option<(Instant, Duration)>,
}

impl Rise {
    /// The pushes a second at which it begins: a tenth of FCM's default quota.
    pub const FLOOR: f64 = 1_000.0;

    /// Begins now, to be over after `over`.
    pub fn begin(&mut self, now: Instant, over: Duration) {
        self.begun = Some((now, over));
    }

    /// The share, above 0 and up to 1, of a rate (pushes a second) that may be used now.
    #[must_use]
    pub fn share(&self, rate: f64, now: Instant) -> f64 {
        let Some((begun, over)) = self.begun else { return 1.0 };
        let passed = now.saturating_duration_since(begun);
        if passed >= over || rate <= Self::FLOOR {
            return 1.0;
        }
        let steps = passed.as_secs() / STEP.as_secs();
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let part = steps as f64 * STEP.as_secs_f64() / over.as_secs_f64();
        let floor = Self::FLOOR / rate;
        floor + (1.0 - floor) * part.min(1.0)
    }
}
