use proptest::prelude::*;

use super::*;

const A: Identity = Identity(1);
const B: Identity = Identity(2);

fn delivery(body: &str, tag: u64) -> Delivery {
    Delivery::mock(tag, "jobs".into(), "high".into(), tag > 1, body.into())
}

#[test]
fn a_message_is_itself_however_often_it_is_delivered() {
    let key = RandomState::new();
    let of = |delivery: &Delivery| Identity::of(delivery, &key);
    let first = delivery("{}", 1);
    let mut again = delivery("{}", 7);
    let mut headers = lapin::types::FieldTable::default();
    headers.insert(names::DELIVERY_COUNT.into(), lapin::types::AMQPValue::LongLongInt(3));
    again.properties = again.properties.with_headers(headers.clone());
    assert_eq!(of(&first), of(&again));
    headers.insert(names::TARGETS.into(), lapin::types::AMQPValue::LongString("0-2".into()));
    again.properties = again.properties.with_headers(headers);
    assert_ne!(of(&first), of(&again), "a retry is another message than its job");
    assert_ne!(of(&first), of(&delivery("{ }", 1)));
    let mut named = delivery("{}", 1);
    named.properties = named.properties.with_message_id("m".into());
    assert_ne!(of(&first), of(&named));
}

#[test]
fn what_ended_is_acked_once_and_unknown_is_sent() {
    let mut memory = Ended::new(10);
    memory.remember(A, Fate::Settled);
    assert_eq!(memory.again(B), Again::Send(None));
    assert_eq!(memory.again(A), Again::Ack);
    assert_eq!(memory.again(A), Again::Send(None), "an equal message is another job");
}

#[test]
fn what_is_under_way_is_waited_for() {
    let mut memory = Ended::new(10);
    let first = memory.remember(A, Fate::Open);
    let second = memory.remember(A, Fate::Open);
    assert_eq!(memory.again(A), Again::Wait(first));
    assert_eq!(memory.again(A), Again::Wait(second), "each delivery has a fate of its own");
    assert_eq!(memory.again(A), Again::Send(None));
    assert_eq!(memory.answer(first), Again::Wait(first));
    memory.decide(first, Fate::Rest(vec![3]));
    assert_eq!(memory.answer(first), Again::Send(Some(vec![3])));
    // The channel is lost anew, and the message comes a third time.
    memory.release(second);
    memory.decide(second, Fate::Settled);
    assert_eq!(memory.again(A), Again::Ack);
}

#[test]
fn the_oldest_is_forgotten_first() {
    let mut memory = Ended::new(2);
    let open = memory.remember(A, Fate::Open);
    assert_eq!(memory.again(A), Again::Wait(open));
    memory.remember(B, Fate::Settled);
    memory.remember(B, Fate::Settled);
    assert_eq!(memory.answer(open), Again::Send(None), "forgotten is sent");
    assert_eq!((memory.again(B), memory.again(B)), (Again::Ack, Again::Ack));
    assert!(memory.entries.is_empty() && memory.ages.is_empty());
}

proptest! {
    /// Of equal messages as many are sent as were not, whatever the order in which they come again: fates that have a
    /// message sent are used before those that have it acked.
    #[test]
    fn of_equals_none_is_sent_too_few_times(untouched in 0usize..5, settled in 0usize..5, came in 0usize..12) {
        let mut memory = Ended::new(100);
        for nth in 0..untouched + settled {
            memory.remember(A, if nth % 2 == 0 && nth / 2 < untouched { Fate::Untouched } else { Fate::Settled });
        }
        let kept = memory.entries.values().filter(|entry| entry.fate == Fate::Untouched).count();
        let sent = (0..came).filter(|_| memory.again(A) == Again::Send(None)).count();
        prop_assert!(sent >= came.min(kept), "{sent} of {came} sent, {kept} had to");
        prop_assert_eq!(memory.entries.len(), memory.ages.len());
    }
}
