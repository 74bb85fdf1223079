//! SPEC.md, promise 2: exactly one outcome for every push; the counters balance. Promise 10: what is not delivered has an
//! outcome with a reason, a metric and, where it was ours to keep, a dead letter.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::Lane;
use tidegate::simulator::{DeadTokens, Faults, Latency, ServerError, SimulatorSettings, Throttle};

const MINUTE: Duration = Duration::from_secs(60);
const ALL_OUTCOMES: &str = r#"
[outcomes]
publish = ["delivered", "unregistered", "rejected", "expired", "collapsed", "shed", "failed"]
amqp = false
file = "outcomes.ndjson"
"#;

/// All events in the file, by job and target.
fn events(world: &World) -> HashMap<(String, String), Vec<Value>> {
    let text = std::fs::read_to_string(world.folder.path().join("outcomes.ndjson")).expect("the sink has written");
    let mut events: HashMap<(String, String), Vec<Value>> = HashMap::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("each line is JSON");
        let key = (event["job"].as_str().expect("it names its job").to_owned(), event["target"].to_string());
        events.entry(key).or_default().push(event);
    }
    events
}

async fn ended(served: &Served, pushes: u64) {
    let all = || async {
        let status = served.status().await;
        let outcomes = status["outcomes"].as_object()?;
        (outcomes.values().filter_map(Value::as_u64).sum::<u64>() == pushes).then_some(())
    };
    until("every push has its outcome", 3 * MINUTE, all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_02_every_push_has_exactly_one_outcome_on_a_bad_day() {
    const PLAIN: usize = 3_000;
    let bad_day = Faults {
        latency: Latency::Uniform { min: Duration::from_millis(1), max: Duration::from_millis(30) },
        dead_tokens: DeadTokens { share: 0.05, ..DeadTokens::default() },
        server_error: Some(ServerError { share: 0.02, status: 503, retry_after: Some(Duration::from_secs(1)) }),
        ..Faults::default()
    };
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = bad_day.clone();
    settings.fcm.faults = Faults {
        throttle: Some(Throttle {
            share: 0.001,
            retry_after: Some(Duration::from_secs(1)),
            as_date: false,
            during: None,
        }),
        ..bad_day
    };
    let world = World::start(settings).await;
    let config = world.config(ALL_OUTCOMES);
    world.publish(Lane::Normal, jobs(PLAIN)).await;
    // A wide job: good targets, a bad one, one of a provider that the app has no route for.
    let targets: Vec<String> = (0..200).map(|nth| format!(r#"{{"apns":"{nth:064x}"}}"#)).collect();
    let subscription = r#"{"webpush":{"endpoint":"https://push.example/1","p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}"#;
    let wide = format!(
        r#"{{"id":"wide","app":"chat","to":[{},{{"apns":"no-token"}},{subscription}],"notification":{{"title":"x"}}}}"#,
        targets.join(",")
    );
    let late = r#"{"id":"late","app":"chat","to":[{"fcm":"late"}],"ttl":60,"notification":{"title":"x"}}"#;
    world.publish(Lane::High, [("wide".to_owned(), Bytes::from(wide))]).await;
    world.publish_aged(Lane::High, "late", Bytes::from_static(late.as_bytes()), Duration::from_secs(120)).await;
    let pushes = PLAIN as u64 + 200 + 2 + 1;

    let mut served = Served::start(&config).await;
    ended(&served, pushes).await;
    let metrics = served.get("/metrics").await.1;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let events = events(&world);
    assert_eq!(events.len() as u64, pushes);
    for (push, events) in &events {
        assert_eq!(events.len(), 1, "{push:?} has more than one outcome: {events:?}");
        let event = &events[0];
        let delivered = event["outcome"] == "delivered";
        assert!(delivered != event["reason"].is_string(), "a reason unless it was delivered: {event}");
    }
    let count = |outcome: &str| events.values().filter(|events| events[0]["outcome"] == outcome).count() as u64;
    assert!(count("unregistered") > 50);
    assert_eq!((count("rejected"), count("expired"), count("failed")), (2, 1, 0));
    let ledger = world.simulator.ledger().await;
    assert_eq!(ledger.apns.accepted + ledger.fcm.accepted, count("delivered"));
    for outcome in ["delivered", "unregistered", "rejected", "expired"] {
        let counted: f64 = metrics
            .lines()
            .filter(|line| {
                line.starts_with("tidegate_pushes_total{") && line.contains(&format!("outcome=\"{outcome}\""))
            })
            .map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number"))
            .sum();
        assert_eq!(counted as u64, count(outcome), "{outcome}");
    }
    let late = &events[&("late".to_owned(), r#"{"fcm":"late"}"#.to_owned())][0];
    assert_eq!((&late["outcome"], &late["reason"]), (&"expired".into(), &"ttl_passed".into()));
    assert!(late.get("attempts").is_none_or(|attempts| attempts == 0), "promise 9: it was never sent: {late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_what_fails_is_a_dead_letter_and_what_cant_be_read_too() {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults.server_error = Some(ServerError { share: 1.0, status: 500, retry_after: None });
    let world = World::start(settings).await;
    let config = world.config_with(ALL_OUTCOMES, "", "max_attempts = 2");
    let failing = r#"{"id":"failing","app":"chat","to":[{"apns":"00"},{"fcm":"good"}],"notification":{"title":"x"}}"#;
    let bad = [
        ("not-json", "{", "not_json", ""),
        ("typo", r#"{"app":"chat","to":[{"fcm":"x"}],"notifcation":{"title":"x"}}"#, "unknown_field", "notifcation"),
        ("nobody", r#"{"app":"nobody","to":[{"fcm":"x"}],"notification":{"title":"x"}}"#, "unknown_app", "app"),
    ];
    world.publish(Lane::Normal, [("failing".to_owned(), Bytes::from_static(failing.as_bytes()))]).await;
    world.publish(Lane::Low, bad.map(|(id, body, ..)| (id.to_owned(), Bytes::from_static(body.as_bytes())))).await;
    let mut served = Served::start(&config).await;
    ended(&served, 2).await;
    until("four dead letters", MINUTE, || async { (world.depth("tidegate.dead").await == 4).then_some(()) }).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let mut letters: HashMap<String, (Vec<u8>, HashMap<String, String>)> = HashMap::new();
    for (body, properties) in world.take("tidegate.dead").await {
        let id = properties.message_id().as_ref().expect("the id is kept").as_str().to_owned();
        let headers = properties.headers().as_ref().expect("a dead letter has headers");
        let headers = headers.inner().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), String::from_utf8_lossy(value.as_long_string()?.as_bytes()).into_owned()))
        });
        letters.insert(id, (body, headers.collect()));
    }
    for (id, body, reason, path) in bad {
        let (kept, headers) = &letters[id];
        assert_eq!(String::from_utf8_lossy(kept), body, "the body is kept as it came");
        assert_eq!(headers["x-tidegate-reason"], reason, "{id}");
        assert!(headers["x-tidegate-detail"].starts_with(path), "{id}: {}", headers["x-tidegate-detail"]);
        assert!(headers.contains_key("x-tidegate-at"), "{id}");
    }
    let (kept, headers) = &letters["failing"];
    assert_eq!(String::from_utf8_lossy(kept), failing);
    assert_eq!(headers["x-tidegate-reason"], "InternalServerError");
    assert_eq!(headers["x-tidegate-targets"], "0", "only the target that failed");
    let events = events(&world);
    let failed = &events[&("failing".to_owned(), r#"{"apns":"00"}"#.to_owned())][0];
    assert_eq!(
        (&failed["outcome"], &failed["attempts"], &failed["status"]),
        (&"failed".into(), &2.into(), &500.into())
    );
    let delivered = &events[&("failing".to_owned(), r#"{"fcm":"good"}"#.to_owned())][0];
    assert_eq!(delivered["outcome"], "delivered");
}
