//! How many attempts may be under way at once, as the provider's answers suggest.
//!
//! Slow start, then additive increase, multiplicative decrease (AIMD), as TCP does it and as Netflix advises for a
//! client of somebody else's service: the only honest sign of a remote limit is being refused by it.
//!
//! ```text
//!  limit ▲        ╭─╮ ×0.7    ╭──
//!        │     ╭──╯ │      ╭──╯     after the first overload: +1 per limit answers
//!        │    ╱     ╰──────╯
//!        │   ╱  doubling: +1 per answer
//!        └──────────────────────────▶
//! ```
//!
//! - It grows only while it is used (at least half of it): an idle route's limit means nothing.
//! - It falls once per wave: answers to what was sent before the last decrease are of the same overload.
//! - Only overload lowers it (throttling, time-outs); a rejected push says nothing about capacity.

use std::time::{Duration, Instant};

/// What an answer says about capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The provider kept up.
    Kept,
    /// It did not: 429 or 503 for the whole route, or no answer in time.
    Overload,
}

/// Where a new route starts: enough to fill a connection's first round trips, few enough to be harmless.
const START: u32 = 64;
/// What is left of the limit after an overload, in tenths.
const DECREASE_TENTHS: u32 = 7;

/// The limit, between a floor and a ceiling.
#[derive(Debug, Clone)]
pub struct Concurrency {
    min: u32,
    max: u32,
    limit: u32,
    /// Answers since the limit last grew by one (in additive increase).
    kept: u32,
    slow_start: bool,
    decreased_at: Option<Instant>,
}

impl Concurrency {
    /// A limit that stays between `min` (at least 1) and `max`.
    #[must_use]
    pub fn new(min: u32, max: u32) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        Self { min, max, limit: START.clamp(min, max), kept: 0, slow_start: true, decreased_at: None }
    }

    /// How many may be under way now.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Notes an answer to an attempt that took `round_trip`, with `in_flight` attempts under way before it ended.
    pub fn note(&mut self, signal: Signal, in_flight: u32, round_trip: Duration, now: Instant) {
        match signal {
            Signal::Kept => self.grow(in_flight),
            Signal::Overload => self.shrink(round_trip, now),
        }
    }

    fn grow(&mut self, in_flight: u32) {
        if in_flight < self.limit / 2 {
            return;
        }
        self.kept += 1;
        if self.slow_start || self.kept >= self.limit {
            self.limit = (self.limit + 1).min(self.max);
            self.kept = 0;
        }
    }

    fn shrink(&mut self, round_trip: Duration, now: Instant) {
        let sent_at = now.checked_sub(round_trip).unwrap_or(now);
        if self.decreased_at.is_some_and(|at| sent_at <= at) {
            return;
        }
        self.limit = (self.limit * DECREASE_TENTHS / 10).clamp(self.min, self.max);
        self.slow_start = false;
        self.kept = 0;
        self.decreased_at = Some(now);
    }
}
