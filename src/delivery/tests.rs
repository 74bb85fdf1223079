mod order;
mod properties;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::reading::{health, life, signal};
use super::{FloorAboveCeiling, Gate, Halt, Refusal, RouteOrders, RoutePatch, RouteSettings, Shelf, Tried};
use crate::flow::{CircuitState, Health, Life, Rate, Ruling, Signal};
use crate::job::Target;
use crate::job::fixture::draft;
use crate::provider::http2::ConnectionId;
use crate::verdict::{ConnectionEffect, Fate, RouteEffect, Sent, Verdict};

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
        max_dead_percent: 50,
        default_ttl: 3600 * SEC,
        ordered: false,
    }
}

fn gate(rate: Option<u32>, now: Instant) -> Gate {
    let mut gate = Gate::new(&settings(rate), now);
    gate.credential(true, now);
    gate
}

fn accepted() -> Verdict {
    Verdict::of(Fate::Accepted { provider_id: None })
}

fn unavailable() -> Verdict {
    Verdict::of(Fate::Retry { after: SEC, sent: Sent::Refused }).on_route(RouteEffect::Slow { pause: None })
}

fn target(name: &str) -> Target {
    Target::Apns(name.into())
}

/// Takes so many places for first attempts.
fn take(gate: &mut Gate, count: u32, now: Instant) {
    (0..count).for_each(|_| gate.take(false, now));
}

/// Notes the verdict of an attempt of 1 ms to device `00`, its connection's number being that of attempts under way.
fn note(gate: &mut Gate, verdict: &Verdict, in_flight: u32, sample: f64, now: Instant) -> Ruling {
    let target = target("00");
    let connection = ConnectionId(in_flight.into());
    let tried = Tried { target: &target, connection, round_trip: MS, retry: false, in_flight, streams_free: true };
    gate.note(verdict, &tried, sample, now)
}

#[test]
fn without_a_credential_nothing_goes_and_nothing_is_asked_for() {
    let now = Instant::now();
    let mut gate = Gate::new(&settings(None), now);
    assert_eq!((gate.room(0, now), gate.wanted(0, 1_000, now), gate.next_at(now)), (0, 0, None));
    gate.credential(true, now);
    assert_eq!(gate.room(0, now), 64);
}

#[test]
fn room_is_the_least_of_concurrency_and_pace() {
    let now = Instant::now();
    let mut paced = gate(Some(1_000), now);
    assert_eq!((gate(None, now).room(60, now), paced.room(0, now), paced.room(60, now)), (4, 10, 4));
    take(&mut paced, 10, now);
    assert_eq!((paced.room(0, now), paced.next_at(now)), (0, Some(now + MS)));
    assert_eq!(paced.room(0, now + 2 * MS), 2);
}

/// A slow route must not hold pushes that a more important one could overtake in its lane.
#[test]
fn what_is_asked_ahead_is_bounded_by_rate_streams_and_concurrency() {
    let now = Instant::now();
    let mut slow = gate(Some(10), now);
    take(&mut slow, 10, now);
    assert_eq!(slow.wanted(0, 1_000, now), 1);
    let mut fast = gate(Some(100_000), now);
    take(&mut fast, 10, now);
    assert_eq!(fast.wanted(0, 1_000, now), 16, "a quarter of the concurrency limit of 64");
    assert_eq!(gate(None, now).wanted(0, 3, now), 3 + 16, "streams are the bottleneck");
}

/// FLOW.md 3.1 and promise 7: `Retry-After` closes the route.
#[test]
fn flow_3_1_retry_after_closes_the_gate_and_withdraws_demand() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let throttled = Verdict::of(Fate::Retry { after: 30 * SEC, sent: Sent::Refused })
        .on_route(RouteEffect::Slow { pause: Some(30 * SEC) });
    let _ = note(&mut gate, &throttled, 10, 1.0, now);
    assert_eq!((gate.room(0, now + 30 * SEC), gate.wanted(0, 100, now + 30 * SEC)), (0, 0));
    let opens = gate.next_at(now).expect("it opens again");
    assert_eq!(opens, now + 31_500 * MS, "never early, and a little spread");
    assert_eq!((gate.room(0, opens), gate.concurrency_limit()), (16, 16), "it begins small");
}

