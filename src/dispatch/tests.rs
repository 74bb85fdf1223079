use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

mod collapse;
mod conservation;
mod isolation;
mod live;
mod order;
mod properties;
mod shed;
mod spread;

use super::{Exit, LaneSettings, Lanes, Why, Window};
use crate::job::fixture::{Remembers, draft};
use crate::job::{BadTarget, Envelope, Lane, MAX_HELD, Provider, RouteId, Target};

const HOUR: Duration = Duration::from_secs(3600);
const APNS: RouteId = RouteId(0);
const FCM: RouteId = RouteId(1);

fn lanes() -> Lanes {
    Lanes::new(&[16, 4, 1].map(LaneSettings::weighing), [HOUR, HOUR], Instant::now())
}

/// Admits a job of which nothing may leave at once.
fn admit(lanes: &mut Lanes, job: &Arc<Envelope>, now: Instant) {
    let mut exits = Vec::new();
    lanes.admit(job, now, &mut exits);
    assert!(exits.is_empty(), "{:?}", exits[0].why);
}

fn fill(lanes: &mut Lanes, lane: Lane, pushes: u64, now: Instant) {
    for tag in 0..pushes {
        admit(lanes, &draft(tag, 1).lane(lane).seal(), now);
    }
}

fn active(lanes: &Lanes) -> Vec<RouteId> {
    lanes.ids().filter(|id| lanes.waits_for(*id)).collect()
}

fn whys(exits: &[Exit]) -> Vec<Why> {
    exits.iter().map(|exit| exit.why).collect()
}

fn take(lanes: &mut Lanes, route: RouteId, count: usize, now: Instant) -> Vec<Lane> {
    let mut exits = Vec::new();
    let taken = lanes.take(route, count, now, &mut exits);
    assert!(exits.is_empty());
    taken.iter().map(|push| push.envelope.lane).collect()
}

/// FLOW.md 2.1: weighted, not strict; 16:4:1 under contention.
#[test]
fn flow_2_1_lanes_share_by_their_weights() {
    let (mut lanes, now) = (lanes(), Instant::now());
    for lane in Lane::ALL {
        fill(&mut lanes, lane, 1_000, now);
    }
    let taken = take(&mut lanes, APNS, 210, now);
    let count = |lane| taken.iter().filter(|&&taken| taken == lane).count();
    assert_eq!([count(Lane::High), count(Lane::Normal), count(Lane::Low)], [160, 40, 10]);
}

/// Other weights hold from the next push on; what waits stays.
#[test]
fn flow_2_1_weights_change_while_pushes_wait() {
    let (mut lanes, now) = (lanes(), Instant::now());
    for lane in Lane::ALL {
        fill(&mut lanes, lane, 1_000, now);
    }
    take(&mut lanes, APNS, 5, now);
    lanes.set_lanes(&[1, 1, 8].map(LaneSettings::weighing));
    // What is left of the old round is no more than a new one.
    let rest = take(&mut lanes, APNS, 3, now);
    assert_eq!(rest, [Lane::High, Lane::Normal, Lane::Low]);
    let taken = take(&mut lanes, APNS, 100, now);
    let count = |lane| taken.iter().filter(|&&taken| taken == lane).count();
    assert_eq!([count(Lane::High), count(Lane::Normal), count(Lane::Low)], [10, 10, 80]);
    assert_eq!(Lane::ALL.map(|lane| lanes.waiting_from(lane)).iter().sum::<usize>(), 3_000 - 108);
}

/// A window that is cut asks for nothing until it has room.
#[test]
fn a_window_changes_its_size() {
    let mut window = Window::new(2_000);
    window.note(1);
    assert_eq!(window.demand(1_500), 500);
    window.resize(1_000);
    assert_eq!((window.demand(1_500), window.demand(900)), (0, 100));
}

/// FLOW.md 2.1: an idle share is used by the others, and a push in an empty `high` lane goes next.
#[test]
fn flow_2_1_an_idle_share_is_used_and_high_goes_next() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Low, 100, now);
    assert_eq!(take(&mut lanes, APNS, 50, now), [Lane::Low; 50]);
    fill(&mut lanes, Lane::High, 1, now);
    assert_eq!(take(&mut lanes, APNS, 2, now), [Lane::High, Lane::Low]);
}

