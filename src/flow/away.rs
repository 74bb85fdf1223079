//! Who of one target's pushes is away, kept durably to come again, and so who must not go before them (FLOW.md, 2.7).
//!
//! ```text
//!   goes away: a ────────────────▶ durable ──────────────▶ comes again: may pass
//!   comes meanwhile: b ─▶ sent after it ─▶ durable ──▶ comes again: may pass, a has come
//!   older than a comes ─▶ may pass
//! ```
//!
//! What is durable comes again by time and by its source's leave, not in an order that could be relied on; and a push
//! that was accepted later must not be sent first. So it is sent away as well, and one that comes again too early is sent
//! away again, no attempt counted. Nobody waits for ever for one that does not come (it was deleted, its source is gone):
//! [`PATIENCE`] after it was due it is forgotten.
//!
//! It is bounded. When it is full, those that go away are not remembered, and may be overtaken. A restart forgets all:
//! what is away then may be overtaken too.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Pushes that are remembered, at most: about 2 MiB.
const CAPACITY: usize = 50_000;
/// For how long after it was due somebody is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one stays away that would have been too early, at least: what is worth a durable retry.
const LEAST: Duration = Duration::from_secs(2);
/// What is added for each that is away already: they leave one after the other.
const EACH: Duration = Duration::from_millis(10);
/// The most.
const MOST: Duration = Duration::from_secs(600);
/// How often a full memory is looked through for what was never seen again.
const SWEEP: Duration = Duration::from_secs(1);

/// A push: what it is called, and when it was accepted, in milliseconds of any clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traveller {
    /// The same whenever it comes again.
    pub id: u64,
    /// Of two, the smaller was accepted first; equal: unknown.
    pub accepted: u64,
}

#[derive(Debug, Clone)]
struct Absent {
    /// The first that may come back is the first.
    travellers: VecDeque<Traveller>,
    /// When the last of them is due.
    due: Instant,
}

/// Who is away, by target.
#[derive(Debug, Clone, Default)]
pub struct Away {
    absent: HashMap<u64, Absent>,
    remembered: usize,
    swept_at: Option<Instant>,
}

impl Away {
    /// A push to `target` that was here goes away until `due`. Whoever is away already is younger. False: that can't be
    /// remembered.
    pub fn goes(&mut self, target: u64, traveller: Traveller, due: Instant, now: Instant) -> bool {
        if self.remembered >= CAPACITY && !self.sweep(now) {
            return false;
        }
        let absent = self.absent.entry(target).or_insert_with(|| Absent { travellers: VecDeque::new(), due });
        if absent.travellers.iter().all(|known| known.id != traveller.id) {
            absent.travellers.push_front(traveller);
            self.remembered += 1;
        }
        absent.due = absent.due.max(due);
        true
    }

    /// A push to `target` comes. `None`: nobody before it is away. Else it must go away as well, for so long, and that is
    /// remembered.
    pub fn comes(&mut self, target: u64, traveller: Traveller, now: Instant) -> Option<Duration> {
        let absent = self.absent.get_mut(&target)?;
        if now >= absent.due + PATIENCE {
            self.remembered -= absent.travellers.len();
            self.absent.remove(&target);
            return None;
        }
        let first = *absent.travellers.front()?;
        if first.id == traveller.id {
            absent.travellers.pop_front();
            self.remembered -= 1;
            if absent.travellers.is_empty() {
                self.absent.remove(&target);
            }
            return None;
        }
        let is_known = absent.travellers.iter().any(|known| known.id == traveller.id);
        if !is_known && traveller.accepted < first.accepted {
            return None;
        }
        let crowd = EACH.saturating_mul(u32::try_from(absent.travellers.len()).unwrap_or(u32::MAX));
        let wait = absent.due.saturating_duration_since(now).max(LEAST + crowd).min(MOST.max(LEAST));
        if !is_known && self.remembered < CAPACITY {
            absent.travellers.push_back(traveller);
            self.remembered += 1;
        }
        absent.due = absent.due.max(now + wait);
        Some(wait)
    }

    /// Whether nobody is away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.absent.is_empty()
    }

    /// Pushes remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.remembered
    }

    /// Drops who was never seen again, at most once a second; true if there is room then.
    fn sweep(&mut self, now: Instant) -> bool {
        if self.swept_at.is_none_or(|at| now >= at + SWEEP) {
            self.swept_at = Some(now);
            self.absent.retain(|_, absent| now < absent.due + PATIENCE);
            self.remembered = self.absent.values().map(|absent| absent.travellers.len()).sum();
        }
        self.remembered < CAPACITY
    }
}
