//! To all.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Dispatcher;
use crate::stage::{Buffer, Depth, Inlet, Keep, Marker, Outlet, link};

type Selector<T> = Box<dyn Fn(&T) -> bool + Send>;

/// Sends each event to every consumer that selects it.
///
/// The slowest consumer sets the pace: an event goes out when every consumer could take it. One that a consumer does not
/// select uses up none of its demand. What a consumer gives back when it leaves, the others have had: it is handed
/// to the caller.
pub struct Broadcast<T> {
    doorbell: Arc<Notify>,
    consumers: Vec<(Outlet<T>, Selector<T>)>,
    buffer: Buffer<T>,
}

impl<T: Clone> Broadcast<T> {
    /// Without consumers; `capacity` events may wait.
    #[must_use]
    pub fn new(capacity: usize, keep: Keep) -> Self {
        Self { doorbell: Arc::default(), consumers: Vec::new(), buffer: Buffer::new(capacity, keep) }
    }

    /// Adds a consumer that gets those events for which `select` says yes, from now on (those that wait included).
    #[must_use]
    pub fn consumer(&mut self, select: impl Fn(&T) -> bool + Send + 'static) -> Inlet<T> {
        let (outlet, inlet) = link(Arc::clone(&self.doorbell));
        self.consumers.push((outlet, Box::new(select)));
        inlet
    }

    /// Reads how many events wait.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.buffer.depth()
    }

    /// Parts with consumers that have left; returns what they gave back.
    fn part(&mut self) -> Vec<T> {
        let mut orphans = Vec::new();
        self.consumers.retain_mut(|(outlet, _)| match outlet.take_back() {
            Some(mut events) => {
                orphans.append(&mut events);
                false
            }
            None => true,
        });
        orphans
    }

    /// What every consumer could take. One that is about to part does not count.
    fn room(&mut self) -> usize {
        let there = self.consumers.iter_mut().filter(|(outlet, _)| !outlet.is_closed());
        there.map(|(outlet, _)| outlet.room()).min().unwrap_or(0)
    }

    fn serve(&mut self) {
        loop {
            if !self.consumers.is_empty()
                && let Some(marker) = self.buffer.take_marker()
            {
                self.consumers.iter_mut().for_each(|(outlet, _)| outlet.mark(marker));
                continue;
            }
            if self.buffer.is_empty() {
                return;
            }
            let count = self.room().min(self.buffer.ready());
            if count == 0 {
                return;
            }
            let events: Vec<&T> = self.buffer.iter_ready().take(count).collect();
            // All selectors first: if one panics, nothing is sent and nothing is gone.
            let chosen = self.consumers.iter().map(|(_, selects)| {
                let chosen = events.iter().filter(|event| selects(event));
                chosen.map(|event| (*event).clone()).collect()
            });
            let chosen: Vec<Vec<T>> = chosen.collect();
            for ((outlet, _), mut events) in self.consumers.iter_mut().zip(chosen) {
                // Whoever left this moment has no need of it.
                let _ = outlet.try_send(&mut events);
            }
            drop(self.buffer.take(count));
        }
    }
}

impl<T: Clone + Send> Dispatcher for Broadcast<T> {
    type Event = T;

    fn wanted(&mut self) -> usize {
        if self.buffer.is_idle() { self.room() } else { 0 }
    }

    fn dispatch(&mut self, events: Vec<T>) -> Vec<T> {
        let mut lost = self.part();
        self.serve();
        // What can go at once takes no place.
        let direct = if self.buffer.is_idle() { self.room().min(events.len()) } else { 0 };
        let mut events = events;
        let rest = events.split_off(direct);
        self.buffer.put_back(events);
        self.serve();
        lost.append(&mut self.buffer.push(rest));
        lost
    }

    fn mark(&mut self, marker: Marker) {
        self.buffer.mark(marker);
        self.serve();
    }

    fn doorbell(&self) -> Arc<Notify> {
        Arc::clone(&self.doorbell)
    }

    fn consumers(&self) -> usize {
        self.consumers.len()
    }

    fn waiting(&self) -> usize {
        self.buffer.len()
    }

    fn close(&mut self, crashed: bool) -> Vec<T> {
        let mut left = self.part();
        super::end(self.consumers.drain(..).map(|(outlet, _)| outlet), crashed);
        left.append(&mut self.buffer.clear());
        left
    }
}