/// FLOW.md 3.1 and 3.3, promise 8: what comes back ramps up.
#[test]
fn flow_3_1_a_route_that_comes_back_from_a_pause_doubles_each_second() {
    let start = Instant::now();
    let mut gate = Gate::new(&RouteSettings { burst: 100, ..settings(Some(1_000)) }, start);
    gate.credential(true, start);
    let pause = RouteEffect::Slow { pause: Some(10 * SEC) };
    let throttled = Verdict::of(Fate::Retry { after: 10 * SEC, sent: Sent::Refused }).on_route(pause);
    let _ = note(&mut gate, &throttled, 10, 0.0, start);
    let opens = start + 10 * SEC;
    let passed: Vec<u32> = (0..5)
        .map(|second| {
            let ticks = (0..200).map(|tick| opens + second * SEC + tick * 5 * MS);
            let passed = ticks.map(|now| {
                gate.step(now);
                let room = gate.room(0, now);
                take(&mut gate, room, now);
                room
            });
            passed.sum()
        })
        .collect();
    for (second, (passed, about)) in passed.iter().zip([140, 280, 560, 960, 1_000]).enumerate() {
        assert!(passed.abs_diff(about) <= about / 10, "{passed} in second {second}, expected about {about}");
    }
}

/// FLOW.md 3.8.
#[test]
fn flow_3_8_a_broken_credential_closes_it_until_a_probe_is_accepted_or_the_credential_is_replaced() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let broken = Verdict::of(Fate::Keep).on_route(RouteEffect::Park);
    let _ = note(&mut gate, &broken, 1, 0.0, now);
    assert_eq!((gate.circuit(now), gate.room(0, now), gate.wanted(0, 9, now)), (CircuitState::Open, 0, 0));
    assert_eq!(gate.halt(now), Some(Halt::Refused));
    let probe = gate.next_at(now).expect("a probe will go");
    assert_eq!((gate.room(0, probe), gate.room(1, probe), gate.wanted(0, 9, probe)), (1, 0, 1));
    let _ = note(&mut gate, &accepted(), 1, 0.0, probe);
    assert_eq!(gate.circuit(probe), CircuitState::HalfOpen, "what was sent before it opened says nothing");
    let probe = probe + 10 * MS;
    let _ = note(&mut gate, &accepted(), 1, 0.0, probe);
    assert_eq!(gate.circuit(probe), CircuitState::Closed);
    gate.park(probe);
    gate.credential(false, probe);
    gate.credential(true, probe);
    assert_eq!(gate.circuit(probe), CircuitState::Closed);
}

#[test]
fn flow_3_6_what_surely_did_not_leave_gives_its_cell_back() {
    let now = Instant::now();
    let mut gate = gate(Some(10), now);
    take(&mut gate, 10, now);
    let _ = note(&mut gate, &Verdict::of(Fate::Retry { after: Duration::ZERO, sent: Sent::No }), 10, 0.0, now);
    assert_eq!(gate.room(0, now), 1);
}

#[test]
fn flow_3_7_the_shelf_gives_pushes_back_in_time_and_is_bounded() {
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

/// FLOW.md 3.1: only that device waits, and the route is as fast as before.
#[test]
fn flow_3_1_a_throttled_device_waits_and_the_route_does_not() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let throttled = Verdict::of(Fate::Retry { after: 5 * SEC, sent: Sent::Refused }).on_route(RouteEffect::SlowDevice);
    let room = gate.room(0, now);
    for _ in 0..100 {
        let _ = note(&mut gate, &throttled, 64, 0.0, now);
    }
    assert_eq!((gate.room(0, now), gate.circuit(now)), (room, CircuitState::Closed));
    assert_eq!(gate.admit(&target("00"), false, 1.0, now), Err(Refusal::Device(5_500 * MS)));
    assert_eq!(gate.admit(&target("01"), false, 1.0, now), Ok(()));
    assert_eq!(gate.admit(&target("00"), false, 1.0, now + 5 * SEC), Ok(()));
}

/// FLOW.md 3.5: while the provider fails nothing is asked for, then one push, and the first answer opens a ramp.
#[test]
fn flow_3_5_a_failing_provider_withdraws_demand_and_one_push_probes() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    for _ in 0..20 {
        let _ = note(&mut gate, &unavailable(), 64, 0.0, now);
    }
    assert_eq!((gate.halt(now), gate.room(0, now), gate.wanted(0, 99, now)), (Some(Halt::Failing), 0, 0));
    let probe = gate.next_at(now).expect("a probe will go");
    assert_eq!(probe, now + SEC);
    assert_eq!((gate.room(0, probe), gate.room(1, probe), gate.wanted(0, 9, probe)), (1, 0, 1));
    let later = probe + MS;
    let _ = note(&mut gate, &Verdict::of(Fate::Rejected), 1, 0.0, later);
    assert_eq!((gate.halt(later), gate.room(0, later)), (None, 16), "a rejection is an answer; it begins small");
}

