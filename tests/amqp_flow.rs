//! A day without trouble: demand, acks, retries, dead letters, other people's clients.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use support::broker::{Broker, Peer, text};
use support::eventually;
use support::source::{Stub, job, settings, settle};
use tidegate::job::{Envelope, Lane, Provider, UnixMillis};
use tidegate::outcome::{AmqpSink, Event, OutcomeKind, Sink, Troubles};
use tidegate::source::amqp::{Message, PrivateBroker, PublishError, PublisherState, SourceState, enqueue};
use tidegate::source::{Dead, Keep, Later};
use tidegate::telemetry::Metrics;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_trouble() {
    let broker = Broker::start().await;
    let mut stub = Stub::start(settings(&broker.uri()));
    stub.until("consuming", |status| status.state == SourceState::Consuming).await;
    let peer = Peer::connect(&broker.uri()).await;

    never_more_than_demanded(&mut stub, &peer).await;
    a_backlog_grows_the_window_and_each_job_comes_once(&mut stub, &peer).await;
    stragglers_are_passed_by(&mut stub, &peer).await;
    bad_jobs_become_dead_letters(&mut stub, &peer).await;
    other_clients_messages_arrive_to_the_byte(&mut stub, &peer, broker.port()).await;
    retries_come_back_to_their_queue(&mut stub).await;
    dead_letters_keep_their_body(&mut stub, &peer).await;
    outcomes_need_no_listener(&stub, &peer).await;
    unroutable_jobs_are_reported(&mut stub, &peer).await;
    a_full_queues_refusal_is_reported(&stub, &peer).await;
    what_is_given_back_comes_again(&mut stub).await;
    drain_returns_what_was_not_handed_over(stub, &peer).await;
}

async fn never_more_than_demanded(stub: &mut Stub, peer: &Peer) {
    let (publisher, names) = (stub.source.publisher(), stub.names());
    let ids: Vec<String> = (0..1000).map(|n| format!("job-{n}")).collect();
    let published = ids.iter().map(|id| enqueue(&publisher, &names, Lane::Normal, id, job(id).into()));
    assert!(join_all(published).await.into_iter().all(|result| result == Ok(())));

    // Nothing is wanted: nothing is consumed, the backlog is the broker's.
    assert_eq!(peer.depth("tidegate.jobs.normal").await, Some(1000));

    let mut seen = BTreeSet::new();
    let mut held: Vec<Arc<Envelope>> = Vec::new();
    let window = 100;
    while seen.len() < 1000 {
        stub.inlets[Lane::Normal.index()].want(window - held.len());
        let chunk = stub.chunk(Lane::Normal).await;
        held.extend(chunk);
        assert!(held.len() <= window, "{} in flight, {window} wanted", held.len());
        // On probation 32 come and no more; so settle earlier than that.
        if held.len() >= 16 || seen.len() + held.len() == 1000 {
            for job in &held {
                assert_eq!((job.origin.lane, &*job.origin.queue), (Lane::Normal, "tidegate.jobs.normal"));
                assert!(seen.insert(job.job.id.to_string()), "{} came twice", job.job.id);
            }
            settle(&held);
            held.clear();
        }
    }
    stub.inlets[Lane::Normal.index()].want(0);
    stub.until("all is settled", |status| status.unsettled(Lane::Normal) == 0 && status.queues[1].prefetch == 0).await;
    assert_eq!(peer.depth("tidegate.jobs.normal").await, Some(0));
}

