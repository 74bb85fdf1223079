//! The pause between two tries at the broker: 100 ms, doubling to 10 s, with jitter, for ever.

use std::time::Duration;

use crate::flow::Backoff;

/// A broker that restarts is found soon; one that is down is not hammered.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10) };

/// A series of failures.
#[derive(Debug)]
pub(super) struct Pause {
    failures: u8,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self { failures: 0 }
    }

    /// Failures in a row so far.
    pub(super) fn failures(&self) -> u8 {
        self.failures
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed once more: how long to wait. Half the window at least, so that no two tries are back to back.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let whole = BACKOFF.delay(self.failures, Duration::ZERO, 1.0);
        BACKOFF.delay(self.failures, Duration::ZERO, fastrand::f64() / 2.0) + whole / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_ten_and_start_anew() {
        let mut pause = Pause::new();
        for expected in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            let millis = pause.next().as_millis();
            assert!((expected / 2..=expected).contains(&millis), "{millis} of {expected}");
        }
        pause.reset();
        assert!(pause.next() <= Duration::from_millis(100));
    }
}
