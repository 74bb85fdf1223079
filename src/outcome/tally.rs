//! The books of this run: what became of every push, by route.
//!
//! Routes come while others are counted for: a row is made when it is first looked at, and stays where it is. That takes
//! no lock: rows stand in blocks of 1, 2, 4, … of them, each made once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::OutcomeKind;
use crate::job::{Lane, RouteId};
use crate::telemetry::Latencies;

type Row = [AtomicU64; 7];

/// Counts since the process started. Written by the settlement alone, read by anybody.
#[derive(Debug, Default)]
pub struct Tally {
    /// Block `n` has the rows of the routes from `2^n - 1` on, as many as `2^n`.
    blocks: [OnceLock<Box<[Row]>>; 32],
    /// Pushes that had no route.
    unrouted: Row,
    later: AtomicU64,
    returned: AtomicU64,
    jobs_settled: AtomicU64,
    /// From acceptance to `delivered`, by lane.
    latency: [Latencies; 3],
}

impl Tally {
    /// The counts of a route.
    fn row(&self, route: RouteId) -> &Row {
        let nth = route.0.saturating_add(1);
        let block = nth.ilog2();
        let first = 1_u32 << block;
        let rows = self.blocks[block as usize].get_or_init(|| (0..first).map(|_| Row::default()).collect());
        &rows[(nth - first) as usize]
    }

    pub(super) fn ended(&self, route: Option<RouteId>, kind: OutcomeKind) {
        let counts = route.map_or(&self.unrouted, |id| self.row(id));
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
        self.row(route)[kind.index()].load(Ordering::Relaxed)
    }

    /// How many pushes ended so, in all.
    #[must_use]
    pub fn total(&self, kind: OutcomeKind) -> u64 {
        let rows = self.blocks.iter().filter_map(OnceLock::get).flat_map(|rows| rows.iter());
        let counts = rows.chain([&self.unrouted]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_row_of_its_own_from_the_first_look_on() {
        let tally = Tally::default();
        for route in 0..100 {
            (0..=route).for_each(|_| tally.ended(Some(RouteId(route)), OutcomeKind::Delivered));
        }
        tally.ended(None, OutcomeKind::Rejected);
        let counted = |route| tally.route(RouteId(route), OutcomeKind::Delivered);
        assert!((0..100).all(|route| counted(route) == u64::from(route) + 1));
        assert_eq!((counted(100), counted(127), counted(1_000)), (0, 0, 0));
        assert_eq!((tally.total(OutcomeKind::Delivered), tally.ended_in_all()), (5_050, 5_051));
    }
}
