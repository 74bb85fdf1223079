//! The machines of flow control, one by one, on made-up time: each against its promise, its oracle or its model.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

mod properties;
mod refusals;

use super::{
    Away, Backoff, Breaker, Circuit, CircuitState, Concurrency, Health, Life, Load, MassDeath, Pace, Ramp, Rate,
    RetryBudget, Rise, Ruling, Signal, Throttle, Traveller, Window,
};

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

/// FLOW.md 3.2: neither way does a change let more go than could go before, nor is an old rate's slowness waited out.
#[test]
fn flow_3_2_a_changed_rate_starts_with_what_was_left() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(rate(1, Duration::from_secs(3_600))), 1, start);
    assert_eq!(pace.take_up_to(10, start), 1);
    pace.set_rate(Some(rate(1_000, SEC)), 100, start);
    assert_eq!((pace.available(start), pace.next_at(start)), (0, start + MS), "no burst, and no hour to wait");
    assert_eq!(pace.take_up_to(500, start + 10 * MS), 10);
    pace.set_rate(Some(rate(1_000, SEC)), 5_000, start + 15 * MS);
    assert_eq!(pace.available(start + 15 * MS), 5, "a larger burst fills at the rate");
    pace.set_rate(Some(rate(10, SEC)), 2, start + 15 * MS);
    assert_eq!(pace.available(start + 15 * MS), 2, "a smaller one holds at once");
    pace.set_rate(None, 1, start + SEC);
    pace.set_rate(Some(rate(10, SEC)), 50, start + SEC);
    assert_eq!(pace.available(start + SEC), 1, "what had no rate begins with one");
}

/// FLOW.md 3.2: what the provider said holds beside what the operator says.
#[test]
fn flow_3_2_a_changed_rate_does_not_open_what_is_closed() {
    let start = Instant::now();
    let until = start + 10 * SEC;
    for (old, new) in [(Some(rate(1_000, SEC)), Some(rate(2, SEC))), (None, Some(rate(1_000, SEC)))] {
        let mut pace = Pace::new(old, 50, start);
        pace.close_until(until);
        pace.set_rate(new, 50, start + SEC);
        assert_eq!((pace.available(until - MS), pace.next_at(start + SEC)), (0, until));
        assert_eq!(pace.available(until), 1, "one, not a burst");
    }
}

proptest! {
    /// However often the rate changes, never more than the bucket held at first and what the rates passed meanwhile.
    #[test]
    fn flow_3_2_changes_of_the_rate_never_add_cells(
        steps in prop::collection::vec((1_u32..100_000, 1_u32..5_000, 0_u64..50_000, 0_u32..2_000), 1..100),
    ) {
        let start = Instant::now();
        let mut pace = Pace::new(Some(rate(100, SEC)), 10, start);
        let (mut now, mut allowed, mut taken) = (start, 10.0, 0.0);
        for (cells, burst, micros, wanted) in steps {
            pace.set_rate(Some(rate(cells, SEC)), burst, now);
            let waited = Duration::from_micros(micros);
            now += waited;
            allowed += f64::from(cells) * waited.as_secs_f64();
            taken += f64::from(pace.take_up_to(wanted, now));
            prop_assert!(taken <= allowed + 1e-6, "{taken} of {allowed}");
        }
    }

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

    #[test]
    fn flow_3_6_a_delay_is_never_below_its_floor_nor_above_floor_and_window(attempts in 0_u8..=255, floor in 0_u32..100, sample in 0.0..1.0) {
        let backoff = Backoff { base: 500 * MS, cap: 60 * SEC };
        let delay = backoff.delay(attempts, floor * SEC, sample);
        prop_assert!(delay >= floor * SEC && delay <= floor * SEC + backoff.cap);
    }
}

fn load(in_flight: u32) -> Load {
    Load { in_flight, held_back: false }
}

