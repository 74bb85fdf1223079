//! FLOW.md 2.5, and ENGINEERING.md O4.

use super::super::OnOverload;
use super::*;

const LOOK: Duration = Duration::from_millis(100);
const MAX_AGE: Duration = Duration::from_secs(4);

/// A lane's traffic: so many pushes come and leave in each look of 100 ms.
struct Bench {
    lanes: Lanes,
    start: Instant,
    looks: u32,
    tag: u64,
}

impl Bench {
    fn new(policies: [OnOverload; 3]) -> Self {
        let settings = [0, 1, 2].map(|lane| LaneSettings {
            max_age: Some(MAX_AGE),
            on_overload: policies[lane],
            ..LaneSettings::weighing([16, 4, 1][lane])
        });
        let start = Instant::now();
        Self { lanes: Lanes::new(&settings, [HOUR, HOUR], start), start, looks: 0, tag: 0 }
    }

    fn now(&self) -> Instant {
        self.start + LOOK * self.looks
    }

    fn arrive(&mut self, lane: Lane, count: u64) {
        for _ in 0..count {
            self.tag += 1;
            let mut draft = draft(self.tag, 1).lane(lane);
            draft.origin.accepted = self.now();
            let now = self.now();
            admit(&mut self.lanes, &draft.seal(), now);
        }
    }

    /// One look: `leave` go out, what must be is shed.
    fn look(&mut self, leave: usize) -> Vec<Exit> {
        self.looks += 1;
        let now = self.now();
        let mut exits = Vec::new();
        self.lanes.take(APNS, leave, now, &mut exits);
        if self.looks.is_multiple_of(10) {
            self.lanes.sweep(now, &mut exits);
        }
        self.lanes.shed(now, &mut exits);
        exits
    }
}

/// Where the configuration does not allow it, nothing is shed, however long it waits.
#[test]
fn flow_2_5_a_lane_that_waits_sheds_nothing() {
    let mut bench = Bench::new([OnOverload::Wait; 3]);
    for _ in 0..300 {
        bench.arrive(Lane::Low, 20);
        assert!(bench.look(10).is_empty());
    }
}

/// A standing queue sheds, a burst that drains does not.
#[test]
fn flow_2_5_a_burst_that_drains_is_not_shed() {
    for policy in [OnOverload::ShedOldest, OnOverload::ShedNewest] {
        let mut bench = Bench::new([OnOverload::Wait, OnOverload::Wait, policy]);
        // 5 s worth at once, then hardly anything.
        bench.arrive(Lane::Low, 500);
        for _ in 0..100 {
            bench.arrive(Lane::Low, 1);
            assert!(bench.look(10).is_empty(), "{policy:?} at look {}", bench.looks);
        }
        assert!(active(&bench.lanes).is_empty());
    }
}

/// In steady overload as much is shed as comes in too much, evenly: over any second the share strays by at most five
/// points (ENGINEERING.md, O4), and who is sent has waited for `max_age` and not much longer.
#[test]
fn flow_2_5_steady_overload_is_shed_evenly() {
    for policy in [OnOverload::ShedOldest, OnOverload::ShedNewest] {
        let mut bench = Bench::new([OnOverload::Wait, OnOverload::Wait, policy]);
        let mut by_second = Vec::new();
        for _ in 0..60 {
            let mut shed = 0;
            for _ in 0..10 {
                bench.arrive(Lane::Low, 20);
                let exits = bench.look(10);
                assert!(exits.iter().all(|exit| matches!(exit.why, Why::TooOld | Why::WouldWait)));
                shed += exits.len();
            }
            by_second.push(shed as f64 / 200.0);
        }
        let steady = &by_second[20..];
        let mean = steady.iter().sum::<f64>() / steady.len() as f64;
        let deviation = (steady.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / steady.len() as f64).sqrt();
        assert!((0.45..=0.55).contains(&mean), "{policy:?}: half comes in too much, {mean} is shed");
        assert!(deviation <= 0.05, "{policy:?}: {deviation}: {steady:?}");
        let (_, oldest) = bench.lanes.line(APNS, Lane::Low);
        let age = oldest.map(|accepted| bench.now() - accepted).expect("somebody waits");
        assert!(age <= MAX_AGE.mul_f64(1.25), "{policy:?}: the first in line has waited for {age:?}");
    }
}

/// The lowest lane sheds first, and `high` keeps everything while `low` has enough to give.
#[test]
fn flow_2_5_the_lowest_lane_is_shed_first() {
    let mut bench = Bench::new([OnOverload::ShedOldest; 3]);
    let mut shed = [0; 3];
    for _ in 0..600 {
        bench.arrive(Lane::High, 5);
        bench.arrive(Lane::Low, 20);
        for exit in bench.look(10) {
            shed[exit.push.envelope.lane.index()] += 1;
        }
    }
    assert!(shed[0] == 0 && shed[2] > 5_000, "{shed:?}");

    // All of them have stood for too long: the lower's go before the higher's.
    let mut bench = Bench::new([OnOverload::ShedOldest; 3]);
    for lane in Lane::ALL {
        bench.arrive(lane, 100);
    }
    let mut order = Vec::new();
    for _ in 0..80 {
        order.extend(bench.look(0).iter().map(|exit| exit.push.envelope.lane));
    }
    assert_eq!(order.len(), 300);
    assert!(order.is_sorted_by(|a, b| a >= b), "low, then normal, then high");
}