/// FLOW.md 3.5: a thousand pushes on one connection that is lost are one failure, not a thousand.
#[test]
fn flow_3_5_a_lost_connection_is_one_failure() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let lost =
        Verdict::of(Fate::Retry { after: Duration::ZERO, sent: Sent::Unknown }).on_connection(ConnectionEffect::Retire);
    for _ in 0..1_000 {
        let _ = note(&mut gate, &lost, 1, 0.0, now);
    }
    assert_eq!(gate.circuit(now), CircuitState::Closed);
    for connection in 2..21 {
        let _ = note(&mut gate, &lost, connection, 0.0, now);
    }
    assert_eq!(gate.circuit(now), CircuitState::Open, "twenty connections are an outage");
}

/// FLOW.md 3.6: first attempts pay for retries; a first attempt needs no budget.
#[test]
fn flow_3_6_the_gate_lets_retries_go_as_the_budget_allows() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let someone = target("00");
    let mut retries = 0;
    while gate.admit(&someone, true, 0.0, now).is_ok() {
        gate.take(true, now);
        retries += 1;
    }
    assert_eq!((retries, gate.retry_budget()), (200, 0));
    assert_eq!(gate.admit(&someone, true, 0.0, now), Err(Refusal::Budget(2 * SEC)));
    assert_eq!(gate.admit(&someone, false, 0.0, now), Ok(()));
    take(&mut gate, 10, now);
    assert_eq!(gate.admit(&someone, true, 0.0, now), Ok(()), "ten sends pay for a retry");
}

/// FLOW.md 3.6: what surely was not looked at costs nothing, but a provider that looks at nothing is not stormed.
#[test]
fn flow_3_6_costless_resends_do_not_spin() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let unseen = Verdict::of(Fate::Retry { after: Duration::ZERO, sent: Sent::No });
    let delays: Vec<Duration> = (0..800)
        .map(|_| {
            let _ = note(&mut gate, &unseen, 64, 0.0, now);
            gate.resend_after(1.0)
        })
        .collect();
    assert_eq!(delays[62], Duration::ZERO, "one GOAWAY sends a limit's worth back at once");
    assert_eq!((delays[63], delays[127], delays[799]), (100 * MS, 200 * MS, 1_600 * MS));
    let _ = note(&mut gate, &accepted(), 64, 0.0, now);
    assert_eq!(gate.resend_after(1.0), Duration::ZERO);
}

/// FLOW.md 3.9: the first verdicts are told, from the 81st on none is, and from the 200th on the route is parked.
#[test]
fn flow_3_9_a_mass_death_parks_the_route() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let dead = [
        Verdict::of(Fate::Unregistered { since: None }),
        Verdict::of(Fate::Rejected).on_route(RouteEffect::Misaddressed),
    ];
    let rulings: Vec<Ruling> = (0..300).map(|nth| note(&mut gate, &dead[nth % 2], 64, 0.0, now)).collect();
    assert_eq!(rulings.iter().position(|ruling| *ruling == Ruling::Held), Some(80));
    assert!(rulings[80..].iter().all(|ruling| *ruling == Ruling::Held));
    assert_eq!((gate.halt(now), gate.wanted(0, 99, now)), (Some(Halt::MassDeath), 0));
    assert_eq!(gate.keep_for(now), 15 * SEC);
    let probe = now + 15 * SEC + MS;
    assert_eq!(note(&mut gate, &accepted(), 1, 0.0, probe), Ruling::Told);
    assert_eq!((gate.halt(probe), gate.room(0, probe)), (None, 16));
}

