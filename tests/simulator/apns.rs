//! APNs' door.

use tidegate::simulator::{PushQuery, TOPIC as CERTIFICATE_TOPIC};

use super::client::{
    Answer, Client, TOKEN, TOPIC, apns_request, jwt, lax_jwts, now, simulator, tls, tls_stream, until,
};

const ID: &str = "123e4567-e89b-12d3-a456-426614174000";

#[tokio::test]
async fn a_push_is_accepted_and_entered() {
    let simulator = simulator(|_| {});
    let client = Client::apns(&simulator).await;
    let jwt = jwt(&simulator.apns_credential(), now());
    let answer = client.push(&jwt, TOKEN, &[("apns-id", ID)]).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["apns-id"], ID);
    assert!(answer.body.is_empty());
    let ledger = simulator.ledger().await;
    assert_eq!((ledger.apns.received, ledger.apns.accepted, ledger.apns.duplicates), (1, 1, 0));
    assert_eq!((ledger.apns.connections, ledger.apns.handshakes, ledger.apns.protocol_violations), (1, 1, 0));
    let page = simulator.pushes(PushQuery { push: Some(ID.to_owned()), ..PushQuery::default() }).await;
    assert_eq!(page.pushes.len(), 1);
    assert_eq!((page.pushes[0].target.as_str(), page.pushes[0].accepted), (TOKEN, 1));
    simulator.shutdown().await;
}

#[tokio::test]
async fn one_stream_until_a_valid_token_was_accepted_then_all() {
    let simulator = simulator(|settings| settings.apns.stream_limit = 500);
    let client = Client::apns(&simulator).await;
    client.until_streams(1).await;
    let refused = client.push("no.valid.token", TOKEN, &[]).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (403, "InvalidProviderToken"));
    assert_eq!(client.send.current_max_send_streams(), 1);
    let jwt = jwt(&simulator.apns_credential(), now());
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    client.until_streams(500).await;
}

#[tokio::test]
async fn every_reason_has_its_cause() {
    let simulator = simulator(|settings| {
        settings.apns.topics = vec![TOPIC.to_owned()];
        settings.apns.unknown_prefix = "dead".to_owned();
        settings.apns.foreign_prefix = "beef".to_owned();
        settings.apns.faults.dead_tokens.prefixes = vec!["f00d".to_owned()];
    });
    let long = "x".repeat(65);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let cases: &[Case<'_>] = &[
        ("", &[], 400, "MissingDeviceToken"),
        ("zz", &[], 400, "BadDeviceToken"),
        ("abc", &[], 400, "BadDeviceToken"),
        ("ab/cd", &[], 404, "BadPath"),
        (TOKEN, &[("apns-id", "12")], 400, "BadMessageId"),
        (TOKEN, &[("apns-id", "123E4567-E89B-12D3-A456-426614174000")], 400, "BadMessageId"),
        (TOKEN, &[("apns-priority", "7")], 400, "BadPriority"),
        (TOKEN, &[("apns-priority", "10"), ("apns-push-type", "background")], 400, "BadPriority"),
        (TOKEN, &[("apns-expiration", "tomorrow")], 400, "BadExpirationDate"),
        (TOKEN, &[("apns-push-type", "song")], 400, "InvalidPushType"),
        (TOKEN, &[("apns-topic", "")], 400, "MissingTopic"),
        (TOKEN, &[("apns-topic", "with space")], 400, "BadTopic"),
        (TOKEN, &[("apns-push-type", "voip")], 400, "BadTopic"),
        (TOKEN, &[("apns-topic", "com.example.chat.voip")], 400, "BadTopic"),
        (TOKEN, &[("apns-topic", "com.example.other")], 400, "TopicDisallowed"),
        (TOKEN, &[("apns-collapse-id", long.as_str())], 400, "BadCollapseId"),
        (TOKEN, &[("authorization", "")], 403, "MissingProviderToken"),
        (TOKEN, &[("authorization", "basic abc")], 403, "MissingProviderToken"),
        (TOKEN, &[("authorization", "bearer a.b.c")], 403, "InvalidProviderToken"),
        ("dead00", &[], 400, "BadDeviceToken"),
        ("beef00", &[], 400, "DeviceTokenNotForTopic"),
        ("f00d00", &[], 410, "Unregistered"),
    ];
    let jwt = jwt(&simulator.apns_credential(), now());
    let client = Client::apns(&simulator).await;
    for (token, headers, status, reason) in cases {
        let answer = client.push(&jwt, token, headers).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (*status, *reason), "{token} {headers:?}");
        assert_eq!(answer.json()["timestamp"].is_u64(), *status == 410, "{token} {headers:?}");
    }
    let voip = [("apns-push-type", "voip"), ("apns-topic", "com.example.chat.voip")];
    assert_eq!(client.push(&jwt, TOKEN, &voip).await.unwrap().status, 200);
    let ledger = simulator.ledger().await.apns;
    assert_eq!(ledger.received, cases.len() as u64 + 1);
    assert_eq!(ledger.rejected.values().sum::<u64>(), cases.len() as u64);
    assert_eq!(ledger.rejected["BadDeviceToken"], 3);
}

