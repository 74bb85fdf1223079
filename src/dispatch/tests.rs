use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Exit, Lanes, Why, Window};
use crate::job::fixture::{Remembers, draft};
use crate::job::{BadTarget, Lane, Provider, RouteId, Target};

const HOUR: Duration = Duration::from_secs(3600);
const APNS: RouteId = RouteId(0);
const FCM: RouteId = RouteId(1);

fn lanes() -> Lanes {
    Lanes::new([16, 4, 1], [HOUR, HOUR])
}

fn fill(lanes: &mut Lanes, lane: Lane, pushes: u64, now: Instant) {
    for tag in 0..pushes {
        let push = draft(tag, 1).lane(lane).seal().push(0);
        assert!(lanes.admit(push, now).is_ok());
    }
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

/// FLOW.md 2.1: an idle share is used by the others, and a push in an empty `high` lane goes next.
#[test]
fn flow_2_1_an_idle_share_is_used_and_high_goes_next() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Low, 100, now);
    assert_eq!(take(&mut lanes, APNS, 50, now), [Lane::Low; 50]);
    fill(&mut lanes, Lane::High, 1, now);
    assert_eq!(take(&mut lanes, APNS, 2, now), [Lane::High, Lane::Low]);
}

/// FLOW.md 2.2: what waits for one route does not stand in another's way.
#[test]
fn flow_2_2_routes_do_not_mix() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Normal, 10, now);
    lanes.admit(draft(99, 1).addressed_to_fcm().seal().push(0), now).map_err(|exit| exit.why).expect("it has a route");
    assert_eq!(lanes.active().collect::<Vec<_>>(), [APNS, FCM]);
    assert_eq!(take(&mut lanes, FCM, 10, now).len(), 1);
    assert_eq!(lanes.active().collect::<Vec<_>>(), [APNS]);
    assert_eq!(take(&mut lanes, APNS, 100, now).len(), 10);
    assert_eq!(lanes.active().count(), 0);
}

/// FLOW.md 2.3: the deadline is checked on entering and on leaving, and an expired push takes nobody's place.
#[test]
fn flow_2_3_expired_pushes_leave_by_an_exit() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Normal, 3, now);
    let mut exits = Vec::new();
    assert!(lanes.take(APNS, 2, now + HOUR + Duration::from_secs(1), &mut exits).is_empty());
    assert_eq!(exits.iter().map(|exit| exit.why).collect::<Vec<_>>(), [Why::Expired; 3]);
    assert_eq!(lanes.waiting_from(Lane::Normal), 0);

    let late = lanes.admit(draft(1, 1).seal().push(0), now + HOUR + Duration::from_secs(1));
    assert!(matches!(late, Err(Exit { why: Why::Expired, .. })));

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
        let refused = lanes.admit(draft.seal().push(0), now);
        assert!(matches!(refused, Err(Exit { why: got, .. }) if got == why), "{why:?}");
    }
    assert_eq!(lanes.active().count(), 0);
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
    assert_eq!((lanes.active().count(), lanes.waiting_from(Lane::Low)), (0, 0));
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
        let push = draft(tag, 1).acknowledged_by(&acknowledger).seal().push(0);
        assert!(lanes.admit(push, now).is_ok());
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
