//! All of flow control in one place: how many pushes may go now, and when it is worth asking again. Pure.
//!
//! A push may go when all of these agree: the credential is usable, the circuit is closed (or half open: one at a time),
//! fewer attempts are under way than the adaptive limit and the connections' streams allow, and the pace has a cell.

use std::time::{Duration, Instant};

use super::RouteSettings;
use crate::flow::{Circuit, CircuitState, Concurrency, Pace, Signal};
use crate::verdict::{Fate, RouteEffect, Sent, Verdict};

/// How far ahead of its slot a push may leave its lane: long enough to hide the hand-over, short enough that an
/// important push that arrives meanwhile is not behind many others.
const AHEAD: Duration = Duration::from_millis(20);
/// How many pushes may have left their lanes ahead of their slot, at most.
const MAX_AHEAD: u32 = 64;

/// One route's gate.
#[derive(Debug, Clone)]
pub struct Gate {
    pace: Pace,
    concurrency: Concurrency,
    circuit: Circuit,
    credential: bool,
}

impl Gate {
    /// An open gate with the route's limits; closed until [`credential`](Self::credential) says that there is one.
    #[must_use]
    pub fn new(settings: &RouteSettings, now: Instant) -> Self {
        Self {
            pace: Pace::new(settings.rate, settings.burst, now),
            concurrency: Concurrency::new(settings.min_concurrency, settings.max_concurrency),
            circuit: Circuit::default(),
            credential: false,
        }
    }

    /// Whether there is a usable credential. A fresh one closes the circuit that its predecessor had opened.
    pub fn credential(&mut self, usable: bool) {
        if usable && !self.credential {
            self.circuit.mended();
        }
        self.credential = usable;
    }

    /// Whether there is a usable credential.
    #[must_use]
    pub const fn has_credential(&self) -> bool {
        self.credential
    }

    /// Closes the gate until a probe may go: the credential or the configuration is broken.
    pub fn park(&mut self, now: Instant) {
        self.circuit.broken(now);
    }

    /// How many attempts may be started now, with `in_flight` under way.
    #[must_use]
    pub fn room(&self, in_flight: u32, now: Instant) -> u32 {
        self.slots(in_flight, now).min(self.pace.available(now))
    }

    /// The same, but for the pace.
    #[must_use]
    pub fn slots(&self, in_flight: u32, now: Instant) -> u32 {
        if !self.credential {
            return 0;
        }
        self.concurrency.limit().min(self.circuit.room(now)).saturating_sub(in_flight)
    }

    /// How many pushes should be at hand, with `streams` free: those that may go now, and a few ahead of their slot.
    #[must_use]
    pub fn wanted(&self, in_flight: u32, streams: u32, now: Instant) -> u32 {
        if !self.credential || self.circuit.room(now) == 0 || self.pace.closed_until(now).is_some() {
            return 0;
        }
        if self.circuit.state(now) == CircuitState::HalfOpen {
            return self.room(in_flight, now).min(1);
        }
        let ahead = self.pace.rate().map_or(f64::INFINITY, |rate| rate.per_second() * AHEAD.as_secs_f64());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and MAX_AHEAD")]
        let ahead = ahead.ceil().clamp(1.0, f64::from(MAX_AHEAD)) as u32;
        self.room(in_flight, now).min(streams) + ahead.min(self.concurrency.limit().div_ceil(4))
    }

    /// Takes `count` of what [`room`](Self::room) allowed.
    pub fn take(&mut self, count: u32, now: Instant) {
        let taken = self.pace.take_up_to(count, now);
        debug_assert_eq!(taken, count, "only what the room allowed is taken");
    }

    /// Notes what an attempt's verdict says about the route. `sample` is uniform in `0.0..1.0`.
    pub fn note(&mut self, verdict: &Verdict, in_flight: u32, round_trip: Duration, sample: f64, now: Instant) {
        match verdict.fate {
            Fate::Accepted { .. } => self.circuit.mended(),
            Fate::Retry { sent: Sent::No, .. } => self.pace.refund(1),
            _ => {}
        }
        match verdict.route {
            RouteEffect::None | RouteEffect::SlowDevice | RouteEffect::Alert => {
                if !matches!(verdict.fate, Fate::Retry { .. } | Fate::Resign | Fate::Keep) {
                    self.concurrency.note(Signal::Kept, in_flight, round_trip, now);
                }
            }
            RouteEffect::Slow { pause } => {
                self.concurrency.note(Signal::Overload, in_flight, round_trip, now);
                if let Some(pause) = pause {
                    // A little later than told, each time by another span: a fleet of us must not return as one.
                    self.pace.close_until(now + pause + pause.mul_f64(0.05 * sample));
                }
            }
            RouteEffect::Park => self.circuit.broken(now),
        }
    }

    /// When it is worth asking again, if nothing else happens: the pace has a cell, or the circuit lets a probe through.
    #[must_use]
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.credential {
            return None;
        }
        match self.circuit.state(now) {
            CircuitState::Open => self.circuit.probe_at(),
            CircuitState::HalfOpen | CircuitState::Closed => Some(self.pace.next_at(now)).filter(|at| *at > now),
        }
    }

    /// How long a push whose credential was refused shall be kept before it is tried again.
    #[must_use]
    pub fn keep_for(&self, now: Instant) -> Duration {
        self.circuit.probe_at().map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// The circuit's state.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> CircuitState {
        self.circuit.state(now)
    }

    /// How many attempts may be under way.
    #[must_use]
    pub const fn concurrency_limit(&self) -> u32 {
        self.concurrency.limit()
    }

    /// Pushes a second; infinity where there is no limit.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.pace.rate().map_or(f64::INFINITY, |rate| rate.per_second())
    }

    /// Until when the provider said to send nothing.
    #[must_use]
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.pace.closed_until(now)
    }
}
