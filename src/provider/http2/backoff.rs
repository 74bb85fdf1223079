//! When the next connection may be opened.
//!
//! A failure closes the door for 1 s, doubling to 6 s, the second half of it jittered. What counts as success is not
//! a handshake but an answer, and not any answer: a server that lets everybody in and throws everybody out, or answers
//! everybody that it can't, must not be stormed either.
//!
//! Pushy waits up to 60 s (PROVIDERS 1.8: Apple takes frequent connects for an attack). But who waits for a minute comes
//! back a minute late from an outage; one attempt in 3 to 6 s, and only while there is no connection, is no storm.

use std::time::Duration;

use tokio::time::Instant;

use crate::flow::Backoff;

/// From 1 s to 6 s: with the ramp of 3.4 s that follows, a route is as it was within 10 s of an outage's end.
const WINDOW: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(6) };

/// The door for new connections.
#[derive(Debug, Default)]
pub(super) struct ConnectBackoff {
    failures: u8,
    opens_at: Option<Instant>,
}

impl ConnectBackoff {
    /// A connection failed, ended before it had answered anything, or had to be given up for its answers. `sample` in `0.0..1.0`.
    pub(super) fn failed(&mut self, now: Instant, sample: f64) {
        self.failures = self.failures.saturating_add(1);
        self.opens_at = Some(now + WINDOW.delay(self.failures, Duration::ZERO, 0.5 + sample / 2.0));
    }

    /// A connection answered, and not with a server's error.
    pub(super) fn served(&mut self) {
        *self = Self::default();
    }

    /// Failures since a connection last answered.
    pub(super) const fn failures(&self) -> u8 {
        self.failures
    }

    /// When it opens, if that is after `now`.
    pub(super) fn closed_until(&self, now: Instant) -> Option<Instant> {
        self.opens_at.filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_one_second_to_six_and_an_answer_resets_it() {
        let start = Instant::now();
        let mut door = ConnectBackoff::default();
        assert_eq!(door.closed_until(start), None);
        for seconds in [1, 2, 4, 6, 6] {
            door.failed(start, 1.0);
            assert_eq!(door.closed_until(start), Some(start + Duration::from_secs(seconds)));
        }
        for _ in 0..300 {
            door.failed(start, 0.0);
        }
        assert_eq!(door.closed_until(start), Some(start + Duration::from_secs(3)), "never less than half");
        door.served();
        assert_eq!(door.closed_until(start), None);
    }
}
