//! How much of its limits a route may use that comes back from a pause or an outage.
//!
//! ```text
//!  share ▲            ╭──────── 1
//!        │          ╭─╯
//!        │      ╭───╯   doubles each second, in steps of 100 ms
//!   0.1  │──────╯
//!        └──────┼──────────────▶
//!             begins
//! ```
//!
//! A provider that has just recovered meets everybody's backlog at once; what comes back at full speed breaks it again
//! (SPEC.md, promise 8). Half of the first second's tenth is noticed by nobody, and after 3.4 s all is as it was.

use std::time::{Duration, Instant};

/// Where it begins.
const FIRST: f64 = 0.1;
/// How finely it rises.
const STEP: Duration = Duration::from_millis(100);

/// A ramp; over, as long as it was not begun.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ramp {
    begins: Option<Instant>,
}

impl Ramp {
    /// Begins at that moment, anew if it had begun before.
    pub fn begin(&mut self, at: Instant) {
        self.begins = Some(at);
    }

    /// The share of its limits that a route may use, 0.1 to 1.
    #[must_use]
    pub fn share(&self, now: Instant) -> f64 {
        let Some(begins) = self.begins else { return 1.0 };
        let steps = now.saturating_duration_since(begins).as_millis() / STEP.as_millis();
        let steps = u16::try_from(steps).unwrap_or(u16::MAX);
        (FIRST * 2_f64.powf(f64::from(steps) * STEP.as_secs_f64())).min(1.0)
    }

    /// Whether it is under way.
    #[must_use]
    pub fn is_rising(&self, now: Instant) -> bool {
        self.share(now) < 1.0
    }
}
