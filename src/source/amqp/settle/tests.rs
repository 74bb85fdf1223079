use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_contiguous_run_is_one_ack() {
    let start = Instant::now();
    let mut ledger = Ledger::new();
    for tag in 1..=100 {
        ledger.delivered(tag, tag);
    }
    for tag in (1..=100).rev() {
        assert!(ledger.settle(tag, start));
    }
    assert!(ledger.flush(start + ms(4), false).is_empty());
    assert_eq!(ledger.due(start), Some(start + FLUSH_AFTER));
    assert_eq!(ledger.flush(start + ms(5), false), [Ack { acker: 100, multiple: true }]);
    assert_eq!((ledger.outstanding_before(u64::MAX), ledger.due(start)), (0, None));
}

#[test]
fn a_straggler_is_passed_by_after_a_quarter_second() {
    let start = Instant::now();
    let mut ledger = Ledger::new();
    for tag in 1..=4 {
        ledger.delivered(tag, tag);
    }
    ledger.settle(2, start);
    ledger.settle(3, start);
    assert!(ledger.flush(start + ms(249), false).is_empty());
    let singles = [Ack { acker: 2, multiple: false }, Ack { acker: 3, multiple: false }];
    assert_eq!(ledger.flush(start + ms(275), false), singles);
    ledger.settle(1, start + ms(300));
    ledger.settle(4, start + ms(300));
    assert_eq!(ledger.flush(start + ms(305), false), [Ack { acker: 4, multiple: true }]);
}

#[test]
fn a_tag_that_was_never_seen_is_never_acked() {
    let start = Instant::now();
    let mut ledger = Ledger::new();
    ledger.delivered(1, 1);
    ledger.delivered(3, 3);
    assert!(!ledger.settle(2, start), "nobody delivered it");
    ledger.settle(1, start);
    ledger.settle(3, start);
    let acks = ledger.flush(start, true);
    assert_eq!(acks, [Ack { acker: 1, multiple: false }, Ack { acker: 3, multiple: false }]);
}

#[derive(Debug, Clone)]
enum Step {
    Deliver,
    Skip,
    Settle(prop::sample::Index),
    Take(prop::sample::Index),
    Wait(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Deliver),
        1 => Just(Step::Skip),
        6 => any::<prop::sample::Index>().prop_map(Step::Settle),
        1 => any::<prop::sample::Index>().prop_map(Step::Take),
        3 => (0..100u64).prop_map(Step::Wait),
        3 => Just(Step::Flush),
    ]
}

/// The broker, as far as acks go: which tags it counts as delivered and unacked.
#[derive(Default)]
struct Broker {
    unacked: BTreeSet<u64>,
    acked: BTreeSet<u64>,
}

impl Broker {
    fn ack(&mut self, ack: &Ack<u64>) -> Vec<u64> {
        assert!(self.unacked.contains(&ack.acker), "unknown delivery tag {}: the channel would be closed", ack.acker);
        let tags: Vec<u64> =
            if ack.multiple { self.unacked.range(..=ack.acker).copied().collect() } else { vec![ack.acker] };
        for tag in &tags {
            self.unacked.remove(tag);
            assert!(self.acked.insert(*tag), "{tag} acked twice");
        }
        tags
    }
}

proptest! {
    #[test]
    fn only_settled_jobs_are_acked_and_all_of_them_in_time(steps in prop::collection::vec(step(), 1..400)) {
        let mut now = Instant::now();
        let mut ledger = Ledger::new();
        let mut broker = Broker::default();
        let mut settled: std::collections::BTreeMap<u64, Instant> = Default::default();
        let mut open: Vec<u64> = Vec::new();
        let mut next = 1;
        let check = |ledger: &mut Ledger<u64>, broker: &mut Broker,
                         settled: &std::collections::BTreeMap<u64, Instant>, now, all| {
            for ack in ledger.flush(now, all) {
                for tag in broker.ack(&ack) {
                    assert!(settled.contains_key(&tag), "{tag} is not settled");
                }
            }
        };
        for step in steps {
            match step {
                Step::Deliver => {
                    broker.unacked.insert(next);
                    ledger.delivered(next, next);
                    open.push(next);
                    next += 1;
                }
                Step::Skip => {
                    // A delivery that never reached us: the broker counts it as ours.
                    broker.unacked.insert(next);
                    next += 1;
                }
                Step::Settle(index) if !open.is_empty() => {
                    let tag = open.swap_remove(index.index(open.len()));
                    prop_assert!(ledger.settle(tag, now));
                    prop_assert!(!ledger.settle(tag, now), "settled twice");
                    settled.insert(tag, now);
                }
                Step::Take(index) if !open.is_empty() => {
                    let tag = open.swap_remove(index.index(open.len()));
                    prop_assert_eq!(ledger.take(tag), Some(tag));
                    broker.unacked.remove(&tag);
                }
                Step::Wait(millis) => now += ms(millis),
                Step::Flush => {
                    check(&mut ledger, &mut broker, &settled, now, false);
                    for (tag, at) in &settled {
                        let late = now.saturating_duration_since(*at) > STRAGGLER_AFTER + SCAN_EVERY + FLUSH_AFTER;
                        prop_assert!(!late || broker.acked.contains(tag), "{} waits for its ack too long", tag);
                    }
                }
                _ => {}
            }
            prop_assert_eq!(ledger.open(), open.len());
        }
        check(&mut ledger, &mut broker, &settled, now, true);
        prop_assert_eq!(broker.acked.len(), settled.len());
        prop_assert_eq!(ledger.outstanding_before(u64::MAX), open.len());
    }
}
