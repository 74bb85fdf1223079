//! How pushes end that are not delivered, in the words of each service; and what a service may not do to us.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::simulator::{CredentialState, Faults, PushService, SimulatorSettings, Window};

use super::MINUTE;
use super::browsers::Browsers;
use super::support::{eventually, until};

fn by_endpoint(outcomes: &[Value]) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = |outcome: &Value| {
        let endpoint = text(&outcome["target"]["webpush"]["endpoint"]);
        (endpoint, (text(&outcome["outcome"]), text(&outcome["reason"])))
    };
    outcomes.iter().map(read).collect()
}

/// A dead subscription, one of another key, a redirect, ten megabytes of error: at each service, in its words.
#[tokio::test]
async fn promise_10_every_end_has_its_outcome_and_its_services_own_word() {
    let browsers = Browsers::start(SimulatorSettings::default(), "").await;
    let mut targets = Vec::new();
    let mut wanted = BTreeMap::new();
    for service in PushService::ALL {
        let [gone, other] = match service {
            PushService::Mozilla => ["errno_106", "errno_109"],
            PushService::Google => ["http_410", "vapid_key_mismatch"],
            PushService::Apple => ["ExpiredSubscription", "VapidPkHashMismatch"],
            PushService::Microsoft => ["gone", "other key"],
            PushService::Strict => ["http_410", ""],
        };
        let ends = [
            ("dead-1", "unregistered", gone),
            ("other-key-1", "rejected", other),
            ("redirect-1", "rejected", "http_307"),
            ("verbose-1", "rejected", "http_400"),
            ("alive-1", "delivered", ""),
        ];
        // Without a word nobody can tell another key from a broken one; Microsoft's word is not documented.
        let tells = !matches!(service, PushService::Strict | PushService::Microsoft);
        for (id, outcome, reason) in ends.into_iter().filter(|(id, ..)| tells || *id != "other-key-1") {
            let target = browsers.target(service, id);
            let endpoint = target["webpush"]["endpoint"].as_str().expect("a text").to_owned();
            wanted.insert(endpoint, (outcome.to_owned(), reason.to_owned()));
            targets.push(target);
        }
    }
    let job = json!({"id": "ends", "app": "web", "to": targets, "notification": {"body": "hi"}});
    browsers.post(&job).await;
    let outcomes = browsers.outcomes(wanted.len()).await;
    assert_eq!(by_endpoint(&outcomes), wanted);
    let log = browsers.served.log().join("\n");
    for secret in ["/wpush/v2/", "/fcm/send/", "dead-1", "vapid t="] {
        assert!(!log.contains(secret), "{secret} stands in the log: origins only");
    }
    browsers.end().await;
}

/// A body that never ends costs its own push its time, and no other one anything.
#[tokio::test]
async fn a_body_that_never_ends_holds_up_its_own_push_alone() {
    let browsers = Browsers::start(SimulatorSettings::default(), "request_timeout = \"1s\"\nmax_attempts = 1").await;
    let to: Vec<Value> = (0..20).map(|nth| browsers.target(PushService::Google, &format!("good-{nth}"))).collect();
    browsers.post(&json!({"id": "warm", "app": "web", "to": to, "data": {"k": "1"}})).await;
    browsers.outcomes(20).await;
    let mut to = to;
    to.insert(0, browsers.target(PushService::Google, "endless-1"));
    browsers.post(&json!({"id": "both", "app": "web", "to": to, "data": {"k": "2"}})).await;
    let outcomes = browsers.outcomes(41).await;
    let delivered = outcomes.iter().filter(|outcome| outcome["outcome"] == "delivered").count();
    assert_eq!(delivered, 40);
    let last = outcomes.iter().find(|outcome| outcome["outcome"] != "delivered").expect("the endless one");
    assert_eq!((&last["outcome"], &last["reason"]), (&json!("failed"), &json!("timeout")));
    browsers.end().await;
}

