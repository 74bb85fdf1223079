//! All of flow control in one place: how many pushes may go now, and when it is worth asking again. Pure.
//!
//! A push may go when all of these agree: the operator has not paused the route, the credential is usable, the circuits
//! are closed (or half open: one at a time), fewer attempts are under way than the adaptive limit and the connections'
//! streams allow, the pace has a cell, its device need not wait, and, if it is a retry, the budget can pay for it.
//!
//! ```text
//!            ┌─ credential ─ circuits: config, provider, mass death ─ concurrency ─ pace ─┐ for the route: room
//!   push ───▶│                                                      (a ramp lowers both)  │
//!            └─ device ─ retry budget ────────────────────────────────────────────────────┘ for the push: admit
//! ```

use std::time::{Duration, Instant};

use super::RouteSettings;
use super::reading::{health, is_loss, life, signal};
use crate::flow::{
    Breaker, Circuit, CircuitState, Concurrency, Health, Load, MassDeath, Pace, Ramp, Rate, RetryBudget, Rise, Ruling,
    Throttle,
};
use crate::job::{Target, TargetHash};
use crate::provider::http2::ConnectionId;
use crate::verdict::{Fate, RouteEffect, Sent, Verdict};

mod live;

/// How far ahead of its slot a push may leave its lane: long enough to hide the hand-over, short enough that an
/// important push that arrives meanwhile is not behind many others.
const AHEAD: Duration = Duration::from_millis(20);
/// How many pushes may have left their lanes ahead of their slot, at most.
const MAX_AHEAD: u32 = 64;
/// The least that a ramp leaves of the concurrency.
const RAMP_FLOOR: u32 = 16;
/// How long a push waits that surely was not looked at, once a limit's worth of them came back in a row. Doubles with
/// each further limit's worth; below what is waited out in memory.
const RESEND_PAUSE: Duration = Duration::from_millis(50);
const RESEND_LONGEST: Duration = Duration::from_millis(1_600);

/// What an attempt was, for its verdict to be understood.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// To whom.
    pub target: &'a Target,
    /// By which connection.
    pub connection: ConnectionId,
    /// How long it took.
    pub round_trip: Duration,
    /// Whether it was a retry, and so paid by the budget.
    pub retry: bool,
    /// Attempts under way before it ended, itself included.
    pub in_flight: u32,
    /// Whether the connections had a stream free.
    pub streams_free: bool,
}

/// Why a push may not go though the route may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its device must wait.
    Device(Duration),
    /// There are too many retries.
    Budget(Duration),
}

/// Why a route is not in use, the most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// The credential or the configuration is broken.
    Refused,
    /// Too many tokens died at once.
    MassDeath,
    /// The provider fails or can't be reached.
    Failing,
}

/// One route's gate.
#[derive(Debug, Clone)]
pub struct Gate {
    rate: Option<Rate>,
    burst: u32,
    pace: Pace,
    concurrency: Concurrency,
    circuit: Circuit,
    breaker: Breaker,
    deaths: MassDeath,
    devices: Throttle<TargetHash>,
    budget: RetryBudget,
    ramp: Ramp,
    /// The share that the pace has from the ramp now.
    share: f64,
    rise: Rise,
    /// The share that the pace has from the rise now.
    risen: f64,
    /// The concurrency limit before the ramp.
    before: u32,
    /// Attempts in a row that surely were not looked at.
    unseen: u32,
    lost: Option<ConnectionId>,
    credential: bool,
    /// Whether the operator wants nothing sent.
    paused: bool,
}

impl Gate {
    /// An open gate with the route's limits; closed until [`credential`](Self::credential) says that there is one.
    #[must_use]
    pub fn new(settings: &RouteSettings, now: Instant) -> Self {
        Self {
            rate: settings.rate,
            burst: settings.burst,
            pace: Pace::new(settings.rate, settings.burst, now),
            concurrency: Concurrency::new(settings.min_concurrency, settings.max_concurrency),
            circuit: Circuit::default(),
            breaker: Breaker::default(),
            deaths: MassDeath::new(f64::from(settings.max_dead_percent) / 100.0),
            devices: Throttle::default(),
            budget: RetryBudget::new(now),
            ramp: Ramp::default(),
            share: 1.0,
            rise: Rise::default(),
            risen: 1.0,
            before: 0,
            unseen: 0,
            lost: None,
            credential: false,
            paused: false,
        }
    }

