//! FLOW.md 2.2, the part across routes.

use super::super::{Isolation, Parking};
use super::*;

const LOOK: Duration = Duration::from_millis(100);
const NORMAL_FULL: [bool; 3] = [false, true, false];

struct Bench {
    lanes: Lanes,
    isolation: Isolation,
    now: Instant,
    exits: Vec<Exit>,
}

impl Bench {
    /// So many pushes wait for FCM and for APNs.
    fn with(fcm: u64, apns: u64) -> Self {
        let (mut lanes, now) = (lanes(), Instant::now());
        for tag in 0..fcm {
            admit(&mut lanes, &draft(tag, 1).addressed_to_fcm().seal(), now);
        }
        fill(&mut lanes, Lane::Normal, apns, now);
        Self { lanes, isolation: Isolation::new(2, now), now, exits: Vec::new() }
    }

    /// Looks for so long, and parks what shall be; APNs asks and, in each look, takes `apns`; FCM takes `fcm`.
    fn run(&mut self, time: Duration, full: [bool; 3], fcm: usize, apns: usize) -> Vec<Parking> {
        let mut all = Vec::new();
        for _ in 0..time.as_millis() / LOOK.as_millis() {
            self.now += LOOK;
            self.lanes.take(APNS, apns, self.now, &mut self.exits);
            self.lanes.take(FCM, fcm, self.now, &mut self.exits);
            for parking in self.isolation.look(&self.lanes, |id| id == APNS, full, self.now) {
                let Parking { route, from, count, delay } = parking;
                assert_eq!(self.lanes.park(route, from, count, delay, self.now, &mut self.exits), count);
                all.push(parking);
            }
        }
        all
    }
}

#[test]
fn flow_2_2_a_blocked_route_gives_up_what_it_holds_beyond_its_share() {
    let mut bench = Bench::with(2_000, 0);
    let parked = bench.run(Duration::from_secs(3), NORMAL_FULL, 0, 10);
    assert_eq!(parked.len(), 1, "once, until the freed window had time to fill: {parked:?}");
    let delay = Duration::from_secs(15);
    assert_eq!(parked[0], Parking { route: FCM, from: Lane::Normal, count: 1_875, delay });
    assert_eq!((bench.exits.len(), bench.lanes.waiting_from(Lane::Normal)), (1_875, 125));
    assert!(bench.exits.iter().all(|exit| exit.why == Why::Parked { delay }));
    let oldest = bench.exits.iter().map(|exit| exit.push.envelope.origin.receipt.tag).min();
    assert_eq!(oldest, Some(125), "the newest go, the oldest keep their place");
}

#[test]
fn flow_2_2_parking_goes_on_when_jobs_have_come_and_for_longer_when_it_lasts() {
    let mut bench = Bench::with(2_000, 0);
    bench.run(Duration::from_millis(2_200), NORMAL_FULL, 0, 10);
    for tag in 0..500 {
        admit(&mut bench.lanes, &draft(tag, 1).addressed_to_fcm().seal(), bench.now);
    }
    bench.isolation.refilled(Lane::Normal);
    assert_eq!(bench.run(LOOK, NORMAL_FULL, 0, 10).len(), 1);
    bench.run(Duration::from_secs(90), [false; 3], 0, 10);
    for tag in 0..500 {
        admit(&mut bench.lanes, &draft(tag, 1).addressed_to_fcm().seal(), bench.now);
    }
    let later = bench.run(LOOK, NORMAL_FULL, 0, 10);
    assert_eq!(later.last().map(|parking| parking.delay), Some(Duration::from_secs(70)));
}

#[test]
fn flow_2_2_nothing_is_parked_while_nobody_else_is_starved() {
    // The source is not at its bound: who lacks something gets it.
    assert_eq!(Bench::with(2_000, 0).run(Duration::from_secs(10), [false; 3], 0, 10), []);
    // Something waits for the other route.
    assert_eq!(Bench::with(1_000, 10_000).run(Duration::from_secs(10), NORMAL_FULL, 0, 10), []);
    // The other route asks for nothing.
    let mut bench = Bench::with(2_000, 0);
    for _ in 0..100 {
        bench.now += LOOK;
        assert_eq!(bench.isolation.look(&bench.lanes, |_| false, NORMAL_FULL, bench.now), []);
    }
}

/// Slow is not blocked: a route that works its window off in less than half a minute keeps it.
#[test]
fn flow_2_2_a_slow_route_is_not_parked() {
    let mut bench = Bench::with(9_000, 0);
    assert_eq!(bench.run(Duration::from_secs(10), NORMAL_FULL, 60, 10), []);
}

/// What would not live to come back stays, and so does what came by another lane's queue.
#[test]
fn flow_2_2_what_would_expire_meanwhile_is_not_parked() {
    let mut bench = Bench::with(100, 0);
    let mut brief = draft(1_000, 1).addressed_to_fcm();
    brief.job.ttl = Some(10);
    admit(&mut bench.lanes, &brief.seal(), bench.now);
    admit(&mut bench.lanes, &draft(1_001, 1).addressed_to_fcm().lane(Lane::Low).seal(), bench.now);
    let delay = Duration::from_secs(15);
    assert_eq!(bench.lanes.park(FCM, Lane::Normal, 1_000, delay, bench.now, &mut bench.exits), 100);
    assert_eq!(bench.lanes.held(FCM, Lane::Normal), 1);
    assert_eq!(bench.lanes.held(FCM, Lane::Low), 1);
}
