//! SPEC.md, promise 3: without a crash nothing is sent twice, whatever HTTP/2 does: GOAWAY every thousand streams, a
//! stream limit that drops to 1 and comes back, one stream in a hundred refused. And promise 7's part of it: the
//! simulator sees no violation of the protocol.

mod support;

use std::time::Duration;

use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::Lane;
use tidegate::simulator::{Faults, GoAway, Latency, Reset, ResetCode, SimulatorSettings, StreamLimitAt};

const JOBS: usize = 20_000;

fn restless(full: u32) -> Faults {
    let at = |seconds, limit| StreamLimitAt { at: Duration::from_secs(seconds), limit };
    Faults {
        latency: Latency::Uniform { min: Duration::from_millis(2), max: Duration::from_millis(40) },
        goaway: Some(GoAway {
            after_streams: 1_000,
            reason: "Shutdown".into(),
            code: 0,
            unprocessed: 3,
            linger: false,
            twice: false,
        }),
        reset: Some(Reset { share: 0.01, code: ResetCode::RefusedStream }),
        stream_limits: vec![at(4, 1), at(6, full), at(9, 1), at(10, full)],
        ..Faults::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_03_nothing_is_sent_twice_by_goaway_refused_streams_and_shrinking_limits() {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = restless(1000);
    settings.fcm.faults = restless(100);
    let world = World::start(settings).await;
    // Two connections a route, so that each carries thousands of streams.
    let config = world.config_with("", "", "connections = 2");
    world.publish(Lane::Normal, jobs(JOBS)).await;
    let mut served = Served::start(&config).await;
    let delivered = || async {
        let status = served.status().await;
        (status["outcomes"]["delivered"].as_u64() == Some(JOBS as u64)).then_some(())
    };
    until("every push is delivered", Duration::from_secs(180), delivered).await;
    served.terminate();
    assert_eq!(served.ended(Duration::from_secs(60)).await, 0);

    let ledger = world.simulator.ledger().await;
    for (door, figures) in [("apns", &ledger.apns), ("fcm", &ledger.fcm)] {
        assert_eq!(figures.accepted, JOBS as u64 / 2, "{door}: {figures:?}");
        assert_eq!(figures.duplicates, 0, "{door}: {figures:?}");
        assert_eq!(figures.protocol_violations, 0, "{door}: {figures:?}");
        assert!(figures.goaways >= 5, "{door}: the fault did not happen: {figures:?}");
        assert!(figures.reset > 50, "{door}: the fault did not happen: {figures:?}");
    }
    assert_eq!(world.depth("tidegate.dead").await, 0);
}
