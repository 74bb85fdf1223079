//! `GET /v1/tap`.

use tidegate::simulator::{DeadTokens, SimulatorSettings};

use super::events::{Events, ask};
use super::support::world::{Served, Station, job, jobs};

/// Providers where some tokens are dead.
fn simulator() -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    for faults in [&mut settings.apns.faults, &mut settings.fcm.faults] {
        faults.dead_tokens = DeadTokens { share: 0.3, ..DeadTokens::default() };
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hears_what_was_asked_for_and_no_token() {
    let station = Station::start(simulator());
    let served = Served::start(&station.config("", "", "")).await;
    let mut all = Events::open(served.address(), "/v1/tap").await;
    let mut dead = Events::open(served.address(), "/v1/tap?provider=fcm&outcome=unregistered&app=chat").await;
    let mut nobody = Events::open(served.address(), "/v1/tap?app=shop").await;
    for tap in [&mut all, &mut dead, &mut nobody] {
        assert_eq!(tap.next().await.unwrap().0, "", "it says that it listens");
    }
    assert_eq!(served.post(jobs(400)).await.0, 202);

    let (mut heard, mut unregistered) = (Vec::new(), 0);
    while heard.len() < 400 {
        let (name, outcomes) = all.next().await.unwrap();
        assert_ne!(name, "lost", "400 are not too many");
        heard.extend(outcomes.as_array().into_iter().flatten().cloned());
    }
    let mut ids: Vec<&str> = heard.iter().map(|outcome| outcome["job"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 400, "each is heard once");
    let (_, body) = job(7, false);
    let text = serde_json::to_string(&heard).unwrap();
    assert!(!text.contains("token-000"), "no token is told, only its hash");
    assert!(!text.contains(&format!("{:064x}", 8)), "no token is told, only its hash");
    assert!(String::from_utf8_lossy(&body).contains("token-000"), "the test would see one");

    let expected =
        heard.iter().filter(|outcome| outcome["provider"] == "fcm" && outcome["outcome"] == "unregistered").count();
    assert!(expected > 0);
    while unregistered < expected {
        for outcome in dead.next_of("outcomes").await.as_array().unwrap() {
            assert_eq!(
                (outcome["provider"].as_str(), outcome["outcome"].as_str()),
                (Some("fcm"), Some("unregistered"))
            );
            assert_eq!(outcome["reason"], "UNREGISTERED");
            unregistered += 1;
        }
    }
    // Its next word is a sign of life.
    assert_eq!(nobody.next().await.unwrap().0, "");

    // One device, by the hash that was heard.
    let hash = heard[0]["target"].as_str().unwrap();
    let mut one = Events::open(served.address(), &format!("/v1/tap?target={hash}")).await;
    one.next().await.unwrap();
    assert_eq!(served.post((400..500).map(|nth| job(nth, true)).chain(again(&heard[0]))).await.0, 202);
    let outcomes = one.next_of("outcomes").await;
    assert_eq!((outcomes.as_array().unwrap().len(), outcomes[0]["target"].as_str()), (1, Some(hash)));
}

/// The same target once more, under another id.
fn again(heard: &serde_json::Value) -> Option<(String, bytes::Bytes)> {
    let nth: usize = heard["job"].as_str().unwrap().trim_start_matches("job-").parse().unwrap();
    let (id, body) = job(nth, nth % 2 == 0);
    let body = String::from_utf8(body.into()).unwrap().replacen(&format!("\"id\":\"{id}\""), "\"id\":\"again\"", 1);
    Some(("again".to_owned(), body.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_none_is_refused_with_the_remedy() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    for (query, field, remedy) in [
        ("provider=gcm", "provider", "apns, fcm or webpush"),
        ("outcome=lost", "outcome", "unregistered"),
        ("target=5f3a0d7c1b2e", "target", "eight hexadecimal"),
        ("job=7", "job", "app, provider, outcome and target"),
    ] {
        let answer = ask(served.address(), &format!("/v1/tap?{query}"), &[]).await;
        assert_eq!(answer.status(), 400, "{query}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(remedy), "{problem}");
    }
}
