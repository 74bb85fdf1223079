//! Of the small machines, what holds whatever happens.

use super::*;

proptest! {
    /// A ramp never falls, stays within its bounds, and is over after 3.4 s.
    #[test]
    fn flow_3_1_a_ramp_rises_to_one(micros in prop::collection::vec(0_u64..300_000, 1..100)) {
        let start = Instant::now();
        let mut ramp = Ramp::default();
        prop_assert_eq!(ramp.share(start).to_bits(), 1_f64.to_bits());
        ramp.begin(start);
        let (mut now, mut before) = (start, 0.1);
        for micros in micros {
            now += Duration::from_micros(micros);
            let share = ramp.share(now);
            prop_assert!((0.1..=1.0).contains(&share) && share >= before);
            prop_assert_eq!(ramp.is_rising(now), share < 1.0);
            prop_assert!(now < start + 3_400 * MS || share >= 1.0);
            before = share;
        }
    }

    /// A window counts what a list of its answers would, its edge a twelfth unsharp.
    #[test]
    fn flow_3_5_a_window_counts_what_is_in_it(steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200)) {
        let start = Instant::now();
        let mut window = Window::new(12 * SEC);
        let (mut now, mut list) = (start, Vec::new());
        for (millis, of_kind) in steps {
            now += Duration::from_millis(millis);
            window.note(of_kind, now);
            list.push((now, of_kind));
            let younger = |span: Duration| list.iter().filter(|(at, _)| now - *at < span).count() as u32;
            let counts = window.whole(now);
            prop_assert!(younger(11 * SEC) <= counts.all && counts.all <= younger(12 * SEC));
            prop_assert!(counts.of_kind <= counts.all);
            prop_assert!(window.newest(3, now).all <= counts.all);
        }
    }

    /// A breaker opens only on failures, lets nothing go while it is open and one at a time when it is half open, and
    /// one good answer to a probe closes it.
    #[test]
    fn flow_3_5_a_breaker_needs_failures_to_open(steps in prop::collection::vec((0_u64..2_000, 0_u8..10), 1..300)) {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        let mut failures = 0;
        for (millis, kind) in steps {
            now += Duration::from_millis(millis);
            let health = match kind { 0..6 => Health::Down, 6 => Health::Silent, _ => Health::Up };
            let before = breaker.circuit().state(now);
            breaker.note(health, now, 0.5, now);
            failures += u32::from(health == Health::Down);
            match (before, health) {
                (CircuitState::Closed, Health::Down) if breaker.circuit().state(now) == CircuitState::Open => {
                    prop_assert!(failures >= 20);
                    failures = 0;
                }
                (CircuitState::Closed, _) => prop_assert_eq!(breaker.circuit().state(now), CircuitState::Closed),
                (CircuitState::HalfOpen, Health::Up) => {
                    prop_assert_eq!(breaker.circuit().state(now), CircuitState::Closed);
                    failures = 0;
                }
                (CircuitState::HalfOpen, Health::Down) => prop_assert_eq!(breaker.circuit().room(now), 0),
                (CircuitState::Open, _) => prop_assert_eq!(breaker.circuit().room(now), 0),
                (CircuitState::HalfOpen, Health::Silent) => prop_assert_eq!(breaker.circuit().room(now), 1),
            }
        }
    }

    /// Without refusals the limit never falls but for latency: round trips that are all the same leave it growing.
    #[test]
    fn flow_3_3_flat_round_trips_never_lower_the_limit(
        millis in 1_u64..2_000, held_back in prop::collection::vec((any::<bool>(), 0_u32..200), 1..300),
    ) {
        let mut limit = Concurrency::new(1, 10_000);
        let mut now = Instant::now() + 100 * SEC;
        for (held_back, in_flight) in held_back {
            now += 10 * MS;
            let before = limit.limit();
            limit.note(Signal::Accepted, Load { in_flight, held_back }, Duration::from_millis(millis), now);
            prop_assert!(limit.limit() >= before);
        }
    }
}