/// FLOW.md 3.2: bounds hold at once, and a limit that was cut is soon where it was when it may be.
#[test]
fn flow_3_2_bounds_of_the_concurrency_change_at_once() {
    let start = Instant::now();
    let mut limit = Concurrency::new(1, 8_000);
    limit.set_bounds(1, 10);
    assert_eq!(limit.limit(), 10);
    limit.set_bounds(200, 300);
    assert_eq!(limit.limit(), 200);
    limit.set_bounds(1, 8_000);
    limit.note(Signal::Overload, load(200), MS, start + SEC);
    assert_eq!(limit.limit(), 140);
    limit.set_bounds(1, 20);
    limit.set_bounds(1, 8_000);
    for nth in 0..120 {
        limit.note(Signal::Answered, load(limit.limit()), MS, start + 2 * SEC + nth * MS);
    }
    assert_eq!(limit.limit(), 140, "slow start led back");
    limit.set_bounds(0, 0);
    assert_eq!(limit.limit(), 1, "never nothing");
}

/// FLOW.md 3.3: it grows only while it is used, and falls once per wave of overload.
#[test]
fn flow_3_3_concurrency_follows_the_answers() {
    let now = Instant::now() + 100 * SEC;
    let mut limit = Concurrency::new(1, 1_000);
    let start = limit.limit();
    for _ in 0..100 {
        limit.note(Signal::Answered, load(1), MS, now);
        limit.note(Signal::Answered, Load { in_flight: 1_000, held_back: true }, MS, now);
    }
    assert_eq!(limit.limit(), start, "what does not bind is not moved");
    for _ in 0..100 {
        limit.note(Signal::Answered, load(limit.limit()), MS, now);
    }
    assert_eq!(limit.limit(), start + 100, "slow start: one more for each answer");
    for _ in 0..50 {
        limit.note(Signal::Overload, load(limit.limit()), 500 * MS, now);
    }
    let fallen = limit.limit();
    assert_eq!(fallen, (start + 100) * 7 / 10, "one wave, one decrease");
    for _ in 0..1_000 {
        limit.note(Signal::Answered, load(limit.limit()), 10 * MS, now);
    }
    assert_eq!(limit.limit(), fallen, "what was sent before the decrease says nothing about what is left");
    for _ in 0..fallen {
        limit.note(Signal::Answered, load(limit.limit()), MS, now + 10 * MS);
    }
    assert_eq!(limit.limit(), fallen + 2, "then additive: the limit's logarithm for a limit's worth of answers");
    limit.note(Signal::Overload, load(fallen), 100 * MS, now + SEC);
    assert!(limit.limit() < fallen, "what was sent after the decrease and failed is a new wave");
}

#[test]
fn flow_3_3_a_route_that_comes_back_begins_small_and_soon_is_where_it_was() {
    let now = Instant::now() + 100 * SEC;
    let mut limit = Concurrency::new(1, 1_000);
    limit.note(Signal::Overload, load(64), MS, now);
    let before = limit.limit();
    limit.restart(now + SEC);
    assert_eq!(limit.limit(), 16);
    for _ in 0..100 {
        limit.note(Signal::Answered, load(100), 2 * SEC, now + 2 * SEC);
    }
    assert_eq!(limit.limit(), 16, "late answers to what was sent before don't open it");
    for _ in 0..before - 16 {
        limit.note(Signal::Answered, load(limit.limit()), MS, now + 3 * SEC);
    }
    assert_eq!(limit.limit(), before);
    limit.note(Signal::Answered, load(limit.limit()), MS, now + 3 * SEC);
    assert_eq!(limit.limit(), before, "from there on it goes slowly");
}

/// A provider that serves so many a second and needs so long for each: what it makes of a limit, in steps of 1 ms.
fn served(limit: &mut Concurrency, start: Instant, span: Duration, base: f64, per_second: f64) -> (f64, Instant) {
    let (mut now, mut took, mut credit) = (start, base, 0.0);
    while now < start + span {
        now += MS;
        let in_flight = f64::from(limit.limit());
        took = (in_flight / per_second).max(base);
        credit += in_flight / took / 1_000.0;
        while credit >= 1.0 {
            credit -= 1.0;
            limit.note(Signal::Accepted, load(limit.limit()), Duration::from_secs_f64(took), now);
        }
    }
    (took, now)
}