#[tokio::test]
async fn method_duplicates_and_payload_are_checked() {
    let simulator = simulator(|_| {});
    let jwt = jwt(&simulator.apns_credential(), now());
    let client = Client::apns(&simulator).await;
    let voip = [("apns-push-type", "voip"), ("apns-topic", "com.example.chat.voip")];
    let sized = |size: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(size - 8)).into_bytes();
    let doubled = || apns_request(&jwt, TOKEN, &[("apns-priority", "5"), ("apns-priority", "10")]);
    let get = || {
        let mut request = apns_request(&jwt, TOKEN, &[]);
        *request.method_mut() = http::Method::GET;
        request
    };
    let plain = || apns_request(&jwt, TOKEN, &[]);
    let cases = [
        (get(), sized(20), 405, "MethodNotAllowed"),
        (doubled(), sized(20), 400, "DuplicateHeaders"),
        (plain(), Vec::new(), 400, "PayloadEmpty"),
        (plain(), b"{}".to_vec(), 400, "PayloadEmpty"),
        (plain(), sized(4097), 413, "PayloadTooLarge"),
        (apns_request(&jwt, TOKEN, &voip), sized(5121), 413, "PayloadTooLarge"),
    ];
    for (request, body, status, reason) in cases {
        let answer = client.ask(request, &body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason));
    }
    assert_eq!(client.ask(plain(), &sized(4096)).await.unwrap().status, 200);
    assert_eq!(client.ask(apns_request(&jwt, TOKEN, &voip), &sized(5120)).await.unwrap().status, 200);
}

async fn answered(client: &Client, jwt: &str) -> (u16, String) {
    let Answer { status, body, .. } = client.push(jwt, TOKEN, &[]).await.unwrap();
    let reason = serde_json::from_slice(&body).map(|body: serde_json::Value| body["reason"].to_string());
    (status.as_u16(), reason.unwrap_or_default().trim_matches('"').to_owned())
}

#[tokio::test]
async fn provider_tokens_are_judged() {
    let simulator = simulator(|_| {});
    let [first, other_key, other_team] = simulator.apns_credentials().try_into().unwrap();
    let said = |status: u16, reason: &str| (status, reason.to_owned());
    let client = Client::apns(&simulator).await;
    assert_eq!(answered(&client, &jwt(&first, now() - 3700)).await, said(403, "ExpiredProviderToken"));
    assert_eq!(answered(&client, &jwt(&first, now() + 600)).await, said(403, "InvalidProviderToken"));
    assert_eq!(answered(&client, &jwt(&first, now())).await, said(200, ""));
    assert_eq!(answered(&client, &jwt(&other_team, now())).await, said(403, "InvalidProviderToken"));
    assert_eq!(answered(&client, &jwt(&other_key, now())).await, said(403, "UnrelatedKeyIdInToken"));
    assert_eq!(answered(&client, &jwt(&first, now() - 10)).await, said(429, "TooManyProviderTokenUpdates"));
    let second = Client::apns(&simulator).await;
    assert_eq!(answered(&second, &jwt(&other_team, now())).await, said(200, ""));
}

#[tokio::test]
async fn a_client_certificate_has_the_full_limit_at_once() {
    let simulator = simulator(|_| {});
    let certificate = simulator.apns_certificate();
    let client = Client::to(simulator.apns_address(), tls(&simulator, &[b"h2"], Some(&certificate))).await;
    client.until_streams(1000).await;
    let headers = [("authorization", ""), ("apns-topic", CERTIFICATE_TOPIC)];
    assert_eq!(client.push("", TOKEN, &headers).await.unwrap().status, 200);
    let other = client.push("", TOKEN, &[("authorization", "")]).await.unwrap();
    assert_eq!(other.reason(), "TopicDisallowed");
}

#[tokio::test]
async fn http1_is_refused() {
    let simulator = simulator(|_| {});
    let address = simulator.apns_address();
    let refused = tls_stream(address, tls(&simulator, &[b"http/1.1"], None)).await;
    assert!(refused.is_err());
    until_failed(&simulator, 1).await;
}

