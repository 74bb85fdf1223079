//! `PATCH /v1/routes/{app}/{provider}`: what it takes, what it refuses and how, and from whom.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;

use configuration::Credentials;
use reqwest::{Client, Response, header};
use serde_json::{Value, json};
use tidegate::pipeline::Pipeline;
use tidegate::{admin, config};
use tokio_util::sync::CancellationToken;

/// A pipeline with one route that nobody uses, and its door.
struct Door {
    url: String,
    client: Client,
    pipeline: Pipeline,
    _credentials: Credentials,
}

impl Door {
    async fn open(http: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = Credentials::new();
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{http}\n[apps.chat.apns]\nkey_file = \"good.p8\"\nkey_id = \"ABC123DEFG\"\n\
             team_id = \"TEAM123456\"\ntopic = \"com.example.chat\"\nrate = \"100/s\"\nconcurrency = {{ min = 2, max = 50 }}\n"
        );
        let loaded = config::parse(&text, "tidegate.toml", credentials.path(), std::iter::empty()).unwrap();
        let pipeline = Pipeline::start(&loaded.settings).unwrap();
        let (view, steering) = (pipeline.view(), pipeline.steering());
        let door = admin::serve(&loaded.settings.http, view, steering, None, CancellationToken::new());
        let (address, _) = door.await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { url: format!("http://{address}"), client, pipeline, _credentials: credentials }
    }

    async fn patch(&self, path: &str, body: &str, headers: &[(header::HeaderName, &str)]) -> (u16, Value) {
        let mut request = self.client.patch(format!("{}{path}", self.url)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        read(request.send().await.unwrap()).await
    }

    async fn chat(&self, body: &str) -> (u16, Value) {
        self.patch("/v1/routes/chat/apns", body, &[]).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }
}