/// FLOW.md 3.3: rising latency lowers it; what does not shrink with the load is not taken for load.
#[test]
fn flow_3_3_rising_latency_is_overload_and_a_longer_path_is_not() {
    let start = Instant::now() + 100 * SEC;
    let mut limit = Concurrency::new(1, 8_000);
    let (took, now) = served(&mut limit, start, 60 * SEC, 0.05, 4_000.0);
    assert!(took < 0.15, "the queue that we made is {took} s for 0.05 s of work, {} at once", limit.limit());
    assert!(limit.limit() >= 200, "and all of the capacity is used: {}", limit.limit());
    let (took, now) = served(&mut limit, now, 60 * SEC, 0.5, 4_000.0);
    assert!(took < 1.5 && limit.limit() > 500, "ten times as far: {took} s, {} at once", limit.limit());
    let (took, _) = served(&mut limit, now, 60 * SEC, 0.05, 4_000.0);
    assert!(took < 0.5, "near again: {took} s, {} at once", limit.limit());
}

/// FLOW.md 3.8: open while the credential is broken, one probe at a time, closed by the first accepted push.
#[test]
fn flow_3_8_the_circuit_parks_a_route_and_probes_it() {
    let start = Instant::now();
    let mut circuit = Circuit::default();
    assert_eq!((circuit.state(start), circuit.room(start)), (CircuitState::Closed, u32::MAX));
    circuit.broken(0.0, start);
    circuit.broken(0.0, start + SEC);
    assert_eq!((circuit.state(start + SEC), circuit.room(start + SEC)), (CircuitState::Open, 0));
    let probe = circuit.probe_at().expect("it is open");
    assert_eq!(probe, start + 15 * SEC, "late answers of the same wave do not put the probe off");
    assert!(!circuit.heeds(start) && circuit.heeds(probe));
    assert_eq!((circuit.state(probe), circuit.room(probe)), (CircuitState::HalfOpen, 1));
    circuit.broken(1.0, probe);
    assert_eq!(circuit.probe_at(), Some(probe + 33 * SEC), "a failed probe doubles the pause; the spread is a tenth");
    circuit.mended();
    assert_eq!(circuit.state(probe), CircuitState::Closed);
}

#[test]
fn flow_3_5_failures_in_a_row_open_the_breaker_and_one_answer_to_a_probe_closes_it() {
    let start = Instant::now() + 100 * SEC;
    let mut breaker = Breaker::default();
    for _ in 0..19 {
        breaker.note(Health::Down, start, 0.0, start);
    }
    breaker.note(Health::Up, start, 0.0, start);
    breaker.note(Health::Down, start, 0.0, start);
    assert_eq!(breaker.circuit().state(start), CircuitState::Closed, "19 in a row are not 20");
    let mut now = start;
    for _ in 0..19 {
        breaker.note(Health::Down, start, 0.0, now);
    }
    for pause in [1, 2, 4, 5, 5] {
        assert_eq!(breaker.circuit().room(now), 0);
        let probe = breaker.circuit().probe_at().expect("it is open");
        assert_eq!(probe, now + pause * SEC);
        breaker.note(Health::Up, start, 0.0, now);
        now = probe;
        breaker.note(Health::Up, start, 0.0, now);
        breaker.note(Health::Down, start, 0.0, now);
        breaker.note(Health::Silent, now, 0.0, now);
        assert_eq!(breaker.circuit().room(now), 1, "late answers and those that say nothing don't count");
        breaker.note(Health::Down, now, 0.0, now);
    }
    now = breaker.circuit().probe_at().expect("it is open");
    breaker.note(Health::Up, now, 0.0, now);
    assert_eq!(breaker.circuit().state(now), CircuitState::Closed);
}

