//! A quota that refills whole at the end of each window (FCM, "Throttling and quotas"), and a rate per device.

use std::collections::HashMap;
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

/// Devices whose rate is remembered; beyond that all are forgotten.
const MAX_DEVICES: usize = 1_000_000;

/// How many pushes each device had in its minute.
#[derive(Debug, Default)]
pub(super) struct Devices {
    minutes: HashMap<Box<str>, (Instant, u32)>,
}

impl Devices {
    /// Whether one more push to `device` is within `rate` pushes a minute; 0: any number is.
    pub(super) fn take(&mut self, device: &str, rate: u32, now: Instant) -> bool {
        if rate == 0 {
            return true;
        }
        if self.minutes.len() >= MAX_DEVICES {
            self.minutes.clear();
        }
        let minute = self.minutes.entry(device.into()).or_insert((now, 0));
        if now.saturating_duration_since(minute.0) >= Duration::from_secs(60) {
            *minute = (now, 0);
        }
        minute.1 = minute.1.saturating_add(1);
        minute.1 <= rate
    }
}

/// `Retry-After` in seconds: rounded up, because earlier is a violation.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000) as u64
}