/// A service that speaks HTTP/1.1 alone is served too, connections as many as there may be.
#[tokio::test]
async fn a_service_without_http2_is_spoken_to_in_http1() {
    let mut simulator = SimulatorSettings::default();
    simulator.webpush.microsoft.http1_only = true;
    let browsers = Browsers::start(simulator, "connections = 4").await;
    let ids = ["dead-1".to_owned(), "verbose-1".to_owned(), "redirect-1".to_owned()];
    let ids = ids.into_iter().chain((0..300).map(|nth| format!("good-{nth}")));
    let to: Vec<Value> = ids.map(|id| browsers.target(PushService::Microsoft, &id)).collect();
    browsers.post(&json!({"id": "old", "app": "web", "to": to, "notification": {"body": "hi"}})).await;
    let outcomes = browsers.outcomes(303).await;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in &outcomes {
        *kinds.entry(outcome["outcome"].as_str().expect("a text").to_owned()).or_default() += 1;
    }
    let wanted = [("delivered", 300), ("rejected", 2), ("unregistered", 1)];
    assert_eq!(kinds, wanted.map(|(kind, count)| (kind.to_owned(), count)).into_iter().collect());
    let ledger = browsers.station.simulator.ledger().await.webpush;
    assert_eq!((ledger.accepted, ledger.duplicates), (300, 0));
    // Four at once; each error whose body is not read to its end costs one more.
    assert!((2..=8).contains(&ledger.connections), "{ledger:?}");
    browsers.end().await;
}

/// A key of ours that one service refuses parks what is for that service, tells nobody that a subscription is dead, and
/// stops no other service.
#[tokio::test]
async fn a_refused_vapid_key_keeps_that_services_pushes_and_stops_no_other() {
    let browsers = Browsers::start(SimulatorSettings::default(), "").await;
    let refused = Faults { credentials: CredentialState::Refused, ..Faults::default() };
    browsers.station.simulator.set_service_faults(PushService::Mozilla, refused);
    let to = |service, from: usize| -> Vec<Value> {
        (from..from + 50).map(|nth| browsers.target(service, &format!("b-{nth}"))).collect()
    };
    browsers.post(&json!({"id": "m", "app": "web", "to": to(PushService::Mozilla, 0), "data": {"k": "v"}})).await;
    browsers.post(&json!({"id": "a", "app": "web", "to": to(PushService::Apple, 0), "data": {"k": "v"}})).await;
    let outcomes = browsers.outcomes(50).await;
    let apples = |outcome: &Value| outcome["outcome"] == "delivered" && outcome["job"] == "a";
    assert!(outcomes.iter().all(apples), "{outcomes:#?}");
    let says = eventually("the route says which service is in trouble", || async {
        let status = browsers.served.status().await;
        let route = status["routes"].as_array()?.first()?.clone();
        route["reason"].as_str().map(str::to_owned)
    });
    let says = says.await;
    let mozilla = browsers.station.simulator.webpush_origin(PushService::Mozilla);
    assert!(says.contains(&mozilla) && says.contains("VAPID"), "{says}");
    let log = browsers.served.log().join("\n");
    assert!(log.contains("a push service refuses our VAPID key or token"), "{log}");

    browsers.station.simulator.set_service_faults(PushService::Mozilla, Faults::default());
    let delivered = || async {
        let all = browsers.outcomes(50).await;
        (all.len() == 100 && all.iter().all(|outcome| outcome["outcome"] == "delivered")).then_some(())
    };
    until("what was kept is delivered when the key is good again", 3 * MINUTE, delivered).await;
    browsers.end().await;
}

/// Many subscriptions of another key at once are a wrong key of ours: after the first two hundred nobody is told anything.
#[tokio::test]
async fn a_wrong_key_of_ours_is_not_told_as_a_thousand_dead_subscriptions() {
    let browsers = Browsers::start(SimulatorSettings::default(), "").await;
    let to: Vec<Value> =
        (0..1000).map(|nth| browsers.target(PushService::Apple, &format!("other-key-{nth}"))).collect();
    browsers.post(&json!({"id": "wrong", "app": "web", "to": to, "data": {"k": "v"}})).await;
    let log = || async {
        let log = browsers.served.log().join("\n");
        log.contains("another VAPID key looks like that").then_some(())
    };
    until("the route says what it takes it for", MINUTE, log).await;
    // Which of those that came back before are told is not to be changed any more; the rest is kept.
    let told = browsers.outcomes(20).await.len();
    assert!(told < 600, "{told} of 1,000 were told");
    browsers.end().await;
}