#[test]
fn what_each_machine_reads_in_a_verdict() {
    let refused = |route| Verdict::of(Fate::Retry { after: SEC, sent: Sent::Refused }).on_route(route);
    let paused = RouteEffect::Slow { pause: Some(SEC) };
    let rows = [
        (accepted(), Health::Up, Some(Signal::Accepted), Some(Life::Alive)),
        (Verdict::of(Fate::Rejected), Health::Up, Some(Signal::Answered), Some(Life::Unknown)),
        (Verdict::of(Fate::Unregistered { since: None }), Health::Up, Some(Signal::Answered), Some(Life::Dead)),
        (refused(RouteEffect::None), Health::Down, None, None),
        (unavailable(), Health::Down, Some(Signal::Overload), None),
        (refused(paused), Health::Silent, Some(Signal::Overload), None),
        (refused(RouteEffect::SlowDevice), Health::Silent, None, None),
        (refused(RouteEffect::None).on_connection(ConnectionEffect::Retire), Health::Silent, None, None),
        (Verdict::of(Fate::Retry { after: SEC, sent: Sent::Unknown }), Health::Down, None, None),
        (Verdict::of(Fate::Retry { after: SEC, sent: Sent::No }), Health::Silent, None, None),
        (Verdict::of(Fate::Keep).on_route(RouteEffect::Park), Health::Silent, None, None),
    ];
    for (verdict, expected_health, expected_signal, expected_life) in rows {
        let read = (health(&verdict), signal(&verdict), life(&verdict));
        assert_eq!(read, (expected_health, expected_signal, expected_life), "{verdict:?}");
    }
}

/// FLOW.md 3.2: new limits hold at once, up and down, and grant no burst.
#[test]
fn flow_3_2_new_limits_hold_at_once_without_a_burst() {
    let now = Instant::now();
    let mut gate = gate(Some(100), now);
    take(&mut gate, 10, now);
    gate.set_limits(&RouteSettings { burst: 200, ..settings(Some(2_000)) }, now);
    assert_eq!((gate.rate(), gate.room(0, now)), (2_000.0, 0));
    assert_eq!(gate.next_at(now), Some(now + SEC / 2_000));
    assert_eq!(gate.room(0, now + 10 * MS), 20);
    gate.set_limits(&RouteSettings { max_concurrency: 5, ..settings(Some(1)) }, now + 10 * MS);
    assert_eq!((gate.concurrency_limit(), gate.room(0, now + 10 * MS), gate.room(5, now + 10 * MS)), (5, 5, 0));
    gate.set_limits(&RouteSettings { min_concurrency: 90, ..settings(None) }, now + 10 * MS);
    assert_eq!(gate.room(0, now + 10 * MS), 90);
}

/// FLOW.md 3.2 and 3.1: a route that comes back ramps up to the new limits, not past the ramp.
#[test]
fn flow_3_2_new_limits_are_ramped_as_the_old_ones_were() {
    let now = Instant::now();
    let mut gate = gate(Some(1_000), now);
    let paused =
        Verdict::of(Fate::Retry { after: SEC, sent: Sent::Refused }).on_route(RouteEffect::Slow { pause: Some(SEC) });
    take(&mut gate, 1, now);
    let _ = note(&mut gate, &paused, 1, 0.0, now);
    let opens = now + SEC;
    gate.set_limits(&RouteSettings { burst: 400, ..settings(Some(4_000)) }, now + 500 * MS);
    assert_eq!(gate.room(0, opens - MS), 0, "the provider's pause holds");
    gate.step(opens);
    assert_eq!((gate.rate(), gate.room(0, opens)), (400.0, 1), "a tenth, and no burst");
    gate.set_limits(&RouteSettings { burst: 800, ..settings(Some(8_000)) }, opens);
    assert_eq!((gate.rate(), gate.room(0, opens)), (800.0, 1));
    gate.step(opens + 4 * SEC);
    assert_eq!(gate.rate(), 8_000.0);
}

/// A pause takes back what was asked for, lets nothing go, and forgets nothing.
#[test]
fn flow_3_2_a_paused_gate_lets_nothing_go_and_asks_for_nothing() {
    let now = Instant::now();
    let mut gate = gate(Some(1_000), now);
    take(&mut gate, 10, now);
    assert!(gate.wanted(0, 1_000, now) > 0 && gate.next_at(now).is_some());
    gate.pause(true);
    let later = now + 5 * MS;
    assert_eq!((gate.room(3, later), gate.slots(3, later), gate.wanted(3, 1_000, later)), (0, 0, 0));
    assert_eq!((gate.next_at(later), gate.is_paused()), (None, true));
    gate.set_limits(&settings(Some(2_000)), later);
    assert_eq!(gate.room(0, later + SEC), 0, "other limits end no pause");
    gate.pause(false);
    assert_eq!(gate.room(0, later), 5);
}

