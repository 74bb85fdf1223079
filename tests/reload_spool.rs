//! SPEC.md, section 7, for the spool: the door and the spool's source know at once of an app that comes or goes, and what had
//! waited for one that went is kept on disk.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::until;
use support::world::{Served, Station};
use tidegate::simulator::SimulatorSettings;

const MINUTE: Duration = Duration::from_secs(60);
const JOBS: usize = 100;

/// Posts jobs of `shop`, one a line; status and body.
async fn post(served: &Served, jobs: std::ops::Range<usize>) -> (u16, String) {
    let line = |nth: usize| {
        let id = format!("shop-{nth}");
        format!(
            "{{\"id\":\"{id}\",\"app\":\"shop\",\"to\":[{{\"fcm\":\"token-{nth}\"}}],\"ttl\":3600,\"notification\":{{\"body\":\"hi\"}},\"data\":{{\"tidegate-id\":\"{id}\"}}}}\n"
        )
    };
    let body: String = jobs.map(line).collect();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(format!("http://{}/v1/jobs", served.address())).body(body);
    let answer = request.header("content-type", "application/x-ndjson").send().await.expect("the door answers");
    (answer.status().as_u16(), answer.text().await.expect("the answer is text"))
}

async fn source(served: &Served) -> Value {
    served.status().await["sources"][0].clone()
}

/// Writes a configuration with an app `shop` of such a rate, or without one, and has it loaded.
async fn reload(station: &Station, served: &Served, shop: Option<&str>) {
    configure(station, shop);
    let reloads = || served.log().iter().filter(|line| line.contains("the configuration was reloaded")).count();
    let before = reloads();
    served.hang_up();
    until("it is loaded", MINUTE, || async { (reloads() > before).then_some(()) }).await;
}

fn configure(station: &Station, shop: Option<&str>) -> PathBuf {
    let shop = shop
        .map(|rate| format!("[apps.shop.fcm]\nservice_account_file = \"service-account.json\"\nrate = \"{rate}\"\n"));
    station.config(&shop.unwrap_or_default(), "", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_comes_and_goes_at_the_door_and_what_had_waited_is_kept() {
    let station = Station::start(SimulatorSettings::default());
    let mut served = Served::start(&configure(&station, None)).await;
    let (status, answer) = post(&served, 0..1).await;
    assert!(status == 400 && answer.contains("unknown_app"), "{status} {answer}");

    reload(&station, &served, Some("1/s")).await;
    let (status, answer) = post(&served, 0..JOBS).await;
    assert_eq!(status, 202, "{answer}");
    until("some are delivered, the others wait", MINUTE, || async {
        (station.simulator.ledger().await.fcm.accepted > 0).then_some(())
    })
    .await;

    reload(&station, &served, None).await;
    let (status, answer) = post(&served, JOBS..JOBS + 1).await;
    assert!(status == 400 && answer.contains("unknown_app"), "{status} {answer}");
    // What had been read is put off; what was read after it had gone is a dead letter.
    until("all of it is put off, or a dead letter", MINUTE, || async {
        let source = source(&served).await;
        (source["queued"] == 0 && source["later"].as_u64()? > 0).then_some(())
    })
    .await;

    reload(&station, &served, Some("unlimited")).await;
    let (status, answer) = post(&served, JOBS..JOBS + 1).await;
    assert_eq!(status, 202, "{answer}");
    let dead = source(&served).await["dead"].as_u64().expect("a number");
    until("what had waited is delivered", 2 * MINUTE, || async {
        let source = source(&served).await;
        (source["queued"] == 0 && source["later"] == 0).then_some(())
    })
    .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let fcm = station.simulator.ledger().await.fcm;
    assert_eq!((fcm.accepted + dead, fcm.duplicates), (JOBS as u64 + 1, 0));
}
