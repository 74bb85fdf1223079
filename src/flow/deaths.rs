//! Whether tokens die as they do, or all at once.
//!
//! A wrong topic, project or environment looks to its caller as if every device were gone. Who believes that deletes
//! good tokens, and nobody brings them back. So when the share of the dead among a route's answers jumps, the verdicts
//! are held instead of told, and the route is parked and probed until a push is accepted.
//!
//! ```text
//!                more than the limit of at least 200 answers            a probe is accepted
//!   Told ──────────────────────────────────────────────────▶ Held ───────────────────────────▶ Told, warily:
//!                                                             │ ▲ 15 s, 30 s … 5 min            20 answers
//!                                                             └─┘ a probe finds a dead token     are enough
//! ```
//!
//! The limit is the configured share, or twice the usual one where that is more. What is usual is learned over half an
//! hour. Not the whole minute has to be bad: the last five to ten seconds of it are enough, if they have their 200
//! answers; a single bad list among much good traffic is not.
//!
//! Some seconds are too long to go on telling: at a million a minute they are tens of thousands of good tokens. So while
//! clearly more than the limit of the last 128 answers are dead tokens, those are held already, and the route goes on. It may be
//! the beginning of the end, and then the route is parked; or a bad list, whose pushes come again among others, spread
//! over seconds, and are told then.

use std::time::{Duration, Instant};

use super::{Circuit, CircuitState, Window};

/// Over what time answers are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Answers below which a share says nothing.
const LEAST: u32 = 200;
/// The same, for the first [`LEAST`] answers after the verdicts were held.
const LEAST_WARY: u32 = 20;
/// How often the usual share is brought up to date.
const LESSON: Duration = Duration::from_secs(5);
/// How much of a lesson is learned: half an hour of them outweighs all before.
const LEARNED: f64 = 1.0 / 360.0;
/// The usual share can't excuse more than this.
const MOST_EXCUSED: f64 = 0.95;
/// The first pause before a probe.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What an answer says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It was accepted.
    Alive,
    /// It is dead, or lives elsewhere (another topic, another project).
    Dead,
    /// The push was at fault: nothing.
    Unknown,
}

/// What is done with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ruling {
    /// It is told.
    Told,
    /// It is not: the push is kept and tried again.
    Held,
}

/// The guard of one route.
#[derive(Debug, Clone)]
pub struct MassDeath {
    limit: f64,
    window: Window,
    usual: f64,
    taught_at: Option<Instant>,
    circuit: Circuit,
    /// Of the last 128 answers, the latest in the lowest bit, which found a dead token.
    recent: u128,
    /// Answers for which fewer of them are enough.
    wary: u32,
}

impl MassDeath {
    /// A guard that bears a share of up to `limit` (0 to 1; 1: everything).
    #[must_use]
    pub fn new(limit: f64) -> Self {
        Self {
            limit,
            window: Window::new(WINDOW),
            usual: 0.0,
            taught_at: None,
            circuit: Circuit::new(FIRST_PAUSE, LONGEST_PAUSE),
            recent: 0,
            wary: 0,
        }
    }

    /// Bears another share from now on.
    pub fn set_limit(&mut self, limit: f64) {
        self.limit = limit;
    }

    /// What was counted says nothing of what is sent from now on: by another credential, to another topic or project.
    /// Verdicts that were held are not any more; fewer answers are enough to hold them again. What is usual stays known.
    pub fn begin_anew(&mut self) {
        self.window.clear();
        self.recent = 0;
        self.circuit = Circuit::new(FIRST_PAUSE, LONGEST_PAUSE);
        self.wary = LEAST;
    }

    /// Notes an answer to what was sent at `sent_at`, and rules on it. `sample` is uniform in `0.0..1.0`.
    pub fn note(&mut self, life: Life, sent_at: Instant, sample: f64, now: Instant) -> Ruling {
        if self.circuit.state(now) != CircuitState::Closed {
            return self.probed(life, sent_at, sample, now);
        }
        self.window.note(life == Life::Dead, now);
        self.recent = self.recent << 1 | u128::from(life == Life::Dead);
        let least = if self.wary > 0 { LEAST_WARY } else { LEAST };
        self.wary = self.wary.saturating_sub(1);
        if life == Life::Dead && self.is_too_much(least, now) {
            self.circuit.broken(sample, now);
            return Ruling::Held;
        }
        self.learn(now);
        if life == Life::Dead && self.is_suspicious() { Ruling::Held } else { Ruling::Told }
    }

    fn probed(&mut self, life: Life, sent_at: Instant, sample: f64, now: Instant) -> Ruling {
        match life {
            Life::Dead => {
                if self.circuit.heeds(sent_at) {
                    self.circuit.broken(sample, now);
                }
                Ruling::Held
            }
            Life::Alive if self.circuit.heeds(sent_at) => {
                self.circuit.mended();
                self.window.clear();
                self.recent = 0;
                self.wary = LEAST;
                Ruling::Told
            }
            Life::Alive | Life::Unknown => Ruling::Told,
        }
    }

    /// Whether the latest answers alone look like too much, and not by chance: by more than three standard deviations.
    fn is_suspicious(&self) -> bool {
        let (limit, of) = (self.limit(), f64::from(u128::BITS));
        f64::from(self.recent.count_ones()) > limit * of + 3.0 * (limit * (1.0 - limit) * of).max(0.0).sqrt()
    }

    fn limit(&self) -> f64 {
        self.limit.max((2.0 * self.usual).min(MOST_EXCUSED))
    }

    fn is_too_much(&mut self, least: u32, now: Instant) -> bool {
        let limit = self.limit();
        (1..12).any(|older| {
            let counts = self.window.newest(older, now);
            counts.all >= least && counts.share() > limit
        })
    }

    fn learn(&mut self, now: Instant) {
        if self.taught_at.is_some_and(|at| now < at + LESSON) {
            return;
        }
        self.taught_at = Some(now);
        let counts = self.window.whole(now);
        if counts.all >= LEAST {
            self.usual += (counts.share() - self.usual) * LEARNED;
        }
    }

    /// Its circuit, to be asked.
    #[must_use]
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }
}
