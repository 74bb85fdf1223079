use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::{
    Demand, Dispatcher, End, Greatest, Intake, Keep, Marker, Produced, Producer, Through, Work, from_iter,
};
use super::{NONE, counter, quiet, told};

/// FLOW.md 1.4: what waits is served first; the source is asked only for what is wanted beyond it.
#[tokio::test(start_paused = true)]
async fn flow_1_4_buffered_events_are_served_before_the_source_is_asked() {
    let (source, asked) = counter();
    let mut dispatcher = Greatest::new(10, Keep::First);
    assert_eq!(dispatcher.dispatch(vec![100, 101, 102]), NONE);
    let mut inlet = dispatcher.consumer();
    let (producer, _handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    inlet.want(2);
    assert_eq!(inlet.recv().await, Some(vec![100, 101]));
    quiet().await;
    assert_eq!(asked.seen(), [0; 0]);
    inlet.want(5);
    assert_eq!(inlet.recv().await, Some(vec![102]));
    assert_eq!(inlet.recv().await, Some(vec![0, 1, 2, 3]));
    assert_eq!(asked.seen(), [4]);
    producer.abort();
}

/// FLOW.md 1.5: a source that gives more than was wanted: the surplus waits, and what has no place is handed over.
#[tokio::test(start_paused = true)]
async fn flow_1_5_a_producer_hands_over_what_lost_its_place() {
    let (source, tell, _) = told();
    let mut dispatcher = Greatest::new(2, Keep::First);
    let depth = dispatcher.depth();
    let mut inlet = dispatcher.consumer();
    let shed = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&shed);
    let overflow = move |events| into.lock().unwrap().extend::<Vec<u32>>(events);
    let (producer, handle) = Producer::new(source, dispatcher, overflow);
    let producer = tokio::spawn(producer.run());
    inlet.want(1);
    tell.send(Produced::Events(vec![1, 2, 3, 4, 5])).await.unwrap();
    assert_eq!(inlet.recv().await, Some(vec![1]));
    quiet().await;
    assert_eq!((shed.lock().unwrap().clone(), depth.get()), (vec![4, 5], 2));
    handle.stop().await.unwrap();
    let ended = producer.await.unwrap();
    assert!(matches!(ended.end, End::Stopped));
    assert_eq!(ended.left, [2, 3]);
}

/// FLOW.md 1.6: demand is held back until released; then each ask is served for itself.
#[tokio::test(start_paused = true)]
async fn flow_1_6_accumulated_demand_is_served_ask_by_ask() {
    let (source, asked) = counter();
    let mut dispatcher = Greatest::new(10, Keep::First);
    let (mut one, mut two) = (dispatcher.consumer(), dispatcher.consumer());
    let (producer, handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.accumulating().run());
    one.want(5);
    quiet().await;
    two.want(3);
    quiet().await;
    one.want(6);
    quiet().await;
    assert_eq!(asked.seen(), [0; 0]);
    handle.release().await.unwrap();
    let received = (one.recv().await, two.recv().await);
    assert!(received.0.is_some() && received.1.is_some());
    quiet().await;
    assert_eq!(asked.seen(), [5, 3, 1]);
    handle.accumulate().await.unwrap();
    one.want(50);
    quiet().await;
    one.want(0);
    quiet().await;
    handle.release().await.unwrap();
    quiet().await;
    assert_eq!(asked.seen(), [5, 3, 1], "what was withdrawn while it was held back is not asked for");
    producer.abort();
}

/// FLOW.md 1.7: a stage that filters out everything goes on asking; one that lets little through does not stall.
#[tokio::test(start_paused = true)]
async fn flow_1_7_a_filter_does_not_stall_the_chain() {
    let mut first = Greatest::new(10, Keep::First);
    let upstream = Intake::of(first.consumer(), Demand::up_to(10));
    let (producer, _handle) = Producer::new(from_iter(1..=10_000_u32), first, drop);
    let filter = Through::new(upstream, |events| events.drain(..).filter(|event| event % 5_000 == 0).collect());
    let mut second = Greatest::new(10, Keep::First);
    let mut intake = Intake::of(second.consumer(), Demand::up_to(4));
    let (relay, _relay_handle) = Producer::new(filter, second, drop);
    let (producer, relay) = (tokio::spawn(producer.run()), tokio::spawn(relay.run()));
    assert_eq!(intake.next().await, Some(Work::Events(&mut vec![5_000])));
    assert_eq!(intake.next().await, Some(Work::Events(&mut vec![10_000])));
    assert_eq!(intake.next().await, None);
    assert!(matches!(producer.await.unwrap().end, End::Finished));
    assert!(matches!(relay.await.unwrap().end, End::Finished));
}

