//! SPEC.md, promise 7: a rate that the operator set is never exceeded by more than its burst; `Retry-After` is kept; the
//! server's stream limit is never passed, from 1 on a new APNs connection upward.

mod support;

use std::time::Duration;

use support::until;
use support::world::{Served, World, job};
use tidegate::job::{Lane, Provider};
use tidegate::simulator::{Faults, Latency, PushQuery, SimulatorSettings, Throttle};

const MINUTE: Duration = Duration::from_secs(60);

async fn accepted(world: &World, provider: Provider) -> u64 {
    let ledger = world.simulator.ledger().await;
    ledger.door(provider).expect("there is such a door").accepted
}

/// The most arrivals beyond `rate × T + burst` in any window T, given the arrivals' times in milliseconds.
fn excess(mut arrivals: Vec<u64>, per_second: f64, burst: f64, slack: Duration) -> f64 {
    arrivals.sort_unstable();
    let mut worst = f64::MIN;
    for (first, begin) in arrivals.iter().enumerate() {
        for (last, end) in arrivals.iter().enumerate().skip(first) {
            let span = (end - begin) as f64 / 1e3 + slack.as_secs_f64();
            worst = worst.max((last - first + 1) as f64 - (span * per_second + burst));
        }
    }
    worst
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_rates_retry_after_and_stream_limits_are_kept() {
    const RATE: f64 = 500.0;
    const BURST: f64 = 50.0;
    const APPLE: usize = 3_000;
    const GOOGLE: usize = 300;
    let mut settings = SimulatorSettings::default();
    settings.apns.faults.latency = Latency::Uniform { min: Duration::from_millis(5), max: Duration::from_millis(20) };
    settings.apns.stream_limit = 20;
    let throttle = Throttle { share: 1.0, retry_after: Some(Duration::from_secs(3)), as_date: false, during: None };
    settings.fcm.faults = Faults { throttle: Some(throttle), ..Faults::default() };
    let world = World::start(settings).await;
    let config = world.config("");
    let text = std::fs::read_to_string(&config).expect("it was written");
    let text =
        text.replace("topic = \"com.example.chat\"", "topic = \"com.example.chat\"\nrate = \"500/s\"\nburst = 50");
    std::fs::write(&config, text).expect("it is written");
    world.publish(Lane::Normal, (0..APPLE).map(|nth| job(nth, true))).await;
    world.publish(Lane::High, (0..GOOGLE).map(|nth| job(APPLE + nth, false))).await;

    let mut served = Served::start(&config).await;
    until("FCM has said Retry-After", MINUTE, || async {
        let ledger = world.simulator.ledger().await;
        (!ledger.fcm.rejected.is_empty()).then_some(())
    })
    .await;
    until("all of Apple's are delivered meanwhile", MINUTE, || async {
        (accepted(&world, Provider::Apns).await == APPLE as u64).then_some(())
    })
    .await;
    world.simulator.set_faults(Provider::Fcm, Faults::default());
    until("all of Google's are delivered after it", 2 * MINUTE, || async {
        (accepted(&world, Provider::Fcm).await == GOOGLE as u64).then_some(())
    })
    .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let ledger = world.simulator.ledger().await;
    assert_eq!(ledger.fcm.requests_in_retry_after, 0, "nothing was sent while FCM had said to wait: {:?}", ledger.fcm);
    assert_eq!(ledger.fcm.retry_after_violations, 0);
    assert_eq!(ledger.apns.protocol_violations + ledger.fcm.protocol_violations, 0);
    assert!(ledger.apns.max_in_flight <= 20, "{:?}", ledger.apns);
    let query = PushQuery { provider: Some(Provider::Apns), limit: Some(APPLE), ..PushQuery::default() };
    let arrivals: Vec<u64> = world.simulator.pushes(query).await.pushes.iter().map(|push| push.first_at).collect();
    assert_eq!(arrivals.len(), APPLE);
    // Sent evenly, seen through two processes' schedulers: a late reader sees some at once.
    let excess = excess(arrivals, RATE, BURST, Duration::from_millis(150));
    assert!(excess <= 0.0, "{excess} more than the rate and its burst allow");
}
