//! What holds of every dispatcher, whatever happens in whatever order. Seeds of failures are kept beside the crate.

use proptest::prelude::*;

use super::super::{Broadcast, Dispatcher, Greatest, Inlet, Keep, Partition};

/// Something happens.
#[derive(Debug, Clone)]
enum Happens {
    /// So many events come from the source.
    Come(usize),
    /// A consumer wants so many.
    Want(usize, usize),
    /// A consumer receives what is there.
    Receive(usize),
    /// A consumer leaves, gives back what is on its way, and a new one takes its place.
    Leave(usize),
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        4 => (0_usize..12).prop_map(Happens::Come),
        4 => (0_usize..CONSUMERS, 0_usize..10).prop_map(|(who, count)| Happens::Want(who, count)),
        3 => (0_usize..CONSUMERS).prop_map(Happens::Receive),
        1 => (0_usize..CONSUMERS).prop_map(Happens::Leave),
    ];
    prop::collection::vec(one, 1..120)
}

const CONSUMERS: usize = 3;
const CAPACITY: usize = 8;

/// Lets everything happen; what each consumer received, what was handed over, what was left, and how many came.
struct Run {
    received: Vec<Vec<u32>>,
    lost: Vec<u32>,
    left: Vec<u32>,
    came: u32,
}

fn run<D: Dispatcher<Event = u32>>(
    mut dispatcher: D,
    consumer: impl Fn(&mut D, usize) -> Inlet<u32>,
    happenings: &[Happens],
    check: impl Fn(&mut D),
) -> Run {
    let mut inlets: Vec<_> = (0..CONSUMERS).map(|nth| consumer(&mut dispatcher, nth)).collect();
    let mut run = Run { received: vec![Vec::new(); CONSUMERS], lost: Vec::new(), left: Vec::new(), came: 0 };
    for happens in happenings {
        let mut coming = Vec::new();
        match *happens {
            Happens::Come(count) => {
                let first = run.came;
                run.came += u32::try_from(count).unwrap();
                coming = (first..run.came).collect();
            }
            Happens::Want(who, count) => inlets[who].want(count),
            Happens::Receive(who) => {
                let wanted = inlets[who].outstanding();
                let events: Vec<u32> = std::iter::from_fn(|| inlets[who].try_recv()).flatten().collect();
                // A withdrawal may cross with a chunk; otherwise never more than was asked for.
                assert!(wanted == 0 || events.len() <= wanted.max(10), "{} of {wanted}", events.len());
                run.received[who].extend(events);
            }
            Happens::Leave(who) => {
                let next = consumer(&mut dispatcher, who);
                std::mem::replace(&mut inlets[who], next).give_back(Vec::new());
            }
        }
        run.lost.extend(dispatcher.dispatch(coming));
        check(&mut dispatcher);
    }
    for (who, inlet) in inlets.iter_mut().enumerate() {
        run.received[who].extend(std::iter::from_fn(|| inlet.try_recv()).flatten());
    }
    run.left = dispatcher.close(false);
    run
}

impl Run {
    /// Every event is in exactly one place.
    fn conserved(&self) -> Result<(), TestCaseError> {
        let places = self.received.iter().flatten().chain(&self.lost).chain(&self.left);
        let mut all: Vec<u32> = places.copied().collect();
        all.sort_unstable();
        prop_assert!(all.iter().copied().eq(0..self.came), "{all:?} of {}", self.came);
        Ok(())
    }
}

fn ascending(events: &[u32]) -> bool {
    events.is_sorted()
}

