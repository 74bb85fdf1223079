//! Whatever happens in whatever order: everything admitted leaves exactly once, the counts are those of what waits, and
//! a job's pushes leave in order.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::OnOverload;
use super::*;
use crate::job::{FcmTarget, Push};

#[derive(Debug, Clone)]
enum Act {
    Admit { targets: usize, lane: Lane, mixed: bool, key: bool, ttl: u32 },
    Take { fcm: bool, count: usize },
    Park { fcm: bool, from: Lane, count: usize },
    Sweep,
    Shed,
    Close { fcm: bool },
    Open { fcm: bool },
    Pass { millis: u64 },
}

fn lane() -> impl Strategy<Value = Lane> {
    prop::sample::select(Lane::ALL.to_vec())
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (prop_oneof![3 => Just(1_usize), 2 => 2..40_usize, 1 => 900..=1_000_usize], lane(), any::<bool>(), prop::bool::weighted(0.3), 1..60_u32)
            .prop_map(|(targets, lane, mixed, key, ttl)| Act::Admit { targets, lane, mixed, key, ttl }),
        4 => (any::<bool>(), 0..200_usize).prop_map(|(fcm, count)| Act::Take { fcm, count }),
        1 => (any::<bool>(), lane(), 0..500_usize).prop_map(|(fcm, from, count)| Act::Park { fcm, from, count }),
        1 => Just(Act::Sweep),
        2 => Just(Act::Shed),
        1 => any::<bool>().prop_map(|fcm| Act::Close { fcm }),
        1 => any::<bool>().prop_map(|fcm| Act::Open { fcm }),
        2 => (0..3_000_u64).prop_map(|millis| Act::Pass { millis }),
    ]
}

/// What has left, by job and target.
#[derive(Default)]
struct Seen {
    left: HashMap<(u64, u16), u32>,
    last_sent: HashMap<(u64, RouteId), u16>,
}

impl Seen {
    fn leaves(&mut self, push: &Push) {
        *self.left.entry((push.envelope.origin.receipt.tag, push.index)).or_default() += 1;
    }

    fn sent(&mut self, push: &Push, route: RouteId) {
        assert_eq!(push.route(), Some(route));
        self.leaves(push);
        if push.envelope.job.collapse_key.is_none() {
            let last = self.last_sent.insert((push.envelope.origin.receipt.tag, route), push.index);
            assert!(last.is_none_or(|last| last < push.index), "a job's order is kept");
        }
    }
}

