//! `GET /v1/tap`.

use std::time::Duration;

use tidegate::simulator::{DeadTokens, SimulatorSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

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
    let (id, body) = job(nth, nth.is_multiple_of(2));
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

/// Reads a little now and then, so that it is slow but not dead: the door closes on who reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_listens_too_slowly_is_told_exactly_how_many_went_by() {
    const PUSHES: usize = 40_000;
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut slow = socket.connect(served.address().parse().unwrap()).await.unwrap();
    let request = format!("GET /v1/tap HTTP/1.1\r\nhost: {}\r\n\r\n", served.address());
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(": listening") {
        slow.read_buf(&mut text).await.unwrap();
    }

    for first in (0..PUSHES).step_by(4_000) {
        assert_eq!(served.post(jobs(first + 4_000).skip(first)).await.0, 202);
    }
    let all = PUSHES as u64;
    let ended = async {
        while served.status().await["outcomes"]["delivered"] != all {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                let mut little = [0; 1 << 10];
                let read = slow.read(&mut little).await.unwrap();
                assert!(read > 0, "it is not closed on");
                text.extend_from_slice(&little[..read]);
            }
        }
    }
    // What was lost at the end is told with the next.
    assert_eq!(served.post([job(PUSHES, true)]).await.0, 202);
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    let (heard, lost) = loop {
        // It is counted when nothing comes for a moment.
        let read = tokio::time::timeout(Duration::from_millis(300), slow.read_buf(&mut text)).await;
        assert!(!matches!(read, Ok(Ok(0) | Err(_))), "the stream goes on");
        let (heard, lost) = if read.is_err() { told(&text) } else { (0, 0) };
        if heard + lost == all + 1 {
            break (heard, lost);
        }
        assert!(tokio::time::Instant::now() < give_up, "{heard} heard and {lost} lost are not all");
    };
    assert!(heard > 0 && lost > 0, "{heard} heard, {lost} lost");
}

/// Outcomes heard, and told to be lost, in what was read. (Chunks' lengths stand between the lines.)
fn told(text: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(text);
    let lost =
        text.split("data: {\"outcomes\":").skip(1).filter_map(|rest| rest.split('}').next()?.parse::<u64>().ok());
    (text.matches("\"outcome\":\"").count() as u64, lost.sum())
}
