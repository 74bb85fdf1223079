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

/// Reasons that are told apart, with their kind of outcome; they are the provider's own words, an open set. The rest are
/// counted together.
const REASONS: usize = 128;
/// A reason is cut here, in bytes.
const REASON: usize = 64;

/// How many pushes ended so, for this reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReasonCount {
    /// How they ended.
    pub outcome: OutcomeKind,
    /// Why; `other` for what came when there were too many.
    pub reason: Box<str>,
    /// How many.
    pub count: u64,
}

#[derive(Debug)]
struct Because {
    kind: OutcomeKind,
    reason: Box<str>,
    count: AtomicU64,
}

/// Counts since the process started. Written by the settlement alone, read by anybody.
#[derive(Debug)]
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
    /// The first that is not made yet ends them.
    reasons: [OnceLock<Because>; REASONS],
    /// Reasons beyond them, by kind.
    other: Row,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            blocks: Default::default(),
            unrouted: Row::default(),
            later: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            jobs_settled: AtomicU64::new(0),
            latency: Default::default(),
            reasons: [const { OnceLock::new() }; REASONS],
            other: Row::default(),
        }
    }
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

    /// Counts why a push ended as it did. Called by the settlement alone.
    pub(super) fn because(&self, kind: OutcomeKind, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON)];
        for slot in &self.reasons {
            let because = slot.get_or_init(|| Because { kind, reason: reason.into(), count: AtomicU64::new(0) });
            if because.kind == kind && *because.reason == *reason {
                because.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.other[kind.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Why pushes ended as they did, where there is a reason; the most frequent first.
    #[must_use]
    pub fn reasons(&self) -> Vec<ReasonCount> {
        let known = self.reasons.iter().map_while(OnceLock::get).map(|because| ReasonCount {
            outcome: because.kind,
            reason: because.reason.clone(),
            count: because.count.load(Ordering::Relaxed),
        });
        let other = OutcomeKind::ALL.into_iter().map(|outcome| ReasonCount {
            outcome,
            reason: "other".into(),
            count: self.other[outcome.index()].load(Ordering::Relaxed),
        });
        let mut all: Vec<_> = known.chain(other.filter(|other| other.count > 0)).collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        all
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
    fn reasons_are_told_apart_by_kind_and_bounded() {
        let tally = Tally::default();
        (0..3).for_each(|_| tally.because(OutcomeKind::Rejected, "BadDeviceToken"));
        tally.because(OutcomeKind::Failed, "BadDeviceToken");
        let count = |outcome, reason: &str, count| ReasonCount { outcome, reason: reason.into(), count };
        let counts =
            [count(OutcomeKind::Rejected, "BadDeviceToken", 3), count(OutcomeKind::Failed, "BadDeviceToken", 1)];
        assert_eq!(tally.reasons(), counts);
        (0..1_000).for_each(|nth| tally.because(OutcomeKind::Rejected, &format!("{}é{nth}", "x".repeat(63))));
        assert_eq!(tally.reasons().len(), 3, "cut at a character's end, they are all one");
        (0..1_000).for_each(|nth| tally.because(OutcomeKind::Expired, &format!("r{nth}")));
        let all = tally.reasons();
        assert_eq!(all.len(), REASONS + 1);
        assert_eq!(all[1], count(OutcomeKind::Expired, "other", 1_000 - (REASONS as u64 - 3)));
        assert_eq!(all.iter().map(|reason| reason.count).sum::<u64>(), 2_004, "none is lost");
    }

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
