use super::super::{Broadcast, Demand, Dispatcher, Greatest, Inlet, Intake, Keep, Marker, Partition, Producer, Work};
use super::{NONE, counter, quiet};

fn received(inlet: &mut Inlet<u32>) -> Vec<u32> {
    std::iter::from_fn(|| inlet.try_recv()).flatten().collect()
}

/// FLOW.md 1.1 for a dispatcher: what is not wanted stays, in order.
#[test]
fn flow_1_1_five_of_seven_arrive_and_two_wait() {
    let mut dispatcher = Greatest::new(10, Keep::First);
    let mut inlet = dispatcher.consumer();
    inlet.want(5);
    assert_eq!(dispatcher.dispatch((0..7).collect()), NONE);
    assert_eq!((received(&mut inlet), dispatcher.waiting()), (vec![0, 1, 2, 3, 4], 2));
    inlet.want(5);
    assert_eq!(dispatcher.dispatch(vec![]), NONE);
    assert_eq!((received(&mut inlet), dispatcher.waiting(), dispatcher.wanted()), (vec![5, 6], 0, 3));
}

/// FLOW.md 1.9: to the greatest demand.
#[test]
fn flow_1_9_the_greatest_demand_is_served_first() {
    let mut dispatcher = Greatest::new(0, Keep::First);
    let mut inlets = [2, 7, 5].map(|want| {
        let inlet = dispatcher.consumer();
        inlet.want(want);
        inlet
    });
    assert_eq!(dispatcher.wanted(), 14);
    assert_eq!(dispatcher.dispatch((0..2).collect()), NONE);
    assert_eq!(inlets.each_mut().map(|inlet| received(inlet).len()), [0, 2, 0]);
    assert_eq!(dispatcher.dispatch((0..6).collect()), NONE);
    assert_eq!(inlets.each_mut().map(|inlet| received(inlet).len()), [0, 3, 3], "5 and 5 become 2 and 2");
}

/// FLOW.md 1.9: equal demands get equal shares, whatever the size of the chunks.
#[test]
fn flow_1_9_equal_demands_get_equal_shares() {
    for chunk in [1, 2, 4, 7] {
        let mut dispatcher = Greatest::new(0, Keep::First);
        let mut inlets: Vec<_> = (0..3).map(|_| dispatcher.consumer()).collect();
        let mut shares = [0; 3];
        for _ in 0..100 {
            for inlet in &inlets {
                inlet.want(10);
            }
            assert_eq!(dispatcher.dispatch((0..chunk).collect()), NONE);
            for (share, inlet) in shares.iter_mut().zip(&mut inlets) {
                *share += received(inlet).len();
            }
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1, "{shares:?}");
        }
    }
}

/// FLOW.md 1.9: a full partition holds back only itself, and its surplus is handed over.
#[test]
fn flow_1_9_a_full_partition_holds_back_only_itself() {
    let mut dispatcher = Partition::new(2, 3, Keep::First, |event: &u32| *event as usize);
    let (mut even, mut odd) = (dispatcher.consumer(0), dispatcher.consumer(1));
    odd.want(100);
    let lost = dispatcher.dispatch((0..20).collect());
    assert_eq!(lost, [6, 8, 10, 12, 14, 16, 18]);
    assert_eq!(received(&mut odd), (1..20).step_by(2).collect::<Vec<_>>());
    assert_eq!((dispatcher.depth(0).get(), dispatcher.wanted()), (3, 90));
    even.want(10);
    assert_eq!((dispatcher.dispatch(vec![20]), received(&mut even)), (vec![], vec![0, 2, 4, 20]));
}

/// FLOW.md 1.9: the events of a partition whose consumer leaves are kept, in order, for the next.
#[test]
fn flow_1_9_a_partition_without_a_consumer_keeps_its_events() {
    let mut dispatcher = Partition::new(2, 10, Keep::First, |event: &u32| *event as usize);
    let first = dispatcher.consumer(0);
    first.want(2);
    assert_eq!(dispatcher.dispatch(vec![0, 2, 4]), NONE);
    let mut second = dispatcher.consumer(0);
    second.want(10);
    assert_eq!((dispatcher.dispatch(vec![6]), received(&mut second)), (vec![], vec![]), "it stands by");
    first.give_back(vec![]);
    assert_eq!((dispatcher.dispatch(vec![8]), received(&mut second)), (vec![], vec![0, 2, 4, 6, 8]));
    drop(second);
    assert_eq!((dispatcher.dispatch(vec![10, 12]), dispatcher.consumers()), (vec![], 0));
    assert_eq!(dispatcher.close(false), [10, 12]);
}

