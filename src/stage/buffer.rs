//! A bounded buffer in which nothing disappears.
//!
//! It holds at most `capacity` events. What does not fit loses its place and is handed over to the caller, who sheds,
//! parks or dead-letters it: the buffer never drops an event by itself, and so has no counter of dropped ones.
//!
//! Markers stand between events. They take no place, so overflow can't reach them; a marker whose events before it have
//! lost their places simply moves up. Between two events one marker of each kind is enough, so markers are bounded by
//! the events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A sign that travels among the events: whoever sees it has seen all events before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// What was held back (a batch that is not full yet, say) goes on now.
    Flush,
    /// Nothing follows: finish what is begun.
    Drain,
}

/// Who keeps its place when there are more events than places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Those that came first; the newest lose theirs.
    First,
    /// Those that came last; the oldest lose theirs.
    Last,
}

/// Reads how many events wait in a buffer, from anywhere.
#[derive(Debug, Clone, Default)]
pub struct Depth(Arc<AtomicUsize>);

impl Depth {
    /// Events that wait now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A bounded queue of events, with markers among them.
#[derive(Debug)]
pub struct Buffer<T> {
    events: VecDeque<T>,
    /// Each with the number of events before it; ascending.
    markers: VecDeque<(usize, Marker)>,
    capacity: usize,
    keep: Keep,
    depth: Depth,
}

impl<T> Buffer<T> {
    /// An empty buffer of `capacity` events (0: everything loses its place at once).
    #[must_use]
    pub fn new(capacity: usize, keep: Keep) -> Self {
        Self { events: VecDeque::new(), markers: VecDeque::new(), capacity, keep, depth: Depth::default() }
    }

    /// Takes events in, behind what waits. Returns those that lost their place, oldest first.
    #[must_use = "events that lost their place are in the caller's hands"]
    pub fn push(&mut self, mut events: Vec<T>) -> Vec<T> {
        let excess = (self.events.len() + events.len()).saturating_sub(self.capacity);
        let lost = match self.keep {
            _ if excess == 0 => Vec::new(),
            // What was put back may stand above the capacity: then all that is new loses its place, and no more.
            Keep::First => events.split_off(events.len().saturating_sub(excess)),
            Keep::Last => {
                let old = excess.min(self.events.len());
                let mut lost: Vec<T> = self.events.drain(..old).collect();
                self.move_markers_up(old);
                lost.extend(events.drain(..excess - old));
                lost
            }
        };
        self.events.extend(events);
        self.note();
        lost
    }

    /// Puts a marker behind all events that wait.
    pub fn mark(&mut self, marker: Marker) {
        self.markers.push_back((self.events.len(), marker));
        self.tidy_markers();
    }

    /// Puts events back to the front, where they came from. They had their places: the buffer may stand above its
    /// capacity until they are gone, by what was taken out and no more, and nobody loses a place to them.
    pub fn put_back(&mut self, events: Vec<T>) {
        for (before, _) in &mut self.markers {
            *before += events.len();
        }
        for event in events.into_iter().rev() {
            self.events.push_front(event);
        }
        self.note();
    }

    /// Takes up to `count` events out, oldest first, and none from behind a marker.
    pub fn take(&mut self, count: usize) -> Vec<T> {
        let count = count.min(self.ready());
        let taken = self.events.drain(..count).collect();
        self.move_markers_up(count);
        self.note();
        taken
    }

    /// How many events stand before the first marker.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.markers.front().map_or(self.events.len(), |(before, _)| *before)
    }

    /// The events that stand before the first marker, oldest first.
    pub fn iter_ready(&self) -> impl Iterator<Item = &T> {
        self.events.iter().take(self.ready())
    }

    /// Takes the marker out that stands at the front, if one does.
    pub fn take_marker(&mut self) -> Option<Marker> {
        self.markers.pop_front_if(|(before, _)| *before == 0).map(|(_, marker)| marker)
    }

    /// Takes all events out. Markers go.
    #[must_use = "these events are in the caller's hands"]
    pub fn clear(&mut self) -> Vec<T> {
        self.markers.clear();
        let all = std::mem::take(&mut self.events).into();
        self.note();
        all
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event waits (a marker may).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether neither event nor marker waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.events.is_empty() && self.markers.is_empty()
    }

    /// A reader of [`len`](Self::len) for a gauge.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    fn move_markers_up(&mut self, by: usize) {
        if self.markers.is_empty() {
            return;
        }
        for (before, _) in &mut self.markers {
            *before = before.saturating_sub(by);
        }
        self.tidy_markers();
    }

    /// Leaves one marker of each kind in every gap.
    fn tidy_markers(&mut self) {
        let mut kept: VecDeque<(usize, Marker)> = VecDeque::with_capacity(self.markers.len());
        for entry in self.markers.drain(..) {
            let in_the_gap = kept.iter().rev().take_while(|(before, _)| *before == entry.0);
            if !in_the_gap.into_iter().any(|(_, marker)| *marker == entry.1) {
                kept.push_back(entry);
            }
        }
        self.markers = kept;
    }

    fn note(&self) {
        self.depth.0.store(self.events.len(), Ordering::Relaxed);
    }
}