#[test]
fn flow_3_5_a_share_of_failures_opens_the_breaker_if_there_are_enough_answers() {
    let start = Instant::now();
    let mut breaker = Breaker::default();
    for nth in 0..49 {
        breaker.note(Health::Up, start, 0.0, start + nth * MS);
        breaker.note(Health::Down, start, 0.0, start + nth * MS);
    }
    let later = start + 30 * SEC;
    breaker.note(Health::Down, later, 0.0, later);
    breaker.note(Health::Down, later, 0.0, later);
    assert_eq!(breaker.circuit().state(later), CircuitState::Closed, "what is long ago is forgotten");
    for nth in 0..50 {
        breaker.note(Health::Up, later, 0.0, later + nth * MS);
        breaker.note(Health::Down, later, 0.0, later + nth * MS);
    }
    assert_eq!(breaker.circuit().state(later + 50 * MS), CircuitState::Open);
}

#[test]
fn flow_3_5_connections_refused_open_the_breaker_though_nothing_was_sent() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    breaker.unreachable(1, 0.0, now);
    breaker.unreachable(2, 0.0, now);
    assert_eq!(breaker.circuit().state(now), CircuitState::Closed);
    breaker.unreachable(3, 0.0, now);
    assert_eq!(breaker.circuit().probe_at(), Some(now + SEC));
    breaker.unreachable(4, 0.0, now + SEC);
    assert_eq!(breaker.circuit().probe_at(), Some(now + 3 * SEC));
}

#[test]
fn flow_3_1_a_ramp_doubles_each_second_from_a_tenth() {
    let start = Instant::now();
    let mut ramp = Ramp::default();
    assert_eq!(ramp.share(start), 1.0);
    ramp.begin(start + SEC);
    let shares = [0, 1_000, 2_000, 3_000, 4_000, 4_400].map(|millis| ramp.share(start + millis * MS));
    assert_eq!(shares, [0.1, 0.1, 0.2, 0.4, 0.8, 1.0]);
    assert!(ramp.is_rising(start + 4 * SEC) && !ramp.is_rising(start + 5 * SEC));
}

#[test]
fn flow_3_3_a_rise_leads_from_its_floor_to_the_rate_evenly_and_leaves_small_rates_alone() {
    let start = Instant::now();
    let mut rise = Rise::default();
    assert_eq!(rise.share(10_000.0, start), 1.0, "not begun");
    rise.begin(start, 60 * SEC);
    let rates = [0, 10, 30, 59, 60, 90].map(|secs| rise.share(10_000.0, start + secs * SEC) * 10_000.0);
    for (rate, wanted) in rates.into_iter().zip([1_000.0, 2_500.0, 5_500.0, 9_850.0, 10_000.0, 10_000.0]) {
        assert!((rate - wanted).abs() < 0.001, "{rates:?}");
    }
    assert_eq!(rise.share(1_000.0, start), 1.0);
    assert_eq!(rise.share(2_000.0, start), 0.5, "never less than the floor");
    // What is said of 10,000/s: so many in the first minute, a backlog of 100,000 in so long.
    let sent = |secs: u32| (0..secs).map(|sec| rise.share(10_000.0, start + sec * SEC) * 10_000.0).sum::<f64>();
    assert!((sent(60) - 325_500.0).abs() < 1.0 && sent(30) < 100_000.0 && sent(31) > 100_000.0);
}

#[test]
fn flow_3_1_a_throttled_device_waits_alone_and_longer_each_time() {
    let start = Instant::now();
    let mut devices: Throttle<u32> = Throttle::default();
    devices.refused(7, 5 * SEC, start, start);
    devices.refused(7, 5 * SEC, start, start + SEC);
    assert_eq!(devices.until(7, start), Some(start + 6 * SEC), "the same wave does not double it");
    assert_eq!((devices.until(8, start), devices.until(7, start + 6 * SEC)), (None, None));
    let mut now = start + 6 * SEC;
    for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
        devices.refused(7, 5 * SEC, now, now);
        assert_eq!(devices.until(7, now), Some(now + pause * SEC));
        now += pause * SEC;
    }
    devices.accepted(7, now - MS);
    assert_eq!(devices.len(), 1, "what was sent in the pause does not end it");
    devices.accepted(7, now);
    assert!(devices.is_empty());
}

