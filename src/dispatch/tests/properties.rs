//! Of the dispatch's small machines, what holds whatever happens.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::drain::Drain;
use super::super::shed::{Policy, Shedder};
use super::super::{Isolation, OnOverload};
use super::*;
use crate::job::UnixMillis;

const MS: Duration = Duration::from_millis(1);

proptest! {
    /// FLOW.md 2.5, back-pressure: what is asked for fits, by the jobs seen lately, and by the last one for sure to a half.
    #[test]
    fn flow_2_5_demand_never_passes_the_room(
        max in 1_000_usize..50_000, jobs in prop::collection::vec((1_usize..=1_000, 0_usize..60_000), 1..50),
    ) {
        let mut window = Window::new(max);
        prop_assert!(window.demand(0) <= 32, "nothing is known yet");
        for (pushes, waiting) in jobs {
            window.note(pushes);
            let room = max.saturating_sub(waiting);
            let demand = window.demand(waiting);
            prop_assert!(demand <= room && demand * pushes <= 2 * room, "{demand} jobs of {pushes} into {room}");
            window.resize(max / 2);
            prop_assert!(window.demand(waiting) <= demand);
            window.resize(max);
        }
    }

    /// FLOW.md 2.2: parked is only what a blocked route has beyond a share, from a full lane, while another route asked
    /// in vain; a route for which nothing waits, or whose pushes leave, is left alone.
    #[test]
    fn flow_2_2_only_a_blocked_route_is_parked_and_only_while_another_starves(
        looks in prop::collection::vec((0_usize..40, 0_usize..40, 0_usize..10, 0_usize..40, any::<bool>(), any::<bool>()), 1..150),
    ) {
        let (mut lanes, mut now) = (lanes(), Instant::now());
        let mut isolation = Isolation::new(2, now);
        let (mut tag, mut exits) = (0, Vec::new());
        let mut starved_for = 0;
        let mut waits_for = 0;
        for (to_fcm, to_apns, by_fcm, by_apns, asks, full) in looks {
            now += 100 * MS;
            for nth in 0..to_fcm + to_apns {
                tag += 1;
                let draft = draft(tag, 1);
                let job = if nth < to_fcm { draft.addressed_to_fcm() } else { draft };
                lanes.admit(&job.seal(), now, &mut exits);
            }
            lanes.take(FCM, by_fcm, now, &mut exits);
            lanes.take(APNS, by_apns, now, &mut exits);
            starved_for = if asks && !lanes.waits_for(APNS) { starved_for + 1 } else { 0 };
            waits_for = if lanes.waits_for(FCM) { waits_for + 1 } else { 0 };
            for parking in isolation.look(&lanes, |id| id == APNS && asks, [false, full, false], now) {
                prop_assert!(full && starved_for >= 2 && waits_for > 20, "{parking:?}");
                prop_assert_eq!((parking.route, parking.from), (FCM, Lane::Normal));
                prop_assert!(parking.count < lanes.held(FCM, Lane::Normal), "it keeps some");
                prop_assert!((15..=70).contains(&parking.delay.as_secs()));
            }
        }
    }

    /// FLOW.md 2.5: a line that drains in time is never overloaded, one that stands too old for long enough is, and one
    /// that was is not for ever.
    #[test]
    fn flow_2_5_a_line_is_overloaded_when_it_stands(ages in prop::collection::vec(0_u64..6_000, 1..200)) {
        let policy = Policy::of(&LaneSettings {
            max_age: Some(4_000 * MS),
            on_overload: OnOverload::ShedOldest,
            ..LaneSettings::weighing(1)
        });
        let waits = Policy::of(&LaneSettings { max_age: Some(MS), ..LaneSettings::weighing(1) });
        let (mut shedder, mut never) = (Shedder::default(), Shedder::default());
        let start = Instant::now() + Duration::from_secs(100);
        let (mut old, mut young) = (0, 100);
        for (look, age) in (0..).zip(ages) {
            let now = start + 100 * MS * look;
            let oldest = Some(now.checked_sub(Duration::from_millis(age)).expect("not so old"));
            let overloaded = shedder.look(&policy, oldest, now);
            (old, young) = if age > 4_000 { (old + 1, 0) } else { (0, young + 1) };
            prop_assert!(old <= 20 || overloaded, "too old for two seconds");
            prop_assert!(young <= 20 || !overloaded, "and not too old for two seconds");
            prop_assert!(!never.look(&waits, oldest, now), "where nothing may be shed nothing is");
        }
    }

    /// FLOW.md 2.3: a pace is known only of a line in which somebody waited throughout, and is what was measured.
    #[test]
    fn flow_2_3_a_pace_is_known_of_a_line_that_stood(seconds in prop::collection::vec((0_usize..500, 0_usize..500, any::<bool>()), 1..40)) {
        let start = Instant::now();
        let mut drain = Drain::new(start);
        drain.measure(1, start + Duration::from_secs(1));
        let (mut stood, mut most) = (0, 0.0_f64);
        for (nth, (taken, others, empties)) in (2..).zip(seconds) {
            drain.note(taken, taken + others, usize::from(!empties));
            drain.measure(1, start + Duration::from_secs(nth));
            (stood, most) = if empties { (0, 0.0) } else { (stood + 1, most.max((taken + others) as f64)) };
            prop_assert!(drain.best().is_none_or(|best| stood >= 5 && best <= most + 1e-6));
            prop_assert_eq!(drain.mean().is_some(), stood > 0);
            if let (Some(mean), Some(best)) = (drain.mean(), drain.best()) {
                prop_assert!(mean <= best + 1e-6);
            }
        }
    }

    /// FLOW.md 2.4: of each target and key one waits at most, and it is the newest; all others have their exit.
    #[test]
    fn flow_2_4_one_of_each_target_and_key_waits(jobs in prop::collection::vec((0_u8..5, 0_usize..3, 0_u64..1_000, any::<bool>()), 1..60)) {
        let (mut lanes, now) = (lanes(), Instant::now());
        let mut exits = Vec::new();
        let mut newest = std::collections::HashMap::new();
        let mut taken = 0;
        for (tag, (device, lane, accepted_at, take)) in (0..).zip(jobs) {
            let mut draft = draft(tag, 1).lane(Lane::ALL[lane]);
            draft.job.to[0] = Target::Apns(format!("{device:02x}").into());
            draft.job.collapse_key = Some("key".into());
            draft.origin.accepted_at = UnixMillis(accepted_at);
            lanes.admit(&draft.seal(), now, &mut exits);
            let latest = newest.entry(device).or_insert(accepted_at);
            *latest = accepted_at.max(*latest);
            if take && tag % 7 == 0 {
                let pushes = lanes.take(APNS, 100, now, &mut exits);
                let targets: HashSet<_> = pushes.iter().map(|push| push.target().hash()).collect();
                prop_assert_eq!(targets.len(), pushes.len());
                for push in &pushes {
                    let device = (0..5).find(|device| *push.target() == Target::Apns(format!("{device:02x}").into()));
                    prop_assert_eq!(push.envelope.origin.accepted_at.0, newest[&device.expect("one of five")]);
                }
                taken += pushes.len();
                newest.clear();
            }
            let waiting: usize = Lane::ALL.into_iter().map(|from| lanes.waiting_from(from)).sum();
            prop_assert!(waiting <= newest.len());
            prop_assert_eq!(taken + waiting + exits.len(), usize::try_from(tag).expect("few") + 1);
        }
        prop_assert!(whys(&exits).iter().all(|why| *why == Why::Collapsed));
    }

    /// FLOW.md 2.6: whatever wide jobs stand before it, a single push is among the next 17 of its lane.
    #[test]
    fn flow_2_6_a_single_push_never_waits_for_more_than_a_quantum(
        wide in prop::collection::vec(17_usize..=1_000, 0..20), before in 0_usize..100,
    ) {
        let (mut lanes, now) = (lanes(), Instant::now());
        for (tag, targets) in (0..).zip(wide) {
            admit(&mut lanes, &draft(tag, targets).seal(), now);
        }
        lanes.take(APNS, before, now, &mut Vec::new());
        admit(&mut lanes, &draft(99, 1).seal(), now);
        let next = lanes.take(APNS, 17, now, &mut Vec::new());
        prop_assert!(next.iter().any(|push| push.envelope.origin.receipt.tag == 99));
    }
}
