//! Which devices must wait, because their provider said so of them alone.
//!
//! ```text
//!   refused ──▶ not before 5 s ──▶ refused again ──▶ not before 10 s … 10 min
//!                     └─────── accepted: forgotten
//! ```
//!
//! A device that gets too much is that device's matter: its pushes wait, the route goes on. The table is bounded; when
//! it is full a further device is not remembered: the push that was refused waits by its own backoff all the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Devices remembered, at most: about 0.5 MiB a route.
const CAPACITY: usize = 10_000;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a full table is looked through for what is over.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Pause {
    /// A device is remembered for as long again as it had to wait: refused again by then, it waits longer.
    fn forgotten_at(&self) -> Instant {
        self.until + self.length
    }
}

/// The devices of one route that must wait, by a key of the caller's.
#[derive(Debug, Clone)]
pub struct Throttle<K> {
    paused: HashMap<K, Pause>,
    swept_at: Option<Instant>,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self { paused: HashMap::new(), swept_at: None }
    }
}

impl<K: Copy + Eq + Hash> Throttle<K> {
    /// The provider refused a push as one too many for its device, which shall rest for `least`, and twice as long each
    /// time that follows. A refusal of what was sent before the pause began belongs to the same wave.
    pub fn refused(&mut self, device: K, least: Duration, sent_at: Instant, now: Instant) {
        let length = match self.paused.get(&device) {
            Some(pause) if sent_at < pause.until => {
                let until = pause.until.max(now + least);
                self.paused.insert(device, Pause { until, length: pause.length });
                return;
            }
            Some(pause) if now < pause.forgotten_at() => (pause.length * 2).clamp(least, LONGEST.max(least)),
            _ => least,
        };
        if self.paused.len() >= CAPACITY && !self.paused.contains_key(&device) && !self.sweep(now) {
            return;
        }
        self.paused.insert(device, Pause { until: now + length, length });
    }

    /// The provider accepted a push to it that was sent after the pause.
    pub fn accepted(&mut self, device: K, sent_at: Instant) {
        if self.paused.get(&device).is_some_and(|pause| sent_at >= pause.until) {
            self.paused.remove(&device);
        }
    }

    /// Until when it must wait, if that is after `now`.
    #[must_use]
    pub fn until(&self, device: K, now: Instant) -> Option<Instant> {
        self.paused.get(&device).map(|pause| pause.until).filter(|until| *until > now)
    }

    /// Whether no device must wait: then nobody needs to make a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paused.is_empty()
    }

    /// Devices remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paused.len()
    }

    /// Drops what is over, at most once a second; true if there is room then.
    fn sweep(&mut self, now: Instant) -> bool {
        if self.swept_at.is_none_or(|at| now >= at + SWEEP) {
            self.swept_at = Some(now);
            self.paused.retain(|_, pause| pause.forgotten_at() > now);
        }
        self.paused.len() < CAPACITY
    }
}
