//! SPEC.md, promise 1: a job is acked to its source only when every push in it has an outcome or is durably queued
//! again. `kill -9` at any moment, or the broker's, loses no accepted job. And promise 3 for crashes: what is sent twice
//! is bounded by what was unsettled.

mod support;

use std::time::Duration;

use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::Lane;
use tidegate::simulator::{Faults, Latency, PushQuery, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);

fn simulator() -> SimulatorSettings {
    let latency = Latency::Uniform { min: Duration::from_millis(5), max: Duration::from_millis(60) };
    let faults = Faults { latency, ..Faults::default() };
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = faults.clone();
    settings.fcm.faults = faults;
    settings
}

fn random() -> fastrand::Rng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// How many of the pushes the simulators never accepted; and how many acceptances were beyond a push's first.
async fn lost_and_doubled(world: &World, jobs: usize) -> (usize, u64) {
    let once = PushQuery { accepted_at_least: Some(1), limit: Some(jobs * 2), ..PushQuery::default() };
    let accepted = world.simulator.pushes(once).await.pushes.len();
    let ledger = world.simulator.ledger().await;
    assert_eq!(ledger.apns.protocol_violations + ledger.fcm.protocol_violations, 0, "{ledger:?}");
    (jobs - accepted, ledger.apns.duplicates + ledger.fcm.duplicates)
}

async fn everything_settled(world: &World, served: &Served, what: &str) {
    until(what, 3 * MINUTE, || async {
        let status = served.status().await;
        let unsettled: u64 = status["sources"][0]["queues"]
            .as_array()?
            .iter()
            .map(|queue| queue["unsettled"].as_u64().unwrap_or(1))
            .sum();
        (unsettled == 0 && world.depth("tidegate.jobs.normal").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_01_no_job_is_lost_when_tidegate_is_killed_50_times() {
    const JOBS: usize = 8_000;
    const KILLS: u32 = 50;
    const WINDOW: u64 = 256;
    let world = World::start(simulator()).await;
    let config = world.config_with("", &format!("max_prefetch = {WINDOW}"), "rate = \"300/s\"");
    world.publish(Lane::Normal, jobs(JOBS)).await;
    let mut random = random();
    for _ in 0..KILLS {
        let served = Served::start(&config).await;
        // Not to wait for anything: the moment is what is random.
        tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
        served.kill_9();
    }
    let mut served = Served::start(&config).await;
    everything_settled(&world, &served, "all jobs are settled after the last start").await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let (lost, doubled) = lost_and_doubled(&world, JOBS).await;
    println!("{JOBS} jobs, {KILLS} kills: lost {lost}, doubled {doubled}");
    assert_eq!(lost, 0);
    assert!(doubled <= u64::from(KILLS) * WINDOW, "{doubled} doubled: more than can have been unsettled");
    assert_eq!(world.depth("tidegate.dead").await, 0, "no innocent job is taken for poison");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_01_no_job_is_lost_when_the_broker_is_killed_10_times() {
    const JOBS: usize = 20_000;
    const KILLS: u64 = 10;
    const WINDOW: u64 = 500;
    let mut world = World::start(simulator()).await;
    let config = world.config_with("", &format!("max_prefetch = {WINDOW}"), "rate = \"300/s\"");
    world.publish(Lane::Normal, jobs(JOBS)).await;
    let mut served = Served::start(&config).await;
    let mut random = random();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.u64(200..1500))).await;
        world.broker.kill_9();
        world.broker.restart().await.expect("the broker starts again");
        let consuming = || async { (served.get("/readyz").await.0 == 200).then_some(()) };
        until("tidegate consumes again", MINUTE, consuming).await;
    }
    everything_settled(&world, &served, "all jobs are settled after the last restart").await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let (lost, doubled) = lost_and_doubled(&world, JOBS).await;
    println!("{JOBS} jobs, {KILLS} kills of the broker: lost {lost}, doubled {doubled}");
    assert_eq!(lost, 0);
    assert_eq!(doubled, 0, "the process lived, and knows what it has sent");
    assert_eq!(world.depth("tidegate.dead").await, 0);
}

/// ENGINEERING.md, D8: each start redelivers what the last one had unsettled, and the broker counts that. Half of the
/// kills come before anything can be settled, so the first jobs of the queue are hit again and again.
#[tokio::test(flavor = "multi_thread")]
async fn promise_01_a_crash_loop_of_30_takes_no_innocent_job_for_poison() {
    const JOBS: usize = 8_000;
    const KILLS: u32 = 30;
    const WINDOW: u64 = 1_000;
    let mut settings = simulator();
    let latency = Latency::Uniform { min: Duration::from_millis(1000), max: Duration::from_millis(1500) };
    settings.apns.faults.latency = latency.clone();
    settings.fcm.faults.latency = latency;
    let world = World::start(settings).await;
    let config = world.config_with("", &format!("max_prefetch = {WINDOW}"), "rate = \"unlimited\"");
    world.publish(Lane::Normal, jobs(JOBS)).await;
    let mut random = random();
    let (mut early, mut widest) = (0, 0);
    for kill in 0..KILLS {
        let served = Served::start(&config).await;
        let queue = || async { served.status().await["sources"][0]["queues"][1].clone() };
        until("it has jobs in hand", MINUTE, || async { (queue().await["unsettled"].as_u64()? > 0).then_some(()) })
            .await;
        if kill % 2 == 1 {
            tokio::time::sleep(Duration::from_millis(random.u64(1500..3500))).await;
        }
        let status = served.status().await;
        widest = widest.max(status["sources"][0]["queues"][1]["prefetch"].as_u64().expect("a number"));
        early += u32::from(status["jobs_settled"].as_u64() == Some(0));
        served.kill_9();
    }
    let mut served = Served::start(&config).await;
    everything_settled(&world, &served, "all jobs are settled after the last start").await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let (lost, doubled) = lost_and_doubled(&world, JOBS).await;
    println!(
        "{JOBS} jobs, {KILLS} kills, {early} of them early, windows up to {widest}: lost {lost}, doubled {doubled}"
    );
    assert_eq!(lost, 0);
    assert!(early >= KILLS / 3, "only {early} of {KILLS} kills came before anything was settled");
    assert!(doubled <= u64::from(KILLS) * WINDOW, "{doubled} doubled: more than can have been unsettled");
    assert_eq!(world.depth("tidegate.dead").await, 0, "no innocent job is taken for poison");
}
