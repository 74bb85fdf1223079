//! What changes about a gate while its route runs: its limits, and the client behind it.

use std::time::{Duration, Instant};

use super::Gate;
use crate::delivery::RouteSettings;
use crate::flow::{Breaker, Circuit};

impl Gate {
    /// Takes on the limits of `settings` at once: rate, burst, the concurrency's bounds and the share of dead tokens that
    /// is believed, a ramp or a rise that is under way considered. What was taken stays taken: a change never grants a
    /// burst.
    pub fn set_limits(&mut self, settings: &RouteSettings, now: Instant) {
        (self.rate, self.burst) = (settings.rate, settings.burst);
        self.concurrency.set_bounds(settings.min_concurrency, settings.max_concurrency);
        self.deaths.set_limit(f64::from(settings.max_dead_percent) / 100.0);
        self.set_shares(now);
        self.set_pace(now);
    }

    /// Lets the rate rise from little to its whole within `over`, for a provider that wants that of new traffic.
    pub fn rise(&mut self, over: Duration, now: Instant) {
        self.rise.begin(now, over);
        self.step(now);
    }

    /// Pushes a second that the operator allows, whatever a ramp or a rise leaves of it; infinity where there is no limit.
    #[must_use]
    pub fn configured_rate(&self) -> f64 {
        self.rate.map_or(f64::INFINITY, |rate| rate.per_second())
    }

    /// Goes on with another credential, endpoint or topic, once there is a [credential](Self::credential). What the old
    /// one met with is forgotten: circuits are closed, the concurrency is found anew, small. What was sent stays counted
    /// (pace, retry budget, devices), a pause that the provider asked for is kept, and so is the operator's.
    pub fn renew(&mut self, now: Instant) {
        let was_halted = self.halt(now).is_some();
        self.circuit = Circuit::default();
        self.breaker = Breaker::default();
        self.deaths.begin_anew();
        self.concurrency.restart(now);
        (self.unseen, self.lost, self.credential) = (0, None, false);
        if was_halted {
            self.come_back(now, now);
        }
    }
}
