//! Acks, coalesced: a pure machine, time is an argument.
//!
//! An ack costs the client 29 us alone, and 4 us as part of one that says "this and everything before it". So acks are
//! held for at most [`FLUSH_AFTER`] and sent as contiguous runs. A single job that takes long would hold back all that
//! were delivered after it; after [`STRAGGLER_AFTER`] it is passed by, and those behind it are acked one by one.
//!
//! ```text
//!   tag    7  8  9 10 11 12 13         S settled   o open   . gone (acked alone, or returned)
//!          S  S  .  S  o  S  S
//!          └────────┘     └──┴── one by one, once they are 250 ms old
//!       one ack of 10, "multiple"
//! ```
//!
//! Invariants: an ack with `multiple` never covers an open tag, nor one that was never seen (the broker counts tags
//! by one; a hole means that a delivery was lost on the way to us); each settled tag is acked exactly once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an ack waits for others. Far below any consumer's patience, long enough for a run at 20,000 jobs/s.
pub(super) const FLUSH_AFTER: Duration = Duration::from_millis(5);

/// A run this long goes at once; longer ones save nothing more (DESIGN.md: 100 to 500).
const LARGE_RUN: usize = 256;

/// How long settled jobs wait behind one that is not (FLOW.md, section 4).
pub(super) const STRAGGLER_AFTER: Duration = Duration::from_millis(250);

/// How often the jobs behind a straggler are looked through.
const SCAN_EVERY: Duration = Duration::from_millis(25);

/// What the broker shall be told: this tag, and with `multiple` everything before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ack<A> {
    pub(super) acker: A,
    pub(super) multiple: bool,
}

enum Slot<A> {
    Open(A),
    Settled(A, Instant),
    Missing,
    Gone,
}

/// The unsettled deliveries of one channel. `A` is what acks a delivery.
pub(super) struct Ledger<A> {
    /// The tag of the first slot.
    base: u64,
    slots: VecDeque<Slot<A>>,
    open: usize,
    settled: usize,
    next_scan: Option<Instant>,
}

impl<A> Ledger<A> {
    pub(super) fn new() -> Self {
        Self { base: 1, slots: VecDeque::new(), open: 0, settled: 0, next_scan: None }
    }

    /// Deliveries that were not settled yet.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Deliveries that were settled and whose acks were not sent yet.
    pub(super) fn unsent(&self) -> usize {
        self.settled
    }

    /// The tag after the last one seen.
    pub(super) fn next_tag(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// Outstanding deliveries with tags below `tag`.
    pub(super) fn outstanding_before(&self, tag: u64) -> usize {
        let count = usize::try_from(tag.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.slots.len());
        self.slots.range(..count).filter(|slot| matches!(slot, Slot::Open(_) | Slot::Settled(..))).count()
    }

    /// A delivery came. Tags that were left out since the last one stay unknown for good.
    pub(super) fn delivered(&mut self, tag: u64, acker: A) {
        if tag < self.next_tag() {
            debug_assert!(false, "delivery tags only grow");
            return;
        }
        while self.next_tag() < tag {
            self.slots.push_back(Slot::Missing);
        }
        self.slots.push_back(Slot::Open(acker));
        self.open += 1;
    }

    /// A delivery is settled. False for a tag that is not open (settled twice, returned, never delivered).
    pub(super) fn settle(&mut self, tag: u64, now: Instant) -> bool {
        let Some(slot) = self.slot(tag) else { return false };
        match std::mem::replace(slot, Slot::Gone) {
            Slot::Open(acker) => *slot = Slot::Settled(acker, now),
            other => {
                *slot = other;
                return false;
            }
        }
        self.open -= 1;
        self.settled += 1;
        true
    }

    /// Takes an open delivery out, to be returned to the broker.
    pub(super) fn take(&mut self, tag: u64) -> Option<A> {
        let slot = self.slot(tag)?;
        match std::mem::replace(slot, Slot::Gone) {
            Slot::Open(acker) => {
                self.open -= 1;
                self.trim();
                Some(acker)
            }
            other => {
                *slot = other;
                None
            }
        }
    }

    /// The acks that are due; with `all`, every ack there is.
    pub(super) fn flush(&mut self, now: Instant, all: bool) -> Vec<Ack<A>> {
        let mut acks = Vec::new();
        acks.extend(self.run(now, all));
        if self.settled == 0 {
            self.next_scan = None;
        } else if all || self.next_scan.is_none_or(|at| at <= now) {
            self.pass_stragglers(now, all, &mut acks);
            self.next_scan = Some(now + SCAN_EVERY);
        }
        acks
    }

    /// When [`flush`](Self::flush) has something to do next, unless something is settled before.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.slots.front() {
            Some(Slot::Settled(_, at)) => Some(*at + FLUSH_AFTER),
            _ if self.settled > 0 => Some(self.next_scan.unwrap_or(now)),
            _ => None,
        }
    }

    fn slot(&mut self, tag: u64) -> Option<&mut Slot<A>> {
        let index = usize::try_from(tag.checked_sub(self.base)?).ok()?;
        self.slots.get_mut(index)
    }

    /// Cuts the contiguous run off the front, if it is old or long enough.
    fn run(&mut self, now: Instant, all: bool) -> Option<Ack<A>> {
        self.trim();
        let Slot::Settled(_, mut since) = *self.slots.front()? else { return None };
        let mut end = 0;
        let mut count = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            match slot {
                Slot::Settled(_, at) => (end, count, since) = (index + 1, count + 1, since.min(*at)),
                Slot::Gone => {}
                Slot::Open(_) | Slot::Missing => break,
            }
        }
        if !all && count < LARGE_RUN && now < since + FLUSH_AFTER {
            return None;
        }
        self.settled -= count;
        self.base += end as u64;
        let last = self.slots.drain(..end).next_back();
        self.trim();
        match last {
            Some(Slot::Settled(acker, _)) => Some(Ack { acker, multiple: count > 1 }),
            _ => None,
        }
    }

    /// Acks what waits behind an open tag for too long, one by one.
    fn pass_stragglers(&mut self, now: Instant, all: bool, acks: &mut Vec<Ack<A>>) {
        // The run at the front, if it is not due yet, will be.
        let run = self.slots.iter().take_while(|slot| matches!(slot, Slot::Settled(..) | Slot::Gone)).count();
        for slot in self.slots.range_mut(run..) {
            let old = matches!(slot, Slot::Settled(_, at) if all || now >= *at + STRAGGLER_AFTER);
            if old && let Slot::Settled(acker, _) = std::mem::replace(slot, Slot::Gone) {
                self.settled -= 1;
                acks.push(Ack { acker, multiple: false });
            }
        }
    }

    fn trim(&mut self) {
        while matches!(self.slots.front(), Some(Slot::Gone)) {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests;
