//! What is read of letters, and what is written for them.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, LongString};

use super::*;
use crate::source::amqp::names;

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), value.clone());
    }
    table
}

const BODY: &[u8] = br#"{"id":"in-the-body","app":"chat","to":[{"fcm":"a"},{"fcm":"b"},{"fcm":"c"}]}"#;

fn read(headers: &[(&str, AMQPValue)], body: &'static [u8]) -> DeadLetter {
    let properties = BasicProperties::default().with_headers(table(headers));
    DeadLetter::read(properties, "the-key", Bytes::from_static(body), 1)
}

#[test]
fn a_letter_of_ours_says_what_it_is() {
    let headers = [
        (names::REASON, text("failed")),
        (names::DETAIL, text("given up")),
        (names::AT, text("2026-11-25T07:00:00.000Z")),
        (names::QUEUE, text("tidegate.jobs.low")),
        (names::TARGETS, text("0,2")),
        (names::ATTEMPTS, AMQPValue::LongInt(5)),
        (names::DELIVERY_COUNT, AMQPValue::LongLongInt(3)),
    ];
    let letter = read(&headers, BODY);
    assert_eq!((letter.id.as_deref(), letter.app.as_deref()), (Some("in-the-body"), Some("chat")));
    assert_eq!((&*letter.reason, &*letter.detail, &*letter.queue), ("failed", "given up", "tidegate.jobs.low"));
    assert_eq!((letter.targets, letter.attempts, letter.deliveries), (Some(2), Some(5), 3));
}

#[test]
fn a_letter_of_the_brokers_says_it_by_its_last_death() {
    let death = |queue, reason, count| {
        AMQPValue::FieldTable(table(&[
            ("queue", text(queue)),
            ("reason", text(reason)),
            ("count", AMQPValue::LongLongInt(count)),
            ("time", AMQPValue::Timestamp(1_700_000_000)),
        ]))
    };
    let mut deaths = FieldArray::default();
    deaths.push(death("tidegate.jobs.high", "delivery_limit", 1));
    deaths.push(death("tidegate.retry.5s", "expired", 4));
    let letter = read(&[(names::DEATHS, AMQPValue::FieldArray(deaths))], BODY);
    assert_eq!((&*letter.reason, &*letter.queue), ("delivery_limit", "tidegate.jobs.high"));
    assert_eq!(letter.at.as_deref(), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!(letter.detail, "by the broker, from queue \"tidegate.jobs.high\"");
}

#[test]
fn a_strangers_message_is_taken_as_it_is() {
    for body in [&b""[..], b"\xff\xfe", b"[1]", br#"{"id":7,"app":null,"to":"x"}"#] {
        let letter = read(&[(names::DEATHS, text("odd")), (names::TARGETS, text("9"))], body);
        assert_eq!((letter.id.as_deref(), letter.app.as_deref(), letter.targets), (None, None, None));
        assert_eq!((&*letter.reason, &*letter.queue), ("unknown", "the-key"));
    }
}

#[test]
fn a_replay_is_the_job_as_it_came_but_counts_anew() {
    let kept = [("mine", text("kept")), (names::TARGETS, text("0,2")), (names::DEADLINE, AMQPValue::LongLongInt(9))];
    let gone = [
        names::REASON,
        names::DETAIL,
        names::AT,
        names::QUEUE,
        names::ATTEMPTS,
        names::DELIVERY_COUNT,
        names::ACQUIRED_COUNT,
        names::DEATHS,
        "x-first-death-queue",
        "x-last-death-reason",
    ];
    let mut headers = table(&kept);
    for name in gone {
        headers.insert(name.into(), text("1"));
    }
    headers.insert(names::ACCEPTED_AT.into(), AMQPValue::LongLongInt(1));
    let properties = BasicProperties::default()
        .with_headers(headers.clone())
        .with_message_id("id".into())
        .with_expiration("5".into())
        .with_timestamp(1);
    let message = letters::replay("q", &properties, Bytes::from_static(BODY), UnixMillis(7_000_123));
    assert_eq!((&*message.exchange, &*message.routing_key, message.mandatory), ("", "q", true));
    let replayed = message.properties;
    let mut expected = table(&kept);
    expected.insert(names::ACCEPTED_AT.into(), AMQPValue::LongLongInt(7_000_123));
    assert_eq!(replayed.headers().as_ref(), Some(&expected));
    assert_eq!(
        (replayed.expiration(), *replayed.timestamp(), *replayed.delivery_mode()),
        (&None, Some(7_000), Some(2))
    );
    assert_eq!(replayed.message_id().as_ref().map(|id| id.as_str()), Some("id"));

    let again = letters::dead_again(&Names::new("p"), "key", &properties, Bytes::from_static(BODY));
    assert_eq!((&*again.exchange, &*again.routing_key), ("p.dead", "key"));
    let left = again.properties.headers().as_ref().map_or(0, |headers| headers.inner().len());
    assert_eq!(left, headers.inner().len() - 2, "all but the broker's two counts");
}
