use std::sync::Arc;

use tokio::sync::Notify;

use super::super::{Arrival, Closed, Inlet, Marker, Outlet, link};
use super::quiet;

fn pair() -> (Outlet<u32>, Inlet<u32>) {
    link(Arc::new(Notify::new()))
}

/// FLOW.md 1.1: with outstanding demand 5, of 7 offered events exactly 5 arrive and 2 stay, in order; with 0 none.
#[tokio::test]
async fn flow_1_1_never_more_than_asked() {
    let (mut outlet, mut inlet) = pair();
    let mut events: Vec<u32> = (0..7).collect();
    assert_eq!((outlet.demand(), outlet.try_send(&mut events)), (0, Ok(0)));
    inlet.want(5);
    assert_eq!((outlet.demand(), outlet.try_send(&mut events)), (5, Ok(5)));
    assert_eq!((inlet.recv().await, &events[..]), (Some(vec![0, 1, 2, 3, 4]), &[5, 6][..]));
    assert_eq!((outlet.demand(), inlet.outstanding()), (0, 0));
}

/// Saying the same twice asks for nothing more; saying less withdraws what was not met yet.
#[tokio::test]
async fn demand_is_a_state_not_a_series_of_asks() {
    let (mut outlet, mut inlet) = pair();
    inlet.want(10);
    inlet.want(10);
    assert_eq!(outlet.demand(), 10);
    outlet.send(vec![1, 2, 3]).await.expect("the consumer is there");
    assert_eq!(outlet.demand(), 7);
    inlet.want(10);
    assert_eq!(outlet.demand(), 7, "what is on its way counts");
    inlet.recv().await.expect("a chunk is on its way");
    inlet.want(10);
    assert_eq!(outlet.demand(), 10);
    inlet.want(2);
    assert_eq!(outlet.demand(), 2);
}

/// Demand that was read may be used although it was withdrawn meanwhile; it is not given twice.
#[tokio::test]
async fn a_withdrawal_may_cross_with_a_chunk() {
    let (mut outlet, mut inlet) = pair();
    inlet.want(4);
    assert_eq!(outlet.demand(), 4);
    inlet.want(0);
    outlet.send(vec![1, 2, 3, 4]).await.expect("the consumer is there");
    assert_eq!(outlet.demand(), 0);
    assert_eq!(inlet.recv().await, Some(vec![1, 2, 3, 4]));
    inlet.want(1);
    assert_eq!(outlet.demand(), 1);
}

#[tokio::test]
#[should_panic(expected = "never send more than was asked for")]
async fn sending_more_than_asked_is_a_bug() {
    let (mut outlet, inlet) = pair();
    inlet.want(1);
    assert_eq!(outlet.demand(), 1);
    let _ = outlet.send(vec![1, 2]).await;
}

/// FLOW.md 1.7: a consumer that stops asking stops the producer; asking again wakes it.
#[tokio::test]
async fn flow_1_7_no_demand_stops_the_producer_and_demand_wakes_it() {
    let (mut outlet, mut inlet) = pair();
    let producer = tokio::spawn(async move {
        let mut sent = 0;
        while let Ok(wanted) = outlet.wanted().await {
            let chunk: Vec<u32> = (0..).take(wanted).collect();
            sent += chunk.len();
            if outlet.send(chunk).await.is_err() {
                break;
            }
        }
        sent
    });
    inlet.want(3);
    assert_eq!(inlet.recv().await.map(|chunk| chunk.len()), Some(3));
    tokio::task::yield_now().await;
    assert_eq!(inlet.try_recv(), None, "nothing was asked for");
    inlet.want(2);
    assert_eq!(inlet.recv().await.map(|chunk| chunk.len()), Some(2));
    drop(inlet);
    assert_eq!(producer.await.expect("the producer does not panic"), 5);
}

#[tokio::test]
async fn what_was_sent_arrives_after_the_producer_left_and_an_end_is_seen() {
    let (mut outlet, mut inlet) = pair();
    inlet.want(2);
    assert_eq!(outlet.demand(), 2);
    outlet.send(vec![7]).await.expect("the consumer is there");
    drop(outlet);
    assert_eq!(inlet.recv().await, Some(vec![7]));
    assert_eq!(inlet.recv().await, None);
}