/// The consumer is made anew with each change of the window, under load; tags, acks and order must not mind.
async fn a_backlog_grows_the_window_and_each_job_comes_once(stub: &mut Stub, peer: &Peer) {
    const JOBS: usize = 10_000;
    let (publisher, names) = (stub.source.publisher(), stub.names());
    let ids: Vec<String> = (0..JOBS).map(|n| format!("backlog-{n}")).collect();
    let published = ids.iter().map(|id| enqueue(&publisher, &names, Lane::Normal, id, job(id).into()));
    assert!(join_all(published).await.into_iter().all(|result| result == Ok(())));
    let mut seen = BTreeSet::new();
    let mut widest = 0;
    let mut held: Vec<Arc<Envelope>> = Vec::new();
    while seen.len() < JOBS {
        // Demand comes and goes, too.
        let wanted = if seen.len() % 1000 < 100 { 50 } else { 4000 };
        stub.inlets[Lane::Normal.index()].want(wanted);
        for job in stub.chunk(Lane::Normal).await {
            assert!(seen.insert(job.job.id.to_string()), "{} came twice", job.job.id);
            held.push(job);
        }
        widest = widest.max(stub.status.borrow().queues[1].prefetch);
        // Not in the order they came.
        fastrand::shuffle(&mut held);
        let keep = if seen.len() < JOBS { held.len() / 3 } else { 0 };
        settle(&held[keep..]);
        held.truncate(keep);
    }
    stub.inlets[Lane::Normal.index()].want(0);
    assert!(widest >= 512, "{widest}");
    stub.until("all is settled", |status| status.unsettled(Lane::Normal) == 0 && status.queues[1].prefetch == 0).await;
    assert_eq!(peer.depth("tidegate.jobs.normal").await, Some(0));
}

/// One job that is not settled must not keep the acks of those behind it back.
async fn stragglers_are_passed_by(stub: &mut Stub, peer: &Peer) {
    for n in 0..20 {
        let id = format!("straggler-{n}");
        peer.publish("tidegate.jobs", "high.anything", BasicProperties::default(), &job(&id)).await;
    }
    let jobs = stub.take(Lane::High, 20).await;
    settle(&jobs[1..]);
    stub.until("only the straggler is out", |status| status.unsettled(Lane::High) == 1).await;
    settle(&jobs[..1]);
    stub.until("none is out", |status| status.unsettled(Lane::High) == 0).await;
}

async fn bad_jobs_become_dead_letters(stub: &mut Stub, peer: &Peer) {
    let plain = BasicProperties::default;
    let mut odd = FieldTable::default();
    odd.insert("x-tidegate-targets".into(), AMQPValue::LongString("5".into()));
    odd.insert("x-mine".into(), AMQPValue::LongString("kept".into()));
    let unknown = br#"{"app":"nobody","to":[{"fcm":"t"}],"notification":{"title":"x"}}"#.to_vec();
    let cases: [(&str, &str, BasicProperties, Vec<u8>); 5] = [
        ("not_json", "", plain().with_correlation_id("mine".into()), b"{ not json".to_vec()),
        ("unknown_app", "app: ", plain(), unknown),
        ("too_large", "", plain(), vec![b' '; (1 << 20) + 1]),
        ("content_encoding", "gzip", plain().with_content_encoding("gzip".into()), job("packed")),
        ("bad_header", "x-tidegate-targets: ", plain().with_headers(odd), job("odd")),
    ];
    stub.inlets[Lane::Low.index()].want(10);
    for (reason, detail, properties, body) in cases {
        peer.publish("", "tidegate.jobs.low", properties.clone().with_expiration("600000".into()), &body).await;
        let (got, kept) = eventually(reason, || peer.get("tidegate.dead")).await;
        assert_eq!(kept, body, "the body as it came");
        assert_eq!(text(&got, "x-tidegate-reason").as_deref(), Some(reason));
        assert!(text(&got, "x-tidegate-detail").unwrap().contains(detail), "{got:?}");
        assert_eq!(text(&got, "x-tidegate-queue").as_deref(), Some("tidegate.jobs.low"));
        assert!(text(&got, "x-tidegate-at").unwrap().ends_with('Z'));
        assert_eq!(got.correlation_id(), properties.correlation_id());
        assert_eq!(got.expiration(), &None, "a dead letter does not vanish");
        if reason == "bad_header" {
            assert_eq!(text(&got, "x-mine").as_deref(), Some("kept"));
        }
    }
    // The good one behind them comes.
    peer.publish("", "tidegate.jobs.low", plain(), &job("good")).await;
    let jobs = stub.take(Lane::Low, 1).await;
    assert_eq!(&*jobs[0].job.id, "good");
    settle(&jobs);
}

