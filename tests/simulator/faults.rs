//! What goes wrong on purpose, at either door.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tidegate::job::Provider;
use tidegate::simulator::{
    CredentialState, DeadTokens, Faults, GoAway, Latency, Mute, OnExcess, PushQuery, Reset, ResetCode, ServerError,
    Simulator, SimulatorError, SimulatorSettings, StreamLimitAt, Throttle, Window, start,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, DEADLINE, TOKEN, jwt, now, simulator, until};
use super::fcm;

async fn ready(simulator: &Simulator) -> (Client, String) {
    let client = Client::apns(simulator).await;
    let jwt = jwt(&simulator.apns_credential(), now());
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    client.until_streams(1000).await;
    (client, jwt)
}

#[tokio::test]
async fn the_stream_limit_changes_midway() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    let step = |at, limit| StreamLimitAt { at: Duration::from_millis(at), limit };
    let stream_limits = vec![step(0, 3), step(300, 40)];
    simulator.set_faults(Provider::Apns, Faults { stream_limits, ..Faults::default() });
    client.until_streams(3).await;
    client.until_streams(40).await;
    // A connection that comes later begins with what holds then.
    let later = Client::apns(&simulator).await;
    assert_eq!(later.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    later.until_streams(40).await;
    assert_eq!(simulator.ledger().await.apns.protocol_violations, 0);
}

#[tokio::test]
async fn goaway_says_why_and_up_to_where() {
    let simulator = simulator(|settings| {
        settings.apns.faults.goaway = Some(GoAway {
            after_streams: 4,
            reason: "BadCertificateEnvironment".to_owned(),
            code: 2,
            unprocessed: 2,
            linger: false,
            twice: false,
        });
    });
    let (client, jwt) = ready(&simulator).await;
    let answers = join_all((0..3).map(|_| client.push(&jwt, TOKEN, &[]))).await;
    let accepted = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)).count();
    let error = answers.iter().find_map(|answer| answer.as_ref().err()).unwrap();
    assert!(error.is_go_away() && error.is_remote(), "{error:?}");
    assert!(error.to_string().contains("BadCertificateEnvironment"), "{error}");
    until(|| client.connection.is_finished()).await;
    let ledger = simulator.ledger().await.apns;
    assert_eq!((accepted, ledger.accepted, ledger.reset, ledger.goaways), (1, 2, 2, 1));
}

#[tokio::test]
async fn after_a_lingering_goaway_the_socket_stays_open_and_nothing_more_is_taken() {
    let simulator = simulator(|settings| {
        let reason = "Shutdown".to_owned();
        let goaway = GoAway { after_streams: 2, reason, code: 0, unprocessed: 0, linger: true, twice: true };
        settings.apns.faults.goaway = Some(goaway);
    });
    let (client, jwt) = ready(&simulator).await;
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    assert!(client.push(&jwt, TOKEN, &[]).await.is_err());
    let ledger = simulator.ledger().await.apns;
    assert_eq!((ledger.accepted, ledger.received, ledger.goaways), (2, 2, 2));
}

#[tokio::test]
async fn requests_are_reset() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    for (code, reason) in
        [(ResetCode::RefusedStream, h2::Reason::REFUSED_STREAM), (ResetCode::InternalError, h2::Reason::INTERNAL_ERROR)]
    {
        let reset = Some(Reset { share: 1.0, code });
        simulator.set_faults(Provider::Apns, Faults { reset, ..Faults::default() });
        let error = client.push(&jwt, TOKEN, &[]).await.unwrap_err();
        assert_eq!((error.is_reset(), error.reason()), (true, Some(reason)));
    }
    let ledger = simulator.ledger().await.apns;
    assert_eq!((ledger.reset, ledger.accepted), (2, 1));
}

