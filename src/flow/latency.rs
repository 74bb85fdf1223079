//! Whether round trips have grown, and whether that is our doing.
//!
//! Round trips are averaged over short windows and compared with a baseline: what they take when we are not the load.
//!
//! ```text
//!  round trip ▲                     ╭──● more than twice the baseline (and 20 ms): risen
//!             │                ╭────╯
//!             │ ───────────────┼─────────── baseline: falls quickly, and rises only by windows
//!             │                               in which we used less than half of our limit
//!             └──────────────────────────▶ load
//! ```
//!
//! The pitfall of such controllers is the baseline that follows the load: both climb together for ever (Uber's Cinnamon,
//! Vegas). So a loaded window never raises it. The other one is a baseline that is out of date: the path has become longer
//! and nothing we do makes it short again. So what a decrease brought is looked at: halve the load, and the round trips of
//! a queue of our making shrink. If they did not, they are not ours, and are the new baseline.

use std::time::{Duration, Instant};

/// Lower than this latency alone brings no limit: below, a few slow answers are all.
pub(super) const FLOOR: u32 = 4;
/// Round trips of one window, at least.
const SAMPLES: u32 = 16;
/// A window's length, at least; else it is a baseline's round trip.
const SHORTEST: Duration = Duration::from_millis(50);
/// How many times the baseline is too much.
const TOLERANCE: f64 = 2.0;
/// How much above the baseline is noise anyway, in seconds.
const SLACK: f64 = 0.020;
/// How fast the baseline falls and rises, as a weight of the new window.
const FALLS: f64 = 0.25;
const RISES: f64 = 1.0 / 32.0;
/// The most that one window takes away.
const STEEPEST: f64 = 0.5;
/// The least, so that a decrease is one.
const FLATTEST: f64 = 0.9;

/// What the last window says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trend {
    /// Nothing new.
    Flat,
    /// They have grown by our load: this part of it shall be left.
    Risen {
        /// 0.5 to 0.9.
        gradient: f64,
    },
    /// They had grown, and not by our load: what was taken away for it may come back.
    Elsewhere {
        /// The limit before the first decrease.
        limit: u32,
    },
}

/// A rise that we answered with decreases.
#[derive(Debug, Clone, Copy)]
struct Rise {
    first_limit: u32,
    limit: u32,
    seconds: f64,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
    seconds: f64,
    /// The shortest.
    least: f64,
    loaded: bool,
}

/// The round trips of one route's accepted pushes.
#[derive(Debug, Clone, Default)]
pub struct Latency {
    /// In seconds.
    baseline: Option<f64>,
    window: Option<Window>,
    rise: Option<Rise>,
}

impl Latency {
    /// Notes a round trip, under a limit that `binds` or does not.
    pub(super) fn note(&mut self, round_trip: Duration, limit: u32, binds: bool, now: Instant) -> Trend {
        let fresh = Window { since: now, count: 0, seconds: 0.0, least: f64::INFINITY, loaded: true };
        let window = self.window.get_or_insert(fresh);
        window.count += 1;
        window.seconds += round_trip.as_secs_f64();
        window.least = window.least.min(round_trip.as_secs_f64());
        window.loaded &= binds;
        let length = self.baseline.map_or(SHORTEST, |base| SHORTEST.max(Duration::from_secs_f64(base)));
        if window.count < SAMPLES || now.saturating_duration_since(window.since) < length {
            return Trend::Flat;
        }
        let (mean, loaded, least) = (window.seconds / f64::from(window.count), window.loaded, window.least);
        self.window = None;
        // The first window has a queue of our making in it already, where the provider serves few at once: what its quickest
        // answer took is nearer to the truth. Should it be a lucky one, the first decrease shows it (see above).
        self.baseline.get_or_insert(least);
        self.compare(mean, limit, loaded)
    }

    /// Forgets the window under way, not the baseline.
    pub(super) fn restart(&mut self) {
        self.window = None;
        self.rise = None;
    }

    fn compare(&mut self, mean: f64, limit: u32, loaded: bool) -> Trend {
        let base = self.baseline.unwrap_or(mean);
        let risen = mean > base * TOLERANCE && mean > base + SLACK;
        if !risen {
            self.rise = None;
        }
        if mean <= base || !loaded {
            let weight = if mean <= base { FALLS } else { RISES };
            self.baseline = Some(base + (mean - base) * weight);
            return Trend::Flat;
        }
        if !risen {
            return Trend::Flat;
        }
        let rise = self.rise.get_or_insert(Rise { first_limit: limit, limit, seconds: mean });
        // While the limit still grew, round trips told of what was under way before: the worst is what the limit made.
        rise.seconds = rise.seconds.max(mean);
        let rise = *rise;
        if limit <= (rise.limit / 2).max(FLOOR) {
            if mean > rise.seconds * 0.8 {
                self.baseline = Some(mean);
                self.rise = None;
                return Trend::Elsewhere { limit: rise.first_limit };
            }
            self.rise = Some(Rise { limit, seconds: mean, ..rise });
        }
        Trend::Risen { gradient: (TOLERANCE * base / mean).clamp(STEEPEST, FLATTEST) }
    }
}