async fn other_clients_messages_arrive_to_the_byte(stub: &mut Stub, peer: &Peer, port: u16) {
    let body = r#"{"app":"chat","to":[{"fcm":"t1"},{"fcm":"t2"},{"fcm":"t3"}],"data":{"k":"grüße \u2603"}}"#;
    let script = format!(
        r#"
import pika, sys
connection = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', {port}))
channel = connection.channel()
channel.confirm_delivery()
channel.basic_publish('tidegate.jobs', 'normal.pika', sys.stdin.buffer.read(), pika.BasicProperties(
    message_id='pika-1', timestamp=1700000000, delivery_mode=2, expiration='1000',
    headers={{'traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
             'x-tidegate-attempts': 2, 'x-tidegate-targets': '0,2'}}), mandatory=True)
connection.close()
"#
    );
    feed(Command::new("/usr/bin/python3").args(["-c", &script]), body.as_bytes());
    let jobs = stub.take(Lane::Normal, 1).await;
    let it = &jobs[0];
    assert_eq!((&*it.job.id, it.origin.body.as_ref()), ("pika-1", body.as_bytes()));
    assert_eq!(it.origin.accepted_at, UnixMillis(1_700_000_000_000));
    assert!(it.origin.accepted < Instant::now(), "accepted long ago, as far as this machine remembers");
    assert!(it.origin.deadline.is_some_and(|deadline| deadline < Instant::now()), "expired a second later");
    assert_eq!((it.origin.attempts, it.origin.selected.as_deref()), (2, Some([0, 2].as_slice())));
    assert_eq!(it.push_count(), 2);
    assert_eq!(it.job.traceparent.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    assert!(!it.origin.exhausted);
    settle(&jobs);

    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    feed(
        Command::new("amqp-publish").args(["--url", &url, "-e", "tidegate.jobs", "-r", "high", "-p"]),
        body.as_bytes(),
    );
    let jobs = stub.take(Lane::High, 1).await;
    assert_eq!(jobs[0].origin.body.as_ref(), body.as_bytes());
    assert!(!jobs[0].job.id.is_empty(), "a new id");
    settle(&jobs);
    assert_eq!(peer.depth("tidegate.dead").await, Some(0));
}

fn feed(command: &mut Command, body: &[u8]) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it is installed");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), body).unwrap();
    assert!(child.wait().unwrap().success());
}

async fn retries_come_back_to_their_queue(stub: &mut Stub) {
    let (publisher, names) = (stub.source.publisher(), stub.names());
    let body = r#"{"id":"again","app":"chat","to":[{"fcm":"a"},{"fcm":"b"},{"fcm":"c"}],"ttl":600,"data":{"k":"v"}}"#;
    enqueue(&publisher, &names, Lane::Low, "again", body.into()).await.unwrap();
    let first = stub.take(Lane::Low, 1).await;
    let keeper = stub.source.keeper();
    let (envelope, targets) = (Arc::clone(&first[0]), vec![0, 2]);
    let before = Instant::now();
    keeper.keep(Keep::Later(Later { envelope, targets, attempts: 3, delay: Duration::from_millis(4200) })).await;
    settle(&first);
    let second = stub.take(Lane::Low, 1).await;
    assert!(before.elapsed() >= Duration::from_millis(4200), "never early");
    let (was, is) = (&first[0], &second[0]);
    assert_eq!((&*is.job.id, is.origin.body.as_ref()), ("again", body.as_bytes()));
    assert_eq!((&*is.origin.queue, is.origin.lane), ("tidegate.jobs.low", Lane::Low));
    assert_eq!((is.origin.attempts, is.origin.selected.as_deref()), (3, Some([0, 2].as_slice())));
    assert_eq!(is.origin.accepted_at, was.origin.accepted_at, "a retry is no younger than its job");
    let drift = was.deadline(Duration::ZERO).max(is.deadline(Duration::ZERO))
        - was.deadline(Duration::ZERO).min(is.deadline(Duration::ZERO));
    assert!(drift < Duration::from_millis(50), "the same deadline, not a new one: {drift:?}");
    settle(&second);
}

