//! FLOW.md 2.7.

use std::collections::{BTreeMap, HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::job::fixture::Draft;
use crate::job::{Push, UnixMillis};

const SEC: Duration = Duration::from_secs(1);

fn ordered() -> Lanes {
    let mut lanes = lanes();
    lanes.keep_order(APNS, true);
    lanes
}

/// A job to these devices, accepted in the order of its tag.
fn to(tag: u64, devices: impl IntoIterator<Item = u64>) -> Draft {
    let mut draft = draft(tag, 1);
    draft.job.to = devices.into_iter().map(|device| Target::Apns(format!("{device:04x}").into())).collect();
    draft.origin.accepted_at = UnixMillis(draft.origin.accepted_at.0 + tag);
    draft
}

fn tag(push: &Push) -> u64 {
    push.envelope.origin.receipt.tag
}

/// By device, the tags of its pushes as they leave.
fn sent(lanes: &mut Lanes, count: usize, now: Instant) -> BTreeMap<String, Vec<u64>> {
    let mut sent = BTreeMap::<_, Vec<u64>>::new();
    for push in lanes.take(APNS, count, now, &mut Vec::new()) {
        sent.entry(push.target().address().to_owned()).or_default().push(tag(&push));
    }
    sent
}

/// A wide job is spread, so that a narrow one behind it comes up first; but not before the wide one's push to its device.
#[test]
fn flow_2_7_a_narrow_job_does_not_overtake_a_wide_ones_push_to_its_device() {
    let now = Instant::now();
    for keep in [false, true] {
        let mut lanes = lanes();
        lanes.keep_order(APNS, keep);
        admit(&mut lanes, &to(1, 0..1_000).seal(), now);
        admit(&mut lanes, &to(2, [900]).seal(), now);
        admit(&mut lanes, &to(3, [5_000]).seal(), now);
        let first = sent(&mut lanes, 50, now);
        assert_eq!(
            first[&format!("{:04x}", 5_000)],
            [3],
            "2.6 holds: who has nothing to do with it does not wait for it"
        );
        assert_eq!(first[&format!("{:04x}", 900)], [if keep { 1 } else { 2 }]);
        let rest = sent(&mut lanes, 2_000, now);
        assert_eq!(rest[&format!("{:04x}", 900)], [if keep { 2 } else { 1 }]);
        assert!(active(&lanes).is_empty());
    }
}

/// Lanes are what a caller says that may overtake.
#[test]
fn flow_2_7_the_order_is_a_lanes() {
    let (mut lanes, now) = (ordered(), Instant::now());
    admit(&mut lanes, &to(1, [7]).lane(Lane::Low).seal(), now);
    admit(&mut lanes, &to(2, [7]).lane(Lane::High).seal(), now);
    admit(&mut lanes, &to(3, [7]).lane(Lane::High).seal(), now);
    assert_eq!(sent(&mut lanes, 9, now)["0007"], [2, 3, 1]);
}

/// Who is parked is waited for, by its own device alone.
#[test]
fn flow_2_7_nobody_goes_before_one_that_is_parked() {
    let (mut lanes, now) = (ordered(), Instant::now());
    for nth in 1..=2 {
        admit(&mut lanes, &to(nth, [7]).seal(), now);
    }
    let mut exits = Vec::new();
    assert_eq!(lanes.park(APNS, Lane::Normal, 2, 15 * SEC, now, &mut exits), 2);
    let mut later = Vec::new();
    lanes.admit(&to(3, [7]).seal(), now + SEC, &mut later);
    let [Exit { why: Why::Parked { delay }, .. }] = later[..] else { panic!("{:?}", whys(&later)) };
    assert!(delay >= 14 * SEC, "not before those that it must not overtake: {delay:?}");
    admit(&mut lanes, &to(4, [8]).seal(), now + SEC);
    assert_eq!(sent(&mut lanes, 9, now), BTreeMap::from([("0008".into(), vec![4])]));

    // The second comes back too early, the first in time.
    let back = now + 15 * SEC;
    let mut early = Vec::new();
    lanes.admit(&to(2, [7]).seal(), back, &mut early);
    assert!(matches!(whys(&early)[..], [Why::Parked { .. }]));
    for nth in 1..=3 {
        admit(&mut lanes, &to(nth, [7]).seal(), back + 3 * SEC);
    }
    admit(&mut lanes, &to(5, [7]).seal(), back + 3 * SEC);
    assert_eq!(sent(&mut lanes, 9, back)["0007"], [1, 2, 3, 5]);
}

/// Nobody is waited for for ever.
#[test]
fn flow_2_7_who_never_comes_back_is_forgotten() {
    let (mut lanes, now) = (ordered(), Instant::now());
    admit(&mut lanes, &to(1, [7]).seal(), now);
    let mut exits = Vec::new();
    lanes.park(APNS, Lane::Normal, 1, 15 * SEC, now, &mut exits);
    lanes.admit(&to(2, [7]).seal(), now + 70 * SEC, &mut exits);
    assert_eq!(exits.len(), 2, "it may still come");
    admit(&mut lanes, &to(3, [7]).seal(), now + 200 * SEC);
    assert_eq!(sent(&mut lanes, 9, now)["0007"], [3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes, goes, is parked and comes again in whatever order: each device gets its pushes in the order in which
    /// they were accepted, and all of them.
    #[test]
    fn flow_2_7_each_device_gets_its_pushes_in_order(
        steps in prop::collection::vec((0_u8..8, prop::collection::vec(0_u64..60, 1..40), 0_u64..20), 1..60),
    ) {
        let (mut lanes, mut now) = (ordered(), Instant::now());
        let (mut parked, mut next) = (VecDeque::<Push>::new(), 0_u64);
        let (mut last, mut expected) = (HashMap::<String, u64>::new(), 0);
        let take = |lanes: &mut Lanes, count, now, last: &mut HashMap<String, u64>| {
            let taken = lanes.take(APNS, count, now, &mut Vec::new());
            for push in &taken {
                let before = last.insert(push.target().address().to_owned(), tag(push));
                assert!(before.is_none_or(|before| before < tag(push)), "{before:?}, then {}", tag(push));
            }
            taken.len()
        };
        let comes = |lanes: &mut Lanes, push: &Push, now| {
            let mut again = to(tag(push), (0..push.envelope.job.to.len()).map(|nth| {
                let Target::Apns(device) = &push.envelope.job.to[nth] else { panic!("Apple's") };
                u64::from_str_radix(device, 16).expect("it is hexadecimal")
            }));
            again.origin.accepted = now;
            again.origin.selected = Some([push.index].into());
            let mut exits = Vec::new();
            lanes.admit(&again.seal(), now, &mut exits);
                    exits
        };
        for (act, devices, count) in steps {
            now += Duration::from_millis(count * 100);
            let mut exits = Vec::new();
            match act {
                0..=3 => {
                    let mut job = to(next, std::collections::BTreeSet::from_iter(devices));
                    job.origin.accepted = now;
                    expected += job.job.to.len();
                    next += 1;
                    lanes.admit(&job.seal(), now, &mut exits);
                }
                4 | 5 => expected -= take(&mut lanes, count as usize * 4, now, &mut last),
                6 => {
                    lanes.park(APNS, Lane::Normal, count as usize * 3, 15 * SEC, now, &mut exits);
                }
                _ => {
                    for _ in 0..count {
                        // From either end: a source gives things back in no order.
                        let back = if count % 2 == 0 { parked.pop_back() } else { parked.pop_front() };
                        exits.extend(back.into_iter().flat_map(|push| comes(&mut lanes, &push, now)));
                    }
                }
            }
                    parked.extend(exits.into_iter().map(|exit| exit.push));
        }
        for _ in 0..1_000 {
            expected -= take(&mut lanes, 100_000, now, &mut last);
            now += SEC / 10;
            for push in std::mem::take(&mut parked) {
                let exits = comes(&mut lanes, &push, now);
                parked.extend(exits.into_iter().map(|exit| exit.push));
            }
        }
        prop_assert_eq!((expected, parked.len()), (0, 0), "and nobody is left");
    }
}
