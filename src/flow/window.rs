//! How many of the last answers were of one kind: counts over a sliding window of time.
//!
//! ```text
//!   ┌──┬──┬──┬──┬─ … ─┬──┐   twelve slots; the oldest falls out
//!   │ 9│12│11│ 0│     │ 4│   when time enters a new one
//!   └──┴──┴──┴──┴─ … ─┴──┘
//!    now            oldest
//! ```

use std::time::{Duration, Instant};

/// Slots of a window: its edge is a twelfth of its length unsharp.
const SLOTS: usize = 12;

/// Answers of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those of the kind.
    pub of_kind: u32,
    /// All.
    pub all: u32,
}

impl Counts {
    /// The share of the kind, 0 where there is nothing.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.all == 0 { 0.0 } else { f64::from(self.of_kind) / f64::from(self.all) }
    }
}

/// A sliding window.
#[derive(Debug, Clone)]
pub struct Window {
    slot: Duration,
    epoch: Option<Instant>,
    /// The number of the slot that counts now.
    current: u64,
    counts: [Counts; SLOTS],
}

impl Window {
    /// A window of this length, which is more than zero.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        let slot = (length / 12).max(Duration::from_millis(1));
        Self { slot, epoch: None, current: 0, counts: [Counts::default(); SLOTS] }
    }

    /// Counts an answer.
    pub fn note(&mut self, of_kind: bool, now: Instant) {
        self.advance(now);
        let slot = &mut self.counts[place(self.current)];
        slot.all = slot.all.saturating_add(1);
        slot.of_kind = slot.of_kind.saturating_add(u32::from(of_kind));
    }

    /// The counts of the slot of `now` and the `older` ones before it; all of the window has 11 older ones.
    pub fn newest(&mut self, older: usize, now: Instant) -> Counts {
        self.advance(now);
        let mut sum = Counts::default();
        for back in 0..=older.min(SLOTS - 1) {
            let slot = self.counts[place(self.current + (SLOTS - back) as u64)];
            sum.all = sum.all.saturating_add(slot.all);
            sum.of_kind = sum.of_kind.saturating_add(slot.of_kind);
        }
        sum
    }

    /// The counts of the whole window.
    pub fn whole(&mut self, now: Instant) -> Counts {
        self.newest(SLOTS - 1, now)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.counts = [Counts::default(); SLOTS];
    }

    fn advance(&mut self, now: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        let elapsed = now.saturating_duration_since(epoch).as_nanos() / self.slot.as_nanos();
        let current = u64::try_from(elapsed).unwrap_or(u64::MAX / 2).max(self.current);
        let passed = (current - self.current).min(SLOTS as u64);
        for nth in 1..=passed {
            self.counts[place(current - passed + nth)] = Counts::default();
        }
        self.current = current;
    }
}

/// A slot's place in the ring.
#[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
const fn place(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}