async fn dead_letters_keep_their_body(stub: &mut Stub, peer: &Peer) {
    let body = r#"{"id":"doomed","app":"chat","to":[{"fcm":"a"},{"fcm":"b"}],"data":{"k":"v"}}"#;
    peer.publish("tidegate.jobs", "low", BasicProperties::default(), body.as_bytes()).await;
    let jobs = stub.take(Lane::Low, 1).await;
    let dead = Dead {
        envelope: Arc::clone(&jobs[0]),
        targets: vec![1],
        attempts: 5,
        reason: "attempts".into(),
        detail: "five attempts, all 503".into(),
    };
    stub.source.keeper().keep(Keep::Dead(dead)).await;
    let (properties, kept) = peer.get("tidegate.dead").await.expect("it is there before the keeper is ready");
    assert_eq!(kept, body.as_bytes());
    for (header, value) in [
        ("x-tidegate-reason", "attempts"),
        ("x-tidegate-detail", "five attempts, all 503"),
        ("x-tidegate-targets", "1"),
        ("x-tidegate-attempts", "LongInt(5)"),
        ("x-tidegate-queue", "tidegate.jobs.low"),
    ] {
        assert_eq!(text(&properties, header).as_deref(), Some(value), "{header}");
    }
    settle(&jobs);
}

