//! SPEC.md, promise 10: what is not delivered has a reason, and where it was ours to keep, a dead letter.

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::corpus::corpus;
use support::until;
use support::world::{Served, World, job};
use tidegate::job::Lane;
use tidegate::simulator::SimulatorSettings;

const MINUTE: Duration = Duration::from_secs(60);

fn header(properties: &lapin::BasicProperties, name: &str) -> String {
    let headers = properties.headers().as_ref().expect("a dead letter has headers");
    match headers.inner().get(name) {
        Some(lapin::types::AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}

/// Every bad job that we know, and good ones between them: each bad one is kept with its reason and its body as it came,
/// each good one is delivered, and the process lives.
#[tokio::test(flavor = "multi_thread")]
async fn promise_10_every_bad_job_is_a_dead_letter_with_its_reason_and_stops_nobody() {
    let cases = corpus();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    let world = World::start(SimulatorSettings::default()).await;
    let config = world.config("");
    let mut served = Served::start(&config).await;
    for (lane, good) in Lane::ALL.into_iter().zip([0_usize, 1000, 2000]) {
        let bad = cases.iter().enumerate().skip(lane.index()).step_by(3);
        let bad = bad.map(|(nth, case)| (format!("bad-{nth}"), Bytes::from(case.body.clone())));
        // A good one before each.
        let jobs = bad.enumerate().flat_map(|(nth, bad)| [job(good + nth, nth % 2 == 0), bad]);
        world.publish(lane, jobs.collect::<Vec<_>>()).await;
    }
    let wanted = u32::try_from(cases.len()).expect("some hundred");
    until("all bad jobs are dead letters", 2 * MINUTE, || async {
        (world.depth("tidegate.dead").await >= wanted).then_some(())
    })
    .await;
    until("all good jobs are delivered", 2 * MINUTE, || async {
        let ledger = world.simulator.ledger().await;
        (ledger.apns.accepted + ledger.fcm.accepted >= cases.len() as u64).then_some(())
    })
    .await;

    let letters = world.take("tidegate.dead").await;
    assert_eq!(letters.len(), cases.len(), "each once");
    let mut seen = vec![false; cases.len()];
    for (body, properties) in letters {
        let id = properties.message_id().as_ref().expect("it keeps its id").to_string();
        let nth: usize = id.strip_prefix("bad-").expect("it is one of ours").parse().expect("its number");
        assert!(!std::mem::replace(&mut seen[nth], true), "{id} came twice");
        let wanted = &cases[nth].wanted;
        let detail = match wanted.path.as_str() {
            "" => wanted.detail.clone(),
            path => format!("{path}: {}", wanted.detail),
        };
        assert!(body == cases[nth].body, "{wanted}: the body is as it came");
        assert_eq!(header(&properties, "x-tidegate-reason"), wanted.reason, "{wanted}");
        assert_eq!(header(&properties, "x-tidegate-detail"), detail, "{wanted}");
        assert_eq!(header(&properties, "x-tidegate-queue"), format!("tidegate.jobs.{}", Lane::ALL[nth % 3]));
        assert!(header(&properties, "x-tidegate-at").ends_with('Z'), "RFC 3339");
        assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    }

    let metrics = served.get("/metrics").await.1;
    let dead: u64 = metrics
        .lines()
        .filter(|line| line.starts_with("tidegate_jobs_total{") && line.contains("result=\"dead\""))
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count"))
        .sum();
    assert_eq!(dead, cases.len() as u64, "{metrics}");
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0, "it lived on, and drained");
    for lane in Lane::ALL {
        assert_eq!(world.depth(&format!("tidegate.jobs.{lane}")).await, 0, "nothing is left in {lane}");
    }
    let ledger = world.simulator.ledger().await;
    assert_eq!(ledger.apns.accepted + ledger.fcm.accepted, cases.len() as u64);
    assert_eq!(ledger.apns.duplicates + ledger.fcm.duplicates, 0);
    assert!(!served.log().iter().any(|line| line.contains("panicked")));
}
