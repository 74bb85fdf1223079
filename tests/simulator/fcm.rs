//! FCM's door and its token endpoint.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use tidegate::job::Provider;
use tidegate::simulator::{Faults, PROJECT, PushQuery, Quota, Simulator, TokenFault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Answer, Client, DEADLINE, assertion, simulator, tls, tls_stream};

/// An access token for [`PROJECT`].
pub(crate) async fn access_token(client: &Client, simulator: &Simulator) -> String {
    let form = assertion(&simulator.service_account(PROJECT), |_| {});
    let answer = token_request(client, &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn token_request(client: &Client, form: &str) -> Answer {
    let request = Request::post("https://localhost/token");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(()).unwrap();
    client.ask(request, form.as_bytes()).await.unwrap()
}

pub(crate) async fn send(client: &Client, project: &str, access: &str, body: &Value) -> Answer {
    let request = Request::post(format!("https://localhost/v1/projects/{project}/messages:send"));
    let request = request.header("authorization", format!("Bearer {access}")).body(()).unwrap();
    client.ask(request, body.to_string().as_bytes()).await.unwrap()
}

fn to(token: &str) -> Value {
    json!({ "message": { "token": token, "notification": { "title": "hi" } } })
}

#[tokio::test]
async fn a_message_is_accepted_and_entered() {
    let simulator = simulator(|_| {});
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    assert_eq!(client.send.current_max_send_streams(), 100);
    let body = json!({ "message": { "token": "t1", "data": { "tidegate-id": "p1" } } });
    let answer = send(&client, PROJECT, &access, &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["name"].as_str().unwrap().starts_with(&format!("projects/{PROJECT}/messages/")));
    assert_eq!(send(&client, PROJECT, &access, &body).await.status, 200);
    assert_eq!(send(&client, PROJECT, &access, &to("t2")).await.status, 200);
    let ledger = simulator.ledger().await;
    assert_eq!((ledger.fcm.received, ledger.fcm.accepted, ledger.fcm.duplicates), (3, 3, 1));
    assert_eq!((ledger.tokens.fetches, ledger.tokens.granted), (1, 1));
    let page = simulator.pushes(PushQuery { target: Some("t1".to_owned()), ..PushQuery::default() }).await;
    assert_eq!((page.pushes.len(), page.pushes[0].push.as_str(), page.pushes[0].accepted), (1, "p1", 2));
}

#[tokio::test]
async fn the_schema_is_checked() {
    let simulator = simulator(|_| {});
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    let message = |message: Value| json!({ "message": message });
    let cases = [
        (json!({}), "message"),
        (json!({ "message": { "token": "t" }, "extra": 1 }), ""),
        (message(json!({ "data": {} })), "message"),
        (message(json!({ "token": "t", "topic": "news" })), "message"),
        (message(json!({ "token": "t", "titel": "x" })), "message"),
        (message(json!({ "token": "t", "notification": { "sound": "x" } })), "message.notification"),
        (message(json!({ "token": "t", "data": { "n": 12 } })), "message.data[0].value"),
        (message(json!({ "token": "t", "data": { "from": "x" } })), "message.data"),
        (message(json!({ "token": "t", "data": { "google.x": "x" } })), "message.data"),
        (message(json!({ "token": "t", "data": { "k": "x".repeat(4096) } })), "message"),
        (message(json!({ "topic": "t", "data": { "k": "x".repeat(2048) } })), "message"),
        (message(json!({ "topic": "no spaces" })), "message.topic"),
        (message(json!({ "token": "t", "android": { "ttl": "3600" } })), "message.android.ttl"),
        (message(json!({ "token": "t", "android": { "ttl": "2419201s" } })), "message.android.ttl"),
        (message(json!({ "token": "t", "android": { "priority": "LOUD" } })), "message.android.priority"),
        (message(json!({ "token": "t", "apns": { "headers": { "apns-priority": 5 } } })), "message.apns.headers"),
    ];
    for (body, field) in &cases {
        let answer = send(&client, PROJECT, &access, body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status.as_u16(), error["status"].as_str()), (400, Some("INVALID_ARGUMENT")), "{body}");
        assert_eq!(error["details"][0]["fieldViolations"][0]["field"], *field, "{body}");
    }
    let good = [
        message(json!({ "token": "t", "android": { "ttl": "3600s", "priority": "HIGH", "collapseKey": "k" } })),
        message(json!({ "condition": "'a' in topics && 'b' in topics" })),
        message(json!({ "fid": "f", "fcmOptions": { "analyticsLabel": "x" } })),
        message(json!({ "topic": "news", "apns": { "headers": { "apns-priority": "5" }, "payload": { "aps": {} } } })),
    ];
    for body in &good {
        assert_eq!(send(&client, PROJECT, &access, body).await.status, 200, "{body}");
    }
    assert_eq!(simulator.ledger().await.fcm.rejected["INVALID_ARGUMENT"], cases.len() as u64);
}

#[tokio::test]
async fn tokens_have_states() {
    let simulator = simulator(|settings| settings.fcm.faults.dead_tokens.prefixes = vec!["gone-".to_owned()]);
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    let cases = [
        ("malformed-1", 400, "INVALID_ARGUMENT"),
        ("foreign-1", 403, "SENDER_ID_MISMATCH"),
        ("gone-1", 404, "UNREGISTERED"),
        ("dead-ios-1", 400, "UNREGISTERED"),
        ("platform-1", 401, "THIRD_PARTY_AUTH_ERROR"),
    ];
    for (token, status, code) in cases {
        let answer = send(&client, PROJECT, &access, &to(token)).await;
        let detail = &answer.json()["error"]["details"][0]["errorCode"];
        assert_eq!((answer.status.as_u16(), detail.as_str()), (status, Some(code)), "{token}");
    }
}

#[tokio::test]
async fn who_may_not_send_is_told_so() {
    let simulator = simulator(|settings| settings.fcm.projects = vec![PROJECT.to_owned()]);
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    let unknown = send(&client, PROJECT, "nobody", &to("t")).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["error"]["status"].as_str()), (401, Some("UNAUTHENTICATED")));
    assert_eq!(send(&client, "another", &access, &to("t")).await.status, 403);
    let form = assertion(&simulator.service_account("another"), |_| {});
    let other = token_request(&client, &form).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(send(&client, "another", &other, &to("t")).await.status, 404);
}

