use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use super::{Backoff, Circuit, CircuitState, Concurrency, Pace, Rate, Signal};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn rate(cells: u32, per: Duration) -> Rate {
    Rate { cells: NonZeroU32::new(cells).expect("tests use rates above zero"), per }
}

/// FLOW.md 3.1: even at sub-second scale.
#[test]
fn flow_3_1_the_pace_is_even() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(rate(1_000, SEC)), 1, start);
    let taken: Vec<u32> = (0..100).map(|tick| pace.take_up_to(1_000, start + tick * MS)).collect();
    assert_eq!(taken, [1; 100]);
}

#[test]
fn flow_3_1_many_cells_at_once_and_the_next_moment_is_told() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(rate(600_000, Duration::from_secs(60))), 1_000, start);
    assert_eq!(pace.take_up_to(5_000, start), 1_000);
    assert_eq!(pace.next_at(start), start + Duration::from_micros(100));
    assert_eq!(pace.take_up_to(5_000, start + 10 * MS), 100);
    pace.refund(40);
    assert_eq!(pace.take_up_to(5_000, start + 10 * MS), 40);
}

/// FLOW.md 3.1: `Retry-After` closes the route, and after it the pace starts with one cell, not a burst.
#[test]
fn flow_3_1_a_closed_pace_opens_without_a_burst() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(rate(100, SEC)), 50, start);
    pace.close_until(start + 30 * SEC);
    pace.close_until(start + 10 * SEC);
    assert_eq!(pace.take_up_to(10, start + 30 * SEC - MS), 0);
    assert_eq!(pace.next_at(start), start + 30 * SEC);
    assert_eq!(pace.take_up_to(10, start + 30 * SEC), 1);
    let mut unlimited = Pace::new(None, 1, start);
    unlimited.close_until(start + SEC);
    assert_eq!((unlimited.available(start), unlimited.available(start + SEC)), (0, u32::MAX));
}

/// FLOW.md 3.2: a limit changes at once, and a change never grants a burst.
#[test]
fn flow_3_2_a_rate_changes_at_once() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(rate(10, SEC)), 10, start);
    assert_eq!(pace.take_up_to(10, start), 10);
    pace.set_rate(Some(rate(1_000, SEC)), 10, start);
    assert_eq!(pace.available(start), 0, "what was taken early stays taken");
    assert!(pace.take_up_to(10, start + 1_005 * MS) >= 10);
    pace.set_rate(Some(rate(1, SEC)), 1, start + 1_005 * MS);
    let later: u32 = (0..10).map(|second| pace.take_up_to(10, start + 1_005 * MS + second * SEC)).sum();
    assert!(later <= 10);
    pace.set_rate(None, 1, start + 20 * SEC);
    assert_eq!(pace.take_up_to(1_000_000, start + 20 * SEC), 1_000_000);
}