/// A job whose first devices are the same as those of other jobs.
fn job(tag: u64, act: &Act, now: Instant) -> Arc<Envelope> {
    let Act::Admit { targets, lane, mixed, key, ttl } = *act else { panic!("it is no admission") };
    let mut draft = draft(tag, targets).lane(lane);
    draft.origin.accepted = now;
    draft.job.ttl = Some(ttl);
    draft.job.collapse_key = key.then(|| "key".into());
    for (nth, target) in draft.job.to.iter_mut().enumerate() {
        if mixed && nth % 2 == 1 {
            *target = Target::Fcm(FcmTarget::Token(format!("{nth}").into()));
        } else if key {
            *target = Target::Apns(format!("{nth:04x}").into());
        }
    }
    draft.job.priority = tag.is_multiple_of(5).then_some(Lane::High);
    draft.seal()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn everything_admitted_leaves_exactly_once(acts in prop::collection::vec(act(), 1..60)) {
        let policies = [OnOverload::Wait, OnOverload::ShedNewest, OnOverload::ShedOldest];
        let settings = [0, 1, 2].map(|lane| LaneSettings {
            max_age: Some(Duration::from_secs(2)),
            on_overload: policies[lane],
            ..LaneSettings::weighing([16, 4, 1][lane])
        });
        let mut now = Instant::now();
        let mut lanes = Lanes::new(&settings, [HOUR, HOUR], now);
        let mut seen = Seen::default();
        let mut open = [true; 2];
        let (mut tag, mut admitted) = (0, 0);
        for act in &acts {
            let mut exits = Vec::new();
            match act {
                Act::Admit { targets, .. } => {
                    tag += 1;
                    admitted += targets;
                    lanes.admit(&job(tag, act, now), now, &mut exits);
                }
                Act::Take { fcm, count } => {
                    let route = if *fcm { FCM } else { APNS };
                    let waiting: usize = Lane::ALL.into_iter().map(|from| lanes.held(route, from)).sum();
                    let taken = lanes.take(route, *count, now, &mut exits);
                    prop_assert_eq!(taken.len(), waiting.saturating_sub(exits.len()).min(*count));
                    taken.iter().for_each(|push| seen.sent(push, route));
                }
                Act::Park { fcm, from, count } => {
                    let route = if *fcm { FCM } else { APNS };
                    lanes.park(route, *from, *count, Duration::from_secs(15), now, &mut exits);
                }
                Act::Sweep => lanes.sweep(now, &mut exits),
                Act::Shed => lanes.shed(now, &mut exits),
                Act::Close { fcm } => {
                    let route = if *fcm { FCM } else { APNS };
                    let waiting: usize = Lane::ALL.into_iter().map(|from| lanes.held(route, from)).sum();
                    lanes.close(route, now, &mut exits);
                    prop_assert_eq!(exits.len(), waiting, "all that waited leaves");
                    open[usize::from(*fcm)] = false;
                }
                Act::Open { fcm } => {
                    if !std::mem::replace(&mut open[usize::from(*fcm)], true) {
                        lanes.open(if *fcm { FCM } else { APNS }, HOUR, now);
                    }
                }
                Act::Pass { millis } => now += Duration::from_millis(*millis),
            }
            exits.iter().for_each(|exit| seen.leaves(&exit.push));
            prop_assert!(open[0] || !lanes.waits_for(APNS));
            prop_assert!(open[1] || !lanes.waits_for(FCM));
            let waiting: usize = Lane::ALL.into_iter().map(|from| lanes.waiting_from(from)).sum();
            prop_assert_eq!(admitted, waiting + seen.left.len(), "{:?}", act);
        }
        let mut exits = Vec::new();
        lanes.clear(&mut exits);
        exits.iter().for_each(|exit| seen.leaves(&exit.push));
        prop_assert_eq!(seen.left.len(), admitted);
        prop_assert!(seen.left.values().all(|times| *times == 1));
    }

    /// FLOW.md 2.1, whatever the weights and however much is asked for at a time: while all lanes have something to send,
    /// each gets its weight's share of every round, and nobody gets more than was asked for.
    #[test]
    fn flow_2_1_shares_are_those_of_the_weights(
        weights in prop::array::uniform3(1..40_u32),
        asks in prop::collection::vec(1..50_usize, 1..40),
        wide in prop::array::uniform3(any::<bool>()),
    ) {
        let now = Instant::now();
        let mut lanes = Lanes::new(&weights.map(LaneSettings::weighing), [HOUR, HOUR], now);
        for lane in Lane::ALL {
            let targets = if wide[lane.index()] { 1_000 } else { 1 };
            for tag in 0..2_000 / targets {
                admit(&mut lanes, &draft(tag as u64, targets).lane(lane).seal(), now);
            }
        }
        let mut sent = [0_usize; 3];
        for ask in asks {
            let taken = take(&mut lanes, APNS, ask, now);
            prop_assert_eq!(taken.len(), ask);
            taken.iter().for_each(|lane| sent[lane.index()] += 1);
            let total: usize = sent.iter().sum();
            let round = weights.iter().sum::<u32>() as usize;
            for lane in Lane::ALL {
                let weight = weights[lane.index()] as usize;
                let (least, most) = (total / round * weight, total.div_ceil(round) * weight);
                prop_assert!((least..=most).contains(&sent[lane.index()]), "{lane}: {sent:?} of {weights:?}");
            }
        }
    }
}