#[test]
fn flow_3_1_throttled_devices_are_bounded_in_number() {
    let start = Instant::now();
    let mut devices: Throttle<u32> = Throttle::default();
    for device in 0..20_000 {
        devices.refused(device, 5 * SEC, start, start);
    }
    assert_eq!(devices.len(), 10_000);
    let later = start + 11 * SEC;
    devices.refused(30_000, 5 * SEC, later, later);
    assert_eq!((devices.len(), devices.until(30_000, later)), (1, Some(later + 5 * SEC)), "what is over makes room");
}

#[test]
fn flow_3_6_what_the_budget_refuses_waits_as_long_as_the_drought() {
    let start = Instant::now();
    let mut budget = RetryBudget::new(start);
    let spend = |budget: &mut RetryBudget, now| {
        (0..).take_while(|_| budget.check(0.0, now).map(|()| budget.spend()).is_ok()).count()
    };
    assert_eq!(spend(&mut budget, start), 200);
    assert_eq!(budget.check(0.0, start), Err(2 * SEC));
    assert_eq!(budget.check(1.0, start), Err(3 * SEC), "spread");
    assert_eq!(spend(&mut budget, start + SEC), 5, "the floor");
    for _ in 0..100 {
        budget.sent();
    }
    assert_eq!(spend(&mut budget, start + SEC), 10, "a tenth of the sends");
    assert_eq!(spend(&mut budget, start + 9 * SEC), 40);
    assert_eq!(budget.check(0.0, start + 9 * SEC), Err(9 * SEC));
    budget.refund();
    assert_eq!(budget.left(), 1);
    assert_eq!(spend(&mut budget, start + 30 * SEC), 1 + 105, "saved up: the drought is over");
    assert_eq!(budget.check(0.0, start + 30 * SEC), Err(2 * SEC));
    assert_eq!(budget.check(0.0, start + 31 * SEC), Ok(()));
}

fn dead(guard: &mut MassDeath, life: Life, count: u32, now: Instant) -> u32 {
    (0..count).map(|_| u32::from(guard.note(life, now, 0.0, now) == Ruling::Held)).sum()
}

#[test]
fn flow_3_9_a_mass_death_is_held_until_a_probe_is_accepted() {
    let start = Instant::now();
    let mut guard = MassDeath::new(0.5);
    assert_eq!(dead(&mut guard, Life::Alive, 99, start), 0);
    assert_eq!(dead(&mut guard, Life::Dead, 80, start), 0);
    assert_eq!(dead(&mut guard, Life::Dead, 20, start), 20, "of 128 answers 81 and more: held, to be on the safe side");
    assert_eq!(guard.circuit().state(start), CircuitState::Closed, "199 answers are too few to park");
    assert_eq!(dead(&mut guard, Life::Dead, 50, start), 50);
    assert_eq!(guard.circuit().room(start), 0);
    assert_eq!(dead(&mut guard, Life::Alive, 1, start), 0, "told, but it was sent before");
    let probe = guard.circuit().probe_at().expect("parked");
    assert_eq!(probe, start + 15 * SEC);
    assert_eq!(guard.note(Life::Unknown, probe, 0.0, probe), Ruling::Told);
    assert_eq!(guard.note(Life::Dead, probe, 0.0, probe), Ruling::Held);
    let probe = guard.circuit().probe_at().expect("still parked");
    assert_eq!(probe, start + 45 * SEC, "the pause doubles");
    assert_eq!(guard.note(Life::Alive, probe, 0.0, probe), Ruling::Told);
    assert_eq!(guard.circuit().state(probe), CircuitState::Closed);
    assert_eq!(dead(&mut guard, Life::Dead, 30, probe), 11, "warily: 19 are believed, not 199");
}