#[tokio::test]
async fn access_tokens_end() {
    let simulator = simulator(|settings| settings.fcm.token_lifetime = Duration::ZERO);
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    assert_eq!(send(&client, PROJECT, &access, &to("t")).await.status, 401);
}

#[tokio::test]
async fn assertions_are_verified() {
    let simulator = simulator(|_| {});
    let client = Client::fcm(&simulator).await;
    let account = simulator.service_account(PROJECT);
    let bad = [
        assertion(&account, |claims| claims["aud"] = json!("https://elsewhere.example/token")),
        assertion(&account, |claims| claims["scope"] = json!("email")),
        assertion(&account, |claims| claims["exp"] = json!(claims["iat"].as_u64().unwrap() + 7200)),
        assertion(&account, |claims| {
            claims["iat"] = json!(1_000);
            claims["exp"] = json!(2_000);
        }),
        assertion(&account, |claims| claims["iss"] = json!("nobody")),
        format!("{}x", assertion(&account, |_| {})),
        "grant_type=password".to_owned(),
    ];
    for form in &bad {
        let answer = token_request(&client, form).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (400, Some("invalid_grant")), "{form}");
    }
    let tokens = simulator.ledger().await.tokens;
    assert_eq!((tokens.fetches, tokens.granted), (bad.len() as u64, 0));
}

