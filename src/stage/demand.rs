//! How much a consumer asks for: the arithmetic of `max` and `min`.
//!
//! What is *outstanding* was asked for and is not worked off yet, wherever it is: still at the producer, on its way,
//! waiting here, or in the hands of the consumer. A consumer asks until `max` is outstanding, and asks again as soon as
//! that has fallen to `min`. So events are worked off in calls of `max - min`, and while one call runs, `min` events are
//! there or on their way: the producer works while the consumer does.

/// How much a consumer asks for at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    max: usize,
    min: usize,
}

impl Demand {
    /// Nothing: what was asked for is withdrawn, and nothing more is asked for.
    pub const NONE: Self = Self { max: 0, min: 0 };

    /// Up to `max` events outstanding; asks again at half of it.
    #[must_use]
    pub const fn up_to(max: usize) -> Self {
        Self { max, min: max / 2 }
    }

    /// Up to `max` events outstanding; asks again at `min` (brought below `max` where it is not).
    #[must_use]
    pub const fn between(min: usize, max: usize) -> Self {
        let highest = max.saturating_sub(1);
        Self { max, min: if min < highest { min } else { highest } }
    }

    /// The most that is outstanding.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// At how much outstanding it asks again.
    #[must_use]
    pub const fn min(&self) -> usize {
        self.min
    }

    /// Whether it is time to ask, so that [`max`](Self::max) is outstanding again.
    #[must_use]
    pub const fn asks_at(&self, outstanding: usize) -> bool {
        outstanding <= self.min
    }

    /// How many events go into the next call, of those that are outstanding: at most `max - min`, and no further than to
    /// the point where it asks again. What is left after a withdrawal goes in one call.
    #[must_use]
    pub fn call(&self, outstanding: usize) -> usize {
        match self.max - self.min {
            0 => outstanding,
            span => outstanding.saturating_sub(self.min).min(span).max(1),
        }
    }
}
