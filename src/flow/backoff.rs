//! How long to wait before the next attempt: exponential with full jitter.
//!
//! Full jitter (a uniform sample of the whole window, not a little noise on its end) spreads a wave of failures best;
//! see "Exponential Backoff And Jitter", AWS Architecture Blog. A floor that the provider sets always holds, and the
//! jitter comes on top of it, so that a thousand pushes told to wait 60 s do not all return in one instant.

use std::time::Duration;

/// The window doubles with each attempt from `base` up to `cap`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The window before the second attempt.
    pub base: Duration,
    /// The largest window.
    pub cap: Duration,
}

impl Backoff {
    /// The delay after the attempt number `attempts` (1: the first), not below `floor`, for a `sample` in `0.0..1.0`.
    #[must_use]
    pub fn delay(&self, attempts: u8, floor: Duration, sample: f64) -> Duration {
        let doublings = u32::from(attempts.saturating_sub(1)).min(20);
        let window = self.base.saturating_mul(1 << doublings).min(self.cap);
        floor + window.mul_f64(sample.clamp(0.0, 1.0))
    }
}
