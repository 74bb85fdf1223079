//! The books of this run: what became of every push, by route.

use std::sync::atomic::{AtomicU64, Ordering};

use super::OutcomeKind;
use crate::job::{Lane, RouteId};
use crate::telemetry::Latencies;

/// Counts since the process started. Written by the settlement alone, read by anybody.
#[derive(Debug)]
pub struct Tally {
    routes: Vec<[AtomicU64; 7]>,
    /// Pushes that had no route.
    unrouted: [AtomicU64; 7],
    later: AtomicU64,
    returned: AtomicU64,
    jobs_settled: AtomicU64,
    /// From acceptance to `delivered`, by lane.
    latency: [Latencies; 3],
}

impl Tally {
    /// Books for so many routes.
    #[must_use]
    pub fn new(routes: usize) -> Self {
        Self {
            routes: (0..routes).map(|_| Default::default()).collect(),
            unrouted: Default::default(),
            later: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            jobs_settled: AtomicU64::new(0),
            latency: Default::default(),
        }
    }

    pub(super) fn ended(&self, route: Option<RouteId>, kind: OutcomeKind) {
        let counts = route.map_or(&self.unrouted, |id| &self.routes[id.0 as usize]);
        counts[kind.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn later(&self) {
        self.later.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn settled(&self, jobs: usize) {
        self.jobs_settled.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    /// From acceptance to `delivered`.
    #[must_use]
    pub fn latency(&self, lane: Lane) -> &Latencies {
        &self.latency[lane.index()]
    }

    /// How many pushes of a route ended so.
    #[must_use]
    pub fn route(&self, route: RouteId, kind: OutcomeKind) -> u64 {
        self.routes[route.0 as usize][kind.index()].load(Ordering::Relaxed)
    }

    /// How many pushes ended so, in all.
    #[must_use]
    pub fn total(&self, kind: OutcomeKind) -> u64 {
        let counts = self.routes.iter().chain([&self.unrouted]);
        counts.map(|counts| counts[kind.index()].load(Ordering::Relaxed)).sum()
    }

    /// How many pushes have an outcome.
    #[must_use]
    pub fn ended_in_all(&self) -> u64 {
        OutcomeKind::ALL.into_iter().map(|kind| self.total(kind)).sum()
    }

    /// How many times a push was put off durably.
    #[must_use]
    pub fn put_off(&self) -> u64 {
        self.later.load(Ordering::Relaxed)
    }

    /// How many pushes were returned unsent.
    #[must_use]
    pub fn given_back(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    /// How many jobs were settled at their source.
    #[must_use]
    pub fn jobs_settled(&self) -> u64 {
        self.jobs_settled.load(Ordering::Relaxed)
    }
}
