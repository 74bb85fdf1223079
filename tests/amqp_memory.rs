//! Jobs of a megabyte: what is held stays near `[limits] memory`, whatever the prefetch could be, and all arrive.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use support::broker::Broker;
use support::source::{Stub, job, settings, settle};
use tidegate::job::{Envelope, Lane};
use tidegate::source::amqp::{AmqpSettings, SourceState, enqueue};

const MEMORY: usize = 32 << 20;
/// A job of 1 MiB is charged as a little more than three times that, so ten of them fit.
const LARGE: usize = (1 << 20) - 512;

/// A job, blown up to so many bytes.
fn padded(id: &str, bytes: usize) -> Vec<u8> {
    let mut body = job(id);
    body.resize(bytes.max(body.len()), b' ');
    body
}

async fn publish(stub: &Stub, ids: impl Iterator<Item = String>, bytes: usize) {
    let (publisher, names) = (stub.source.publisher(), stub.names());
    publisher.connected().await.unwrap();
    let sends = stream::iter(ids).map(|id| {
        let (publisher, names) = (publisher.clone(), names.clone());
        async move { enqueue(&publisher, &names, Lane::Normal, &id, padded(&id, bytes).into()).await.unwrap() }
    });
    sends.buffer_unordered(16).for_each(|()| async {}).await;
}

/// Takes so many jobs as a pipeline does that is bounded by memory, each held for a while; the most bytes ever held.
async fn work_through(stub: &mut Stub, jobs: usize) -> usize {
    let mut seen = BTreeSet::new();
    let mut held: Vec<Arc<Envelope>> = Vec::new();
    let mut most = 0;
    let give_up = Instant::now() + Duration::from_secs(120);
    while seen.len() < jobs {
        stub.inlets[Lane::Normal.index()].want(stub.memory.cap(2_000));
        let chunk = tokio::time::timeout(Duration::from_millis(100), stub.inlets[Lane::Normal.index()].recv()).await;
        most = most.max(stub.memory.bytes());
        match chunk {
            Ok(chunk) => {
                for job in chunk.unwrap() {
                    assert!(seen.insert(job.job.id.to_string()), "{} came twice", job.job.id);
                    held.push(job);
                }
            }
            // Nothing comes any more: as many as may be are held. Some of them end.
            Err(_) => {
                assert!(Instant::now() < give_up, "room for {}; {:#?}", stub.memory.room(), *stub.status.borrow());
                settle(&held.drain(..held.len().div_ceil(2)).collect::<Vec<_>>());
            }
        }
    }
    settle(&held);
    drop(held);
    stub.inlets[Lane::Normal.index()].want(0);
    stub.until("all is settled", |status| status.unsettled(Lane::Normal) == 0).await;
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_megabyte_are_held_within_the_memory_there_is() {
    let broker = Broker::start().await;
    let wide = AmqpSettings { max_prefetch: 2000, ..settings(&broker.uri()) };
    let mut stub = Stub::start_within(wide, MEMORY);
    stub.until("consuming", |status| status.state == SourceState::Consuming).await;
    publish(&stub, (0..100).map(|n| format!("large-{n}")), LARGE).await;
    let most = work_through(&mut stub, 100).await;
    println!("at most {} of {} MiB held", most >> 20, MEMORY >> 20);
    assert!(most <= MEMORY + MEMORY / 4, "{} MiB held, {} are allowed", most >> 20, MEMORY >> 20);
    assert!(most >= MEMORY / 2, "only {} MiB of {} are used", most >> 20, MEMORY >> 20);

    // Small jobs widen the window again; the large ones behind them cut it.
    publish(&stub, (0..3_000).map(|n| format!("small-{n}")), 0).await;
    work_through(&mut stub, 3_000).await;
    publish(&stub, (0..60).map(|n| format!("turn-{n}")), LARGE).await;
    let most = work_through(&mut stub, 60).await;
    println!("after a turn from small to large, at most {} of {} MiB held", most >> 20, MEMORY >> 20);
    assert_eq!(stub.memory.bytes(), 0, "every charge is given back");
    let drained = stub.status.borrow().queues[1].prefetch;
    assert!(drained <= 16, "a prefetch of {drained} jobs of a megabyte");
    stub.source.close().await;
}
