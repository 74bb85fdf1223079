//! FLOW.md 1.12: a stage that crashes takes no events with it.

use super::super::{
    Broadcast, Cancel, Demand, Dispatcher, End, Greatest, Intake, Keep, Over, Partition, Produce, Produced, Producer,
    Through, Work, from_iter, link,
};
use super::{NONE, quiet};

/// Works until it meets `fatal`, which it does not survive; returns never, or what it has seen.
async fn fragile(mut intake: Intake<u32>, fatal: u32) -> Vec<u32> {
    let mut seen = Vec::new();
    while let Some(Work::Events(events)) = intake.next().await {
        // An event is done when it is taken out.
        while !events.is_empty() {
            assert_ne!(events[0], fatal, "on purpose");
            seen.push(events.remove(0));
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn flow_1_12_what_a_crashed_consumer_held_goes_to_the_others() {
    let mut dispatcher = Greatest::new(10, Keep::First);
    let first = tokio::spawn(fragile(Intake::of(dispatcher.consumer(), Demand::up_to(10)), 3));
    let (producer, handle) = Producer::new(from_iter(0..20_u32), dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    assert!(first.await.unwrap_err().is_panic());
    let inlet = handle.with(Greatest::consumer).await.unwrap();
    let second = fragile(Intake::of(inlet, Demand::up_to(10)), 99).await;
    assert_eq!(second, (3..20).collect::<Vec<_>>(), "those before 3 were done; all others come, in order");
    assert!(matches!(producer.await.unwrap().end, End::Finished));
}

#[tokio::test(start_paused = true)]
async fn flow_1_12_an_aborted_consumer_gives_back_too() {
    let (mut outlet, inlet) = link(std::sync::Arc::default());
    let mut intake = Intake::of(inlet, Demand::up_to(4));
    assert_eq!((outlet.demand(), outlet.try_send(&mut vec![1, 2, 3, 4])), (4, Ok(4)));
    let consumer = tokio::spawn(async move {
        assert!(intake.next().await.is_some());
        std::future::pending::<()>().await;
    });
    quiet().await;
    consumer.abort();
    assert!(consumer.await.unwrap_err().is_cancelled());
    assert_eq!(outlet.take_back(), Some(vec![1, 2, 3, 4]));
}

/// A partition's events wait for its next consumer, and come in the order of their key.
#[tokio::test(start_paused = true)]
async fn flow_1_12_a_crashed_partition_goes_on_where_it_stopped() {
    let mut dispatcher = Partition::new(2, 100, Keep::First, |event: &u32| *event as usize);
    let even = tokio::spawn(fragile(Intake::of(dispatcher.consumer(0), Demand::up_to(6)), 8));
    let odd = tokio::spawn(fragile(Intake::of(dispatcher.consumer(1), Demand::up_to(6)), 99));
    let (producer, handle) = Producer::new(from_iter(0..40_u32), dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    assert!(even.await.unwrap_err().is_panic());
    let inlet = handle.with(|dispatcher| dispatcher.consumer(0)).await.unwrap();
    let even = fragile(Intake::of(inlet, Demand::up_to(6)), 99).await;
    assert_eq!(even, (8..40).step_by(2).collect::<Vec<_>>());
    assert_eq!(odd.await.unwrap(), (1..40).step_by(2).collect::<Vec<_>>());
    assert!(matches!(producer.await.unwrap().end, End::Finished));
}

/// Others have had what a broadcast's consumer gives back: it is handed over.
#[tokio::test(start_paused = true)]
async fn flow_1_12_what_a_crashed_listener_held_is_handed_over() {
    let mut dispatcher = Broadcast::new(10, Keep::First);
    let (one, mut two) = (dispatcher.consumer(|_| true), dispatcher.consumer(|_| true));
    one.want(2);
    two.want(2);
    assert_eq!(dispatcher.dispatch(vec![1, 2, 3]), NONE);
    one.give_back(vec![]);
    assert_eq!(dispatcher.dispatch(vec![]), [1, 2]);
    assert_eq!(two.recv().await, Some(vec![1, 2]));
    two.want(2);
    assert_eq!((dispatcher.wanted(), dispatcher.dispatch(vec![])), (0, vec![]));
    assert_eq!((two.recv().await, dispatcher.wanted()), (Some(vec![3]), 1));
}

/// A producer-consumer that panics: its input goes back upstream, what waits in its buffer to whoever runs it, and its
/// consumer sees a crash.
#[tokio::test(start_paused = true)]
async fn flow_1_12_a_crashed_producer_consumer_loses_nothing() {
    let mut first = Greatest::new(10, Keep::First);
    let upstream = Intake::of(first.consumer(), Demand::between(2, 4));
    let (producer, handle) = Producer::new(from_iter(0..8_u32), first, drop);
    let producer = tokio::spawn(producer.run());
    let change = |events: &mut Vec<u32>| {
        assert!(!events.contains(&4), "on purpose");
        events.drain(..).flat_map(|event| [event * 10, event * 10 + 1]).collect()
    };
    let mut second = Greatest::new(10, Keep::First);
    let inlet = second.consumer();
    let (mut intake, door) = Intake::new();
    door.subscribe(inlet, Demand::between(0, 3), Cancel::Transient).await;
    let (relay, _relay_handle) = Producer::new(Through::new(upstream, change), second, drop);
    let relay = tokio::spawn(relay.run());
    let mut seen = Vec::new();
    while let Some(Work::Events(events)) = intake.next().await {
        seen.append(events);
    }
    assert_eq!(intake.over(), Some(Over::Crashed));
    let ended = relay.await.unwrap();
    assert!(matches!(&ended.end, End::Crashed(_)));
    seen.extend(ended.left);
    // What was given back upstream comes first in the next run.
    let mut again = handle.with(Greatest::consumer).await.unwrap();
    again.want(100);
    while let Some(events) = again.recv().await {
        seen.extend(events.into_iter().flat_map(|event| [event * 10, event * 10 + 1]));
    }
    assert_eq!(seen, (0..8).flat_map(|event| [event * 10, event * 10 + 1]).collect::<Vec<u32>>());
    assert!(matches!(producer.await.unwrap().end, End::Finished));
}

/// A source that panics, or a key that can't be read, leaves what waits.
#[tokio::test(start_paused = true)]
async fn flow_1_12_what_waits_outlives_a_crash_of_source_or_key() {
    struct Bomb;
    impl Produce for Bomb {
        type Event = u32;
        async fn produce(&mut self, _: usize) -> Produced<u32> {
            panic!("on purpose")
        }
    }
    let key = |event: &u32| if *event == 13 { panic!("on purpose") } else { 0 };
    let mut dispatcher = Partition::new(1, 10, Keep::First, key);
    let mut inlet = dispatcher.consumer(0);
    inlet.want(1);
    assert_eq!(dispatcher.dispatch(vec![1, 2, 3]), NONE);
    let (producer, _handle) = Producer::new(from_iter([4, 13, 5]), dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    inlet.want(10);
    let mut seen = Vec::new();
    while let Some(events) = inlet.recv().await {
        seen.extend(events);
    }
    assert!(inlet.crashed());
    let ended = producer.await.unwrap();
    assert!(matches!(ended.end, End::Crashed(_)));
    assert_eq!((seen, ended.left), (vec![1, 2, 3], vec![4, 13, 5]));

    let mut dispatcher = Greatest::new(10, Keep::First);
    let one = dispatcher.consumer();
    one.want(1);
    let (producer, _handle) = Producer::new(Bomb, dispatcher, drop);
    assert!(matches!(producer.run().await.end, End::Crashed(_)));
    assert!(one.crashed());
}