#[tokio::test]
async fn a_consumer_that_left_gives_the_events_back() {
    let (mut outlet, inlet) = pair();
    inlet.want(2);
    assert_eq!(outlet.demand(), 2);
    drop(inlet);
    let mut events = vec![1, 2];
    assert_eq!(outlet.try_send(&mut events), Err(Closed(())));
    assert_eq!(events, [1, 2]);
    assert_eq!(outlet.send(events).await, Err(Closed(vec![1, 2])));
}

/// FLOW.md 1.11: markers use up no demand, and wait for room where the channel is full.
#[tokio::test(start_paused = true)]
async fn flow_1_11_a_marker_needs_no_demand_and_no_room() {
    let (mut outlet, mut inlet) = pair();
    outlet.mark(Marker::Flush);
    inlet.want(1_000);
    let mut sent = 0;
    while outlet.room() > 0 {
        let mut one = vec![sent];
        assert_eq!(outlet.try_send(&mut one), Ok(1));
        sent += 1;
    }
    assert!(outlet.demand() > 0, "it is the channel that is full");
    outlet.mark(Marker::Drain);
    outlet.mark(Marker::Drain);
    assert_eq!(outlet.try_send(&mut vec![9]), Ok(0), "nothing overtakes a marker");
    assert_eq!(inlet.next().await, Some(Arrival::Marker(Marker::Flush)));
    for event in 0..sent {
        assert_eq!(inlet.next().await, Some(Arrival::Events(vec![event])));
    }
    assert!(outlet.room() > 0, "the marker is on its way, and there is room again");
    drop(outlet);
    assert_eq!(inlet.next().await, Some(Arrival::Marker(Marker::Drain)));
    assert_eq!(inlet.next().await, None);
}

/// A producer that found the channel full is woken when it has room, though demand has not changed.
#[tokio::test(start_paused = true)]
async fn room_in_a_full_channel_rings() {
    let (mut outlet, mut inlet) = pair();
    inlet.want(1_000);
    while outlet.room() > 0 {
        assert_eq!(outlet.try_send(&mut vec![0]), Ok(1));
    }
    let doorbell = outlet.doorbell();
    // The ring of the demand itself.
    doorbell.notified().await;
    let rung = tokio::spawn(async move { doorbell.notified().await });
    quiet().await;
    assert!(!rung.is_finished());
    assert_eq!(inlet.recv().await, Some(vec![0]));
    rung.await.unwrap();
    assert!(outlet.room() > 0);
}

/// FLOW.md 1.12: what a consumer had and what was on its way goes back, once, in order.
#[tokio::test]
async fn flow_1_12_a_link_takes_back_what_was_not_finished() {
    let (mut outlet, mut inlet) = pair();
    inlet.want(6);
    assert_eq!(outlet.demand(), 6);
    outlet.send(vec![1, 2, 3]).await.unwrap();
    outlet.mark(Marker::Flush);
    outlet.send(vec![4, 5]).await.unwrap();
    assert_eq!(outlet.take_back(), None, "it is still there");
    assert_eq!(inlet.recv().await, Some(vec![1, 2, 3]));
    inlet.give_back(vec![2, 3]);
    assert_eq!(outlet.take_back(), Some(vec![2, 3, 4, 5]));
    assert_eq!(outlet.take_back(), Some(vec![]));
    assert_eq!(outlet.send(vec![6]).await, Err(Closed(vec![6])));
}

#[tokio::test]
async fn a_consumer_learns_whether_its_producer_crashed() {
    let (outlet, mut inlet) = pair();
    drop(outlet);
    assert_eq!((inlet.recv().await, inlet.crashed()), (None, false));
    let (outlet, mut inlet) = pair();
    outlet.crash();
    assert_eq!((inlet.recv().await, inlet.crashed()), (None, true));
    let (outlet, mut inlet) = pair();
    let panics = tokio::spawn(async move {
        let _outlet = outlet;
        panic!("on purpose")
    });
    assert_eq!((inlet.recv().await, inlet.crashed()), (None, true));
    assert!(panics.await.unwrap_err().is_panic());
}