async fn outcomes_need_no_listener(stub: &Stub, peer: &Peer) {
    let sink = AmqpSink::new(stub.source.publisher(), stub.names(), Troubles::default(), Arc::new(Metrics::default()));
    let event =
        |kind, json: &'static str| Event { app: "chat".into(), provider: Provider::Fcm, kind, json: json.into() };
    let events = [
        event(OutcomeKind::Unregistered, r#"{"job":"1"}"#),
        event(OutcomeKind::Failed, r#"{"job":"2"}"#),
        event(OutcomeKind::Unregistered, r#"{"job":"3"}"#),
    ];
    sink.publish(&events).await;
    peer.topic("tidegate.outcomes", "mine", "chat.*.unregistered").await;
    sink.publish(&events).await;
    let (properties, body) = peer.get("mine").await.expect("confirmed, so it is there");
    assert_eq!(body, br#"[{"job":"1"},{"job":"3"}]"#);
    assert_eq!(properties.content_type().as_ref().map(|kind| kind.as_str()), Some("application/json"));
    assert!(peer.get("mine").await.is_none());
}

async fn unroutable_jobs_are_reported(stub: &mut Stub, peer: &Peer) {
    let names = tidegate::source::amqp::Names::new("elsewhere");
    peer.topic("elsewhere.jobs", "unbound", "nothing").await;
    let lost = enqueue(&stub.source.publisher(), &names, Lane::High, "x", job("x").into());
    let found = enqueue(&stub.source.publisher(), &stub.names(), Lane::Low, "y", job("y").into());
    let (lost, found) = tokio::join!(lost, found);
    assert!(matches!(lost, Err(PublishError::Unroutable { .. })), "{lost:?}");
    assert_eq!(found, Ok(()), "its neighbour is confirmed");
    let jobs = stub.take(Lane::Low, 1).await;
    assert_eq!(&*jobs[0].job.id, "y");
    settle(&jobs);
}

async fn a_full_queues_refusal_is_reported(stub: &Stub, peer: &Peer) {
    let text = |value: &str| AMQPValue::LongString(value.into());
    peer.declare("small", &[("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))]).await;
    let message = Message {
        exchange: String::new(),
        routing_key: "small".into(),
        properties: BasicProperties::default(),
        body: "x".into(),
        mandatory: true,
    };
    let publisher = stub.source.publisher();
    assert_eq!(publisher.publish(message.clone()).await, Ok(()));
    let mut last = Ok(());
    for _ in 0..3 {
        last = publisher.publish(message.clone()).await;
    }
    assert_eq!(last, Err(PublishError::Refused));
    // What must be kept waits until there is room.
    let keeping = tokio::spawn(async move { publisher.publish_durably(message).await });
    while peer.get("small").await.is_some() {}
    tokio::time::timeout(Duration::from_secs(30), keeping).await.expect("there is room now").unwrap();
    assert_eq!(peer.depth("small").await, Some(1));
}

async fn what_is_given_back_comes_again(stub: &mut Stub) {
    let (publisher, names) = (stub.source.publisher(), stub.names());
    enqueue(&publisher, &names, Lane::Normal, "returned", job("returned").into()).await.unwrap();
    let first = stub.take(Lane::Normal, 1).await;
    let receipt = &first[0].origin.receipt;
    receipt.acknowledger.give_back(vec![receipt.tag]);
    let second = stub.take(Lane::Normal, 1).await;
    assert_eq!(second[0].job.id, first[0].job.id);
    // Returned is returned: a settlement of the first delivery does nothing.
    settle(&first);
    settle(&second);
    stub.until("none is out", |status| status.unsettled(Lane::Normal) == 0).await;
}

async fn drain_returns_what_was_not_handed_over(mut stub: Stub, peer: &Peer) {
    for n in 0..40 {
        peer.publish("tidegate.jobs", "high", BasicProperties::default(), &job(&format!("drain-{n}"))).await;
    }
    let jobs = stub.take(Lane::High, 10).await;
    stub.drain.cancel();
    stub.until("draining", |status| status.state == SourceState::Draining).await;
    eventually("what was prefetched is back", || async {
        (peer.depth("tidegate.jobs.high").await? == 30).then_some(())
    })
    .await;
    settle(&jobs[..9]);
    stub.source.close().await;
    // The one that was never settled is back too; the nine are gone.
    eventually("the rest is back", || async { (peer.depth("tidegate.jobs.high").await? == 31).then_some(()) }).await;
}

/// A broker that is short of memory stops those that publish, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_publisher_does_not_stop_the_acks() {
    let mut broker = PrivateBroker::start().await.unwrap();
    let stub = Stub::start(settings(&broker.uri()));
    stub.until("consuming", |status| status.state == SourceState::Consuming).await;
    let (publisher, names) = (stub.source.publisher(), stub.names());
    enqueue(&publisher, &names, Lane::High, "before", job("before").into()).await.unwrap();
    stub.source.close().await;
    broker.configure(&["vm_memory_high_watermark.absolute = 1MB"]).unwrap();
    broker.restart().await.unwrap();

    let mut stub = Stub::start(settings(&broker.uri()));
    stub.until("consuming", |status| status.state == SourceState::Consuming).await;
    let publisher = stub.source.publisher();
    publisher.connected().await.unwrap();
    let stuck = tokio::spawn(enqueue(&publisher, &names, Lane::High, "after", job("after").into()));
    let status =
        stub.until("it is reported", |status| matches!(status.publisher, PublisherState::Blocked { .. })).await;
    assert!(format!("{:?}", status.publisher).contains("memory"), "{status:?}");
    let jobs = stub.take(Lane::High, 1).await;
    settle(&jobs);
    stub.until("the ack is out", |status| status.unsettled(Lane::High) == 0).await;
    assert!(!stuck.is_finished(), "nothing was confirmed");
    stub.source.close().await;
}