#[test]
fn flow_3_9_one_bad_list_among_good_traffic_and_a_usual_share_are_no_mass_death() {
    let start = Instant::now();
    let mut guard = MassDeath::new(0.5);
    for second in 0..60 {
        assert_eq!(dead(&mut guard, Life::Alive, 1_000, start + second * SEC), 0);
    }
    // A list of 3,000 in a minute of 60,000.
    let held = dead(&mut guard, Life::Dead, 3_000, start + 60 * SEC);
    assert_eq!(dead(&mut guard, Life::Alive, 2_000, start + 61 * SEC), 0);
    assert_eq!(
        (held, guard.circuit().state(start + 60 * SEC)),
        (2_920, CircuitState::Closed),
        "told later, nobody is parked"
    );
    let mut again = 0;
    for tenth in 0..80 {
        // They come again over eight seconds, among others.
        let now = start + 62 * SEC + tenth * 100 * MS;
        for _ in 0..36 {
            again += dead(&mut guard, Life::Alive, 3, now) + dead(&mut guard, Life::Dead, 1, now);
        }
    }
    assert_eq!(again, 0, "and are told");
    let mut guard = MassDeath::new(0.2);
    let mut held = 0;
    for second in 0..7_200 {
        let now = start + second * SEC;
        held += dead(&mut guard, Life::Alive, 85, now) + dead(&mut guard, Life::Dead, 15, now);
    }
    assert_eq!(held, 0);
    for second in 7_200..7_260 {
        let now = start + second * SEC;
        held += dead(&mut guard, Life::Alive, 75, now) + dead(&mut guard, Life::Dead, 25, now);
    }
    assert_eq!(held, 0, "a quarter is more than the limit, and not twice the usual");
    let mut never = MassDeath::new(1.0);
    assert_eq!(dead(&mut never, Life::Dead, 10_000, start), 0);
}

#[test]
fn a_window_counts_what_is_in_it() {
    let start = Instant::now();
    let mut window = Window::new(12 * SEC);
    window.note(true, start);
    window.note(false, start + 5 * SEC);
    assert_eq!((window.whole(start + 11 * SEC).all, window.whole(start + 11 * SEC).share()), (2, 0.5));
    assert_eq!(window.newest(6, start + 11 * SEC).all, 1);
    assert_eq!(window.whole(start + 12 * SEC).all, 1);
    assert_eq!(window.whole(start + 100 * SEC).all, 0);
}

/// FLOW.md 2.7: the memory of who is away is bounded, and makes room by itself.
#[test]
fn flow_2_7_who_is_away_is_remembered_within_bounds() {
    let start = Instant::now();
    let mut away = Away::default();
    let traveller = |id| Traveller { id, accepted: id };
    let known = (0..60_000).filter(|id| away.goes(*id, traveller(*id), start + 10 * SEC, start)).count();
    assert_eq!((known, away.len()), (50_000, 50_000));
    assert!(away.comes(7, traveller(8), start).is_some_and(|wait| wait >= 10 * SEC), "but whoever must wait waits");
    assert_eq!(away.comes(7, traveller(7), start), None);
    assert_eq!(away.comes(59_999, traveller(60_000), start), None, "who is not known can be overtaken");
    // Whoever did not come back by then is forgotten.
    let later = start + 90 * SEC;
    for id in [70_001, 70_002] {
        assert!(away.goes(id, traveller(id), later + 10 * SEC, later));
    }
    assert_eq!(away.len(), 2, "it was full when the second went, and made room");
}

