use std::sync::Arc;

use tokio::sync::Notify;

use super::super::{Closed, Inlet, Outlet, link};

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
