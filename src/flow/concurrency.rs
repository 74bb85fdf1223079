//! How many attempts may be under way at once, as the provider's answers suggest.
//!
//! Slow start, then additive increase, multiplicative decrease (AIMD), as TCP does it and as Netflix advises for a
//! client of somebody else's service; lowered by being [refused](super::Refusals), by time-outs, and by round trips that
//! [grow](Latency).
//!
//! ```text
//!  limit ▲        ╭─╮ ×0.7    ╭──           │  ╭─╴ straight on to where it was,
//!        │     ╭──╯ │      ╭──╯             │ ╱    then +log10(limit) per limit answers
//!        │    ╱     ╰──────╯                │╱
//!        │   ╱  doubling: +1 per answer   16│ restarted: after a pause or an outage
//!        └───────────────────────────────────────────▶
//! ```
//!
//! - It moves only while it binds: with less than half of it under way, or with the pace or the streams holding pushes
//!   back, answers say nothing about it.
//! - It falls once per wave: answers to what was sent before the last decrease are of the same overload.
//! - Only overload lowers it; a rejected push says nothing about capacity.
//!
//! A stream that is given up in time is reset, and so no longer counts against the server's limit (RFC 9113, section
//! 5.1.2); there are no zombies to be counted beside the attempts under way.

use std::time::{Duration, Instant};

use super::Latency;
use super::latency::{self, Trend};
use super::refusals::{Refusals, Word};

/// What an answer says about capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The provider did the work; how long that took can be compared.
    Accepted,
    /// It answered, but a refusal is quick work and its time says nothing.
    Answered,
    /// It did not keep up: 429 or 503 for the whole route, or no answer in time.
    Overload,
}

/// What was going on when an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Attempts under way before it came, its own included.
    pub in_flight: u32,
    /// Something else than this limit kept more from going: the pace, the streams, a pause.
    pub held_back: bool,
}

/// Where a new route starts: enough to fill a connection's first round trips, few enough to be harmless.
const START: u32 = 64;
/// Where a route starts that comes back.
const AGAIN: u32 = 16;
/// What is left of the limit after an overload, in tenths.
const DECREASE_TENTHS: u32 = 7;

/// The limit, between a floor and a ceiling.
#[derive(Debug, Clone)]
pub struct Concurrency {
    min: u32,
    max: u32,
    limit: u32,
    /// Below it slow start goes on.
    threshold: u32,
    /// Answers since the limit last grew by one (in additive increase).
    kept: u32,
    latency: Latency,
    refusals: Refusals,
    decreased_at: Option<Instant>,
}

impl Concurrency {
    /// A limit that stays between `min` (at least 1) and `max`.
    #[must_use]
    pub fn new(min: u32, max: u32) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        Self {
            min,
            max,
            limit: START.clamp(min, max),
            threshold: u32::MAX,
            kept: 0,
            latency: Latency::default(),
            refusals: Refusals::default(),
            decreased_at: None,
        }
    }

    /// How many may be under way now.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Changes floor and ceiling at once. A limit that is cut finds its way back to where it was by slow start, should
    /// the ceiling rise again.
    pub fn set_bounds(&mut self, min: u32, max: u32) {
        self.min = min.max(1);
        self.max = max.max(self.min);
        self.threshold = self.threshold.max(self.limit);
        self.limit = self.limit.clamp(self.min, self.max);
    }

    /// Begins small again, after a pause or an outage; slow start leads up to where it was.
    pub fn restart(&mut self, now: Instant) {
        self.threshold = self.threshold.max(self.limit);
        self.limit = self.limit.min(AGAIN).clamp(self.min, self.max);
        self.kept = 0;
        self.decreased_at = Some(now);
        self.latency.restart();
        self.refusals.restart();
    }

    /// Notes an answer to an attempt that took `round_trip`.
    pub fn note(&mut self, signal: Signal, load: Load, round_trip: Duration, now: Instant) {
        let sent_at = now.checked_sub(round_trip).unwrap_or(now);
        let old = self.decreased_at.is_some_and(|at| sent_at <= at);
        let binds = !load.held_back && load.in_flight >= self.limit / 2;
        if old {
            return;
        }
        let word = match signal {
            Signal::Overload => self.refusals.refused(self.limit, load.in_flight, now),
            Signal::Accepted | Signal::Answered => self.refusals.answered(self.limit, load.in_flight, round_trip, now),
        };
        match word {
            Word::Stay | Word::Hold => {}
            Word::Down => self.refused(load, now),
            Word::Back(limit) => self.threshold = self.threshold.max(limit),
        }
        if signal == Signal::Overload {
            return;
        }
        if signal == Signal::Accepted {
            match self.latency.note(round_trip, self.limit, binds, now) {
                Trend::Flat => {}
                Trend::Risen { gradient } => {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.5 to 1 of a u32")]
                    let limit = (f64::from(self.limit) * gradient) as u32;
                    self.decrease(limit, self.min.max(latency::FLOOR).min(self.limit), now);
                    return;
                }
                Trend::Elsewhere { limit } => self.threshold = self.threshold.max(limit),
            }
        }
        if binds && word != Word::Hold {
            self.grow();
        }
    }

    /// Lowers what is under way, even if that was less than the limit; slow start leads back from there.
    fn refused(&mut self, load: Load, now: Instant) {
        let threshold = self.limit * DECREASE_TENTHS / 10;
        let used = load.in_flight.max(AGAIN).min(self.limit);
        self.decrease((used * DECREASE_TENTHS / 10).max(AGAIN.min(threshold)), self.min, now);
        self.threshold = threshold.max(self.limit);
    }

    fn grow(&mut self) {
        self.kept += 1;
        if self.limit < self.threshold || self.kept >= self.limit {
            let step = if self.limit < self.threshold { 1 } else { self.limit.ilog10().max(1) };
            self.limit = self.limit.saturating_add(step).min(self.max);
            self.kept = 0;
        }
    }

    fn decrease(&mut self, to: u32, floor: u32, now: Instant) {
        self.limit = to.clamp(floor, self.max);
        self.threshold = self.limit;
        self.kept = 0;
        self.decreased_at = Some(now);
    }
}