proptest! {
    /// Between min and max, always; overload never raises it, a refusal never lowers it.
    #[test]
    fn flow_3_3_concurrency_stays_within_its_bounds(
        min in 1_u32..100, span in 0_u32..10_000,
        answers in prop::collection::vec((0_u8..4, 0_u32..10_000, any::<bool>(), 1_u64..5_000), 1..500),
    ) {
        let mut limit = Concurrency::new(min, min + span);
        let mut now = Instant::now() + 100 * SEC;
        for (kind, in_flight, held_back, millis) in answers {
            now += 10 * MS;
            let before = limit.limit();
            let load = Load { in_flight, held_back };
            let right_way = match kind {
                0 => { limit.note(Signal::Accepted, load, Duration::from_millis(millis), now); true }
                1 => { limit.note(Signal::Answered, load, Duration::from_millis(millis), now); limit.limit() >= before }
                2 => { limit.note(Signal::Overload, load, Duration::from_millis(millis), now); limit.limit() <= before }
                _ => { limit.restart(now); limit.limit() <= before.max(min) }
            };
            prop_assert!((min..=min + span).contains(&limit.limit()));
            prop_assert!(right_way);
        }
    }

    /// Never more retries in any span than a tenth of its sends, five a second, and what can be saved up.
    #[test]
    fn flow_3_6_retries_are_a_tenth_of_sends_and_a_little(
        steps in prop::collection::vec((0_u64..3_000, 0_u32..300, 0_u32..100), 1..100),
    ) {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        let mut now = start;
        let mut history: Vec<(Instant, f64, f64)> = Vec::new();
        for (millis, sends, retries) in steps {
            now += Duration::from_millis(millis);
            (0..sends).for_each(|_| budget.sent());
            let paid = (0..retries).filter(|_| budget.check(0.5, now).map(|()| budget.spend()).is_ok()).count();
            history.push((now, f64::from(sends), paid as f64));
        }
        for (from, &(begin, ..)) in history.iter().enumerate() {
            let (mut sent, mut paid) = (0.0, 0.0);
            for &(at, sends, retries) in &history[from..] {
                sent += sends;
                paid += retries;
                prop_assert!(paid <= 200.0 + 0.1 * sent + 5.0 * (at - begin).as_secs_f64() + 1e-6);
            }
        }
    }

    /// A circuit's pauses stay between the first and the longest with its tenth, whatever happens when.
    #[test]
    fn flow_3_5_a_pause_is_bounded(steps in prop::collection::vec((0_u64..100_000, any::<bool>(), 0.0..1.0), 1..100)) {
        let mut now = Instant::now();
        let mut circuit = Circuit::new(SEC, 60 * SEC);
        for (millis, mend, sample) in steps {
            now += Duration::from_millis(millis);
            let waiting = circuit.state(now) == CircuitState::Open;
            if mend { circuit.mended() } else { circuit.broken(sample, now) }
            let Some(probe) = circuit.probe_at() else { continue };
            prop_assert!(probe > now && probe <= now + 66 * SEC);
            prop_assert!(waiting || probe >= now + SEC);
        }
    }

    /// A refused device waits at least as long as it was told to, at most ten minutes, and nobody else does.
    #[test]
    fn flow_3_1_a_device_waits_within_bounds(steps in prop::collection::vec((0_u64..900_000, 0_u8..3, any::<bool>()), 1..100)) {
        let mut now = Instant::now() + 100 * SEC;
        let mut devices: Throttle<u8> = Throttle::default();
        for (millis, device, accept) in steps {
            now += Duration::from_millis(millis);
            let others: Vec<_> = (0..3).filter(|other| *other != device).map(|other| devices.until(other, now)).collect();
            if accept {
                devices.accepted(device, now);
            } else {
                devices.refused(device, 5 * SEC, now, now);
                let until = devices.until(device, now).expect("it waits");
                prop_assert!(until >= now + 5 * SEC && until <= now + 600 * SEC);
            }
            let after: Vec<_> = (0..3).filter(|other| *other != device).map(|other| devices.until(other, now)).collect();
            prop_assert_eq!(others, after);
        }
    }

    /// A death is held only while the guard is closed, and only the dead are held.
    #[test]
    fn flow_3_9_only_the_dead_are_held(steps in prop::collection::vec((0_u64..200, 0_u8..10), 1..3_000)) {
        let mut now = Instant::now() + 100 * SEC;
        let mut guard = MassDeath::new(0.5);
        for (millis, kind) in steps {
            now += Duration::from_millis(millis);
            let life = match kind { 0..6 => Life::Dead, 6 => Life::Unknown, _ => Life::Alive };
            let ruling = guard.note(life, now, 0.5, now);
            let held = ruling == Ruling::Held;
            prop_assert!(!held || life == Life::Dead);
            prop_assert!(held || life != Life::Dead || guard.circuit().state(now) == CircuitState::Closed);
        }
    }
}