/// FLOW.md 2.1 and promise 6: under a flood of `low` that never ends, a push of `high` waits for one slot at most, and
/// `low` keeps its share while all three lanes flood.
#[test]
fn flow_2_1_high_keeps_its_wait_under_a_flood_and_floors_are_kept() {
    let mut random = fastrand::Rng::with_seed(21);
    let (mut lanes, now) = (lanes(), Instant::now());
    let (mut high_waiting, mut highs) = (0_usize, 0);
    for _ in 0..20_000 {
        fill(&mut lanes, Lane::Low, random.u64(1..=3), now);
        if random.u8(..) < 13 {
            fill(&mut lanes, Lane::High, 1, now);
            (high_waiting, highs) = (high_waiting + 1, highs + 1);
        }
        let taken = take(&mut lanes, APNS, 1, now);
        if high_waiting > 0 {
            assert_eq!(taken, [Lane::High], "a high push goes with the next free slot");
            high_waiting -= 1;
        }
    }
    assert!(highs > 500);

    let mut share = [0_usize; 3];
    for _ in 0..500 {
        fill(&mut lanes, Lane::High, 20, now);
        fill(&mut lanes, Lane::Normal, 20, now);
        for lane in take(&mut lanes, APNS, 21, now) {
            share[lane.index()] += 1;
        }
    }
    let [high, normal, low] = share;
    assert!(high.abs_diff(8_000) <= 16 && normal.abs_diff(2_000) <= 16 && low.abs_diff(500) <= 16, "{share:?}");
}

/// FLOW.md 2.3: who will surely not have its turn in time leaves at once; but only where the line's pace is well known.
#[test]
fn flow_2_3_what_would_expire_leaves_at_once_if_the_pace_is_known() {
    let (mut lanes, start) = (lanes(), Instant::now());
    let impatient = |tag| {
        let mut draft = draft(tag, 1);
        draft.job.ttl = Some(30);
        draft.seal()
    };
    fill(&mut lanes, Lane::Normal, 10_000, start);
    admit(&mut lanes, &impatient(1), start);
    let mut now = start;
    for second in 1..=6 {
        now = start + Duration::from_secs(second);
        lanes.sweep(now, &mut Vec::new());
        assert_eq!(take(&mut lanes, APNS, 100, now).len(), 100);
    }
    // 9,400 ahead at 100 a second: 94 s, 47 s with the margin.
    let mut exits = Vec::new();
    lanes.admit(&impatient(2), now, &mut exits);
    assert_eq!(whys(&exits), [Why::WouldExpire]);
    fill(&mut lanes, Lane::Normal, 1, now);
    let mut high = draft(3, 1).lane(Lane::High);
    high.job.ttl = Some(30);
    admit(&mut lanes, &high.seal(), now);
    let mut wide = draft(4, 100);
    wide.job.ttl = Some(30);
    admit(&mut lanes, &wide.seal(), now);
    // Once the line was empty nothing is known of its pace any more.
    take(&mut lanes, APNS, 100_000, now);
    lanes.sweep(now + Duration::from_secs(1), &mut exits);
    fill(&mut lanes, Lane::Normal, 10_000, now);
    admit(&mut lanes, &impatient(5), now);
}

/// FLOW.md 2.2: what waits for one route does not stand in another's way.
#[test]
fn flow_2_2_routes_do_not_mix() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Normal, 10, now);
    admit(&mut lanes, &draft(99, 1).addressed_to_fcm().seal(), now);
    assert_eq!(active(&lanes), [APNS, FCM]);
    assert_eq!(take(&mut lanes, FCM, 10, now).len(), 1);
    assert_eq!(active(&lanes), [APNS]);
    assert_eq!(take(&mut lanes, APNS, 100, now).len(), 10);
    assert_eq!(active(&lanes), []);
}