    /// Lets nothing go, nor asks for anything, until the operator resumes it. Circuits and limits stay as they are.
    pub const fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether the operator wants nothing sent.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether there is a usable credential. A fresh one closes the circuit that its predecessor had opened.
    pub fn credential(&mut self, usable: bool, now: Instant) {
        if usable && !self.credential && self.circuit.state(now) != CircuitState::Closed {
            self.circuit.mended();
            self.come_back(now, now);
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
        self.circuit.broken(0.0, now);
    }

    /// Lets the ramp and the rise go on. To be called now and then; at the latest each 200 ms.
    pub fn step(&mut self, now: Instant) {
        let before = (self.share.to_bits(), self.risen.to_bits());
        self.set_shares(now);
        if before != (self.share.to_bits(), self.risen.to_bits()) {
            self.set_pace(now);
        }
    }

    fn set_shares(&mut self, now: Instant) {
        self.share = self.ramp.share(now);
        self.risen = self.rate.map_or(1.0, |rate| self.rise.share(rate.per_second(), now));
    }

    fn set_pace(&mut self, now: Instant) {
        let share = self.share * self.risen;
        let rate = self.rate.map(|rate| Rate { cells: scaled(rate.cells.get(), share), ..rate });
        self.pace.set_rate(rate, scaled(self.burst, share).get(), now);
    }

    /// How many attempts may be started now, with `in_flight` under way.
    #[must_use]
    pub fn room(&self, in_flight: u32, now: Instant) -> u32 {
        self.slots(in_flight, now).min(self.pace.available(now))
    }

    /// The same, but for the pace.
    #[must_use]
    pub fn slots(&self, in_flight: u32, now: Instant) -> u32 {
        if !self.credential || self.paused {
            return 0;
        }
        self.concurrency_limit().min(self.circuit_room(now)).saturating_sub(in_flight)
    }

    /// How many pushes should be at hand, with `streams` free: those that may go now, and a few ahead of their slot.
    #[must_use]
    pub fn wanted(&self, in_flight: u32, streams: u32, now: Instant) -> u32 {
        if !self.credential || self.paused || self.circuit_room(now) == 0 || self.pace.closed_until(now).is_some() {
            return 0;
        }
        if self.circuit(now) == CircuitState::HalfOpen {
            return self.room(in_flight, now).min(1);
        }
        let ahead = self.pace.rate().map_or(f64::INFINITY, |rate| rate.per_second() * AHEAD.as_secs_f64());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and MAX_AHEAD")]
        let ahead = ahead.ceil().clamp(1.0, f64::from(MAX_AHEAD)) as u32;
        self.room(in_flight, now).min(streams) + ahead.min(self.concurrency_limit().div_ceil(4))
    }

    /// Whether a push to `target` may take a place of the [`room`](Self::room). `sample` is uniform in `0.0..1.0`.
    ///
    /// # Errors
    /// Why not, and how long it shall wait.
    pub fn admit(&mut self, target: &Target, retry: bool, sample: f64, now: Instant) -> Result<(), Refusal> {
        if !self.devices.is_empty()
            && let Some(until) = self.devices.until(target.hash(), now)
        {
            let wait = until.saturating_duration_since(now);
            return Err(Refusal::Device(wait + wait.mul_f64(0.1 * sample)));
        }
        if retry { self.budget.check(sample, now).map_err(Refusal::Budget) } else { Ok(()) }
    }

    /// Takes a place of the [`room`](Self::room) for a push that was [admitted](Self::admit).
    pub fn take(&mut self, retry: bool, now: Instant) {
        let taken = self.pace.take_up_to(1, now);
        debug_assert_eq!(taken, 1, "only what the room allowed is taken");
        if retry { self.budget.spend() } else { self.budget.sent() }
    }

    /// Notes what an attempt's verdict says, and rules whether it is told. `sample` is uniform in `0.0..1.0`.
    pub fn note(&mut self, verdict: &Verdict, tried: &Tried<'_>, sample: f64, now: Instant) -> Ruling {
        let sent_at = now.checked_sub(tried.round_trip).unwrap_or(now);
        let before = self.circuit(now);
        self.note_limits(verdict, tried, sent_at, now);
        let again_lost = is_loss(verdict) && self.lost.replace(tried.connection) == Some(tried.connection);
        let health = if again_lost { Health::Silent } else { health(verdict) };
        self.breaker.note(health, sent_at, sample, now);
        match (&verdict.fate, verdict.route) {
            (Fate::Accepted { .. }, _) if self.circuit.heeds(sent_at) => self.circuit.mended(),
            (_, RouteEffect::Park) => self.circuit.broken(sample, now),
            (_, RouteEffect::Slow { pause: Some(pause) }) => {
                // A little later than told, each time by another span: a fleet of us must not return as one.
                let until = now + pause + pause.mul_f64(0.05 * sample);
                self.pace.close_until(until);
                self.come_back(until, now);
            }
            _ => {}
        }
        let ruling = life(verdict).map_or(Ruling::Told, |life| self.deaths.note(life, sent_at, sample, now));
        if before != CircuitState::Closed && self.circuit(now) == CircuitState::Closed {
            self.come_back(now, now);
        }
        ruling
    }

    fn note_limits(&mut self, verdict: &Verdict, tried: &Tried<'_>, sent_at: Instant, now: Instant) {
        if let Fate::Retry { sent: Sent::No, .. } = verdict.fate {
            self.unseen = self.unseen.saturating_add(1);
            self.pace.refund(1);
        } else {
            self.unseen = 0;
        }
        let uncounted = matches!(verdict.fate, Fate::Retry { sent: Sent::No, .. } | Fate::Resign | Fate::Keep);
        if uncounted && tried.retry {
            self.budget.refund();
        }
        match (&verdict.fate, verdict.route) {
            (Fate::Retry { after, .. }, RouteEffect::SlowDevice) => {
                self.devices.refused(tried.target.hash(), *after, sent_at, now);
            }
            (Fate::Accepted { .. }, _) if !self.devices.is_empty() => {
                self.devices.accepted(tried.target.hash(), sent_at);
            }
            _ => {}
        }
        if let Some(signal) = signal(verdict) {
            let held_back = !tried.streams_free || self.pace.available(now) == 0;
            let load = Load { in_flight: tried.in_flight, held_back };
            self.concurrency.note(signal, load, tried.round_trip, now);
        }
    }

    /// Notes what an attempt's verdict means for what all origins of a route share: the rate. The rest is noted by the gate
    /// of its origin.
    pub fn note_shared(&mut self, verdict: &Verdict) {
        if let Fate::Retry { sent: Sent::No, .. } = verdict.fate {
            self.pace.refund(1);
        }
    }

    /// Notes that a connection could not be made, the `in_a_row`-th time, while there is no other.
    pub fn unreachable(&mut self, in_a_row: u32, sample: f64, now: Instant) {
        self.breaker.unreachable(in_a_row, sample, now);
    }

    /// Begins small again at `at`.
    fn come_back(&mut self, at: Instant, now: Instant) {
        if !self.ramp.is_rising(now) {
            self.before = self.concurrency.limit();
        }
        self.concurrency.restart(now);
        self.ramp.begin(at);
        self.step(now);
    }

    /// How long a push shall wait that surely was not looked at, beside its own backoff: nothing, unless nothing else
    /// comes back. It costs no attempt, so it must not spin.
    #[must_use]
    pub fn resend_after(&self, sample: f64) -> Duration {
        let waves = self.unseen / self.concurrency.limit().max(RAMP_FLOOR);
        if waves == 0 {
            return Duration::ZERO;
        }
        let window = RESEND_PAUSE.saturating_mul(1 << waves.min(10)).min(RESEND_LONGEST);
        window.mul_f64(0.5 + sample / 2.0)
    }

    /// When it is worth asking again, if nothing else happens: the pace has a cell, or the circuits let a probe through.
    #[must_use]
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.credential || self.paused {
            return None;
        }
        match self.circuit(now) {
            CircuitState::Open => self.circuits().filter_map(Circuit::probe_at).max(),
            CircuitState::HalfOpen | CircuitState::Closed => Some(self.pace.next_at(now)).filter(|at| *at > now),
        }
    }

