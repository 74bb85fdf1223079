//! SPEC.md, promise 11: SIGTERM stops intake, finishes what is in flight by the deadline, returns the rest.

mod support;

use std::time::Duration;

use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::Lane;
use tidegate::simulator::{Faults, Latency, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
const JOBS: usize = 20_000;

async fn loaded(latency: Duration) -> World {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = Faults { latency: Latency::Fixed { value: latency }, ..Faults::default() };
    settings.fcm.faults = settings.apns.faults.clone();
    let world = World::start(settings).await;
    world.publish(Lane::Normal, jobs(JOBS)).await;
    world
}

async fn under_load(served: &Served) {
    until("pushes are in flight and some are delivered", MINUTE, || async {
        let status = served.status().await;
        let in_flight =
            status["routes"].as_array()?.iter().filter_map(|route| route["in_flight"].as_u64()).sum::<u64>();
        (in_flight > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_sigterm_finishes_what_is_in_flight_and_returns_the_rest() {
    let world = loaded(Duration::from_millis(100)).await;
    let config = world.config_with("", "", "rate = \"1000/s\"");
    let mut served = Served::start(&config).await;
    under_load(&served).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let ledger = world.simulator.ledger().await;
    let accepted = ledger.apns.accepted + ledger.fcm.accepted;
    let left = u64::from(world.depth("tidegate.jobs.normal").await);
    assert!(accepted > 0 && left > 0, "it was under load: {accepted} accepted, {left} left");
    assert_eq!(accepted + left, JOBS as u64, "each job is delivered or back in its queue");
    assert_eq!(ledger.apns.duplicates + ledger.fcm.duplicates, 0);

    let mut served = Served::start(&config).await;
    until("the next one delivers the rest", 2 * MINUTE, || async {
        let ledger = world.simulator.ledger().await;
        (ledger.apns.accepted + ledger.fcm.accepted >= JOBS as u64).then_some(())
    })
    .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let ledger = world.simulator.ledger().await;
    assert_eq!(ledger.apns.duplicates + ledger.fcm.duplicates, 0, "a drain and a start send nothing twice");
    assert_eq!(ledger.apns.protocol_violations + ledger.fcm.protocol_violations, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_past_the_deadline_work_is_left_and_not_lost() {
    let world = loaded(Duration::from_secs(3600)).await;
    let config = world.config("[limits]\ndrain_timeout = \"300ms\"");
    let mut served = Served::start(&config).await;
    under_load(&served).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 75);
    until("all jobs are back", MINUTE, || async {
        (world.depth("tidegate.jobs.normal").await == JOBS as u32).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_second_signal_ends_it_at_once() {
    let world = loaded(Duration::from_secs(3600)).await;
    let config = world.config("[limits]\ndrain_timeout = \"10min\"");
    let mut served = Served::start(&config).await;
    under_load(&served).await;
    served.terminate();
    until("it drains", MINUTE, || async { served.log().iter().any(|line| line.contains("draining")).then_some(()) })
        .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 75);
    until("all jobs are back", MINUTE, || async {
        (world.depth("tidegate.jobs.normal").await == JOBS as u32).then_some(())
    })
    .await;
}

/// A webhook that never answers holds back settlement; the drain ends by its deadline all the same, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_sink_that_hangs_does_not_hang_the_drain() {
    let world = loaded(Duration::from_millis(1)).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let hook = silent.local_addr().expect("it is bound");
    let more = format!(
        "[limits]\ndrain_timeout = \"1s\"\n[outcomes]\namqp = false\npublish = [\"delivered\"]\nwebhook = \"http://{hook}/\""
    );
    let config = world.config(&more);
    let mut served = Served::start(&config).await;
    // Without an ack the source stays on probation: that is all it takes.
    until("the first window is delivered and waits for the webhook", MINUTE, || async {
        let ledger = world.simulator.ledger().await;
        (ledger.apns.accepted + ledger.fcm.accepted >= 32).then_some(())
    })
    .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 75);
    until("all jobs are back: none was told, so none was settled", MINUTE, || async {
        (world.depth("tidegate.jobs.normal").await == JOBS as u32).then_some(())
    })
    .await;
}

/// At full speed thousands of acks are on their way when the signal comes; each must have arrived before the channel closes.
#[tokio::test(flavor = "multi_thread")]
async fn promise_11_acks_arrive_before_the_channel_closes() {
    let world = loaded(Duration::from_millis(5)).await;
    let config = world.config("");
    let mut accepted = 0;
    let mut drain = 0;
    while accepted + 5_000 <= JOBS as u64 {
        drain += 1;
        let mut served = Served::start(&config).await;
        until("it is at full speed", MINUTE, || async {
            let ledger = world.simulator.ledger().await;
            (ledger.apns.accepted + ledger.fcm.accepted >= accepted + 2_500).then_some(())
        })
        .await;
        served.terminate();
        assert_eq!(served.ended(MINUTE).await, 0);
        let ledger = world.simulator.ledger().await;
        accepted = ledger.apns.accepted + ledger.fcm.accepted;
        let left = u64::from(world.depth("tidegate.jobs.normal").await);
        assert_eq!(
            accepted + left,
            JOBS as u64,
            "drain {drain}: what was accepted and is still in the queue is sent again"
        );
    }
}