async fn until_failed(simulator: &tidegate::simulator::Simulator, count: u64) {
    let mut failed = 0;
    for _ in 0..2000 {
        failed = simulator.ledger().await.apns.failed_handshakes;
        if failed == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{failed} failed handshakes");
}

#[tokio::test]
async fn an_error_may_cost_streams_and_a_success_gives_them_back() {
    let simulator = simulator(|settings| settings.apns.one_stream_after_error = true);
    let jwt = jwt(&simulator.apns_credential(), now());
    let client = Client::apns(&simulator).await;
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    client.until_streams(1000).await;
    assert_eq!(client.push(&jwt, "zz", &[]).await.unwrap().status, 400);
    client.until_streams(1).await;
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    client.until_streams(1000).await;
}

#[tokio::test]
async fn too_many_errors_end_the_connection_with_a_reason() {
    let simulator = simulator(|settings| settings.apns.error_budget = 4);
    let jwt = jwt(&simulator.apns_credential(), now());
    let client = Client::apns(&simulator).await;
    assert_eq!(client.push(&jwt, "zz", &[]).await.unwrap().status, 400);
    assert_eq!(client.push(&jwt, "zz", &[]).await.unwrap().status, 400);
    until(|| client.connection.is_finished()).await;
    assert_eq!(simulator.ledger().await.apns.goaways, 1);
}

#[tokio::test]
async fn one_device_may_have_a_limit() {
    let simulator = simulator(|settings| settings.apns.device_rate = 2);
    let jwt = jwt(&simulator.apns_credential(), now());
    let client = Client::apns(&simulator).await;
    for _ in 0..2 {
        assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    }
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().reason(), "TooManyRequests");
    assert_eq!(client.push(&jwt, "00ff", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_accepted_twice_is_a_duplicate() {
    let simulator = simulator(|_| {});
    let jwt = jwt(&simulator.apns_credential(), now());
    let client = Client::apns(&simulator).await;
    assert_eq!(client.push(&jwt, "zz", &[("apns-id", ID)]).await.unwrap().status, 400);
    for duplicates in [0, 1, 2] {
        assert_eq!(client.push(&jwt, TOKEN, &[("apns-id", ID)]).await.unwrap().status, 200);
        assert_eq!(simulator.ledger().await.apns.duplicates, duplicates);
    }
    let query = PushQuery { accepted_at_least: Some(2), ..PushQuery::default() };
    assert_eq!(simulator.pushes(query).await.pushes.len(), 1);
    let query = PushQuery { accepted_at_most: Some(0), ..PushQuery::default() };
    assert!(simulator.pushes(query).await.pushes.is_empty());
}

#[tokio::test]
async fn tokens_in_lax_base64_are_refused_only_by_the_strict() {
    for strict in [false, true] {
        let simulator = simulator(|settings| settings.apns.strict_jwt = strict);
        let credential = simulator.apns_credential();
        let client = Client::apns(&simulator).await;
        let [padded, der] = lax_jwts(&credential, now());
        let expected = if strict { 403 } else { 200 };
        assert_eq!(client.push(&padded, TOKEN, &[]).await.unwrap().status, expected, "strict: {strict}");
        let second = Client::apns(&simulator).await;
        assert_eq!(second.push(&der, TOKEN, &[]).await.unwrap().status, expected, "strict: {strict}");
    }
}

#[tokio::test]
async fn a_sandbox_gives_a_unique_id_and_expiry_may_wedge() {
    let simulator = simulator(|settings| {
        settings.apns.sandbox = true;
        settings.apns.wedge_after_expiry = true;
    });
    let credential = simulator.apns_credential();
    let client = Client::apns(&simulator).await;
    let answer = client.push(&jwt(&credential, now()), TOKEN, &[]).await.unwrap();
    assert!(answer.headers.contains_key("apns-unique-id"));
    assert_eq!(
        client.push(&jwt(&credential, now() - 4000), TOKEN, &[]).await.unwrap().reason(),
        "ExpiredProviderToken"
    );
    assert_eq!(client.push(&jwt(&credential, now()), TOKEN, &[]).await.unwrap().reason(), "ExpiredProviderToken");
}

#[tokio::test]
async fn cleartext_is_http2_with_prior_knowledge() {
    let simulator = simulator(|settings| settings.cleartext = true);
    let socket = tokio::net::TcpStream::connect(simulator.apns_address()).await.unwrap();
    let (send, connection) = h2::client::handshake(socket).await.unwrap();
    let client = Client { send, connection: tokio::spawn(connection) };
    let jwt = jwt(&simulator.apns_credential(), now());
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    assert!(simulator.service_account("chat").token_uri.starts_with("http://"));
}

#[tokio::test]
async fn the_endpoint_is_what_a_client_needs() {
    let simulator = simulator(|_| {});
    let endpoint = simulator.endpoint(tidegate::job::Provider::Apns);
    assert_eq!(endpoint.extra_roots.as_deref(), Some(simulator.ca_pem()));
    let socket = tokio::net::TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(endpoint.host).unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls(&simulator, &[b"h2"], None));
    assert!(connector.connect(name, socket).await.is_ok());
    let uri = simulator.service_account("chat").token_uri;
    assert_eq!(uri, format!("https://{}/token", simulator.fcm_address()));
}
