use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{Gate, RouteSettings, Shelf};
use crate::flow::{CircuitState, Rate};
use crate::job::fixture::draft;
use crate::verdict::{Fate, RouteEffect, Sent, Verdict};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn settings(rate: Option<u32>) -> RouteSettings {
    let rate = rate.map(|cells| Rate { cells: NonZeroU32::new(cells).expect("above zero"), per: SEC });
    RouteSettings {
        rate,
        burst: 10,
        min_concurrency: 1,
        max_concurrency: 100,
        connections: 4,
        request_timeout: 20 * SEC,
        max_attempts: 5,
        default_ttl: 3600 * SEC,
    }
}

fn gate(rate: Option<u32>, now: Instant) -> Gate {
    let mut gate = Gate::new(&settings(rate), now);
    gate.credential(true);
    gate
}

fn accepted() -> Verdict {
    Verdict::of(Fate::Accepted { provider_id: None })
}

#[test]
fn without_a_credential_nothing_goes_and_nothing_is_asked_for() {
    let now = Instant::now();
    let mut gate = Gate::new(&settings(None), now);
    assert_eq!((gate.room(0, now), gate.wanted(0, 1_000, now), gate.next_at(now)), (0, 0, None));
    gate.credential(true);
    assert_eq!(gate.room(0, now), 64);
}

#[test]
fn room_is_the_least_of_concurrency_and_pace() {
    let now = Instant::now();
    let mut paced = gate(Some(1_000), now);
    assert_eq!((gate(None, now).room(60, now), paced.room(0, now), paced.room(60, now)), (4, 10, 4));
    paced.take(10, now);
    assert_eq!((paced.room(0, now), paced.next_at(now)), (0, Some(now + MS)));
    assert_eq!(paced.room(0, now + 2 * MS), 2);
}

/// A slow route must not hold pushes that a more important one could overtake in its lane.
#[test]
fn what_is_asked_ahead_is_bounded_by_rate_streams_and_concurrency() {
    let now = Instant::now();
    let mut slow = gate(Some(10), now);
    slow.take(10, now);
    assert_eq!(slow.wanted(0, 1_000, now), 1);
    let mut fast = gate(Some(100_000), now);
    fast.take(10, now);
    assert_eq!(fast.wanted(0, 1_000, now), 16, "a quarter of the concurrency limit of 64");
    assert_eq!(gate(None, now).wanted(0, 3, now), 3 + 16, "streams are the bottleneck");
}

/// FLOW.md 3.1 and promise 7: `Retry-After` closes the route.
#[test]
fn retry_after_closes_the_gate_and_withdraws_demand() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let throttled = Verdict::of(Fate::Retry { after: 30 * SEC, sent: Sent::Refused })
        .on_route(RouteEffect::Slow { pause: Some(30 * SEC) });
    gate.note(&throttled, 10, MS, 1.0, now);
    assert_eq!((gate.room(0, now + 30 * SEC), gate.wanted(0, 100, now + 30 * SEC)), (0, 0));
    let opens = gate.next_at(now).expect("it opens again");
    assert_eq!(opens, now + 31_500 * MS, "never early, and a little spread");
    assert!(gate.room(0, opens) > 0);
    assert!(gate.concurrency_limit() < 64);
}

/// FLOW.md 3.8.
#[test]
fn a_broken_credential_closes_it_until_a_probe_is_accepted_or_the_credential_is_replaced() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let broken = Verdict::of(Fate::Keep).on_route(RouteEffect::Park);
    gate.note(&broken, 1, MS, 0.0, now);
    assert_eq!((gate.circuit(now), gate.room(0, now), gate.wanted(0, 9, now)), (CircuitState::Open, 0, 0));
    let probe = gate.next_at(now).expect("a probe will go");
    assert_eq!((gate.room(0, probe), gate.room(1, probe), gate.wanted(0, 9, probe)), (1, 0, 1));
    gate.note(&accepted(), 1, MS, 0.0, probe);
    assert_eq!(gate.circuit(probe), CircuitState::Closed);
    gate.park(probe);
    gate.credential(false);
    gate.credential(true);
    assert_eq!(gate.circuit(probe), CircuitState::Closed);
}

#[test]
fn what_surely_did_not_leave_gives_its_cell_back() {
    let now = Instant::now();
    let mut gate = gate(Some(10), now);
    gate.take(10, now);
    gate.note(&Verdict::of(Fate::Retry { after: Duration::ZERO, sent: Sent::No }), 10, MS, 0.0, now);
    assert_eq!(gate.room(0, now), 1);
}

#[test]
fn the_shelf_gives_pushes_back_in_time_and_is_bounded() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let job = draft(1, 3).seal();
    for (index, delay) in [(0, 20), (1, 10), (2, 20)] {
        assert!(shelf.put(job.push(index), now + delay * MS).is_ok());
    }
    assert!(shelf.take(now).is_none());
    assert_eq!(shelf.next_at(), Some(now + 10 * MS));
    let order: Vec<u16> = std::iter::from_fn(|| shelf.take(now + 20 * MS)).map(|push| push.index).collect();
    assert_eq!(order, [1, 0, 2]);
    let full = (0..10_000).filter(|_| shelf.put(job.push(0), now).is_err()).count();
    assert_eq!(full, 6_000);
    assert_eq!(shelf.clear().count(), 4_000);
    assert!(shelf.is_empty());
}