#[test]
fn a_patch_changes_what_it_names() {
    let before = RouteOrders::new(settings(Some(100)));
    let patched = |patch: RoutePatch| patch.apply(&before);
    let faster = Some(settings(Some(2_000)).rate);
    let after = patched(RoutePatch { rate: faster, ..RoutePatch::default() }).unwrap();
    assert_eq!(
        (after.settings.rate, after.settings.burst),
        (faster.flatten(), 200),
        "the usual burst follows the rate"
    );
    let own = RouteOrders::new(RouteSettings { burst: 3, ..settings(Some(100)) });
    let after = RoutePatch { rate: faster, ..RoutePatch::default() }.apply(&own).unwrap();
    assert_eq!(after.settings.burst, 3, "a chosen one stays");
    let after = patched(RoutePatch { rate: Some(None), paused: Some(true), ..RoutePatch::default() }).unwrap();
    assert_eq!((after.settings.rate, after.paused, after.settings.max_concurrency), (None, true, 100));
    let floor = RoutePatch { min_concurrency: Some(101), ..RoutePatch::default() };
    assert_eq!(patched(floor), Err(FloorAboveCeiling { min: 101, max: 100 }));
    let both = RoutePatch { min_concurrency: Some(101), max_concurrency: Some(101), ..RoutePatch::default() };
    assert_eq!(patched(both).unwrap().settings.max_concurrency, 101);
    assert_eq!(patched(RoutePatch::default()).unwrap(), before);
}

#[test]
fn flow_3_3_a_route_that_begins_rises_and_another_rate_rises_with_it() {
    let now = Instant::now();
    let mut gate = gate(Some(10_000), now);
    gate.rise(60 * SEC, now);
    assert!((gate.rate() - 1_000.0).abs() < 1.0, "{}", gate.rate());
    gate.step(now + 30 * SEC);
    assert!((gate.rate() - 5_500.0).abs() < 1.0, "{}", gate.rate());
    gate.set_limits(&settings(Some(2_000)), now + 30 * SEC);
    assert!((gate.rate() - 1_500.0).abs() < 1.0, "{}", gate.rate());
    gate.set_limits(&settings(Some(500)), now + 30 * SEC);
    assert!((gate.rate() - 500.0).abs() < 1.0, "{}", gate.rate());
    gate.set_limits(&settings(None), now + 30 * SEC);
    assert_eq!(gate.rate(), f64::INFINITY);
    assert_eq!(gate.concurrency_limit(), 64, "it is the rate alone that rises");
    gate.set_limits(&settings(Some(10_000)), now + 60 * SEC);
    assert!((gate.rate() - 10_000.0).abs() < 1.0, "{}", gate.rate());
}

/// FLOW.md 3.8: what the old credential met with does not hold back the new one, and grants it nothing.
#[test]
fn another_client_opens_a_parked_route_at_once_and_spends_from_the_same_pace() {
    let now = Instant::now();
    let mut gate = gate(Some(1_000), now);
    take(&mut gate, 10, now);
    gate.park(now);
    assert_eq!((gate.halt(now), gate.room(0, now + SEC)), (Some(Halt::Refused), 0));
    gate.renew(now);
    assert_eq!((gate.halt(now), gate.room(0, now)), (None, 0), "no credential yet");
    gate.credential(true, now);
    assert_eq!(gate.room(0, now), 0, "what was taken stays taken");
    assert!(gate.room(0, now + SEC) > 0);
    assert!(gate.rate() < 1_000.0, "it ramps up");
    // What the provider asked for, and what the operator said, holds on.
    let pause = Verdict::of(Fate::Retry { after: SEC, sent: Sent::Refused })
        .on_route(RouteEffect::Slow { pause: Some(20 * SEC) });
    let _told = note(&mut gate, &pause, 1, 0.0, now + 2 * SEC);
    gate.pause(true);
    gate.renew(now + 3 * SEC);
    gate.credential(true, now + 3 * SEC);
    assert!(gate.is_paused() && gate.paused_until(now + 3 * SEC).is_some());
}

#[test]
fn another_client_ends_the_disbelief_in_dead_tokens_and_is_watched_closely() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let dead = Verdict::of(Fate::Unregistered { since: None });
    let until_parked = |gate: &mut Gate, from: Instant| {
        (0..1_000).find(|nth| {
            let _ = note(gate, &dead, 1, 0.0, from + *nth * MS);
            gate.halt(from + *nth * MS) == Some(Halt::MassDeath)
        })
    };
    assert_eq!(until_parked(&mut gate, now), Some(199));
    gate.renew(now + SEC);
    assert_eq!(gate.halt(now + SEC), None);
    assert_eq!(until_parked(&mut gate, now + SEC), Some(19), "the new topic may be as wrong");
}