async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    if status >= 400 && status != 503 {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "every refusal is a problem document");
    }
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn a_patch_answers_with_what_holds_from_now_on() {
    let door = Door::open("").await;
    let (status, answer) = door.chat(r#"{"rate":"500/s"}"#).await;
    assert_eq!(status, 200);
    let after = json!({
        "app": "chat", "provider": "apns", "rate": "500/s", "burst": 50, "concurrency": {"min": 2, "max": 50},
        "paused": false, "until": "reload",
    });
    assert_eq!(answer, after);
    let (_, answer) = door.chat(r#"{"rate":"unlimited","concurrency":{"max":7},"paused":true}"#).await;
    assert_eq!((&answer["rate"], &answer["paused"]), (&json!("unlimited"), &json!(true)));
    assert_eq!(answer["concurrency"], json!({"min": 2, "max": 7}));
    let (_, answer) = door.chat(r#"{"paused":false,"burst":9,"rate":"600000/min"}"#).await;
    assert_eq!(
        (&answer["rate"], &answer["burst"], &answer["paused"]),
        (&json!("600000/min"), &json!(9), &json!(false))
    );
}

#[tokio::test]
async fn a_pause_is_shown_with_its_reason_and_does_not_make_it_unready() {
    let door = Door::open("").await;
    assert_eq!(door.chat(r#"{"paused":true}"#).await.0, 200);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let route = loop {
        let (_, status) = door.get("/v1/status").await;
        let route = status["routes"][0].clone();
        if route["state"] == "paused_by_operator" {
            break route;
        }
        assert!(tokio::time::Instant::now() < deadline, "{route}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert!(route["reason"].as_str().unwrap().starts_with("paused by the operator"), "{route}");
    let (status, ready) = door.get("/readyz").await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)));
    assert!(ready["reasons"][0].as_str().unwrap().starts_with("route chat/apns: paused by the operator"), "{ready}");
    assert_eq!(door.pipeline.drain(std::time::Duration::from_secs(5)).await, tidegate::pipeline::Drained::Clean);
}

/// Body, the field that is named (empty: none), and a word of the remedy.
const BAD: &[(&str, &str, &str)] = &[
    ("", "", "JSON object"),
    ("rate", "", "JSON object"),
    ("[]", "", "JSON object"),
    ("null", "", "JSON object"),
    ("{}", "", "JSON object"),
    (r#"{"concurrency":{}}"#, "", "JSON object"),
    (r#"{"rate":"500/s"} x"#, "", "JSON object"),
    (r#"{"Rate":"500/s"}"#, "Rate", "rate, burst, concurrency and paused"),
    (r#"{"rate":"500/s","max_attempts":3}"#, "max_attempts", "rate, burst, concurrency and paused"),
    (r#"{"rate":500}"#, "rate", "\"500/s\""),
    (r#"{"rate":null}"#, "rate", "unlimited"),
    (r#"{"rate":"500"}"#, "rate", "\"500/s\""),
    (r#"{"rate":"500/day"}"#, "rate", "600000/min"),
    (r#"{"rate":"0/s"}"#, "rate", "unlimited"),
    (r#"{"rate":"-1/s"}"#, "rate", "unlimited"),
    (r#"{"rate":"4294967296/s"}"#, "rate", "unlimited"),
    (r#"{"burst":0}"#, "burst", "from 1 to 10000000"),
    (r#"{"burst":10000001}"#, "burst", "from 1 to 10000000"),
    (r#"{"burst":1.5}"#, "burst", "whole number"),
    (r#"{"burst":"9"}"#, "burst", "whole number"),
    (r#"{"concurrency":50}"#, "concurrency", "\"min\""),
    (r#"{"concurrency":{"maximum":50}}"#, "concurrency.maximum", "concurrency.max"),
    (r#"{"concurrency":{"max":0}}"#, "concurrency.max", "from 1 to 100000"),
    (r#"{"concurrency":{"min":100001}}"#, "concurrency.min", "from 1 to 100000"),
    (r#"{"concurrency":{"min":51}}"#, "concurrency", "at most max"),
    (r#"{"concurrency":{"min":9,"max":8}}"#, "concurrency", "at most max"),
    (r#"{"paused":"true"}"#, "paused", "without quotes"),
    (r#"{"paused":1}"#, "paused", "true or false"),
];

#[tokio::test]
async fn a_bad_patch_is_refused_whole_with_the_field_and_the_remedy() {
    let door = Door::open("").await;
    for (body, field, remedy) in BAD {
        let (status, problem) = door.chat(body).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(problem["field"].as_str().unwrap_or_default(), *field, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(remedy), "{body}: {problem}");
        assert!(!problem["title"].as_str().unwrap().is_empty() && problem["status"] == 400, "{body}");
    }
    let long = format!("{{\"rate\":\"{}/s\"}}", "9".repeat(5_000));
    assert_eq!(door.chat(&long).await.0, 413);
    for path in ["/v1/routes/chat/fcm", "/v1/routes/shop/apns", "/v1/routes/chat/carrier-pigeon"] {
        assert_eq!(door.patch(path, r#"{"rate":"1/s"}"#, &[]).await.0, 404, "{path}");
    }
    let (_, unchanged) = door.chat(r#"{"paused":false}"#).await;
    assert_eq!(unchanged["rate"], "100/s");
    assert_eq!(unchanged["concurrency"], json!({"min": 2, "max": 50}), "nothing of a bad patch was taken");
}

#[tokio::test]
async fn a_web_page_may_not_steer() {
    let door = Door::open("").await;
    let body = r#"{"paused":true}"#;
    let path = "/v1/routes/chat/apns";
    let own = door.url.clone();
    for (name, value, status) in [
        (header::ORIGIN, "https://evil.example", 403),
        (header::ORIGIN, "null", 403),
        (header::HOST, "rebound.example:8080", 403),
        (header::ORIGIN, own.as_str(), 200),
        (header::HOST, "localhost:8080", 200),
    ] {
        assert_eq!(door.patch(path, body, &[(name, value)]).await.0, status, "{value}");
    }
}

#[tokio::test]
async fn where_tokens_are_configured_one_is_needed() {
    let door = Door::open("tokens = [\"let-me-steer\"]").await;
    let (path, body) = ("/v1/routes/chat/apns", r#"{"rate":"1/s"}"#);
    assert_eq!(door.patch(path, body, &[]).await.0, 401);
    assert_eq!(door.patch(path, body, &[(header::AUTHORIZATION, "Bearer let-me")]).await.0, 401);
    let token = (header::AUTHORIZATION, "Bearer let-me-steer");
    assert_eq!(door.patch(path, body, std::slice::from_ref(&token)).await.0, 200);
    assert_eq!(door.patch(path, body, &[token, (header::ORIGIN, "https://evil.example")]).await.0, 403);
}
