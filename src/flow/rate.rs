//! Pace: a rate with a burst, kept by GCRA, the generic cell rate algorithm (ITU-T I.371, annex A).
//!
//! GCRA keeps one number, the theoretical arrival time (TAT): when the next cell would be due if all cells so far had
//! come evenly. A cell may come early by the burst's tolerance and no more. In every window of length T at most
//! `rate × T + burst` cells pass, and they pass evenly, not in a heap at each second's start.
//!
//! ```text
//!            burst × interval
//!        ├────────────────────┤
//!   ─────┼──────────●─────────┼────▶ time
//!       now         │        now + tolerance
//!                  TAT: (now + tolerance − TAT) / interval cells may go now
//! ```
//!
//! Times are kept in units of 1/cells of a nanosecond, so that a cell lasts a whole number of units whatever the rate:
//! nothing is rounded, and nothing drifts.

mod text;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// A rate: `cells` per `per`. Written `"600000/min"` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub cells: NonZeroU32,
    /// In what time; more than zero.
    pub per: Duration,
}

impl Rate {
    /// Cells per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        f64::from(self.cells.get()) / self.per.as_secs_f64()
    }

    /// The burst where none is named: what `rate` passes in 100 ms, at least 1. A tenth of a second's worth is soon
    /// enough for any provider to notice, and small beside what is in flight.
    #[must_use]
    pub fn default_burst(rate: Option<Self>) -> u32 {
        let Some(rate) = rate else { return 1 };
        let cells = u128::from(rate.cells.get()) * 100 / rate.per.as_millis().max(1);
        u32::try_from(cells).unwrap_or(u32::MAX).max(1)
    }
}

/// How many may go now. Unlimited where no rate is set; closed for a while where the provider said so.
#[derive(Debug, Clone)]
pub struct Pace {
    epoch: Instant,
    limit: Option<Limit>,
    closed_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    rate: Rate,
    burst: u32,
    /// Theoretical arrival time, in units since the epoch.
    tat: u128,
}

impl Limit {
    /// What one cell lasts, in units.
    const fn cell(&self) -> u128 {
        self.rate.per.as_nanos()
    }

    const fn units(&self, since_epoch: Duration) -> u128 {
        since_epoch.as_nanos() * self.rate.cells.get() as u128
    }

    const fn duration(&self, units: u128) -> Duration {
        // Rounded up: "not before" must not be early.
        let nanos = units.div_ceil(self.rate.cells.get() as u128);
        Duration::from_nanos_u128(nanos)
    }

    fn available(&self, now: u128) -> u128 {
        self.credit(now) / self.cell()
    }

    /// What could be taken now if cells could be taken in parts, in units.
    fn credit(&self, now: u128) -> u128 {
        let horizon = now + self.cell() * u128::from(self.burst);
        horizon.saturating_sub(self.tat.max(now))
    }

    /// Leaves one cell for the moment of the opening.
    fn close_until(&mut self, opening: Duration) {
        let opening = self.units(opening);
        self.tat = self.tat.max(opening + self.cell() * u128::from(self.burst - 1));
    }
}

impl Pace {
    /// A pace of `rate` that lets `burst` (at least 1) go at once after a quiet time. `None`: unlimited.
    #[must_use]
    pub fn new(rate: Option<Rate>, burst: u32, now: Instant) -> Self {
        let limit = rate.map(|rate| Limit { rate, burst: burst.max(1), tat: 0 });
        Self { epoch: now, limit, closed_until: None }
    }

    /// Takes up to `wanted` cells and says how many.
    pub fn take_up_to(&mut self, wanted: u32, now: Instant) -> u32 {
        let granted = self.available(now).min(wanted);
        if let Some(limit) = &mut self.limit {
            let units = limit.units(now.saturating_duration_since(self.epoch));
            limit.tat = limit.tat.max(units) + limit.cell() * u128::from(granted);
        }
        granted
    }

    /// How many cells could be taken now.
    #[must_use]
    pub fn available(&self, now: Instant) -> u32 {
        if self.closed_until.is_some_and(|until| now < until) {
            return 0;
        }
        let Some(limit) = &self.limit else { return u32::MAX };
        let units = limit.units(now.saturating_duration_since(self.epoch));
        u32::try_from(limit.available(units)).unwrap_or(u32::MAX)
    }

    /// When the next cell can be taken; `now` if one can be taken at once.
    #[must_use]
    pub fn next_at(&self, now: Instant) -> Instant {
        let opens = self.closed_until.map_or(now, |until| until.max(now));
        let Some(limit) = &self.limit else { return opens };
        let due = (limit.tat + limit.cell()).saturating_sub(limit.cell() * u128::from(limit.burst));
        opens.max(self.epoch + limit.duration(due))
    }

    /// Gives back cells that were taken and not used.
    pub fn refund(&mut self, cells: u32) {
        if let Some(limit) = &mut self.limit {
            limit.tat = limit.tat.saturating_sub(limit.cell() * u128::from(cells));
        }
    }

    /// Lets nothing pass before `until` (a provider's `Retry-After`). Never shortens an earlier closure. What the
    /// bucket would have gathered meanwhile is spent: after the closure the pace starts with one cell, not a burst.
    pub fn close_until(&mut self, until: Instant) {
        let until = self.closed_until.map_or(until, |earlier| earlier.max(until));
        self.closed_until = Some(until);
        if let Some(limit) = &mut self.limit {
            limit.close_until(until.saturating_duration_since(self.epoch));
        }
    }

    /// Until when nothing may pass, if that is after `now`.
    #[must_use]
    pub fn closed_until(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| *until > now)
    }

    /// Changes the rate at once. What could be taken before can be taken still, as far as the new burst allows, and no
    /// more: a change never grants a burst, nor does it make anybody wait for what the old rate had been slow about.
    /// Where there was no rate, the new one starts with one cell.
    pub fn set_rate(&mut self, rate: Option<Rate>, burst: u32, now: Instant) {
        let since = now.saturating_duration_since(self.epoch);
        let (old, closed_until) = (self.limit, self.closed_until(now));
        self.limit = rate.map(|rate| {
            let mut limit = Limit { rate, burst: burst.max(1), tat: 0 };
            let credit = old.map_or(limit.cell(), |old| old.credit(old.units(since)) * limit.cell() / old.cell());
            limit.tat = limit.units(since) + (limit.cell() * u128::from(limit.burst)).saturating_sub(credit);
            if let Some(until) = closed_until {
                limit.close_until(until.saturating_duration_since(self.epoch));
            }
            limit
        });
    }

    /// The rate in force.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.limit.map(|limit| limit.rate)
    }
}
