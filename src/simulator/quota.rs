//! A quota that refills whole at the end of each window (FCM, "Throttling and quotas").

use std::time::{Duration, Instant};

use super::Quota;

/// The quota's state. Pure; `now` is an argument.
#[derive(Debug, Default)]
pub(super) struct Meter {
    window: Option<(Instant, u64)>,
}

impl Meter {
    /// Takes one push from the quota.
    ///
    /// # Errors
    /// How long until the window is over, if nothing is left of it.
    pub(super) fn take(&mut self, quota: Quota, now: Instant) -> Result<(), Duration> {
        let length = quota.window.max(Duration::from_millis(1));
        let (start, used) = match self.window {
            Some((start, used)) if now < start + length => (start, used),
            _ => (now, 0),
        };
        self.window = Some((start, used));
        if used >= quota.pushes {
            return Err((start + length).saturating_duration_since(now));
        }
        self.window = Some((start, used + 1));
        Ok(())
    }
}

/// `Retry-After` in seconds: rounded up, because earlier is a violation.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000) as u64
}