proptest! {
    /// FLOW.md 1.13 and conservation, for the greatest demand.
    #[test]
    fn flow_1_13_greatest_never_has_demand_and_events_both(
        happenings in happenings(), last in any::<bool>(),
    ) {
        let keep = if last { Keep::Last } else { Keep::First };
        let run = run(Greatest::new(CAPACITY, keep), |dispatcher, _| dispatcher.consumer(), &happenings, |dispatcher| {
            assert!(dispatcher.waiting() == 0 || dispatcher.wanted() == 0);
            assert!(dispatcher.waiting() <= CAPACITY + 10 * CONSUMERS, "bounded by capacity and demand");
        });
        run.conserved()?;
        if !happenings.iter().any(|happens| matches!(happens, Happens::Leave(_))) {
            prop_assert!(run.received.iter().all(|events| ascending(events)));
            prop_assert!(ascending(&run.left));
        }
    }

    /// Each partition gets its own, all of it, in order, also across changes of its consumer.
    #[test]
    fn flow_1_9_partitions_keep_the_order_of_their_keys(happenings in happenings()) {
        let key = |event: &u32| *event as usize % CONSUMERS;
        let dispatcher = Partition::new(CONSUMERS, CAPACITY, Keep::First, key);
        let run = run(dispatcher, Partition::consumer, &happenings, |_| {});
        run.conserved()?;
        for (nth, events) in run.received.iter().enumerate() {
            prop_assert!(events.iter().all(|event| key(event) == nth));
            prop_assert!(ascending(events), "{events:?}");
            let left: Vec<u32> = run.left.iter().copied().filter(|event| key(event) == nth).collect();
            prop_assert!(ascending(&left));
            prop_assert!(events.last().is_none_or(|last| left.first().is_none_or(|first| last < first)));
        }
    }

    /// In every partition there is demand or there are events, never both.
    #[test]
    fn flow_1_13_one_partition_never_has_demand_and_events_both(happenings in happenings()) {
        let dispatcher = Partition::new(1, CAPACITY, Keep::Last, |_: &u32| 0);
        let run = run(dispatcher, |dispatcher, _| dispatcher.consumer(0), &happenings, |dispatcher| {
            assert!(dispatcher.waiting() == 0 || dispatcher.wanted() == 0);
        });
        run.conserved()?;
    }

    /// A broadcast's consumers that stay get the same events in the same order, each its selection of them.
    #[test]
    fn flow_1_9_broadcast_sends_all_the_same(happenings in happenings()) {
        let stays = |happens: &&Happens| !matches!(happens, Happens::Leave(_));
        let happenings: Vec<Happens> = happenings.iter().filter(stays).cloned().collect();
        let dispatcher = Broadcast::new(CAPACITY, Keep::First);
        let select = |nth: usize| move |event: &u32| nth == 0 || *event as usize % CONSUMERS == nth;
        let run = run(dispatcher, |dispatcher, nth| dispatcher.consumer(select(nth)), &happenings, |dispatcher| {
            assert!(dispatcher.waiting() == 0 || dispatcher.wanted() == 0);
        });
        let sent = &run.received[0];
        prop_assert!(ascending(sent));
        for (nth, events) in run.received.iter().enumerate().skip(1) {
            let selected: Vec<u32> = sent.iter().copied().filter(select(nth)).collect();
            prop_assert_eq!(events, &selected);
        }
        let mut all: Vec<u32> = sent.iter().chain(&run.lost).chain(&run.left).copied().collect();
        all.sort_unstable();
        prop_assert!(all.iter().copied().eq(0..run.came));
    }

    /// The shares of the greatest-demand dispatcher are those of the plain rule: one event at a time, to the greatest.
    #[test]
    fn flow_1_9_shares_are_those_of_one_at_a_time(
        demands in prop::collection::vec(0_usize..50, 1..8), events in 0_usize..300, turn in 0_usize..8,
    ) {
        let mut turn = turn;
        let shares = super::super::dispatcher::shares(&demands, events, &mut turn);
        prop_assert_eq!(shares.iter().sum::<usize>(), events.min(demands.iter().sum()));
        let mut plain = demands.clone();
        for _ in 0..events.min(demands.iter().sum()) {
            *plain.iter_mut().max().unwrap() -= 1;
        }
        let mut left: Vec<usize> = demands.iter().zip(&shares).map(|(demand, share)| demand - share).collect();
        left.sort_unstable();
        plain.sort_unstable();
        prop_assert_eq!(left, plain);
        for (a, share_of_a) in demands.iter().zip(&shares) {
            for (b, share_of_b) in demands.iter().zip(&shares) {
                prop_assert!(a != b || share_of_a.abs_diff(*share_of_b) <= 1, "equal demands, equal shares");
            }
        }
    }
}
