//! Web Push from end to end: a job for browsers is posted, what the push services get is decrypted and verified by them,
//! and every push has its outcome.

#[path = "webpush/browsers.rs"]
mod browsers;
#[path = "webpush/outcomes.rs"]
mod outcomes;
mod support;

use std::time::Duration;

use browsers::Browsers;
use serde_json::{Value, json};
use support::eventually;
use tidegate::simulator::{PushQuery, PushService, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);

/// What all five push services decrypt is what the job says, and what they get is as they want it.
#[tokio::test]
async fn a_job_for_browsers_reaches_every_push_service_and_is_decrypted_there() {
    let browsers = Browsers::start(SimulatorSettings::default(), "").await;
    let targets: Vec<Value> = PushService::ALL.into_iter().map(|service| browsers.target(service, "one")).collect();
    browsers
        .post(&json!({
            "id": "hello", "app": "web", "to": targets, "priority": "high", "collapse_key": "a key that is no topic",
            "notification": {"title": "Mina", "body": "hi", "badge": 3}, "data": {"channel": "42"},
            "webpush": {"payload": {"notification": {"navigate": "https://example.com/42"}}}
        }))
        .await;
    let outcomes = browsers.outcomes(5).await;
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "delivered"), "{outcomes:#?}");
    assert!(outcomes.iter().all(|outcome| outcome["status"] == 201), "{outcomes:#?}");
    let pushes = browsers.station.simulator.pushes(PushQuery::default()).await.pushes;
    assert_eq!(pushes.len(), 5);
    for push in pushes {
        let message: Value = serde_json::from_str(&push.message.expect("it was decrypted")).expect("JSON");
        let wanted = json!({
            "notification": {"title": "Mina", "body": "hi", "app_badge": 3, "navigate": "https://example.com/42"},
            "data": {"channel": "42"}
        });
        assert_eq!(message, wanted);
    }
    let ledger = browsers.station.simulator.ledger().await.webpush;
    assert_eq!((ledger.accepted, ledger.received, ledger.protocol_violations), (5, 5, 0), "{ledger:?}");
    browsers.end().await;
}

/// A `null` payload is an empty push, a text goes as it is, and neither is anything else.
#[tokio::test]
async fn an_empty_push_and_a_text_arrive_as_such() {
    let browsers = Browsers::start(SimulatorSettings::default(), "padding = \"classes\"").await;
    for (id, payload) in [("empty", json!(null)), ("text", json!("ping"))] {
        let to = browsers.target(PushService::Apple, id);
        browsers.post(&json!({"id": id, "app": "web", "to": [to], "webpush": {"payload": payload}})).await;
    }
    let outcomes = browsers.outcomes(2).await;
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "delivered"), "{outcomes:#?}");
    assert!(outcomes.iter().all(|outcome| outcome["provider_id"].is_string()), "Apple names them: {outcomes:#?}");
    let said = |target: &str| {
        let query = PushQuery { target: Some(target.to_owned()), ..PushQuery::default() };
        let simulator = &browsers.station.simulator;
        async move { simulator.pushes(query).await.pushes.remove(0).message }
    };
    assert_eq!(said("empty").await.as_deref(), Some(""));
    assert_eq!(said("text").await.as_deref(), Some("ping"));
    browsers.end().await;
}

#[tokio::test]
async fn the_route_shows_itself_in_status_and_metrics() {
    let browsers = Browsers::start(SimulatorSettings::default(), "").await;
    let to = [browsers.target(PushService::Mozilla, "a"), browsers.target(PushService::Google, "a")];
    browsers.post(&json!({"id": "one", "app": "web", "to": to, "data": {"k": "v"}})).await;
    browsers.outcomes(2).await;
    let route = eventually("the route tells of its connections", || async {
        let status = browsers.served.status().await;
        let route = status["routes"].as_array()?.iter().find(|route| route["provider"] == "webpush")?.clone();
        (route["connections"] == 2 && route["outcomes"]["delivered"] == 2).then_some(route)
    });
    assert_eq!(route.await["state"], "ready");
    let (_, metrics) = browsers.served.get("/metrics").await;
    assert!(metrics.contains("provider=\"webpush\""), "{metrics}");
    browsers.end().await;
}

/// A reload makes new connections with other settings, and loses nothing of what waits.
#[tokio::test]
async fn a_reload_while_pushes_wait_loses_none_and_sends_none_twice() {
    let browsers = Browsers::start(SimulatorSettings::default(), "rate = \"300/s\"\nburst = 10").await;
    let services = [PushService::Google, PushService::Apple];
    let to: Vec<Value> = (0..600).map(|nth| browsers.target(services[nth % 2], &format!("b-{nth}"))).collect();
    browsers.post(&json!({"id": "many", "app": "web", "to": to, "data": {"k": "v"}})).await;
    browsers.outcomes(50).await;
    let path = browsers.station.folder.path().join("tidegate.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let changed = text
        .replace("subject = \"mailto:ops@example.com\"", "subject = \"mailto:other@example.com\"\npadding = \"full\"");
    assert_ne!(text, changed);
    std::fs::write(&path, changed).expect("written");
    browsers.served.hang_up();
    let outcomes = browsers.outcomes(600).await;
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "delivered"), "{outcomes:#?}");
    assert!(browsers.served.log().iter().any(|line| line.contains("another credential, endpoint or topic")));
    let ledger = browsers.station.simulator.ledger().await.webpush;
    assert_eq!((ledger.accepted, ledger.duplicates, ledger.received), (600, 0, 600), "{ledger:?}");
    browsers.end().await;
}
