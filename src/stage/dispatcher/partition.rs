//! By partition.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Dispatcher;
use crate::stage::{Buffer, Depth, Inlet, Keep, Marker, Outlet, link};

/// Sends each event to the consumer of its partition.
///
/// Events with one key are in one partition, and leave it in the order in which they came, also across a change of its
/// consumer. Each partition has its own buffer: one whose consumer does not ask holds back only itself, and one without a
/// consumer keeps its events, until its buffer is full. (The source can't be asked for the events of one partition only.
/// So those of a full one go where the caller puts them, instead of stopping all others.)
pub struct Partition<T, K> {
    doorbell: Arc<Notify>,
    key: K,
    partitions: Vec<Slot<T>>,
    /// Events whose key has not been read. Left standing if reading it panics.
    incoming: VecDeque<T>,
}

struct Slot<T> {
    /// Its consumer, and those who wait to take its place.
    outlets: VecDeque<Outlet<T>>,
    buffer: Buffer<T>,
    fresh: Vec<T>,
}

impl<T> Slot<T> {
    fn serve(&mut self) {
        while let Some(outlet) = self.outlets.front_mut() {
            if let Some(events) = outlet.take_back() {
                self.buffer.put_back(events);
                self.outlets.pop_front();
            } else if let Some(marker) = self.buffer.take_marker() {
                outlet.mark(marker);
            } else {
                let room = outlet.room();
                if room == 0 || self.buffer.is_empty() {
                    return;
                }
                let mut events = self.buffer.take(room);
                let _ = outlet.try_send(&mut events);
                if !events.is_empty() {
                    self.buffer.put_back(events);
                    return;
                }
            }
        }
    }

    fn room(&mut self) -> usize {
        self.outlets.front_mut().map_or(0, Outlet::room)
    }

    /// Sends what waits and what is fresh, as far as it is wanted; keeps the rest; returns what lost its place.
    fn dispatch(&mut self) -> Vec<T> {
        self.serve();
        if self.fresh.is_empty() {
            return Vec::new();
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        if self.buffer.is_idle()
            && self.room() > 0
            && let Some(outlet) = self.outlets.front_mut()
        {
            let _ = outlet.try_send(&mut fresh);
        }
        if fresh.is_empty() { fresh } else { self.buffer.push(fresh) }
    }
}

impl<T, K: Fn(&T) -> usize> Partition<T, K> {
    /// So many partitions (at least 1), in each of which `capacity` events may wait. `key` names an event's partition;
    /// its answer is taken modulo their number, so it may be a hash.
    #[must_use]
    pub fn new(partitions: usize, capacity: usize, keep: Keep, key: K) -> Self {
        let slot = || Slot { outlets: VecDeque::new(), buffer: Buffer::new(capacity, keep), fresh: Vec::new() };
        let partitions = (0..partitions.max(1)).map(|_| slot()).collect();
        Self { doorbell: Arc::default(), key, partitions, incoming: VecDeque::new() }
    }

    /// Gives a partition its consumer. If it has one, the new one stands by until that has left.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn consumer(&mut self, partition: usize) -> Inlet<T> {
        let (outlet, inlet) = link(Arc::clone(&self.doorbell));
        self.partitions[partition].outlets.push_back(outlet);
        inlet
    }

    /// Reads how many events wait in a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn depth(&self, partition: usize) -> Depth {
        self.partitions[partition].buffer.depth()
    }
}

impl<T: Send, K: Fn(&T) -> usize + Send> Dispatcher for Partition<T, K> {
    type Event = T;

    fn wanted(&mut self) -> usize {
        let unmet = |slot: &mut Slot<T>| if slot.buffer.is_idle() { slot.room() } else { 0 };
        self.partitions.iter_mut().map(unmet).fold(0, usize::saturating_add)
    }

    fn dispatch(&mut self, events: Vec<T>) -> Vec<T> {
        self.incoming.extend(events);
        while let Some(event) = self.incoming.front() {
            let partition = (self.key)(event) % self.partitions.len();
            self.partitions[partition].fresh.extend(self.incoming.pop_front());
        }
        let mut lost = Vec::new();
        for slot in &mut self.partitions {
            lost.append(&mut slot.dispatch());
        }
        lost
    }

    fn mark(&mut self, marker: Marker) {
        for slot in &mut self.partitions {
            slot.buffer.mark(marker);
            slot.serve();
        }
    }

    fn doorbell(&self) -> Arc<Notify> {
        Arc::clone(&self.doorbell)
    }

    fn consumers(&self) -> usize {
        self.partitions.iter().map(|slot| slot.outlets.len()).sum()
    }

    fn waiting(&self) -> usize {
        self.partitions.iter().map(|slot| slot.buffer.len()).sum()
    }

    fn close(&mut self, crashed: bool) -> Vec<T> {
        let mut left = Vec::new();
        for slot in &mut self.partitions {
            slot.serve();
            super::end(slot.outlets.drain(..), crashed);
            left.append(&mut slot.buffer.clear());
            left.append(&mut slot.fresh);
        }
        left.extend(self.incoming.drain(..));
        left
    }
}