#[tokio::test]
async fn the_token_endpoint_has_its_own_faults() {
    let simulator = simulator(|_| {});
    let client = Client::fcm(&simulator).await;
    let form = assertion(&simulator.service_account(PROJECT), |_| {});
    let set = |token_endpoint| simulator.set_faults(Provider::Fcm, Faults { token_endpoint, ..Faults::default() });
    set(TokenFault::InvalidGrant);
    assert_eq!(token_request(&client, &form).await.status, 400);
    set(TokenFault::ServerError { status: 503 });
    assert_eq!(token_request(&client, &form).await.status, 503);
    set(TokenFault::Slow { latency: Duration::from_millis(200) });
    let (first, second) = tokio::join!(token_request(&client, &form), token_request(&client, &form));
    assert_eq!((first.status, second.status), (http::StatusCode::OK, http::StatusCode::OK));
    assert_eq!(simulator.ledger().await.tokens.max_concurrent, 2);
}

#[tokio::test]
async fn the_token_endpoint_speaks_http1_too() {
    let simulator = simulator(|_| {});
    let mut stream = tls_stream(simulator.fcm_address(), tls(&simulator, &[b"http/1.1"], None)).await.unwrap();
    let form = assertion(&simulator.service_account(PROJECT), |_| {});
    let head = format!("POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", form.len());
    for _ in 0..2 {
        stream.write_all(format!("{head}{form}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(r#""token_type":"Bearer""#), "{answer}");
    }
}

#[tokio::test]
async fn a_quota_ends_with_its_window() {
    let simulator = simulator(|_| {});
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    let window = Duration::from_secs(1);
    let quota = Some(Quota { pushes: 2, window, retry_after: true });
    simulator.set_faults(Provider::Fcm, Faults { quota, ..Faults::default() });
    assert_eq!(send(&client, PROJECT, &access, &to("a")).await.status, 200);
    assert_eq!(send(&client, PROJECT, &access, &to("b")).await.status, 200);
    let refused = send(&client, PROJECT, &access, &to("c")).await;
    assert_eq!((refused.status.as_u16(), &refused.headers["retry-after"]), (429, &http::HeaderValue::from_static("1")));
    assert_eq!(refused.json()["error"]["details"][0]["errorCode"], "QUOTA_EXCEEDED");
    // Too early, and the ledger sees it.
    assert_eq!(send(&client, PROJECT, &access, &to("c")).await.status, 429);
    assert_eq!(simulator.ledger().await.fcm.retry_after_violations, 1);
    let refilled = async {
        while send(&client, PROJECT, &access, &to("d")).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, refilled).await.unwrap();
}

#[tokio::test]
async fn one_device_may_have_a_limit() {
    let simulator = simulator(|settings| settings.fcm.device_rate = 1);
    let client = Client::fcm(&simulator).await;
    let access = access_token(&client, &simulator).await;
    assert_eq!(send(&client, PROJECT, &access, &to("a")).await.status, 200);
    let answer = send(&client, PROJECT, &access, &to("a")).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json()["error"]["details"][1]["violations"][0]["subject"], "device");
    assert_eq!(send(&client, PROJECT, &access, &to("b")).await.status, 200);
}

#[tokio::test]
async fn reqwest_gets_a_token_over_either_protocol() {
    let simulator = simulator(|_| {});
    let account = simulator.service_account(PROJECT);
    for http1 in [false, true] {
        let config = std::sync::Arc::unwrap_or_clone(tls(&simulator, &[], None));
        let builder = reqwest::Client::builder().tls_backend_preconfigured(config);
        let client = if http1 { builder.http1_only() } else { builder }.build().unwrap();
        let request = client.post(&account.token_uri).body(assertion(&account, |_| {}));
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        assert_eq!(answer.status(), 200, "http1: {http1}");
        assert_eq!(answer.json::<Value>().await.unwrap()["token_type"], "Bearer");
    }
    assert_eq!(simulator.ledger().await.tokens.granted, 2);
}