    /// How long a push whose verdict is not told shall be kept before it is tried again.
    #[must_use]
    pub fn keep_for(&self, now: Instant) -> Duration {
        let probe = self.circuits().filter_map(Circuit::probe_at).max();
        probe.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    fn circuits(&self) -> impl Iterator<Item = &Circuit> {
        [&self.circuit, self.deaths.circuit(), self.breaker.circuit()].into_iter()
    }

    fn circuit_room(&self, now: Instant) -> u32 {
        self.circuits().map(|circuit| circuit.room(now)).min().unwrap_or(u32::MAX)
    }

    /// The circuits' state: the worst of them.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> CircuitState {
        self.circuits().map(|circuit| circuit.state(now)).max().unwrap_or(CircuitState::Closed)
    }

    /// Why the route is not in use; `None`: it is.
    #[must_use]
    pub fn halt(&self, now: Instant) -> Option<Halt> {
        let halts = [Halt::Refused, Halt::MassDeath, Halt::Failing];
        let open = |circuit: &Circuit| circuit.state(now) != CircuitState::Closed;
        self.circuits().zip(halts).find_map(|(circuit, halt)| open(circuit).then_some(halt))
    }

    /// How many attempts may be under way.
    #[must_use]
    pub fn concurrency_limit(&self) -> u32 {
        let limit = self.concurrency.limit();
        if self.share < 1.0 { limit.min(scaled(self.before, self.share).get().max(RAMP_FLOOR)) } else { limit }
    }

    /// Pushes a second that may go now, a ramp considered; infinity where there is no limit.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.pace.rate().map_or(f64::INFINITY, |rate| rate.per_second())
    }

    /// Retries that the budget has left.
    #[must_use]
    pub fn retry_budget(&self) -> u32 {
        self.budget.left()
    }

    /// Until when the provider said to send nothing.
    #[must_use]
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.pace.closed_until(now)
    }
}

/// A share of a limit, at least 1.
fn scaled(limit: u32, share: f64) -> std::num::NonZeroU32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the limit")]
    let part = (f64::from(limit) * share) as u32;
    std::num::NonZeroU32::new(part).unwrap_or(std::num::NonZeroU32::MIN)
}
