//! SPEC.md, promise 4: memory stays flat under any backlog; the backlog stays in the broker.

mod support;

use std::time::Duration;

use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::Lane;
use tidegate::simulator::{Faults, SimulatorSettings, Window};

const MINUTE: Duration = Duration::from_secs(60);

/// A hundred thousand jobs wait and the providers answer nothing at all: the broker keeps them, we hold a window.
#[tokio::test(flavor = "multi_thread")]
async fn promise_04_a_backlog_stays_in_the_broker_while_providers_stall() {
    const JOBS: usize = 100_000;
    const WINDOW: u32 = 2_000;
    let mut settings = SimulatorSettings::default();
    let stalled = Faults { stalls: vec![Window { from: Duration::ZERO, length: 60 * MINUTE }], ..Faults::default() };
    settings.apns.faults = stalled.clone();
    settings.fcm.faults = stalled;
    let world = World::start(settings).await;
    let config = world.config("");
    world.publish(Lane::Low, jobs(JOBS)).await;
    let served = Served::start(&config).await;
    let idle = served.memory();
    until("it holds what it asked for", MINUTE, || async {
        let status = served.status().await;
        (status["sources"][0]["queues"][2]["unsettled"].as_u64()? > 0).then_some(())
    })
    .await;
    // As many looks as make sure that it stays so.
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let ready = world.depth("tidegate.jobs.low").await;
        assert!(ready >= JOBS as u32 - WINDOW, "{ready} of {JOBS} are left at the broker");
    }
    let memory = served.memory();
    println!("resident: {} MiB idle, {} MiB with {JOBS} jobs waiting", idle >> 20, memory >> 20);
    assert!(memory < 150 << 20, "{} MiB", memory >> 20);
}
