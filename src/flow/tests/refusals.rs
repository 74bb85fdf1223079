//! FLOW.md 3.3, what refusals do to the limit. The world shows the same end to end (`tests/scenarios/brown_out_*.toml`).

use super::super::Latency;
use super::super::latency::Trend;
use super::*;

/// A provider that accepts in 50 ms and refuses in 20 ms, and a backlog: so many may be under way as the limit says, and
/// `refuses` says, of so many under way, whether one is refused. In steps of 1 ms; the pushes accepted.
struct Bench {
    limit: Concurrency,
    now: Instant,
    /// When each that is under way is answered, whether it is refused, and when it was sent.
    under_way: Vec<(Instant, bool, Instant)>,
    rng: fastrand::Rng,
}

impl Bench {
    fn new(max: u32) -> Self {
        let now = Instant::now() + 100 * SEC;
        Self { limit: Concurrency::new(1, max), now, under_way: Vec::new(), rng: fastrand::Rng::with_seed(7) }
    }

    fn run(&mut self, time: Duration, refuses: impl Fn(usize, f64) -> bool) -> u32 {
        let (end, mut accepted) = (self.now + time, 0);
        while self.now < end {
            self.now += MS;
            let now = self.now;
            while let Some(nth) = self.under_way.iter().position(|(due, ..)| *due <= now) {
                let in_flight = u32::try_from(self.under_way.len()).unwrap();
                let (_, refused, sent) = self.under_way.swap_remove(nth);
                let signal = if refused { Signal::Overload } else { Signal::Accepted };
                accepted += u32::from(!refused);
                self.limit.note(signal, Load { in_flight, held_back: false }, now - sent, now);
            }
            while self.under_way.len() < self.limit.limit() as usize {
                let refused = refuses(self.under_way.len(), self.rng.f64());
                self.under_way.push((now + if refused { 20 * MS } else { 50 * MS }, refused, now));
            }
        }
        accepted
    }
}

/// A storm takes the limit down, wave upon wave; when it is over, the limit is soon where it was, and not by ones.
#[test]
fn flow_3_3_after_a_storm_of_refusals_slow_start_leads_back() {
    let mut bench = Bench::new(500);
    bench.run(5 * SEC, |_, _| false);
    assert_eq!(bench.limit.limit(), 500);
    bench.run(5 * SEC, |_, sample| sample < 0.8);
    assert!(bench.limit.limit() < 25, "{}", bench.limit.limit());
    bench.run(3 * SEC, |_, _| false);
    assert!(bench.limit.limit() >= 450, "{}", bench.limit.limit());
}

/// What is refused whatever is sent does not cost the rest its throughput.
#[test]
fn flow_3_3_refusals_that_are_not_our_load_do_not_keep_the_limit_down() {
    for share in [0.02, 0.05, 0.3] {
        let mut bench = Bench::new(100);
        let usual = bench.run(10 * SEC, |_, _| false);
        bench.run(10 * SEC, |_, sample| sample < share);
        let with = bench.run(10 * SEC, |_, sample| sample < share);
        assert!(f64::from(with) > 0.6 * f64::from(usual), "{with} of {usual}, {share} refused");
        bench.run(5 * SEC, |_, _| false);
        assert!(bench.limit.limit() > 80, "{}", bench.limit.limit());
    }
}

/// Refusals that our load makes hold it where the provider can just bear it.
#[test]
fn flow_3_3_refusals_of_our_load_hold_the_limit_at_what_is_served() {
    let mut bench = Bench::new(1_000);
    bench.run(10 * SEC, |under_way, _| under_way >= 60);
    for _ in 0..20 {
        bench.run(SEC, |under_way, _| under_way >= 60);
        assert!((30..=90).contains(&bench.limit.limit()), "{}", bench.limit.limit());
    }
}

/// All refused is overload, whoever makes it: nothing is believed to be usual.
#[test]
fn flow_3_3_a_provider_that_refuses_all_is_asked_as_little_as_may_be() {
    let mut bench = Bench::new(1_000);
    bench.run(5 * SEC, |_, _| true);
    assert_eq!(bench.limit.limit(), 1);
}

/// FLOW.md 3.3: a queue that still grew when it was measured does not make its own halving look useless.
#[test]
fn flow_3_3_a_rise_is_judged_by_the_worst_it_came_to() {
    let mut latency = Latency::default();
    let mut now = Instant::now();
    let mut window = |millis: u32, limit: u32| {
        let mut trend = Trend::Flat;
        for _ in 0..16 {
            now += 5 * MS;
            let said = latency.note(millis * MS, limit, true, now);
            if said != Trend::Flat {
                trend = said;
            }
        }
        trend
    };
    assert_eq!(window(50, 64), Trend::Flat);
    for (millis, limit) in [(150, 170), (300, 150), (150, 75)] {
        assert!(matches!(window(millis, limit), Trend::Risen { .. }), "{millis} ms under {limit}");
    }
    assert!(matches!(window(150, 36), Trend::Elsewhere { limit: 170 }), "now it did not help");
}
