//! Whether a route may be used at all.
//!
//! ```text
//!          broken                     the probe did well
//! Closed ─────────▶ Open ──pause over──▶ HalfOpen ─────────▶ Closed
//!                    ▲                      │ one push at a time
//!                    └──────broken again────┘ (the pause doubles)
//! ```
//!
//! Three things open one: a broken credential or configuration, a provider that fails ([`Breaker`](super::Breaker)),
//! and the death of too many tokens at once ([`MassDeath`](super::MassDeath)). More pushes would only burn then; they
//! are kept, one probes after a pause, and the first that does well closes the circuit.

use std::time::{Duration, Instant};

/// The first pause before a probe of a broken credential.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The longest: a mended credential is in use at most this late.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// What is added to a pause at most, as a part of it: a fleet must not probe as one.
const SPREAD: f64 = 0.1;

/// The circuit's state, as metrics and status show it. The worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CircuitState {
    /// In use.
    Closed,
    /// One push at a time is tried.
    HalfOpen,
    /// Not in use.
    Open,
}

/// The circuit of one route.
#[derive(Debug, Clone)]
pub struct Circuit {
    first: Duration,
    longest: Duration,
    open: Option<Opened>,
}

#[derive(Debug, Clone, Copy)]
struct Opened {
    pause: Duration,
    probe_at: Instant,
}

impl Default for Circuit {
    /// That of a credential: mended by a person, so the pauses are long.
    fn default() -> Self {
        Self::new(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

impl Circuit {
    /// A closed circuit whose pauses double from `first` up to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, open: None }
    }

    /// Opens it, or keeps it open for longer if a probe failed. What comes in before the pause is over belongs to the
    /// wave that opened it, and changes nothing. `sample`, uniform in `0.0..1.0`, makes the pause up to a tenth longer.
    pub fn broken(&mut self, sample: f64, now: Instant) {
        let pause = match self.open {
            None => self.first,
            Some(open) if now < open.probe_at => return,
            Some(open) => (open.pause * 2).min(self.longest),
        };
        let spread = pause.mul_f64(SPREAD * sample.clamp(0.0, 1.0));
        self.open = Some(Opened { pause, probe_at: now + pause + spread });
    }

    /// Closes it.
    pub fn mended(&mut self) {
        self.open = None;
    }

    /// Whether an answer to what was sent at `sent_at` says something about it: while it is open only a probe's does.
    #[must_use]
    pub fn heeds(&self, sent_at: Instant) -> bool {
        self.open.is_none_or(|open| sent_at >= open.probe_at)
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> CircuitState {
        match self.open {
            None => CircuitState::Closed,
            Some(open) if now < open.probe_at => CircuitState::Open,
            Some(_) => CircuitState::HalfOpen,
        }
    }

    /// How many attempts may be under way at `now`.
    #[must_use]
    pub fn room(&self, now: Instant) -> u32 {
        match self.state(now) {
            CircuitState::Closed => u32::MAX,
            CircuitState::Open => 0,
            CircuitState::HalfOpen => 1,
        }
    }

    /// When a probe may go, while it is open.
    #[must_use]
    pub fn probe_at(&self) -> Option<Instant> {
        self.open.map(|open| open.probe_at)
    }
}
