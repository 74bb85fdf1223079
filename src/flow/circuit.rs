//! Whether a route may be used at all.
//!
//! ```text
//!          broken                     the probe was accepted
//! Closed ─────────▶ Open ──pause over──▶ HalfOpen ─────────▶ Closed
//!                    ▲                      │ one push at a time
//!                    └──────broken again────┘ (the pause doubles)
//! ```
//!
//! It opens when the provider says that the credential or the configuration is broken: more pushes would only burn.
//! They are kept, one push probes after a pause, and the first that is accepted closes the circuit.

use std::time::{Duration, Instant};

/// The first pause before a probe.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The longest pause: a mended credential is in use at most this late.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The circuit's state, as metrics and status show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// In use.
    Closed,
    /// One push at a time is tried.
    HalfOpen,
    /// Not in use.
    Open,
}

/// The circuit of one route.
#[derive(Debug, Clone, Default)]
pub struct Circuit {
    open: Option<Opened>,
}

#[derive(Debug, Clone, Copy)]
struct Opened {
    pause: Duration,
    probe_at: Instant,
}

impl Circuit {
    /// Opens it, or keeps it open for longer if a probe failed. Answers to what was sent before it opened change nothing.
    pub fn broken(&mut self, now: Instant) {
        let pause = match self.open {
            None => FIRST_PAUSE,
            Some(open) if now < open.probe_at => return,
            Some(open) => (open.pause * 2).min(LONGEST_PAUSE),
        };
        self.open = Some(Opened { pause, probe_at: now + pause });
    }

    /// Closes it: a push was accepted, or the credential was replaced.
    pub fn mended(&mut self) {
        self.open = None;
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