#[tokio::test]
async fn some_requests_are_never_answered() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    simulator.set_faults(Provider::Apns, Faults { never_answer: 1.0, ..Faults::default() });
    let waited = tokio::time::timeout(Duration::from_millis(300), client.push(&jwt, TOKEN, &[])).await;
    assert!(waited.is_err());
    simulator.set_faults(Provider::Apns, Faults::default());
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    let ledger = simulator.ledger().await.apns;
    // Dropping the response told the server, by RST_STREAM.
    assert_eq!((ledger.unanswered, ledger.cancelled, ledger.accepted), (1, 1, 2));
}

#[tokio::test]
async fn a_stall_holds_and_then_answers_and_what_was_given_up_is_not_accepted() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    let begun = Instant::now();
    let length = Duration::from_millis(600);
    let stalls = vec![Window { from: Duration::ZERO, length }];
    simulator.set_faults(Provider::Apns, Faults { stalls, ..Faults::default() });
    let given_up = tokio::time::timeout(Duration::from_millis(100), client.push(&jwt, TOKEN, &[])).await;
    assert!(given_up.is_err());
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    assert!(begun.elapsed() >= length);
    let ledger = simulator.ledger().await.apns;
    assert_eq!((ledger.accepted, ledger.cancelled), (2, 1));
}

#[tokio::test]
async fn answers_take_their_time_and_the_streams_count_as_in_flight() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    let value = Duration::from_millis(150);
    simulator.set_faults(Provider::Apns, Faults { latency: Latency::Fixed { value }, ..Faults::default() });
    let begun = Instant::now();
    let answers = join_all((0..20).map(|_| client.push(&jwt, TOKEN, &[]))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status == 200));
    assert!(begun.elapsed() >= value);
    assert_eq!(simulator.ledger().await.apns.max_in_flight, 20);
}

#[tokio::test]
async fn a_connection_that_falls_silent_and_another_that_does_not() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    // The first connection had a stream or more already, to become ready.
    simulator.set_faults(
        Provider::Apns,
        Faults { mute: Some(Mute { connection: 1, after_streams: 0 }), ..Faults::default() },
    );
    let silent = tokio::time::timeout(Duration::from_millis(300), client.push(&jwt, TOKEN, &[])).await;
    assert!(silent.is_err(), "{silent:?}");
    let (other, jwt) = ready(&simulator).await;
    assert_eq!(other.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
    assert_eq!(simulator.ledger().await.apns.unanswered, 1);
}

#[tokio::test]
async fn a_throttle_for_a_time() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    let during = |from| Some(Window { from: Duration::from_secs(from), length: Duration::from_secs(3600) });
    let throttle = |from| Some(Throttle { share: 1.0, retry_after: None, as_date: false, during: during(from) });
    simulator.set_faults(Provider::Apns, Faults { throttle: throttle(0), ..Faults::default() });
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 429);
    simulator.set_faults(Provider::Apns, Faults { throttle: throttle(3600), ..Faults::default() });
    assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn errors_that_nobody_deserves() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    let throttle =
        |as_date| Throttle { share: 1.0, retry_after: Some(Duration::from_millis(1500)), as_date, during: None };
    simulator.set_faults(Provider::Apns, Faults { throttle: Some(throttle(false)), ..Faults::default() });
    let answer = client.push(&jwt, TOKEN, &[]).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (429, "2"));
    simulator.set_faults(Provider::Apns, Faults { throttle: Some(throttle(true)), ..Faults::default() });
    let answer = client.push(&jwt, TOKEN, &[]).await.unwrap();
    let date = answer.headers["retry-after"].to_str().unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT") && date[3..5] == *", ", "{date}");
    let error = |status| Some(ServerError { share: 1.0, status, retry_after: None });
    for (status, reason) in [(500, "InternalServerError"), (503, "ServiceUnavailable")] {
        simulator.set_faults(Provider::Apns, Faults { server_error: error(status), ..Faults::default() });
        let answer = client.push(&jwt, TOKEN, &[]).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason));
    }
    let google = Client::fcm(&simulator).await;
    let access = fcm::access_token(&google, &simulator).await;
    let body = serde_json::json!({ "message": { "token": "t" } });
    simulator.set_faults(Provider::Fcm, Faults { server_error: error(502), ..Faults::default() });
    let answer = fcm::send(&google, tidegate::simulator::PROJECT, &access, &body).await;
    assert_eq!(answer.status, 502);
    assert!(answer.body.starts_with(b"<!DOCTYPE html>"));
}

