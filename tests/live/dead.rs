//! `GET /v1/dead` and `POST /v1/dead/replay`.

use reqwest::Client;
use serde_json::{Value, json};
use tidegate::simulator::{ServerError, SimulatorSettings};

use super::support::eventually;
use super::support::world::{Served, Station, job};

/// Posts a replay; the answer's status and body.
async fn replay(served: &Served, body: &str, origin: Option<&str>) -> (u16, Value) {
    let url = format!("http://{}/v1/dead/replay", served.address());
    let mut request = Client::builder().no_proxy().build().unwrap().post(url).body(body.to_owned());
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn dead(served: &Served) -> Value {
    serde_json::from_str(&served.get("/v1/dead").await.1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted_by_reason_and_sent_once_more() {
    // Apple's server fails always, and each push has one attempt.
    let mut settings = SimulatorSettings::default();
    settings.apns.faults.server_error = Some(ServerError { share: 1.0, status: 500, retry_after: None });
    let station = Station::start(settings);
    let served = Served::start(&station.config("", "", "max_attempts = 1\n")).await;
    assert_eq!(dead(&served).await, json!({"spool": {"letters": 0, "reasons": []}, "amqp": false}));

    assert_eq!(served.post((0..4).map(|nth| job(nth, true))).await.0, 202);
    let counted = |letters: u64| {
        let served = &served;
        move || async move { Some(dead(served).await).filter(|dead| dead["spool"]["letters"] == letters) }
    };
    let counts = eventually("all four are dead", counted(4)).await;
    let reasons = counts["spool"]["reasons"].as_array().unwrap();
    assert_eq!((reasons.len(), &reasons[0]["app"], &reasons[0]["letters"]), (1, &json!("chat"), &json!(4)));
    let reason = reasons[0]["reason"].as_str().unwrap();
    assert!(reasons[0]["oldest"].as_str().unwrap() <= reasons[0]["newest"].as_str().unwrap());
    assert!(!counts.to_string().contains("job-"), "no job and no device is told");

    for (body, origin, status) in [
        ("{}", None, 400),
        (r#"{"reason":"x","rate":"fast"}"#, None, 400),
        (r#"{"reason":"x"}"#, Some("https://evil.example"), 403),
    ] {
        assert_eq!(replay(&served, body, origin).await.0, status, "{body}");
    }
    assert_eq!(replay(&served, r#"{"reason":"of_no_letter"}"#, None).await.1, json!({"replayed": 0, "rate": "100/s"}));
    let before = station.simulator.ledger().await.apns.received;
    let body = json!({"reason": reason, "app": "chat", "rate": "unlimited"}).to_string();
    assert_eq!(replay(&served, &body, None).await, (200, json!({"replayed": 4, "rate": "unlimited"})));
    // The cause is not mended: they are tried, and dead once more.
    eventually("each was tried", || async {
        (station.simulator.ledger().await.apns.received >= before + 4).then_some(())
    })
    .await;
    eventually("all four are dead again", counted(4)).await;
}
