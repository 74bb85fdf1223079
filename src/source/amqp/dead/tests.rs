//! What is read of letters, and what is written for them.

use lapin::BasicProperties;
use lapin::options::BasicGetOptions;
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

/// A walk that replays every third of `letters`, within `bounds`; then: how many were replayed, and the ids that are in the
/// dead queue and in the lane's, sorted; and how often a letter was taken.
async fn walk_every_third(letters: usize, bounds: Bounds) -> ((u64, Vec<usize>, Vec<usize>), usize) {
    let broker = crate::source::amqp::PrivateBroker::start().await.expect("a private RabbitMQ starts");
    let settings = AmqpSettings { uri: broker.uri().into(), ..AmqpSettings::default() };
    crate::source::amqp::declare(&settings).await.expect("the topology is declared");
    let publisher = Publisher::start(Arc::new(settings.clone()), CancellationToken::new());
    publisher.connected().await.expect("the broker is there");
    let names = Names::new("tidegate");
    let all = (0..letters).map(|nth| {
        let properties = BasicProperties::default().with_message_id(nth.to_string().into());
        publisher.publish(letters::dead_again(&names, "tidegate.jobs.low", &properties, Bytes::from_static(BODY)))
    });
    for published in futures::future::join_all(all).await {
        published.expect("it is confirmed");
    }
    let wanted = |letter: &DeadLetter| {
        letter.id.as_ref().and_then(|id| id.parse().ok()).is_some_and(|n: usize| n.is_multiple_of(3))
    };
    let mut walk = DeadLetters::open(&settings, u64::MAX, 8).await.expect("the queue is there");
    walk.bounds = bounds;
    let mut steps = 0;
    while let Some(letter) = walk.next().await.expect("the broker is there") {
        steps += 1;
        assert!(steps < 50 * letters, "it ends");
        assert!(walk.held <= bounds.held, "{} are held", walk.held);
        if wanted(&letter) {
            walk.replay(letter).await.expect("the broker is there");
        } else {
            walk.keep(letter).await.expect("the broker is there");
        }
        // What is confirmed is acked, so that nothing is out and the time for the held ones can be up.
        walk.wait(Instant::now()).await.expect("the broker is there");
    }
    let tally = walk.close().await.expect("the broker is there");
    let there = async |queue: String| {
        let connection = connect::connect(&settings, "look").await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel opens");
        let mut ids: Vec<usize> = Vec::new();
        while let Some(message) = channel
            .basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true })
            .await
            .expect("the queue is there")
        {
            let id = message.delivery.properties.message_id().as_ref().map(|id| id.to_string());
            ids.push(id.and_then(|id| id.parse().ok()).expect("a number"));
        }
        ids.sort_unstable();
        ids
    };
    ((tally.replayed, there(names.dead()).await, there(names.lane(Lane::Low)).await), steps)
}

fn thirds(letters: usize) -> (u64, Vec<usize>, Vec<usize>) {
    let (replayed, dead): (Vec<usize>, Vec<usize>) = (0..letters).partition(|nth| nth % 3 == 0);
    (replayed.len() as u64, dead, replayed)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_letters_that_stay_than_may_be_held_are_passed_by_and_none_is_lost() {
    assert_eq!(walk_every_third(100, Bounds { held: 5, ..BOUNDS }).await, (thirds(100), 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_were_held_too_long_are_given_back_and_the_walk_goes_on_behind_them() {
    let bounds = Bounds { hold: Duration::ZERO, deliveries: 3, ..BOUNDS };
    let (ended, steps) = walk_every_third(100, bounds).await;
    assert_eq!(ended, thirds(100));
    assert!(steps > 100, "some were taken again: {steps}");
}
