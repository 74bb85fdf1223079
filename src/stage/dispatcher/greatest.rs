//! To the greatest demand.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Dispatcher;
use crate::stage::{Buffer, Depth, Inlet, Keep, Marker, Outlet, link};

/// Sends each event to the consumer with the greatest demand.
///
/// Equal demands get equal shares: they differ by at most 1, and whose turn the odd event is goes round. What a
/// consumer gives back when it leaves goes to the others, before anything newer.
pub struct Greatest<T> {
    doorbell: Arc<Notify>,
    outlets: Vec<Outlet<T>>,
    buffer: Buffer<T>,
    turn: usize,
}

impl<T> Greatest<T> {
    /// Without consumers; `capacity` events may wait.
    #[must_use]
    pub fn new(capacity: usize, keep: Keep) -> Self {
        let buffer = Buffer::new(capacity, keep);
        Self { doorbell: Arc::default(), outlets: Vec::new(), buffer, turn: 0 }
    }

    /// Adds a consumer.
    #[must_use]
    pub fn consumer(&mut self) -> Inlet<T> {
        let (outlet, inlet) = link(Arc::clone(&self.doorbell));
        self.outlets.push(outlet);
        inlet
    }

    /// Reads how many events wait.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.buffer.depth()
    }

    /// Parts with consumers that have left, and puts back what they gave back.
    fn part(&mut self) {
        let Self { outlets, buffer, .. } = self;
        outlets.retain_mut(|outlet| match outlet.take_back() {
            Some(events) => {
                buffer.put_back(events);
                false
            }
            None => true,
        });
    }

    /// Sends what waits, as far as it is wanted.
    fn serve(&mut self) {
        while !self.outlets.is_empty() {
            if let Some(marker) = self.buffer.take_marker() {
                self.outlets.iter_mut().for_each(|outlet| outlet.mark(marker));
                continue;
            }
            if self.buffer.is_empty() {
                return;
            }
            let wanted = self.room();
            let events = self.buffer.take(wanted);
            if events.is_empty() {
                return;
            }
            let rest = self.share(events);
            self.buffer.put_back(rest);
        }
    }

    fn room(&mut self) -> usize {
        self.outlets.iter_mut().map(Outlet::room).fold(0, usize::saturating_add)
    }

    /// Sends events, as far as they are wanted; returns the rest.
    fn share(&mut self, mut events: Vec<T>) -> Vec<T> {
        if let [only] = &mut self.outlets[..] {
            let room = only.room();
            let _ = if room == 0 { Ok(0) } else { only.try_send(&mut events) };
            return events;
        }
        let demands: Vec<usize> = self.outlets.iter_mut().map(Outlet::room).collect();
        let shares = shares(&demands, events.len(), &mut self.turn);
        let mut rest = events.split_off(shares.iter().sum());
        // From the back, so that no event is moved twice.
        for (outlet, share) in self.outlets.iter_mut().zip(shares).rev() {
            let mut chunk = events.split_off(events.len() - share);
            if !chunk.is_empty() && outlet.try_send(&mut chunk).is_err() {
                // It left this moment.
                chunk.append(&mut rest);
                rest = chunk;
            }
        }
        rest
    }
}

impl<T: Send> Dispatcher for Greatest<T> {
    type Event = T;

    fn wanted(&mut self) -> usize {
        if self.buffer.is_idle() { self.room() } else { 0 }
    }

    fn dispatch(&mut self, events: Vec<T>) -> Vec<T> {
        self.part();
        self.serve();
        let rest = if self.buffer.is_idle() && !events.is_empty() { self.share(events) } else { events };
        if rest.is_empty() { rest } else { self.buffer.push(rest) }
    }

    fn mark(&mut self, marker: Marker) {
        self.buffer.mark(marker);
        self.serve();
    }

    fn doorbell(&self) -> Arc<Notify> {
        Arc::clone(&self.doorbell)
    }

    fn consumers(&self) -> usize {
        self.outlets.len()
    }

    fn waiting(&self) -> usize {
        self.buffer.len()
    }

    fn close(&mut self, crashed: bool) -> Vec<T> {
        self.part();
        super::end(self.outlets.drain(..), crashed);
        self.buffer.clear()
    }
}

/// How many of `events` go to each of these demands: always to the greatest of what is left, ties by turn.
pub(crate) fn shares(demands: &[usize], events: usize, turn: &mut usize) -> Vec<usize> {
    let total = demands.iter().fold(0_usize, |sum, demand| sum.saturating_add(*demand));
    if total <= events {
        return demands.to_vec();
    }
    // The lowest level to which the events can bring all demands that are above it.
    let above = |level: usize| demands.iter().fold(0_usize, |sum, d| sum.saturating_add(d.saturating_sub(level)));
    let (mut low, mut high) = (0, demands.iter().copied().max().unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        if above(middle) <= events { high = middle } else { low = middle + 1 }
    }
    let level = low;
    let mut shares: Vec<usize> = demands.iter().map(|demand| demand.saturating_sub(level)).collect();
    let mut odd = events - shares.iter().sum::<usize>();
    let first = *turn;
    for nth in (first..first + demands.len()).map(|nth| nth % demands.len()) {
        if odd == 0 {
            break;
        }
        if demands[nth] >= level && level > 0 {
            shares[nth] += 1;
            odd -= 1;
            *turn = nth + 1;
        }
    }
    shares
}
