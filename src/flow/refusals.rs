//! Whether refusals are our doing, and when they are over.
//!
//! The first refusal lowers the limit at once: most often it is meant so. What follows is looked at before it is acted
//! on, because halving what is sent, and halving it again, helps only where the load is at fault:
//!
//! ```text
//!           a refusal                      a window with refusals
//!   quiet ───────────▶ falling: down ──────────────────────────────▶ down again
//!     ▲                   │   │
//!     │◀── a second ──────┘   └── halved, and the same share is refused: it is not our load.
//!     │    without any:           Back to where it was; that share is usual from now on,
//!     │    back                   and less of it no refusal of ours
//!     └───────────────────────────────┘
//! ```
//!
//! Without the first way back, a limit that many waves took down to nothing would grow again by ones, which takes minutes
//! where there is room for hundreds. Without the second, a provider that refuses a few percent whatever is sent (one of
//! its machines is ill) would have a small part of what it serves well: what AIMD makes of a share *p* is about 1/*p* at
//! once, however many are needed. More than half is overload, whoever makes it; the breaker thinks so too.

use std::time::{Duration, Instant};

/// Pushes that a share is taken from, at least; and at least a limit's worth.
const SAMPLES: u32 = 64;
/// Without a refusal for so long, or for two round trips, a fall is over.
const QUIET: Duration = Duration::from_secs(1);
/// What is left of the share when half as much is sent, if the load makes it: at most this part.
const HELPED: f64 = 0.8;
/// The share from which on it is overload, whoever makes it.
const OVERLOAD: f64 = 0.5;
/// How much above what is usual is noise: this part of it, and so much beside.
const MORE: f64 = 1.25;
const NOISE: f64 = 0.1;
/// How fast the usual share falls, as a weight of a window's.
const FALLS: f64 = 0.25;
/// Where slow start shall end, of where the limit was: what was there may have been a little too much.
const BACK_TENTHS: u32 = 9;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing.
    Stay,
    /// The limit shall not be raised.
    Hold,
    /// It shall be lowered.
    Down,
    /// It may go straight back to this.
    Back(u32),
}

#[derive(Debug, Clone, Copy)]
struct Fall {
    /// The limit before it.
    from: u32,
    refused_at: Instant,
    /// Answers count from here on: a refusal is quicker than what is accepted, so that the first answers after a
    /// decrease would be refusals all.
    counts_from: Instant,
    /// A limit, and the share that was refused under it.
    mark: Option<(u32, f64)>,
}

/// The refusals of one route.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    all: u32,
    refused: u32,
    /// Attempts under way when the counting began.
    under_way: u32,
    fall: Option<Fall>,
    /// The limit before the last fall, until it is regained.
    before: u32,
    /// The share that is refused whatever is sent.
    usual: f64,
    /// What an answer takes that is no refusal.
    took: Duration,
}

impl Refusals {
    /// A refusal, with so many under way, of what was sent under this limit.
    pub(super) fn refused(&mut self, limit: u32, in_flight: u32, now: Instant) -> Word {
        self.count(true, in_flight, now);
        let Some(fall) = &mut self.fall else {
            let is_usual = self.usual > 0.0 && self.share(limit, in_flight).is_none_or(|share| self.is_usual(share));
            return if is_usual { Word::Stay } else { self.fall(limit, now) };
        };
        fall.refused_at = now;
        let mark = fall.mark;
        let Some(share) = self.share(limit, in_flight) else { return Word::Hold };
        if self.is_usual(share) {
            return self.back();
        }
        match mark {
            Some((before, _)) if limit > before / 2 => self.go_on(mark, now),
            Some((_, least)) if share > least * HELPED && share < OVERLOAD => {
                self.usual = share;
                self.back()
            }
            _ => self.go_on(Some((limit, share)), now),
        }
    }

    /// An answer that is no refusal, after this round trip.
    pub(super) fn answered(&mut self, limit: u32, in_flight: u32, round_trip: Duration, now: Instant) -> Word {
        self.took = if self.took.is_zero() { round_trip } else { (self.took * 7 + round_trip) / 8 };
        self.count(false, in_flight, now);
        if self.usual > 0.0 && self.refused == 0 && self.all >= 4 * SAMPLES.max(limit) {
            self.all = 0;
            self.forget(0.0);
        }
        let Some(fall) = self.fall else { return Word::Stay };
        if now.saturating_duration_since(fall.refused_at) < QUIET.max(round_trip * 2) {
            return if fall.mark.is_some() { Word::Hold } else { Word::Stay };
        }
        self.fall = None;
        // One decrease, or two, is how a limit is found; more were a storm, which is over.
        if limit < fall.from / 2 {
            return Word::Back(fall.from * BACK_TENTHS / 10);
        }
        self.before = 0;
        Word::Stay
    }

    /// Forgets what was under way, not what is usual.
    pub(super) fn restart(&mut self) {
        (self.all, self.refused, self.fall) = (0, 0, None);
    }

    /// A fall begins. If it is on the way back from another one, what was before that is believed half as much.
    fn fall(&mut self, limit: u32, now: Instant) -> Word {
        let from = limit.max(self.before / 2);
        self.before = from;
        self.fall = Some(Fall { from, refused_at: now, counts_from: now, mark: None });
        self.go_on(None, now)
    }

    fn go_on(&mut self, mark: Option<(u32, f64)>, now: Instant) -> Word {
        if let Some(fall) = &mut self.fall {
            (fall.mark, fall.counts_from) = (mark, now + self.took);
        }
        Word::Down
    }

    /// It is not our load.
    fn back(&mut self) -> Word {
        self.before = 0;
        self.fall.take().map_or(Word::Stay, |fall| Word::Back(fall.from))
    }

    fn count(&mut self, refused: bool, in_flight: u32, now: Instant) {
        if self.fall.is_none_or(|fall| now >= fall.counts_from) {
            if self.all == 0 {
                self.under_way = in_flight;
            }
            self.all = self.all.saturating_add(1);
            self.refused = self.refused.saturating_add(refused.into());
        }
    }

    /// The share of a full window, which ends with it: of what was sent, not of what was answered, because while the
    /// load grows the quick answers are those of the larger part.
    fn share(&mut self, limit: u32, in_flight: u32) -> Option<f64> {
        let sent = (self.all + in_flight).saturating_sub(self.under_way).max(self.refused);
        if sent < SAMPLES.max(limit) {
            return None;
        }
        let share = f64::from(self.refused) / f64::from(sent);
        (self.all, self.refused) = (0, 0);
        Some(share)
    }

    fn is_usual(&mut self, share: f64) -> bool {
        let is_usual = self.usual > 0.0 && share <= self.usual * MORE + NOISE;
        if is_usual {
            self.forget(share);
        }
        is_usual
    }

    /// Lets what is usual fall with what is.
    fn forget(&mut self, share: f64) {
        self.usual += (share - self.usual).min(0.0) * FALLS;
        if self.usual < 0.01 {
            self.usual = 0.0;
        }
    }
}
