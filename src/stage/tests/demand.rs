use super::super::{Cancel, Demand, Greatest, Intake, Keep, Marker, Over, Producer, Work, link};
use super::{counter, quiet};

/// Runs a fast source into a consumer; the sizes of its first calls, and their events.
async fn calls(demand: Demand, count: usize) -> (Vec<usize>, Vec<u32>) {
    let mut dispatcher = Greatest::new(10, Keep::First);
    let mut intake = Intake::of(dispatcher.consumer(), demand);
    let (producer, _handle) = Producer::new(counter().0, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    let (mut sizes, mut events) = (Vec::new(), Vec::new());
    while sizes.len() < count {
        // Fast: whatever was asked for is there before the next call.
        quiet().await;
        match intake.next().await {
            Some(Work::Events(call)) => {
                sizes.push(call.len());
                events.extend(call.iter().copied());
            }
            other => panic!("{other:?}"),
        }
    }
    producer.abort();
    (sizes, events)
}

/// FLOW.md 1.2: calls of max minus min, in order; half of max unless said otherwise.
#[tokio::test(start_paused = true)]
async fn flow_1_2_calls_of_max_minus_min() {
    let (sizes, events) = calls(Demand::between(80, 100), 10).await;
    assert_eq!(sizes, [20; 10]);
    assert!(events.iter().copied().eq(0..200));
    assert_eq!(calls(Demand::up_to(10), 4).await.0, [5; 4]);
}

/// FLOW.md 1.2: an uneven pair asks again as soon as what is outstanding falls to min.
#[tokio::test(start_paused = true)]
async fn flow_1_2_an_uneven_pair_refills_at_min() {
    let (mut outlet, inlet) = link(std::sync::Arc::default());
    let mut intake = Intake::of(inlet, Demand::between(20, 100));
    assert_eq!(outlet.demand(), 100);
    let mut numbers = 0_u32..;
    let mut send = |outlet: &mut super::super::Outlet<u32>, count| {
        let mut chunk: Vec<u32> = numbers.by_ref().take(count).collect();
        assert_eq!(outlet.try_send(&mut chunk), Ok(count));
    };
    send(&mut outlet, 100);
    assert!(matches!(intake.next().await, Some(Work::Events(call)) if call.len() == 80));
    assert_eq!(outlet.demand(), 0, "while the call runs, all 100 are outstanding");
    assert!(matches!(intake.next().await, Some(Work::Events(call)) if call.len() == 20));
    assert_eq!(outlet.demand(), 80, "20 were outstanding, so it asked for 80");
    send(&mut outlet, 30);
    assert!(matches!(intake.next().await, Some(Work::Events(call)) if call.len() == 30));
    assert_eq!(outlet.demand(), 50, "80 were outstanding: no ask");
    send(&mut outlet, 50);
    assert!(matches!(intake.next().await, Some(Work::Events(call)) if call.len() == 30), "to the point where it asks");
    assert!(matches!(intake.next().await, Some(Work::Events(call)) if call.len() == 20));
    assert_eq!(outlet.demand(), 80);
}

/// FLOW.md 1.3: the next one is pulled only when the last one is done.
#[tokio::test(start_paused = true)]
async fn flow_1_3_one_at_a_time() {
    let (source, asked) = counter();
    let mut dispatcher = Greatest::new(10, Keep::First);
    let mut intake = Intake::of(dispatcher.consumer(), Demand::between(0, 1));
    let (producer, _handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    for nth in 0..5 {
        assert_eq!(intake.next().await, Some(Work::Events(&mut vec![nth])));
        quiet().await;
        assert_eq!(asked.seen(), vec![1; nth as usize + 1], "nothing more is asked for while it works");
    }
    producer.abort();
}

#[test]
fn min_stays_below_max() {
    assert_eq!(Demand::between(9, 5), Demand::between(4, 5));
    assert_eq!((Demand::between(3, 0).max(), Demand::up_to(1).min()), (0, 0));
    assert_eq!(Demand::up_to(1), Demand::between(0, 1));
}

/// FLOW.md 1.10: manual asking is holding the inlet oneself.
#[tokio::test(start_paused = true)]
async fn flow_1_10_manual_asking() {
    let (source, asked) = counter();
    let mut dispatcher = Greatest::new(10, Keep::First);
    let mut inlet = dispatcher.consumer();
    let (producer, _handle) = Producer::new(source, dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    quiet().await;
    assert_eq!(asked.seen(), [0; 0], "nobody asks for it");
    inlet.want(3);
    assert_eq!(inlet.recv().await, Some(vec![0, 1, 2]));
    quiet().await;
    assert_eq!(asked.seen(), [3]);
    inlet.want(2);
    inlet.want(0);
    quiet().await;
    assert_eq!(asked.seen(), [3], "withdrawn before the source was asked");
    producer.abort();
}

/// FLOW.md 1.10: demand is changed and withdrawn while the consumer runs.
#[tokio::test(start_paused = true)]
async fn flow_1_10_demand_changes_while_running() {
    let (mut outlet, inlet) = link::<u32>(std::sync::Arc::default());
    let (mut intake, door) = Intake::new();
    let subscription = door.subscribe(inlet, Demand::up_to(10), Cancel::Permanent).await;
    let consumer = tokio::spawn(async move { while intake.next().await.is_some() {} });
    quiet().await;
    assert_eq!(outlet.demand(), 10);
    subscription.demand(Demand::up_to(100)).await;
    quiet().await;
    assert_eq!(outlet.demand(), 100);
    subscription.demand(Demand::between(1, 4)).await;
    quiet().await;
    assert_eq!(outlet.demand(), 4);
    assert_eq!(outlet.try_send(&mut vec![1, 2, 3]), Ok(3));
    quiet().await;
    assert_eq!(outlet.demand(), 4, "it fell to min and was refilled");
    subscription.demand(Demand::NONE).await;
    quiet().await;
    assert_eq!(outlet.demand(), 0);
    drop(outlet);
    consumer.await.unwrap();
}

/// What follows when a producer ends or crashes, for each mode, while another producer is there.
async fn after_the_end(cancel: Cancel, crashed: bool) -> Option<Over> {
    let (outlet, inlet) = link::<u32>(std::sync::Arc::default());
    let (mut other, stays) = link(std::sync::Arc::default());
    let (mut intake, door) = Intake::new();
    door.subscribe(inlet, Demand::up_to(1), cancel).await;
    door.subscribe(stays, Demand::up_to(1), Cancel::Temporary).await;
    let consumer = tokio::spawn(async move {
        let goes_on = matches!(intake.next().await, Some(Work::Events(events)) if *events == [7]);
        (goes_on, intake.over())
    });
    quiet().await;
    if crashed {
        outlet.crash()
    } else {
        drop(outlet)
    }
    quiet().await;
    let gone = other.is_closed();
    if !gone {
        assert_eq!((other.demand(), other.try_send(&mut vec![7])), (1, Ok(1)));
    }
    let (goes_on, over) = consumer.await.unwrap();
    assert_eq!((goes_on, gone), (over.is_none(), over.is_some()));
    over
}

/// FLOW.md 1.10: permanent, transient, temporary.
#[tokio::test(start_paused = true)]
async fn flow_1_10_cancel_modes() {
    assert_eq!(after_the_end(Cancel::Permanent, false).await, Some(Over::Ended));
    assert_eq!(after_the_end(Cancel::Permanent, true).await, Some(Over::Crashed));
    assert_eq!(after_the_end(Cancel::Transient, false).await, None);
    assert_eq!(after_the_end(Cancel::Transient, true).await, Some(Over::Crashed));
    assert_eq!(after_the_end(Cancel::Temporary, false).await, None);
    assert_eq!(after_the_end(Cancel::Temporary, true).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_intake_without_subscriptions_waits_as_long_as_there_is_a_door() {
    let (mut intake, door) = Intake::<u32>::new();
    let consumer = tokio::spawn(async move {
        assert!(intake.next().await.is_none());
        intake.over()
    });
    quiet().await;
    assert!(!consumer.is_finished());
    drop(door);
    assert_eq!(consumer.await.unwrap(), Some(Over::Unsubscribed));
}

/// A consumer of several producers hears all of them, whoever is fastest.
#[tokio::test(start_paused = true)]
async fn subscriptions_take_turns() {
    let (mut intake, door) = Intake::new();
    let mut outlets = Vec::new();
    for _ in 0..3 {
        let (outlet, inlet) = link(std::sync::Arc::default());
        door.subscribe(inlet, Demand::up_to(20), Cancel::Permanent).await;
        outlets.push(outlet);
    }
    for (name, outlet) in (0_u32..).zip(&mut outlets) {
        for _ in 0..20 {
            assert!(outlet.demand() > 0);
            assert_eq!(outlet.try_send(&mut vec![name]), Ok(1));
        }
    }
    let mut heard = Vec::new();
    for _ in 0..30 {
        match intake.next().await {
            Some(Work::Events(events)) => heard.extend(events.iter().copied()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, [0, 1, 2].repeat(10));
}

/// A subscription that is cancelled gives back what the consumer had not begun.
#[tokio::test(start_paused = true)]
async fn a_cancelled_subscription_gives_back() {
    let (mut outlet, inlet) = link(std::sync::Arc::default());
    let (mut intake, door) = Intake::new();
    let subscription = door.subscribe(inlet, Demand::between(2, 4), Cancel::Permanent).await;
    assert_eq!((outlet.demand(), outlet.try_send(&mut vec![1, 2, 3, 4])), (4, Ok(4)));
    outlet.mark(Marker::Flush);
    assert_eq!(intake.next().await, Some(Work::Events(&mut vec![1, 2])));
    subscription.cancel().await;
    drop(door);
    assert_eq!(intake.next().await, None);
    assert_eq!((intake.over(), outlet.take_back()), (Some(Over::Unsubscribed), Some(vec![3, 4])));
}