#[tokio::test]
async fn credentials_can_turn_bad() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    for (credentials, reason) in
        [(CredentialState::Expired, "ExpiredProviderToken"), (CredentialState::Refused, "InvalidProviderToken")]
    {
        simulator.set_faults(Provider::Apns, Faults { credentials, ..Faults::default() });
        assert_eq!(client.push(&jwt, TOKEN, &[]).await.unwrap().reason(), reason);
    }
}

#[tokio::test]
async fn a_share_of_tokens_is_dead_and_stays_dead() {
    let dead = DeadTokens { share: 0.25, ..DeadTokens::default() };
    let tokens: Vec<String> = (0..4000).map(|nth| format!("{nth:032x}")).collect();
    let count = tokens.iter().filter(|token| dead.contains(token, 7)).count();
    assert!((800..1200).contains(&count), "{count}");
    let other = tokens.iter().filter(|token| dead.contains(token, 7) != dead.contains(token, 8)).count();
    assert!(other > 1000, "another seed, other tokens: {other}");
    let simulator = simulator(|settings| {
        settings.seed = 7;
        settings.apns.faults.dead_tokens = dead.clone();
    });
    let client = Client::apns(&simulator).await;
    let jwt = jwt(&simulator.apns_credential(), now());
    for token in &tokens[..40] {
        let expected = if dead.contains(token, 7) { 410 } else { 200 };
        assert_eq!(client.push(&jwt, token, &[]).await.unwrap().status.as_u16(), expected);
    }
}

#[tokio::test]
async fn connections_are_refused_for_a_time() {
    let simulator = simulator(|_| {});
    let (client, _) = ready(&simulator).await;
    drop(client);
    let length = Duration::from_millis(500);
    let refusals = vec![Window { from: Duration::ZERO, length }];
    simulator.set_faults(Provider::Apns, Faults { refusals, ..Faults::default() });
    let address = simulator.apns_address();
    let state = async |wanted: bool| {
        while TcpStream::connect(address).await.is_ok() != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, state(false)).await.unwrap();
    tokio::time::timeout(DEADLINE, state(true)).await.unwrap();
    ready(&simulator).await;
}

#[tokio::test]
async fn a_silent_server_says_nothing() {
    let window = Window { from: Duration::ZERO, length: Duration::from_secs(60) };
    let simulator = simulator(|settings| settings.apns.faults.silences = vec![window]);
    let handshake = super::client::tls_stream(simulator.apns_address(), super::client::tls(&simulator, &[b"h2"], None));
    assert!(tokio::time::timeout(Duration::from_millis(300), handshake).await.is_err());
    let ledger = simulator.ledger().await.apns;
    assert_eq!((ledger.connections, ledger.handshakes), (1, 0));
}

#[tokio::test]
async fn an_idle_connection_is_told_so() {
    let simulator = simulator(|settings| settings.apns.idle_timeout = Duration::from_millis(300));
    let (client, _) = ready(&simulator).await;
    until(|| client.connection.is_finished()).await;
    assert_eq!(simulator.ledger().await.apns.goaways, 1);
}

/// RST_STREAM(REFUSED_STREAM) on stream 5.
const REFUSED_5: [u8; 13] = [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 7];

