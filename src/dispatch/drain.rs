//! How fast a line moves. Pure.
//!
//! Only a time in which somebody waited throughout says what a line can do; in any other it was as fast as pushes came.

use std::time::{Duration, Instant};

/// Seconds that are looked back on.
const SECONDS: usize = 8;
/// Seconds in a row, somebody waiting throughout, without which nothing is known.
const ENOUGH: usize = 5;

/// A line's recent pace.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    since: Instant,
    taken: u32,
    /// The same, of all lines of its route.
    taken_of_route: u32,
    /// Whether somebody waited ever since `since`.
    backlogged: bool,
    /// Pushes a second, the latest first, of seconds in which somebody waited throughout: the line's and its route's.
    paces: [(f64, f64); SECONDS],
    known: usize,
}

impl Drain {
    /// Nothing is known.
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, taken: 0, taken_of_route: 0, backlogged: false, paces: [(0.0, 0.0); SECONDS], known: 0 }
    }

    /// Notes that so many pushes left for the provider, of the line and of its whole route, and how many still wait.
    pub(super) fn note(&mut self, taken: usize, of_route: usize, left: usize) {
        let count = |pushes| u32::try_from(pushes).unwrap_or(u32::MAX);
        self.taken = self.taken.saturating_add(count(taken));
        self.taken_of_route = self.taken_of_route.saturating_add(count(of_route));
        self.backlogged &= left > 0;
    }

    /// Ends a measuring time, of about a second; `waiting` is the line's length now.
    pub(super) fn measure(&mut self, waiting: usize, now: Instant) {
        let time = now.saturating_duration_since(self.since);
        if time < Duration::from_millis(1) {
            return;
        }
        if self.backlogged && waiting > 0 {
            self.paces.rotate_right(1);
            let pace = |taken| f64::from(taken) / time.as_secs_f64();
            self.paces[0] = (pace(self.taken), pace(self.taken_of_route));
            self.known = (self.known + 1).min(SECONDS);
        } else {
            self.known = 0;
        }
        (self.since, self.taken, self.taken_of_route, self.backlogged) = (now, 0, 0, waiting > 0);
    }

    /// The best pace, in pushes a second, that the line could have had lately if it had had its route to itself; `None`:
    /// somebody has not waited for long enough to know, or nothing moves (and whether it will, nobody knows).
    pub(super) fn best(&self) -> Option<f64> {
        let best = self.paces[..self.known].iter().fold(0.0, |best: f64, (_, of_route)| best.max(*of_route));
        (self.known >= ENOUGH && best > 0.0).then_some(best)
    }

    /// The mean pace of the last seconds in which somebody waited throughout; `None`: there was none.
    pub(super) fn mean(&self) -> Option<f64> {
        let paces = &self.paces[..self.known];
        #[expect(clippy::cast_precision_loss, reason = "at most 8")]
        (!paces.is_empty()).then(|| paces.iter().map(|(pace, _)| pace).sum::<f64>() / paces.len() as f64)
    }
}