/// FLOW.md 1.7: a consumer that stops asking stops the chain up to the source.
#[tokio::test(start_paused = true)]
async fn flow_1_7_a_consumer_that_stops_asking_stops_the_chain() {
    let (source, asked) = counter();
    let mut first = Greatest::new(10, Keep::First);
    let upstream = Intake::of(first.consumer(), Demand::up_to(10));
    let (producer, _handle) = Producer::new(source, first, drop);
    let mut second = Greatest::new(10, Keep::First);
    let mut inlet = second.consumer();
    let pass = |events: &mut Vec<u32>| std::mem::take(events);
    let (relay, _relay_handle) = Producer::new(Through::new(upstream, pass), second, drop);
    let (producer, relay) = (tokio::spawn(producer.run()), tokio::spawn(relay.run()));
    quiet().await;
    assert_eq!(asked.seen(), [10], "its first demand, and no more");
    inlet.want(7);
    quiet().await;
    let stopped_at = asked.seen();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(asked.seen(), stopped_at);
    assert!(stopped_at.iter().sum::<usize>() <= 7 + 10);
    inlet.want(8);
    let mut received = 0;
    while received < 8 {
        received += inlet.recv().await.unwrap().len();
    }
    producer.abort();
    relay.abort();
}

/// FLOW.md 1.8: what a consumer asked for before it left is not asked for again; what comes of it waits.
#[tokio::test(start_paused = true)]
async fn flow_1_8_demand_of_a_consumer_that_left_is_not_asked_twice() {
    let (source, tell, asked) = told();
    let mut dispatcher = Greatest::new(20, Keep::First);
    let depth = dispatcher.depth();
    let first = dispatcher.consumer();
    let (producer, handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    first.want(10);
    quiet().await;
    assert_eq!(asked.seen(), [10]);
    drop(first);
    quiet().await;
    let mut second = handle.with(Greatest::consumer).await.unwrap();
    second.want(4);
    quiet().await;
    assert_eq!(asked.seen(), [10], "the source still works on 10");
    tell.send(Produced::Events((0..10).collect())).await.unwrap();
    assert_eq!(second.recv().await, Some(vec![0, 1, 2, 3]));
    quiet().await;
    assert_eq!((asked.seen(), depth.get()), (vec![10], 6));
    second.want(8);
    assert_eq!(second.recv().await, Some(vec![4, 5, 6, 7, 8, 9]));
    quiet().await;
    assert_eq!(asked.seen(), [10, 2]);
    producer.abort();
}

/// FLOW.md 1.11: through a producer, its buffer, a producer-consumer and into a consumer, in its place.
#[tokio::test(start_paused = true)]
async fn flow_1_11_a_marker_travels_in_its_place_through_a_pipeline() {
    let (source, tell, _) = told();
    let mut first = Greatest::new(10, Keep::First);
    let upstream = Intake::of(first.consumer(), Demand::between(1, 2));
    let (producer, handle) = Producer::new(source, first, drop);
    let mut second = Greatest::new(10, Keep::First);
    let mut intake = Intake::of(second.consumer(), Demand::between(0, 1));
    let twice = |events: &mut Vec<u32>| events.drain(..).flat_map(|event| [event, event]).collect();
    let (relay, _relay_handle) = Producer::new(Through::new(upstream, twice), second, drop);
    let (producer, relay) = (tokio::spawn(producer.run()), tokio::spawn(relay.run()));
    tell.send(Produced::Events(vec![1, 2, 3])).await.unwrap();
    tell.send(Produced::Marker(Marker::Flush)).await.unwrap();
    tell.send(Produced::Events(vec![4])).await.unwrap();
    quiet().await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        match intake.next().await {
            Some(Work::Events(events)) => seen.extend(events.iter().map(|event| Some(*event))),
            Some(Work::Marker(Marker::Flush)) => seen.push(None),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [Some(1), Some(1), Some(2), Some(2), Some(3), Some(3), None]);
    handle.with(|dispatcher| dispatcher.mark(Marker::Drain)).await.unwrap();
    assert_eq!(intake.next().await, Some(Work::Events(&mut vec![4])));
    assert_eq!(intake.next().await, Some(Work::Events(&mut vec![4])));
    assert_eq!(intake.next().await, Some(Work::Marker(Marker::Drain)));
    drop(tell);
    assert_eq!(intake.next().await, None);
    assert!(matches!(producer.await.unwrap().end, End::Finished));
    assert!(matches!(relay.await.unwrap().end, End::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_producer_without_consumers_ends_when_nobody_can_add_one() {
    let (source, _) = counter();
    let mut dispatcher = Greatest::new(10, Keep::First);
    let inlet = dispatcher.consumer();
    let (producer, handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    drop(inlet);
    quiet().await;
    assert!(!producer.is_finished());
    drop(handle);
    assert!(matches!(producer.await.unwrap().end, End::Deserted));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_is_followed_by_all_that_waits() {
    let mut dispatcher = Greatest::new(10, Keep::First);
    assert_eq!(dispatcher.dispatch(vec![1, 2, 3]), NONE);
    let mut intake = Intake::of(dispatcher.consumer(), Demand::between(0, 1));
    let (producer, _handle) = Producer::new(from_iter([4, 5]), dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    let mut seen = Vec::new();
    while let Some(Work::Events(events)) = intake.next().await {
        seen.append(events);
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert!(matches!(producer.await.unwrap().end, End::Finished));
}