/// A client that ignores the limit it has acknowledged: frames by hand.
async fn overrun(simulator: &Simulator) -> Vec<u8> {
    let config = super::client::tls(simulator, &[b"h2"], None);
    let mut stream = super::client::tls_stream(simulator.fcm_address(), config).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]); // SETTINGS
    bytes.extend([0, 0, 0, 4, 1, 0, 0, 0, 0]); // SETTINGS, ACK
    for stream in [1, 3, 5] {
        bytes.extend([0, 0, 3, 1, 4, 0, 0, 0, stream, 0x83, 0x87, 0x84]); // HEADERS without END_STREAM
    }
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    let read = async {
        loop {
            let size = stream.read(&mut chunk).await.unwrap();
            answer.extend_from_slice(&chunk[..size]);
            let said = |words: &[u8]| answer.windows(words.len()).any(|bytes| bytes == words);
            if said(&REFUSED_5) || said(b"exceeded_max_concurrent_streams") || size == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap();
    answer
}

#[tokio::test]
async fn more_streams_than_acknowledged_are_refused_and_counted() {
    let simulator = simulator(|settings| settings.fcm.stream_limit = 2);
    let answer = overrun(&simulator).await;
    assert!(answer.windows(13).any(|bytes| bytes == REFUSED_5), "{answer:?}");
    let ledger = simulator.ledger().await.fcm;
    assert_eq!((ledger.refused, ledger.protocol_violations, ledger.max_in_flight), (1, 1, 2));
}

#[tokio::test]
async fn or_the_connection_ends() {
    let simulator = simulator(|settings| {
        settings.fcm.stream_limit = 2;
        settings.fcm.on_excess = OnExcess::GoAway;
    });
    let answer = overrun(&simulator).await;
    assert!(String::from_utf8_lossy(&answer).contains("exceeded_max_concurrent_streams"));
    assert_eq!(simulator.ledger().await.fcm.goaways, 1);
}

#[tokio::test]
async fn fast_mode_accepts_everything_and_counts() {
    let simulator = simulator(|settings| {
        settings.fast = true;
        settings.threads = 2;
    });
    let client = Client::apns(&simulator).await;
    for _ in 0..50 {
        assert_eq!(client.push("no token", "nothex", &[]).await.unwrap().status, 200);
    }
    client.until_streams(1000).await;
    let google = Client::fcm(&simulator).await;
    fcm::access_token(&google, &simulator).await;
    let body = serde_json::json!({});
    for _ in 0..5 {
        assert_eq!(fcm::send(&google, "any", "none", &body).await.status, 200);
    }
    let ledger = simulator.ledger().await;
    assert_eq!((ledger.apns.accepted, ledger.fcm.accepted, ledger.tokens.granted), (50, 5, 1));
    assert_eq!(ledger.pushes_kept, 0);
}

#[tokio::test]
async fn the_ledger_has_a_page() {
    let simulator = simulator(|_| {});
    ready(&simulator).await;
    let get = async |path: &str| {
        let mut socket = TcpStream::connect(simulator.ledger_address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap()
    };
    let figures: serde_json::Value = serde_json::from_str(&get("/ledger").await).unwrap();
    assert_eq!((figures["apns"]["accepted"].as_u64(), figures["truncated"].as_bool()), (Some(1), Some(false)));
    let query = "/ledger/pushes?provider=apns&accepted_at_least=1&limit=10";
    let page: serde_json::Value = serde_json::from_str(&get(query).await).unwrap();
    assert_eq!(page["pushes"].as_array().unwrap().len(), 0, "without an apns-id a push is not known: {page}");
    assert_eq!(get("/ca.pem").await, simulator.ca_pem());
    assert_eq!(simulator.pushes(PushQuery::default()).await.pushes.len(), 0);
}

#[test]
fn credentials_are_written_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let simulator = simulator(|_| {});
    let directory = tempfile::tempdir().unwrap();
    simulator.write_credentials(directory.path()).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    let listed: Vec<_> = names.iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(
        listed,
        [
            "AuthKey_SIMKEYAAAA.p8",
            "ca-key.pem",
            "ca.pem",
            "client-key.pem",
            "client.pem",
            "service-account.json",
            "vapid.pem"
        ]
    );
    assert!(names.iter().all(|entry| entry.metadata().unwrap().permissions().mode() & 0o777 == 0o600));
    let account = std::fs::read(directory.path().join("service-account.json")).unwrap();
    let account: tidegate::provider::fcm::ServiceAccount = serde_json::from_slice(&account).unwrap();
    assert!(account.token_uri.ends_with(&format!(":{}/token", simulator.fcm_address().port())));
}

#[test]
fn a_simulator_listens_on_loopback_only() {
    let listen = "0.0.0.0".parse().unwrap();
    let settings = SimulatorSettings { listen, ..SimulatorSettings::default() };
    assert!(matches!(start(settings), Err(SimulatorError::NotLoopback(_))));
}

#[test]
fn settings_are_read_strictly() {
    let text = r#"
        threads = 2
        [apns]
        stream_limit = 500
        [apns.faults]
        latency = { kind = "log_normal", median = "40ms", sigma = 0.5 }
        stalls = [{ from = "5s", for = "3s" }]
        throttle = { share = 0.02, retry_after = "1s" }
        [fcm.faults]
        token_endpoint = { kind = "slow", latency = "2s" }
    "#;
    let settings: SimulatorSettings = toml::from_str(text).unwrap();
    assert_eq!(settings.apns.faults.stalls[0].length, Duration::from_secs(3));
    assert_eq!(settings.apns.faults.throttle.unwrap().retry_after, Some(Duration::from_secs(1)));
    let strict = toml::from_str::<SimulatorSettings>("[apns.faults]\nstals = []");
    assert!(strict.unwrap_err().to_string().contains("unknown field `stals`"));
    assert!(toml::from_str::<SimulatorSettings>("[apns]\nidle_timeout = \"fast\"").is_err());
}

#[tokio::test]
async fn a_client_that_keeps_the_limits_is_never_blamed() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    let step =
        |nth: u64| StreamLimitAt { at: Duration::from_millis(20 * nth), limit: [3, 40, 1, 15][nth as usize % 4] };
    simulator.set_faults(
        Provider::Apns,
        Faults {
            latency: Latency::Uniform { min: Duration::ZERO, max: Duration::from_millis(4) },
            reset: Some(Reset { share: 0.1, code: ResetCode::RefusedStream }),
            stream_limits: (0..40).map(step).collect(),
            ..Faults::default()
        },
    );
    let sends = (0..60).map(async |_| {
        for _ in 0..30 {
            match client.push(&jwt, TOKEN, &[]).await {
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(error) => assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM)),
            }
        }
    });
    join_all(sends).await;
    let ledger = simulator.ledger().await.apns;
    assert_eq!((ledger.received, ledger.accepted + ledger.reset), (1801, 1801));
    assert_eq!((ledger.protocol_violations, ledger.refused), (0, 0), "{:?}", ledger.violations);
    assert!(ledger.reset > 0, "{ledger:?}");
}

#[tokio::test]
async fn every_push_is_found_by_its_id_and_its_target() {
    let simulator = simulator(|_| {});
    let (client, jwt) = ready(&simulator).await;
    for nth in 0..20 {
        let id = format!("123e4567-e89b-12d3-a456-{nth:012}");
        let token = format!("{:032x}", nth % 4);
        assert_eq!(client.push(&jwt, &token, &[("apns-id", &id)]).await.unwrap().status, 200);
    }
    let target = Some(format!("{:032x}", 1));
    let page = simulator.pushes(PushQuery { target, ..PushQuery::default() }).await;
    assert_eq!((page.pushes.len(), page.truncated), (5, false));
    let page = simulator.pushes(PushQuery { limit: Some(7), ..PushQuery::default() }).await;
    assert_eq!((page.pushes.len(), page.truncated), (7, true));
    let push = Some("123e4567-e89b-12d3-a456-000000000019".to_owned());
    assert_eq!(simulator.pushes(PushQuery { push, ..PushQuery::default() }).await.pushes.len(), 1);
    let push = Some("nobody".to_owned());
    assert!(simulator.pushes(PushQuery { push, ..PushQuery::default() }).await.pushes.is_empty());
}
