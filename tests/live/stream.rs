//! `GET /v1/stream`.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::job::UnixMillis;
use tidegate::simulator::{SimulatorSettings, Throttle};

use super::events::{Events, ask};
use super::support::eventually;
use super::support::world::{Served, Station, jobs};

const PATH: &str = "/v1/stream";

fn route<'s>(status: &'s Value, name: &str) -> &'s Value {
    let routes = status["routes"].as_array().unwrap();
    let is_it =
        |route: &&Value| format!("{}/{}", route["app"].as_str().unwrap(), route["provider"].as_str().unwrap()) == name;
    routes.iter().find(is_it).expect("the route is there")
}

fn sum(numbers: &Value) -> f64 {
    numbers.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_is_greeted_with_the_past_and_sees_a_burst_go_by() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "rate = \"200/s\"\nburst = 10\n")).await;
    let mut early = Events::open(served.address(), PATH).await;
    let (name, hello) = early.next().await.unwrap();
    assert_eq!(name, "hello");
    assert_eq!(hello["status"]["routes"].as_array().unwrap().len(), 2);
    assert_eq!(route(&hello["status"], "chat/fcm")["limits"]["rate"], "200/s");

    assert_eq!(served.post(jobs(2_000)).await.0, 202);
    let (mut delivered, mut waited, mut at) = (0.0, false, 0);
    while delivered < 1_500.0 {
        let second = early.next_of("second").await;
        assert!(second["at"].as_u64().unwrap() > at, "seconds come in order");
        at = second["at"].as_u64().unwrap();
        delivered += sum(&second["delivered"]);
        waited |= second["waiting"][1].as_u64().unwrap() > 0 && second["oldest_s"][1].as_f64().unwrap() > 0.0;
        let limit = second["rate_limit"].as_f64().unwrap();
        assert!(limit <= 400.0, "two routes of 200/s: {limit}");
        if sum(&second["delivered"]) > 0.0 {
            assert!(second["latency_ms"][0][2].as_f64().unwrap() > 0.0, "{second}");
        }
    }
    let second = early.next_of("second").await;
    assert!(second["demand"].as_u64().unwrap() > 0, "what is asked of the spool is told: {second}");
    assert!(waited, "what waits, and how long, is seen by lane");

    let mut late = Events::open(served.address(), PATH).await;
    let history = late.next_of("hello").await["history"].as_array().unwrap().clone();
    let seen: f64 = history.iter().map(|second| sum(&second["delivered"])).sum();
    assert!(seen >= 1_400.0, "who comes late sees what was: {seen}");
    assert!(history.iter().any(|second| second["routes"]["chat/apns"]["delivered"].as_f64() > Some(0.0)));
}

/// Relative to the stream's own seconds, for a loaded machine's clock says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_and_a_pause_are_shown_before_the_next_second_but_one() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    let mut events = Events::open(served.address(), PATH).await;
    for (change, shows) in [
        (json!({"rate": "77/s"}), json!({"rate": "77/s", "paused": false})),
        (json!({"paused": true}), json!({"rate": "77/s", "paused": true})),
        (json!({"paused": false, "rate": "unlimited"}), json!({"rate": "unlimited", "paused": false})),
    ] {
        events.next_of("second").await;
        assert_eq!(served.patch("chat/fcm", change.clone()).await.0, 200);
        let mut seconds = 0;
        loop {
            let (name, data) = events.next().await.unwrap();
            let limits = (name == "status").then(|| route(&data, "chat/fcm")["limits"].clone());
            if limits.is_some_and(|limits| limits["rate"] == shows["rate"] && limits["paused"] == shows["paused"]) {
                break;
            }
            seconds += u32::from(name == "second");
            assert!(seconds < 2, "{change} is not shown");
        }
    }
    // The route's own word follows.
    served.patch("chat/fcm", json!({"paused": true})).await;
    let says = loop {
        let status = events.next_of("status").await;
        let route = route(&status, "chat/fcm").clone();
        if route["state"] == "paused_by_operator" {
            break route["says"].clone();
        }
    };
    assert_eq!(says, "paused by an operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doors_rules_hold_for_who_looks_on() {
    let station = Station::start(SimulatorSettings::default());
    let config = station.config("", "", "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]", "[http]\ntokens = [\"let-me-look\"]")).unwrap();
    let served = Served::start(&config).await;
    let bearer = ("authorization", "Bearer let-me-look");
    for path in [PATH, "/v1/tap", "/v1/dead"] {
        assert_eq!(ask(served.address(), path, &[]).await.status(), 401, "{path}");
        assert_eq!(ask(served.address(), path, &[("authorization", "Bearer no")]).await.status(), 401, "{path}");
        assert_eq!(ask(served.address(), path, &[bearer]).await.status(), 200, "{path}");
        let foreign = [bearer, ("origin", "https://evil.example")];
        assert_eq!(ask(served.address(), path, &foreign).await.status(), 403, "{path}");
    }
    drop(served);

    std::fs::write(&config, text).unwrap();
    let served = Served::start(&config).await;
    for path in [PATH, "/v1/tap", "/v1/dead"] {
        let rebound = ask(served.address(), path, &[("host", "rebound.example")]).await;
        assert_eq!(rebound.status(), 403, "{path}: a foreign name is no way in where no token is asked for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_may_look_on_and_a_place_that_is_left_is_free() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    let mut onlookers = Vec::new();
    for _ in 0..64 {
        onlookers.push(Events::open(served.address(), PATH).await);
    }
    let answer = ask(served.address(), PATH, &[]).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    assert_eq!(ask(served.address(), "/v1/tap", &[]).await.status(), 200, "taps have places of their own");
    assert_eq!(served.get("/v1/status").await.0, 200, "nobody else is shut out");
    for onlooker in &mut onlookers {
        onlooker.next_of("second").await;
    }
    drop(onlookers.pop());
    eventually("a place is free", || async { (ask(served.address(), PATH, &[]).await.status() == 200).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_on_does_not_hold_up_the_end() {
    let station = Station::start(SimulatorSettings::default());
    let mut served = Served::start(&station.config("", "", "")).await;
    let mut stream = Events::open(served.address(), PATH).await;
    let mut tap = Events::open(served.address(), "/v1/tap").await;
    stream.next().await.unwrap();
    served.terminate();
    let begun = std::time::Instant::now();
    while stream.next().await.is_some() {}
    while tap.next().await.is_some() {}
    assert_eq!(served.ended(Duration::from_secs(20)).await, 0);
    // The door's farewell to requests under way is 5 s: it was not needed.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_held_back_says_why_and_until_when() {
    let mut settings = SimulatorSettings::default();
    let ten_minutes = Some(Duration::from_secs(600));
    settings.fcm.faults.throttle =
        Some(Throttle { share: 1.0, retry_after: ten_minutes, as_date: false, during: None });
    let station = Station::start(settings);
    let served = Served::start(&station.config("", "", "")).await;
    let mut events = Events::open(served.address(), PATH).await;
    served.post(jobs(50)).await;
    let held = loop {
        let status = events.next_of("status").await;
        let fcm = route(&status, "chat/fcm").clone();
        if fcm["state"] == "paused" {
            break fcm;
        }
    };
    assert_eq!(held["says"], "throttled by the provider");
    // Ten minutes, and up to a tenth more, so that not all come back at once.
    let (until, now) = (held["until"].as_str().unwrap(), UnixMillis::now());
    let (earliest, latest) = (UnixMillis(now.0 + 570_000).to_string(), UnixMillis(now.0 + 670_000).to_string());
    assert!(*earliest < *until && *until < *latest, "between {earliest} and {latest}: {held}");
}
