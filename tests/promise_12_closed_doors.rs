//! SPEC.md, promise 12: secrets and full tokens never reach a log or a page, at the most verbose level; TLS is verified.

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::until;
use support::world::{Served, World, job};
use tidegate::job::Lane;
use tidegate::simulator::{DeadTokens, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
const DOOR: &str = "CANARYdoorCANARY";
const WEBHOOK: &str = "CANARYhookCANARY";

/// What must not be seen: the pieces of each secret that would give it away.
fn secrets(world: &World) -> Vec<String> {
    let mut secrets = vec![DOOR.to_owned(), WEBHOOK.to_owned(), "guest:guest".to_owned(), "eyJ".to_owned()];
    for entry in std::fs::read_dir(world.folder.path()).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains("PRIVATE KEY") {
            // A line out of the middle of each key.
            let lines: Vec<&str> = text.split(['\n', '\\']).filter(|line| line.len() > 40).collect();
            secrets.extend(lines.iter().filter(|line| !line.contains("PRIVATE")).map(|line| line[2..34].to_owned()));
        }
    }
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_12_no_secret_and_no_full_token_is_shown_at_the_most_verbose_level() {
    let mut settings = SimulatorSettings::default();
    for faults in [&mut settings.apns.faults, &mut settings.fcm.faults] {
        faults.dead_tokens = DeadTokens { share: 0.3, ..DeadTokens::default() };
    }
    let world = World::start(settings).await;
    let more = format!(
        "[outcomes]\nwebhook = {{ url = \"http://127.0.0.1:9/{WEBHOOK}\", token = \"{WEBHOOK}\" }}\npublish = [\"rejected\"]"
    );
    let config = world.config(&more);
    let text = std::fs::read_to_string(&config).expect("it was written");
    std::fs::write(&config, text.replace("[http]", &format!("[http]\ntokens = [\"{DOOR}\"]"))).expect("it is written");
    let bad = Bytes::from_static(br#"{"app":"chat","to":[{"apns":"CANARYtargetCANARYtargetCANARY","more":1}]}"#);
    world.publish(Lane::Normal, (0..200).map(|nth| job(nth, nth % 2 == 0))).await;
    world.publish(Lane::Normal, [("bad".to_owned(), bad)]).await;

    let mut served = Served::start_with(&config, &[("TIDEGATE_LOG", "trace")]).await;
    assert_eq!(served.get("/v1/status").await.0, 401);
    assert_eq!(served.get("/metrics").await.0, 401);
    assert_eq!(served.get("/livez").await.0, 200);
    until("pushes were answered", MINUTE, || async {
        let ledger = world.simulator.ledger().await;
        (ledger.apns.received + ledger.fcm.received >= 200).then_some(())
    })
    .await;
    until("the bad job is a dead letter", MINUTE, || async { (world.depth("tidegate.dead").await == 1).then_some(()) })
        .await;
    let status = served.get_with("/v1/status", DOOR).await;
    let metrics = served.get_with("/metrics", DOOR).await;
    assert_eq!((status.0, metrics.0), (200, 200));
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let shown = format!("{}\n{}\n{}", served.log().join("\n"), status.1, metrics.1);
    assert!(shown.contains("TRACE"), "the log is as verbose as it can be");
    let mut forbidden = secrets(&world);
    assert!(forbidden.len() > 10, "the keys were found");
    forbidden.push("CANARYtargetCANARYtarget".to_owned());
    // A library that prints bytes as numbers: "CANARYtarget", and the first token.
    let numbers = |text: &str| text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    forbidden.push(numbers("CANARYtarget"));
    forbidden.push(numbers(&format!("token-{:032x}", 1)));
    for nth in 0..200 {
        forbidden.push(format!("{nth:064x}"));
        forbidden.push(format!("token-{nth:032x}"));
    }
    for secret in forbidden {
        let line = shown.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "shown: {secret} in {line:?}");
    }
}

/// A provider whose certificate nobody vouches for gets nothing; the jobs are kept.
#[tokio::test(flavor = "multi_thread")]
async fn promise_12_an_unknown_authority_gets_nothing() {
    let world = World::start(SimulatorSettings::default()).await;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let config = world.config("");
    std::fs::write(world.folder.path().join("ca.pem"), other.cert.pem()).expect("it is written");
    world.publish(Lane::Normal, (0..20).map(|nth| job(nth, true))).await;
    let mut served = Served::start(&config).await;
    until("the status says why", MINUTE, || async {
        let status = served.status().await;
        let reason = status["routes"][0]["reason"].as_str()?.to_owned();
        reason.contains("tls_failed").then_some(())
    })
    .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let ledger = world.simulator.ledger().await;
    assert_eq!((ledger.apns.received, ledger.fcm.received), (0, 0));
    assert!(ledger.apns.failed_handshakes > 0);
    assert_eq!(world.depth("tidegate.jobs.normal").await, 20, "the jobs are kept");
}
