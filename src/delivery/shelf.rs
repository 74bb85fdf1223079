//! Retries that come again soon. Bounded: what does not fit is put off durably instead. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::job::Push;

/// Pushes on the shelf of one route, at most: two seconds of retries at 10% of a million a minute.
const CAPACITY: usize = 4_000;

/// Pushes waiting for their moment, the earliest first.
#[derive(Default)]
pub struct Shelf {
    waiting: BinaryHeap<Reverse<Entry>>,
    /// Makes entries of the same moment come out in the order they went in.
    next: u64,
}

struct Entry {
    due: Instant,
    nth: u64,
    push: Push,
}

impl Entry {
    const fn key(&self) -> (Instant, u64) {
        (self.due, self.nth)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Shelf {
    /// Puts a push on the shelf until `due`.
    ///
    /// # Errors
    /// The push, if the shelf is full.
    pub fn put(&mut self, push: Push, due: Instant) -> Result<(), Push> {
        if self.waiting.len() >= CAPACITY {
            return Err(push);
        }
        self.waiting.push(Reverse(Entry { due, nth: self.next, push }));
        self.next += 1;
        Ok(())
    }

    /// The next push whose moment has come.
    pub fn take(&mut self, now: Instant) -> Option<Push> {
        if self.next_at()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(entry)| entry.push)
    }

    /// How many have come due at `now`, as far as the first tells: 0 or at least 1.
    #[must_use]
    pub fn has_due(&self, now: Instant) -> bool {
        self.next_at().is_some_and(|due| due <= now)
    }

    /// When the first is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(entry)| entry.due)
    }

    /// How many are on the shelf.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the shelf is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes off those whose moment has come and of which `leaves` is true.
    pub fn take_if(&mut self, now: Instant, leaves: impl Fn(&Push) -> bool) -> Vec<Push> {
        if !self.has_due(now) {
            return Vec::new();
        }
        let gone = |entry: &Entry| entry.due <= now && leaves(&entry.push);
        let (gone, staying) = self.waiting.drain().partition::<Vec<_>, _>(|Reverse(entry)| gone(entry));
        self.waiting = staying.into();
        gone.into_iter().map(|Reverse(entry)| entry.push).collect()
    }

    /// Takes all off.
    pub fn clear(&mut self) -> impl Iterator<Item = Push> {
        std::mem::take(&mut self.waiting).into_vec().into_iter().map(|Reverse(entry)| entry.push)
    }
}
