//! SPEC.md, promise 5: a route that stalls, fails or is throttled does not slow another route.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::{Lane, Provider};
use tidegate::simulator::{Faults, Latency, PushQuery, SimulatorSettings, Window};

const MINUTE: Duration = Duration::from_secs(60);
const JOBS: usize = 30_000;

fn delivered(status: &Value, provider: &str) -> u64 {
    let routes = status["routes"].as_array().expect("there are routes");
    let route = routes.iter().find(|route| route["provider"] == provider).expect("the route is there");
    route["outcomes"]["delivered"].as_u64().expect("it counts")
}

/// FCM suddenly answers nothing at all, and every second job in the queue is FCM's. APNs' go out nevertheless, all of them; and
/// when FCM answers again, its own do. None is lost, none is sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn promise_05_a_stalled_route_does_not_stop_another_in_the_same_queue() {
    let calm = Faults { latency: Latency::Fixed { value: Duration::from_millis(5) }, ..Faults::default() };
    let stalled = Faults { stalls: vec![Window { from: Duration::ZERO, length: 60 * MINUTE }], ..calm.clone() };
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = calm.clone();
    settings.fcm.faults = calm.clone();
    let world = World::start(settings).await;
    let config = world.config_with("", "", "max_attempts = 100\nrequest_timeout = \"5s\"");
    world.publish(Lane::Normal, jobs(JOBS)).await;

    let mut served = Served::start(&config).await;
    let half = JOBS as u64 / 2;
    let some_of_google = || async { (delivered(&served.status().await, "fcm") > 500).then_some(()) };
    until("FCM answers", MINUTE, some_of_google).await;
    world.simulator.set_faults(Provider::Fcm, stalled);
    let started = std::time::Instant::now();
    let all_of_apple = || async { (delivered(&served.status().await, "apns") == half).then_some(()) };
    until("every push of APNs is delivered while FCM is stalled", 3 * MINUTE, all_of_apple).await;
    let status = served.status().await;
    println!("APNs' {half} took {:?}; put off: {}", started.elapsed(), status["pushes_put_off"]);
    assert!(delivered(&status, "fcm") < half / 2, "FCM is stalled indeed: {status}");
    assert!(status["pushes_put_off"].as_u64() > Some(2_000), "more than the window was in APNs' way");

    world.simulator.set_faults(Provider::Fcm, calm);
    let all = || async { (delivered(&served.status().await, "fcm") == half).then_some(()) };
    until("every push of FCM is delivered after the stall", 5 * MINUTE, all).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let once = PushQuery { accepted_at_least: Some(1), limit: Some(JOBS * 2), ..PushQuery::default() };
    assert_eq!(world.simulator.pushes(once).await.pushes.len(), JOBS, "none is lost");
    let ledger = world.simulator.ledger().await;
    assert_eq!((ledger.apns.duplicates, ledger.fcm.duplicates), (0, 0), "none is sent twice");
    assert_eq!(world.depth("tidegate.dead").await, 0);
}