/// FLOW.md 1.9: a selector uses up no demand.
#[test]
fn flow_1_9_what_is_not_selected_uses_up_no_demand() {
    let mut dispatcher = Broadcast::new(100, Keep::First);
    let (mut all, mut tens) = (dispatcher.consumer(|_| true), dispatcher.consumer(|event| event % 10 == 0));
    all.want(30);
    tens.want(30);
    assert_eq!((dispatcher.wanted(), dispatcher.dispatch((0..30).collect())), (30, vec![]));
    assert_eq!((received(&mut all).len(), received(&mut tens)), (30, vec![0, 10, 20]));
    assert_eq!((all.outstanding(), tens.outstanding()), (0, 27));
    all.want(30);
    assert_eq!(dispatcher.wanted(), 27);
}

/// FLOW.md 1.9: the slowest consumer sets the pace of a broadcast; one that leaves no longer does.
#[tokio::test(start_paused = true)]
async fn flow_1_9_the_slowest_sets_the_pace() {
    let (source, asked) = counter();
    let mut dispatcher = Broadcast::new(10, Keep::First);
    let mut fast = Intake::of(dispatcher.consumer(|_| true), Demand::up_to(100));
    let mut slow = Intake::of(dispatcher.consumer(|_| true), Demand::between(0, 1));
    let (producer, _handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    let fast = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 500
            && let Some(Work::Events(events)) = fast.next().await
        {
            seen += events.len();
        }
        seen
    });
    let start = tokio::time::Instant::now();
    for nth in 0..60 {
        assert_eq!(slow.next().await, Some(Work::Events(&mut vec![nth])));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!((start.elapsed().as_secs(), asked.seen()), (60, vec![1; 60]));
    assert!(!fast.is_finished());
    drop(slow);
    assert!(fast.await.unwrap() >= 500);
    assert_eq!(start.elapsed().as_secs(), 60, "the fast one needs no time");
    producer.abort();
}

/// FLOW.md 1.11: each consumer of each dispatcher sees a marker behind the events it got before it.
#[test]
fn flow_1_11_every_consumer_sees_the_marker_in_its_place() {
    fn check(mut dispatcher: impl Dispatcher<Event = u32>, mut inlets: [Inlet<u32>; 2]) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(dispatcher.dispatch((0..4).collect()), NONE);
        dispatcher.mark(Marker::Flush);
        assert_eq!(dispatcher.dispatch((4..8).collect()), NONE);
        for inlet in &inlets {
            inlet.want(3);
        }
        for _ in 0..4 {
            assert_eq!(dispatcher.dispatch(vec![]), NONE);
            for inlet in &inlets {
                inlet.want(inlet.outstanding() + 3);
            }
        }
        for inlet in &mut inlets {
            let mut seen = Vec::new();
            while let std::task::Poll::Ready(Some(arrival)) = inlet.poll_next(&mut cx) {
                match arrival {
                    super::super::Arrival::Events(events) => seen.extend(events),
                    super::super::Arrival::Marker(Marker::Flush) => seen.push(1_000),
                    super::super::Arrival::Marker(Marker::Drain) => panic!("nobody sent it"),
                }
            }
            let at = seen.iter().position(|event| *event == 1_000).expect("every consumer sees it");
            assert!(seen[..at].iter().all(|event| *event < 4), "{seen:?}");
            assert!(seen[at + 1..].iter().all(|event| (4..8).contains(event)), "{seen:?}");
            assert!(seen.len() > 2, "{seen:?}");
        }
    }
    let mut greatest = Greatest::new(100, Keep::First);
    let inlets = [greatest.consumer(), greatest.consumer()];
    check(greatest, inlets);
    let mut partition = Partition::new(2, 100, Keep::First, |event: &u32| *event as usize);
    let inlets = [partition.consumer(0), partition.consumer(1)];
    check(partition, inlets);
    let mut broadcast = Broadcast::new(100, Keep::First);
    let inlets = [broadcast.consumer(|_| true), broadcast.consumer(|_| true)];
    check(broadcast, inlets);
}

/// A marker for which there is no consumer yet waits for one.
#[tokio::test(start_paused = true)]
async fn a_marker_waits_for_a_consumer() {
    let mut dispatcher = Greatest::<u32>::new(1, Keep::First);
    dispatcher.mark(Marker::Drain);
    let mut inlet = dispatcher.consumer();
    assert_eq!(dispatcher.dispatch(vec![]), NONE);
    quiet().await;
    assert_eq!(inlet.next().await, Some(super::super::Arrival::Marker(Marker::Drain)));
}
