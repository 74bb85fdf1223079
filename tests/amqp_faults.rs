//! Days of trouble: connections cut, the broker killed, queues deleted, topologies that differ.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lapin::BasicProperties;
use lapin::types::AMQPValue;
use support::broker::{Broker, Peer};
use support::eventually;
use support::relay::Relay;
use support::source::{Stub, job, settings, settle};
use tidegate::job::{Envelope, Lane};
use tidegate::source::amqp::{AmqpSettings, PublisherState, QueueSettings, SourceState, SourceStatus, enqueue};
use tidegate::source::{Keep, Later};

fn consuming(status: &SourceStatus) -> bool {
    status.state == SourceState::Consuming
}

fn ids(jobs: &[Arc<Envelope>]) -> BTreeSet<String> {
    jobs.iter().map(|job| job.job.id.to_string()).collect()
}

async fn publish(stub: &Stub, lane: Lane, ids: impl Iterator<Item = String>) {
    let (publisher, names) = (stub.source.publisher(), stub.names());
    publisher.connected().await.unwrap();
    let all = ids.map(|id| enqueue(&publisher, &names, lane, &id, job(&id).into()));
    assert!(join_all(all).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_trouble() {
    let mut broker = Broker::start().await;
    let peer = Peer::connect(&broker.uri()).await;
    a_cut_connection_loses_nothing_and_acks_nothing_else(&broker, &peer).await;
    what_ended_is_not_handed_down_again_however_often_the_connection_is_cut(&broker, &peer).await;
    of_a_job_that_is_partly_done_only_the_rest_comes_again(&broker).await;
    a_poison_message_is_recognised(&broker).await;
    a_deleted_queue_is_declared_again(&broker, &peer).await;
    a_topology_that_differs_is_explained(&broker, &peer).await;
    a_missing_queue_is_explained(&broker, &peer).await;
    own_queues_have_their_lane_and_app(&broker, &peer).await;
    a_killed_broker_is_waited_for(&mut broker).await;
}

async fn a_cut_connection_loses_nothing_and_acks_nothing_else(broker: &Broker, peer: &Peer) {
    let relay = Relay::to(broker.port()).await;
    let mut stub = Stub::start(AmqpSettings { prefix: "cut".into(), ..settings(&relay.uri()) });
    stub.until("consuming", consuming).await;
    publish(&stub, Lane::High, (0..200).map(|n| format!("c{n}"))).await;
    let mut done = BTreeSet::new();
    for round in 1..=5 {
        // With the twenty of the last round that are 30: probation lets no more than 32 out.
        let old = stub.take(Lane::High, 10).await;
        relay.cut();
        stub.until("the connection is new", |status| status.generation > round && consuming(status)).await;
        assert!(old.iter().all(|job| !job.origin.receipt.acknowledger.is_live()), "what waits of it must not be sent");
        // Late acks: the same tag numbers are in use on the new channel, for other jobs.
        let new = stub.take(Lane::High, 20).await;
        assert!(ids(&new).is_disjoint(&ids(&old)), "what is under way when it comes again is not handed down twice");
        settle(&old);
        done.extend(ids(&old));
        let settled = stub.take(Lane::High, 5).await;
        settle(&settled);
        done.extend(ids(&settled));
        // Twenty are open, and stay so: the next cut brings them back.
        stub.until("twenty are open", |status| status.unsettled(Lane::High) == 20).await;
        drop(new);
    }
    relay.cut();
    stub.until("the connection is new", |status| status.generation > 6 && consuming(status)).await;
    let mut again = 0;
    while done.len() < 200 {
        stub.inlets[Lane::High.index()].want(200);
        let jobs = stub.chunk(Lane::High).await;
        again += ids(&jobs).intersection(&done).count();
        done.extend(ids(&jobs));
        settle(&jobs);
    }
    assert_eq!(again, 0, "came again though they were settled");
    stub.source.close().await;
    assert_eq!(peer.depth("cut.jobs.high").await, Some(0));
}

/// A pipeline at work while the connection is cut ten times: what is under way at a cut ends later, what waits is let
/// go, and every job is sent once.
async fn what_ended_is_not_handed_down_again_however_often_the_connection_is_cut(broker: &Broker, peer: &Peer) {
    const JOBS: usize = 4_000;
    const CUTS: usize = 10;
    let relay = Relay::to(broker.port()).await;
    let mut stub = Stub::start(AmqpSettings { prefix: "often".into(), ..settings(&relay.uri()) });
    stub.until("consuming", consuming).await;
    publish(&stub, Lane::Low, (0..JOBS).map(|n| format!("o{n}"))).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut sent = BTreeSet::new();
    let mut under_way: Vec<Arc<Envelope>> = Vec::new();
    let mut cuts = 0;
    let mut late = 0;
    while sent.len() < JOBS {
        stub.inlets[Lane::Low.index()].want(500);
        for job in stub.chunk(Lane::Low).await {
            // A pipeline looks at this before it sends.
            if job.is_live() {
                assert!(sent.insert(job.job.id.to_string()), "{} is sent twice", job.job.id);
                under_way.push(job);
            }
        }
        random.shuffle(&mut under_way);
        // Fewer than a new channel may hold at first: what is under way and comes again waits there.
        let keep = if cuts < CUTS { under_way.len().min(20) } else { 0 };
        let ended = under_way.split_off(keep);
        settle(&ended);
        if cuts < CUTS && sent.len() > cuts * JOBS / CUTS {
            // Some of the acks wait, some are on the wire, some have arrived.
            tokio::time::sleep(Duration::from_millis(random.u64(0..10))).await;
            relay.cut();
            cuts += 1;
            let cut = u64::try_from(cuts).unwrap();
            stub.until("the connection is new", |status| status.generation > cut && consuming(status)).await;
            late += under_way.iter().filter(|job| !job.is_live()).count();
        }
    }
    settle(&under_way);
    assert!(cuts == CUTS && late > 100, "{cuts} cuts, {late} jobs ended after their connection's loss");
    stub.until("all is settled", |status| status.unsettled(Lane::Low) == 0 && status.queues[2].waiting == 0).await;
    stub.source.close().await;
    assert_eq!(peer.depth("often.jobs.low").await, Some(0));
    println!("{JOBS} jobs, {cuts} cuts, {late} ended late: each handed down once");
}

async fn of_a_job_that_is_partly_done_only_the_rest_comes_again(broker: &Broker) {
    let relay = Relay::to(broker.port()).await;
    let mut stub = Stub::start(AmqpSettings { prefix: "partly".into(), ..settings(&relay.uri()) });
    stub.until("consuming", consuming).await;
    let body = br#"{"id":"wide","app":"chat","to":[{"fcm":"a"},{"fcm":"b"},{"fcm":"c"}],"data":{"k":"v"}}"#;
    let (publisher, names) = (stub.source.publisher(), stub.names());
    publisher.connected().await.unwrap();
    enqueue(&publisher, &names, Lane::High, "wide", body.as_slice().into()).await.unwrap();
    let first = stub.take(Lane::High, 1).await;
    let rest = [1, 2];
    relay.cut();
    stub.until("the connection is new", |status| status.generation > 1 && consuming(status)).await;
    let receipt = &first[0].origin.receipt;
    receipt.acknowledger.settle_except(receipt.tag, rest.to_vec());
    let again = stub.take(Lane::High, 1).await;
    assert_eq!(again[0].origin.selected.as_deref(), Some(&rest[..]));
    // Let go unsent when the connection is lost anew: the same part comes, not the whole.
    relay.cut();
    drop(again);
    stub.until("the connection is new", |status| status.generation > 2 && consuming(status)).await;
    let again = stub.take(Lane::High, 1).await;
    assert_eq!(again[0].origin.selected.as_deref(), Some(&rest[..]));
    settle(&again);
    stub.until("it is settled", |status| status.unsettled(Lane::High) == 0).await;
    stub.source.close().await;
}

async fn a_poison_message_is_recognised(broker: &Broker) {
    let relay = Relay::to(broker.port()).await;
    let only_once = AmqpSettings { prefix: "poison".into(), max_deliveries: 1, ..settings(&relay.uri()) };
    let mut stub = Stub::start(only_once);
    stub.until("consuming", consuming).await;
    publish(&stub, Lane::High, ["deadly".to_owned()].into_iter()).await;
    for deliveries in 0..3 {
        let jobs = stub.take(Lane::High, 1).await;
        assert_eq!(jobs[0].origin.exhausted, deliveries > 1, "delivered {deliveries} times before");
        if deliveries == 2 {
            settle(&jobs);
            break;
        }
        let generation = stub.status.borrow().generation;
        relay.cut();
        stub.until("the connection is new", |status| status.generation > generation && consuming(status)).await;
    }
    stub.source.close().await;
}

async fn a_deleted_queue_is_declared_again(broker: &Broker, peer: &Peer) {
    let mut stub = Stub::start(AmqpSettings { prefix: "deleted".into(), ..settings(&broker.uri()) });
    stub.until("consuming", consuming).await;
    stub.inlets[Lane::Low.index()].want(1);
    stub.until("a consumer", |status| status.queues[2].prefetch > 0).await;
    peer.delete("deleted.jobs.low").await;
    stub.until("it is reported", |status| {
        status.queues[2].error.as_ref().is_some_and(|error| error.contains("deleted.jobs.low"))
    })
    .await;
    stub.until("a consumer again", |status| status.queues[2].prefetch > 0 && status.queues[2].error.is_none()).await;
    publish(&stub, Lane::Low, ["back".to_owned()].into_iter()).await;
    settle(&stub.take(Lane::Low, 1).await);
    assert_eq!(stub.status.borrow().generation, 1, "the other queues never noticed");
    stub.source.close().await;
}

async fn a_topology_that_differs_is_explained(broker: &Broker, peer: &Peer) {
    let quorum = ("x-queue-type", AMQPValue::LongString("quorum".into()));
    peer.declare("differs.jobs.high", &[quorum, ("x-delivery-limit", AMQPValue::LongInt(100))]).await;
    let stub = Stub::start(AmqpSettings { prefix: "differs".into(), ..settings(&broker.uri()) });
    let status = stub.until("it is reported", |status| status.error.is_some()).await;
    let error = status.error.unwrap();
    for part in ["differs.jobs.high", "different", "there it is", "we need", "declare = false"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    assert!(["x-delivery-limit", "x-dead-letter", "x-overflow"].iter().any(|name| error.contains(name)), "{error}");
    peer.delete("differs.jobs.high").await;
    stub.until("it goes on by itself", |status| consuming(status) && status.error.is_none()).await;
    stub.source.close().await;
}

async fn a_missing_queue_is_explained(broker: &Broker, peer: &Peer) {
    let hands_off = AmqpSettings { prefix: "absent".into(), declare: false, ..settings(&broker.uri()) };
    let stub = Stub::start(hands_off);
    let error = stub.until("it is reported", |status| status.error.is_some()).await.error.unwrap();
    assert!(error.contains("absent.") && error.contains("missing") && error.contains("declare = true"), "{error}");
    assert_eq!(peer.depth("absent.dead").await, None, "nothing was declared");
    stub.source.close().await;
}

async fn own_queues_have_their_lane_and_app(broker: &Broker, peer: &Peer) {
    for name in ["theirs-1", "theirs-2"] {
        peer.declare(name, &[]).await;
    }
    let own = |name: &str| QueueSettings { name: name.into(), lane: Lane::High, app: Some("chat".into()) };
    let queues = vec![own("theirs-1"), own("theirs-2")];
    let mut stub = Stub::start(AmqpSettings { prefix: "own".into(), queues, ..settings(&broker.uri()) });
    stub.until("consuming", consuming).await;
    let body = br#"{"to":[{"fcm":"t"}],"data":{"k":"v"}}"#;
    for name in ["theirs-1", "theirs-2"] {
        peer.publish("", name, BasicProperties::default(), body).await;
    }
    let jobs = stub.take(Lane::High, 2).await;
    assert!(jobs.iter().all(|job| &*job.job.app == "chat" && job.lane == Lane::High));
    let queues: BTreeSet<&str> = jobs.iter().map(|job| &*job.origin.queue).collect();
    assert_eq!(queues, BTreeSet::from(["theirs-1", "theirs-2"]));
    settle(&jobs);
    assert_eq!(peer.depth("own.jobs.high").await, None, "ours are not made where they are not used");
    stub.source.close().await;
}

async fn a_killed_broker_is_waited_for(broker: &mut Broker) {
    let mut stub = Stub::start(AmqpSettings { prefix: "killed".into(), ..settings(&broker.uri()) });
    stub.until("consuming", consuming).await;
    publish(&stub, Lane::Normal, (0..100).map(|n| format!("k{n}"))).await;
    let held = stub.take(Lane::Normal, 30).await;
    settle(&held[..10]);
    stub.until("ten are settled", |status| status.unsettled(Lane::Normal) == 20).await;
    broker.kill_9();
    stub.until("it is reported", |status| {
        status.state == SourceState::Connecting
            && status.error.as_ref().is_some_and(|error| error.contains("127.0.0.1"))
            && matches!(&status.publisher, PublisherState::Connecting { error: Some(_) })
    })
    .await;
    // What shall be kept meanwhile is kept when it is back.
    let envelope = Arc::clone(&held[29]);
    let later = Later { envelope, targets: vec![0], attempts: 1, delay: Duration::from_secs(3000) };
    let keeping = tokio::spawn(stub.source.keeper().keep(Keep::Later(later)));
    broker.restart().await.unwrap();
    stub.until("consuming again", |status| consuming(status) && status.generation == 2).await;
    tokio::time::timeout(Duration::from_secs(30), keeping).await.expect("kept in the end").unwrap();
    // What was under way when it was killed ends now.
    settle(&held[10..]);
    let mut seen = ids(&held);
    while seen.len() < 100 {
        stub.inlets[Lane::Normal.index()].want(100);
        let jobs = stub.chunk(Lane::Normal).await;
        for job in &jobs {
            assert!(seen.insert(job.job.id.to_string()), "{} is handed down twice", job.job.id);
        }
        settle(&jobs);
    }
    stub.until("all is settled", |status| status.unsettled(Lane::Normal) == 0).await;
    stub.source.close().await;
    let peer = Peer::connect(&broker.uri()).await;
    eventually("all is settled", || async { (peer.depth("killed.jobs.normal").await? == 0).then_some(()) }).await;
    assert_eq!(peer.depth("killed.retry.1h").await, Some(1));
}
