//! Whether a provider is worth asking: a circuit that its failures open.
//!
//! ```text
//!             20 failures in a row, or half of 10 s' answers (100 at least), or 3 connections refused in a row
//!   Closed ────────────────────────────────────────────────────────────────────────────────────▶ Open
//!      ▲                                                                                  1 s, │ 2 s, 4 s, 5 s, 5 s …
//!      └──────────────────────── one push is answered ◀──────────────────────────────── HalfOpen
//! ```
//!
//! A failure is an answer that says "not now" for the provider's own reasons (5xx), no answer in time, a connection
//! lost or not made. A rejected push and a dead token are none: somebody is there and does its work. Nor is a pause that
//! the provider asks for: the pace keeps that.

use std::time::{Duration, Instant};

use super::{Circuit, CircuitState, Window};

/// Failures in a row that open it: more than a hiccup, few enough that a quiet route notices.
const IN_A_ROW: u32 = 20;
/// The share of failures that opens it.
const RATIO: f64 = 0.5;
/// Over what time the share is taken.
const WINDOW: Duration = Duration::from_secs(10);
/// Answers in that time below which a share says nothing.
const LEAST: u32 = 100;
/// Connections that could not be made, in a row and with none in use, that open it.
const UNREACHABLE: u32 = 3;
/// The first pause; a restart of the provider's takes about so long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest: an outage's end is noticed about so late, at most. With the ramp's 3.4 s behind it a route is as it was
/// within 10 s; and one push in 5 s is nothing to a provider, however long that lasts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What an attempt says of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does its work.
    Up,
    /// It does not.
    Down,
    /// Nothing.
    Silent,
}

/// The breaker of one route.
#[derive(Debug, Clone)]
pub struct Breaker {
    circuit: Circuit,
    in_a_row: u32,
    window: Window,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { circuit: Circuit::new(FIRST_PAUSE, LONGEST_PAUSE), in_a_row: 0, window: Window::new(WINDOW) }
    }
}

impl Breaker {
    /// Notes what an attempt sent at `sent_at` says. `sample` is uniform in `0.0..1.0`.
    pub fn note(&mut self, health: Health, sent_at: Instant, sample: f64, now: Instant) {
        if health == Health::Silent || !self.circuit.heeds(sent_at) {
            return;
        }
        if self.circuit.state(now) != CircuitState::Closed {
            match health {
                Health::Up => self.close(),
                _ => self.circuit.broken(sample, now),
            }
            return;
        }
        let failed = health == Health::Down;
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        self.window.note(failed, now);
        let share = self.window.whole(now);
        if self.in_a_row >= IN_A_ROW || (failed && share.all >= LEAST && share.share() >= RATIO) {
            self.circuit.broken(sample, now);
        }
    }

    /// Notes that a connection could not be made, the `in_a_row`-th time, while there is no other.
    pub fn unreachable(&mut self, in_a_row: u32, sample: f64, now: Instant) {
        if in_a_row >= UNREACHABLE || self.circuit.state(now) == CircuitState::HalfOpen {
            self.circuit.broken(sample, now);
        }
    }

    fn close(&mut self) {
        self.circuit.mended();
        self.in_a_row = 0;
        self.window.clear();
    }

    /// Its circuit, to be asked.
    #[must_use]
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }
}