/// FLOW.md 2.3: the deadline is checked on entering and on leaving, and an expired push takes nobody's place.
#[test]
fn flow_2_3_expired_pushes_leave_by_an_exit() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Normal, 3, now);
    let mut exits = Vec::new();
    assert!(lanes.take(APNS, 2, now + HOUR + Duration::from_secs(1), &mut exits).is_empty());
    assert_eq!(whys(&exits), [Why::Expired; 3]);
    assert_eq!(lanes.waiting_from(Lane::Normal), 0);

    let mut late = Vec::new();
    lanes.admit(&draft(1, 2).seal(), now + HOUR + Duration::from_secs(1), &mut late);
    assert_eq!(whys(&late), [Why::Expired; 2]);

    fill(&mut lanes, Lane::Low, 2, now);
    let mut swept = Vec::new();
    lanes.sweep(now + Duration::from_secs(1), &mut swept);
    assert!(swept.is_empty());
    lanes.sweep(now + HOUR + Duration::from_secs(1), &mut swept);
    assert_eq!((swept.len(), lanes.waiting_from(Lane::Low)), (2, 0));
}

#[test]
fn what_cannot_be_sent_is_refused_at_the_door_with_its_reason() {
    let (mut lanes, now) = (lanes(), Instant::now());
    let mut nowhere = draft(1, 1);
    nowhere.routes = [None; 3];
    let mut exhausted = draft(2, 1);
    exhausted.origin.exhausted = true;
    let mut bad = draft(3, 1);
    let raw = serde_json::value::to_raw_value(&serde_json::json!({"apns": "/"})).expect("it is JSON");
    bad.job.to[0] = Target::Bad(Box::new(BadTarget { provider: Provider::Apns, raw, detail: "not hex".into() }));
    for (draft, why) in [(nowhere, Why::NoRoute), (exhausted, Why::Exhausted), (bad, Why::BadTarget)] {
        let mut refused = Vec::new();
        lanes.admit(&draft.seal(), now, &mut refused);
        assert_eq!(whys(&refused), [why]);
    }
    assert_eq!(active(&lanes), []);
}

#[test]
fn clearing_returns_everything() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Low, 5, now);
    fill(&mut lanes, Lane::High, 5, now);
    let mut exits = Vec::new();
    lanes.clear(&mut exits);
    assert_eq!(exits.len(), 10);
    assert!(exits.iter().all(|exit| exit.why == Why::Returned));
    assert_eq!((active(&lanes).len(), lanes.waiting_from(Lane::Low)), (0, 0));
}

#[test]
fn a_windows_demand_is_cut_by_the_fan_out() {
    let mut window = Window::new(20_000);
    assert_eq!(window.demand(0), 32, "nothing is known of the jobs yet");
    window.note(1);
    assert_eq!(window.demand(0), 20_000);
    assert_eq!(window.demand(19_990), 10);
    assert_eq!(window.demand(30_000), 0);
    window.note(1_000);
    assert!(window.demand(0) <= 40, "the first wide job is felt at once, not {}", window.demand(0));
    for _ in 0..1_000 {
        window.note(1);
    }
    assert!(window.demand(0) >= 19_000, "and forgotten when it was one of its kind");
}

/// What a lost connection took back comes again by itself; this delivery of it must not be sent as well.
#[test]
fn what_the_source_took_back_is_returned_unsent() {
    let (mut lanes, now) = (lanes(), Instant::now());
    let acknowledger = Arc::new(Remembers::default());
    for tag in 0..4 {
        admit(&mut lanes, &draft(tag, 1).acknowledged_by(&acknowledger).seal(), now);
    }
    assert_eq!(take(&mut lanes, APNS, 1, now).len(), 1);
    acknowledger.lost.store(true, Ordering::Relaxed);
    let mut exits = Vec::new();
    assert_eq!(
        lanes.take(APNS, 1, now, &mut exits).len(),
        0,
        "the first that is gone is passed, and so are the others"
    );
    assert_eq!(exits.iter().map(|exit| exit.why).collect::<Vec<_>>(), [Why::Returned; 3], "and its source is told");
    assert_eq!(lanes.waiting_from(Lane::Normal), 0);
}

/// Before RabbitMQ loses patience with a consumer that does not ack (30 minutes), what is held goes back, durably.
#[test]
fn what_is_held_for_ten_minutes_is_put_off() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Low, 3, now);
    let mut exits = Vec::new();
    lanes.sweep(now + MAX_HELD - Duration::from_secs(1), &mut exits);
    assert!(exits.is_empty());
    lanes.sweep(now + MAX_HELD + Duration::from_secs(1), &mut exits);
    assert!(exits.iter().all(|exit| matches!(exit.why, Why::Parked { .. })));
    assert_eq!((exits.len(), lanes.waiting_from(Lane::Low)), (3, 0));
}