proptest! {
    /// Never more than `rate × T + burst` in any window, whatever is asked when.
    #[test]
    fn a_pace_never_passes_more_than_its_rate_and_burst(
        cells in 1_u32..100_000, burst in 1_u32..1_000, asks in prop::collection::vec((0_u64..50_000, 1_u32..2_000), 1..200),
    ) {
        let start = Instant::now();
        let mut pace = Pace::new(Some(rate(cells, SEC)), burst, start);
        let mut now = start;
        let mut taken: Vec<(Instant, u32)> = Vec::new();
        for (micros, wanted) in asks {
            now += Duration::from_micros(micros);
            taken.push((now, pace.take_up_to(wanted, now)));
        }
        for (from, &(begin, _)) in taken.iter().enumerate() {
            let mut sum = 0.0;
            for &(at, count) in &taken[from..] {
                sum += f64::from(count);
                let allowed = (at - begin).as_secs_f64() * f64::from(cells) + f64::from(burst);
                prop_assert!(sum <= allowed + 1e-6, "{sum} in {:?}, allowed {allowed}", at - begin);
            }
        }
    }

    /// Where the quota is fixed, our GCRA grants a cell exactly when governor's does.
    #[test]
    fn a_pace_agrees_with_governor(
        millis in 1_u64..100, burst in 1_u32..50, waits in prop::collection::vec(0_u64..300, 1..200),
    ) {
        let clock = FakeRelativeClock::default();
        let burst = NonZeroU32::new(burst).expect("at least 1");
        let quota = Quota::with_period(Duration::from_millis(millis)).expect("not zero").allow_burst(burst);
        let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
        let start = Instant::now();
        let mut pace = Pace::new(Some(rate(1, Duration::from_millis(millis))), burst.get(), start);
        let mut now = start;
        for wait in waits {
            clock.advance(Duration::from_millis(wait));
            now += Duration::from_millis(wait);
            prop_assert_eq!(pace.take_up_to(1, now), u32::from(oracle.check().is_ok()));
        }
    }

    /// The moment that is named is not early, and not late by more than a rounding.
    #[test]
    fn the_next_moment_is_right(cells in 1_u32..1_000_000, burst in 1_u32..100, taken in 1_u32..200) {
        let start = Instant::now();
        let mut pace = Pace::new(Some(rate(cells, Duration::from_secs(60))), burst, start);
        pace.take_up_to(taken, start);
        let next = pace.next_at(start);
        prop_assert!(pace.available(next) >= 1);
        if next > start {
            prop_assert_eq!(pace.available(next - Duration::from_nanos(2)), 0);
        }
    }

    /// Between min and max, always; and nothing but overload lowers it.
    #[test]
    fn concurrency_stays_within_its_bounds(
        min in 1_u32..100, span in 0_u32..10_000, answers in prop::collection::vec((any::<bool>(), 0_u32..10_000, 1_u64..5_000), 1..500),
    ) {
        let mut limit = Concurrency::new(min, min + span);
        let mut now = Instant::now() + 100 * SEC;
        for (kept, in_flight, millis) in answers {
            now += MS;
            let before = limit.limit();
            let signal = if kept { Signal::Kept } else { Signal::Overload };
            limit.note(signal, in_flight, Duration::from_millis(millis), now);
            prop_assert!((min..=min + span).contains(&limit.limit()));
            let right_way = if kept { limit.limit() >= before } else { limit.limit() <= before };
            prop_assert!(right_way);
        }
    }

    #[test]
    fn a_delay_is_never_below_its_floor_nor_above_floor_and_window(attempts in 0_u8..=255, floor in 0_u32..100, sample in 0.0..1.0) {
        let backoff = Backoff { base: 500 * MS, cap: 60 * SEC };
        let delay = backoff.delay(attempts, floor * SEC, sample);
        prop_assert!(delay >= floor * SEC && delay <= floor * SEC + backoff.cap);
    }
}

/// FLOW.md 3.3: it grows only while it is used, and falls once per wave of overload.
#[test]
fn flow_3_3_concurrency_follows_the_answers() {
    let now = Instant::now() + 100 * SEC;
    let mut limit = Concurrency::new(1, 1_000);
    let start = limit.limit();
    for _ in 0..100 {
        limit.note(Signal::Kept, 1, MS, now);
    }
    assert_eq!(limit.limit(), start, "an idle route's limit says nothing");
    for _ in 0..100 {
        limit.note(Signal::Kept, limit.limit(), MS, now);
    }
    assert_eq!(limit.limit(), start + 100, "slow start: one more for each answer");
    for _ in 0..50 {
        limit.note(Signal::Overload, limit.limit(), 500 * MS, now);
    }
    let fallen = limit.limit();
    assert_eq!(fallen, (start + 100) * 7 / 10, "one wave, one decrease");
    for _ in 0..fallen {
        limit.note(Signal::Kept, limit.limit(), MS, now);
    }
    assert_eq!(limit.limit(), fallen + 1, "then additive: one more for a limit's worth of answers");
    limit.note(Signal::Overload, fallen, 100 * MS, now + SEC);
    assert!(limit.limit() < fallen, "what was sent after the decrease and failed is a new wave");
}

/// FLOW.md 3.8: open while the credential is broken, one probe at a time, closed by the first accepted push.
#[test]
fn flow_3_8_the_circuit_parks_a_route_and_probes_it() {
    let start = Instant::now();
    let mut circuit = Circuit::default();
    assert_eq!((circuit.state(start), circuit.room(start)), (CircuitState::Closed, u32::MAX));
    circuit.broken(start);
    circuit.broken(start + SEC);
    assert_eq!((circuit.state(start + SEC), circuit.room(start + SEC)), (CircuitState::Open, 0));
    let probe = circuit.probe_at().expect("it is open");
    assert_eq!(probe, start + 15 * SEC, "late answers of the same wave do not put the probe off");
    assert_eq!((circuit.state(probe), circuit.room(probe)), (CircuitState::HalfOpen, 1));
    circuit.broken(probe);
    assert_eq!(circuit.probe_at(), Some(probe + 30 * SEC), "a failed probe doubles the pause");
    circuit.mended();
    assert_eq!(circuit.state(probe), CircuitState::Closed);
}
