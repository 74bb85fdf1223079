//! SPEC.md, sections 7 and 8; FLOW.md 3.2: limits change while the pipeline runs, at once, and nothing is lost or doubled.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::until;
use support::world::{Served, World, job};
use tidegate::job::Lane;
use tidegate::simulator::{Faults, Latency, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
const JOBS: usize = 8_000;
const ROUTE: &str = "chat/apns";

/// What the simulator has received, and accepted.
async fn arrived(world: &World) -> (u64, u64) {
    let apns = world.simulator.ledger().await.apns;
    (apns.received, apns.accepted)
}

async fn accepted_beyond(world: &World, count: u64) {
    until("more is accepted", MINUTE, || async { (arrived(world).await.1 > count).then_some(()) }).await;
}

async fn route(served: &Served) -> Value {
    let status = served.status().await;
    let routes = status["routes"].as_array().expect("routes are shown");
    routes.iter().find(|route| route["provider"] == "apns").expect("the route is shown").clone()
}

async fn rate_is(served: &Served, rate: f64) {
    until("the route shows its new rate", MINUTE, || async { (route(served).await["rate"] == rate).then_some(()) })
        .await;
}

async fn logged(served: &Served, words: &[&str]) {
    let has_all = |line: &String| words.iter().all(|word| line.contains(word));
    until(&format!("the log says {words:?}"), MINUTE, || async { served.log().iter().any(has_all).then_some(()) })
        .await;
}

/// Watches for a while that no more arrives than a rate allows, its burst (100 ms of it) and what was on its way included.
async fn is_kept(world: &World, rate: f64, span: Duration) {
    let (begun, before) = (Instant::now(), arrived(world).await.0);
    while begun.elapsed() < span {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let arrived = arrived(world).await.0 - before;
        // Taken after the ledger was read: an upper bound of the time in which so many came.
        let allowed = rate * (begun.elapsed().as_secs_f64() + 0.1) + 20.0;
        assert!(arrived as f64 <= allowed, "{arrived} in {:?} at {rate}/s", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_limits_are_obeyed_at_once_and_nothing_is_lost_or_doubled() {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults =
        Faults { latency: Latency::Fixed { value: Duration::from_millis(300) }, ..Faults::default() };
    let world = World::start(settings).await;
    world.publish(Lane::Normal, (0..JOBS).map(|nth| job(nth, true))).await;
    let config = world.config_with("", "", "rate = \"100/s\"");
    let mut served = Served::start(&config).await;

    // 100/s from the configuration.
    accepted_beyond(&world, 20).await;
    is_kept(&world, 100.0, Duration::from_secs(2)).await;

    // 2,000/s by a patch.
    let (patched, before) = (Instant::now(), arrived(&world).await.1);
    let (status, answer) = served.patch(ROUTE, json!({"rate": "2000/s"})).await;
    assert_eq!((status, &answer["rate"], &answer["until"]), (200, &json!("2000/s"), &json!("reload")));
    is_kept(&world, 2_000.0, Duration::from_millis(500)).await;
    accepted_beyond(&world, before + 1_500).await;
    let old = 100.0 * patched.elapsed().as_secs_f64() + 110.0;
    assert!((arrived(&world).await.1 - before) as f64 > old, "more than the old rate passes");

    // Paused: what is in flight ends, nothing else goes out.
    assert_eq!(served.patch(ROUTE, json!({"paused": true})).await.0, 200);
    until("what is in flight ends", MINUTE, || async {
        let route = route(&served).await;
        (route["state"] == "paused_by_operator" && route["in_flight"] == 0).then_some(())
    })
    .await;
    let (received, accepted) = arrived(&world).await;
    assert_eq!(received, accepted, "what was in flight was answered, and its answer awaited");
    assert!(accepted < JOBS as u64, "there is more to send");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(arrived(&world).await.0, received, "nothing arrives while it is paused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (ready, reasons) = served.get("/readyz").await;
    assert!(ready == 200 && reasons.contains("route chat/apns: paused by the operator"), "{reasons}");

    // Resumed, slower.
    assert_eq!(served.patch(ROUTE, json!({"paused": false, "rate": "200/s"})).await.0, 200);
    accepted_beyond(&world, accepted).await;
    is_kept(&world, 200.0, Duration::from_secs(1)).await;

    // Reloaded with another rate, and something that has to wait.
    world.config_with("[limits]\nmemory = \"300MiB\"", "", "rate = \"150/s\"\nconnections = 3");
    served.hang_up();
    rate_is(&served, 150.0).await;
    logged(&served, &["needs a restart: limits.memory;"]).await;
    is_kept(&world, 150.0, Duration::from_secs(1)).await;

    // A broken file changes nothing.
    world.config_with("", "", "rate = \"fast\"");
    served.hang_up();
    logged(&served, &["ERROR", "not reloaded", "apps.chat.apns.rate", "fast"]).await;
    assert_eq!(route(&served).await["rate"], 150.0);
    is_kept(&world, 150.0, Duration::from_secs(1)).await;
    let before = arrived(&world).await.1;
    accepted_beyond(&world, before).await;

    // A good one is taken on without a signal.
    world.config_with("", "", "rate = \"unlimited\"");
    logged(&served, &["INFO", "was reloaded", "the file has changed"]).await;
    until("all are delivered", 2 * MINUTE, || async { (arrived(&world).await.1 >= JOBS as u64).then_some(()) }).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let apns = world.simulator.ledger().await.apns;
    assert_eq!((apns.accepted, apns.duplicates, apns.protocol_violations), (JOBS as u64, 0, 0));
    assert_eq!(world.depth("tidegate.jobs.normal").await, 0);
}