/// No connection is made to an address that is not global, though the operator allows any host.
#[tokio::test]
async fn promise_12_every_hostile_endpoint_ends_with_its_reason_and_no_connection() {
    // Whoever connected to one of these would be seen.
    let v4 = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = v4.local_addr().expect("bound").port();
    let v6 = std::net::TcpListener::bind(("::1", port)).ok();
    let known = Browsers::start(SimulatorSettings::default(), "hosts = []\nprivate_networks = []").await;
    let any =
        Browsers::start(SimulatorSettings::default(), &format!("hosts = [\"*\", \"*:{port}\"]\nprivate_networks = []"))
            .await;

    let corpus = include_str!("../corpus/hostile_endpoints.txt");
    let (first, second) = corpus.split_once("\n=== any host\n").expect("two parts");
    let read = |part: &str| -> Vec<(String, String)> {
        let lines = part.lines().filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with('='));
        lines.filter_map(|line| line.split_once(' ')).map(|(reason, url)| (url.to_owned(), reason.to_owned())).collect()
    };
    let mut second = read(second);
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"] {
        second.push((format!("https://{host}:{port}/x"), "endpoint_address_not_allowed".to_owned()));
    }
    let mut count = 0;
    for (browsers, cases) in [(&known, read(first)), (&any, second)] {
        let keys = browsers.station.simulator.subscription(PushService::Strict, "x");
        let target = |(url, _): &(String, String)| json!({"webpush": {"endpoint": url, "p256dh": keys.p256dh, "auth": keys.auth}});
        let to: Vec<Value> = cases.iter().map(target).collect();
        browsers.post(&json!({"id": "hostile", "app": "web", "to": to, "data": {"k": "v"}})).await;
        let outcomes = by_endpoint(&browsers.outcomes(cases.len()).await);
        for (url, reason) in &cases {
            assert_eq!(outcomes[url], ("rejected".to_owned(), reason.clone()), "{url}");
        }
        count += cases.len();
    }
    assert!(count >= 200, "{count}");
    v4.set_nonblocking(true).expect("a socket");
    assert!(v4.accept().is_err(), "somebody connected to loopback");
    if let Some(v6) = v6 {
        v6.set_nonblocking(true).expect("a socket");
        assert!(v6.accept().is_err(), "somebody connected to loopback");
    }
    for browsers in [known, any] {
        let log = browsers.served.log().join("\n");
        assert!(!log.contains("meta-data"), "paths are secrets: {log}");
        browsers.end().await;
    }
}

/// One origin answers nothing at all; the other one keeps the pace that it has alone.
#[tokio::test]
async fn promise_05_an_origin_that_stalls_leaves_the_others_their_pace() {
    const EACH: usize = 10_000;
    // Nothing is decrypted: what is measured is ours.
    let simulator = SimulatorSettings { fast: true, ..SimulatorSettings::default() };
    let browsers = Browsers::start(simulator, "").await;
    let jobs = |name: &str, services: &[PushService]| -> Vec<Value> {
        let bases: Vec<Value> = services.iter().map(|service| browsers.target(*service, name)).collect();
        let one = |nth: usize| {
            let mut target = bases[nth % bases.len()].clone();
            let endpoint = target["webpush"]["endpoint"].as_str().expect("a text");
            target["webpush"]["endpoint"] = json!(format!("{endpoint}-{nth}"));
            json!({"id": format!("{name}-{nth}"), "app": "web", "to": [target], "data": {"k": "v"}})
        };
        (0..EACH * bases.len()).map(one).collect()
    };
    let accepted = || async { browsers.station.simulator.ledger().await.webpush.accepted };
    let services = [PushService::Mozilla, PushService::Google];
    let (well, ill) = (jobs("well", &services), jobs("ill", &services));
    let begun = Instant::now();
    for jobs in well.chunks(5_000) {
        browsers.post_all(jobs.iter().cloned()).await;
    }
    until("both services' pushes", 2 * MINUTE, || async { (accepted().await >= 2 * EACH as u64).then_some(()) }).await;
    let took_well = begun.elapsed();

    let stalls = vec![Window { from: Duration::ZERO, length: 10 * MINUTE }];
    browsers.station.simulator.set_service_faults(PushService::Mozilla, Faults { stalls, ..Faults::default() });
    let begun = Instant::now();
    for jobs in ill.chunks(5_000) {
        browsers.post_all(jobs.iter().cloned()).await;
    }
    let whole = || async { (accepted().await >= 3 * EACH as u64).then_some(()) };
    until("Google's, beside a service that answers nothing", 2 * MINUTE, whole).await;
    let took_ill = begun.elapsed();
    println!(
        "{EACH} pushes to each of two services: {took_well:?}; to one of them with the other stalled: {took_ill:?}"
    );
    // Wide, for a machine that others use too: without origins of their own they would wait for its time-outs, minutes.
    assert!(took_ill < took_well * 2 + Duration::from_secs(5), "{took_well:?}, then {took_ill:?}");
    let delivered = || async {
        let route = browsers.served.status().await["routes"][0].clone();
        (route["outcomes"]["delivered"] == 3 * EACH).then_some(())
    };
    until("each is told once, and none of the stalled one's", MINUTE, delivered).await;
}
