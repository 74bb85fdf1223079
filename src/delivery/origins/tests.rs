use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::json;

use super::*;
use crate::job::fixture;
use crate::provider::http2::Resolver;
use crate::provider::webpush::{Padding, Services, WebpushSettings, new_key};

const SAMPLE: f64 = 0.0;

fn settings() -> RouteSettings {
    RouteSettings {
        ordered: false,
        rate: None,
        burst: 1,
        min_concurrency: 1,
        max_concurrency: 100,
        connections: 2,
        request_timeout: Duration::from_secs(20),
        max_attempts: 5,
        max_dead_percent: 50,
        default_ttl: Duration::from_secs(3600),
    }
}

/// Every name leads to `address`.
fn origins(address: &'static str) -> Origins {
    let resolver: Resolver = Arc::new(move |_, port| {
        let found = vec![SocketAddr::new(address.parse().expect("an address"), port)];
        async move { Ok(found) }.boxed()
    });
    let settings = WebpushSettings {
        key: new_key(),
        subject: "mailto:ops@example.com".to_owned(),
        extra_roots: None,
        services: Services::new(["*"]).expect("any"),
        private_networks: Vec::new(),
        padding: Padding::None,
    };
    Origins::new(Dialler::with_resolver(&settings, resolver).expect("the system has roots"), &self::settings())
}

fn origin(host: &str) -> Origin {
    Origin { host: host.into(), port: 443 }
}

fn push() -> Push {
    fixture::push(&json!({"id": "j", "app": "web", "data": {"k": "v"}, "to": [{"apns": "aa"}]}))
}

/// Sorts so many in; how many were put off.
fn place(origins: &mut Origins, host: &str, count: usize, now: Instant) -> usize {
    let placed = (0..count).map(|_| origins.place(push(), &origin(host), SAMPLE, now));
    placed.filter(|placed| matches!(placed, Placed::PutOff(..))).count()
}

fn named<'o>(origins: &'o mut Origins, host: &str) -> &'o mut Way {
    origins.ways.iter_mut().find(|way| &*way.origin.host == host).expect("it is known")
}

/// `host` has accepted something and has nothing to do.
fn lively(origins: &mut Origins, host: &str, now: Instant) {
    place(origins, host, 1, now);
    let way = named(origins, host);
    way.queue.clear();
    way.ended(true, true, now);
}

#[tokio::test]
async fn a_queue_that_fills_up_is_back_pressure_while_nobody_else_has_something_to_do() {
    let (mut origins, start) = (origins("8.8.8.8"), Instant::now());
    assert_eq!(origins.wanted(), QUEUE);
    assert_eq!(place(&mut origins, "a.example", QUEUE, start), 0);
    let later = start + Duration::from_secs(60);
    origins.step(later);
    assert_eq!(origins.wanted(), 0, "it is waited for, however long it takes");
}

#[tokio::test]
async fn promise_05_an_origin_that_stands_still_goes_aside_when_another_one_could_go_on() {
    let (mut origins, start) = (origins("8.8.8.8"), Instant::now());
    place(&mut origins, "slow.example", QUEUE, start);
    let at = |millis| start + Duration::from_millis(millis);
    lively(&mut origins, "good.example", at(400));
    origins.step(at(400));
    assert_eq!(origins.wanted(), 0);
    origins.step(at(501));
    assert_eq!(origins.wanted(), QUEUE, "the slow one is not waited for any more");
    assert_eq!(place(&mut origins, "slow.example", 10, at(502)), 10, "what comes for it is put off");
    assert_eq!(place(&mut origins, "good.example", 10, at(502)), 0);
    // It drains, and comes back.
    named(&mut origins, "slow.example").queue.clear();
    origins.step(at(600));
    assert_eq!(place(&mut origins, "slow.example", QUEUE, at(600)), 0);
    // Again it stands still: now half as long is waited, and at last hardly at all.
    named(&mut origins, "good.example").queue.clear();
    let mut now = at(600);
    for wait in [250, 125, 62, 31, 15, 7, 4, 4, 4] {
        lively(&mut origins, "good.example", now);
        origins.step(now + Duration::from_millis(wait - 2));
        assert_eq!(origins.wanted(), 0, "{wait}");
        now += Duration::from_millis(wait + 1);
        origins.step(now);
        assert_eq!(origins.wanted(), QUEUE, "{wait}");
        named(&mut origins, "slow.example").queue.clear();
        origins.step(now);
        place(&mut origins, "slow.example", QUEUE, now);
    }
}

#[tokio::test]
async fn the_more_is_put_off_the_longer_it_stays_away() {
    let (mut origins, now) = (origins("8.8.8.8"), Instant::now());
    place(&mut origins, "slow.example", QUEUE, now);
    named(&mut origins, "slow.example").go_aside(now);
    let mut delay = || match origins.place(push(), &origin("slow.example"), SAMPLE, now) {
        Placed::PutOff(_, delay, reason) => {
            assert_eq!(reason, "origin_unavailable");
            delay
        }
        _ => panic!("it is put off"),
    };
    assert_eq!(delay(), SHORTEST_ASIDE);
    let last = (0..100_000).map(|_| delay()).last();
    assert_eq!(last, Some(LONGEST_ASIDE));
}

#[tokio::test]
async fn promise_12_what_waits_for_an_address_that_may_not_be_dialled_is_given_back_at_once() {
    let (mut origins, now) = (origins("127.0.0.1"), Instant::now());
    place(&mut origins, "evil.example", 3, now);
    named(&mut origins, "evil.example").grow(100, now);
    let changed = tokio::time::timeout(Duration::from_secs(10), origins.changed());
    changed.await.expect("it is refused soon");
    assert_eq!(origins.look(now).len(), 3);
    assert!(matches!(origins.place(push(), &origin("evil.example"), SAMPLE, now), Placed::Forbidden(_)));
    let later = now + FORBIDDEN_FOR;
    assert!(matches!(origins.place(push(), &origin("evil.example"), SAMPLE, later), Placed::Queued), "looked up again");
}

/// Where a vendor's name leads is no stranger's doing: the resolver is at fault, and nobody's push is lost for it.
#[tokio::test]
async fn a_known_service_with_a_private_address_is_only_out_of_reach() {
    let (mut origins, now) = (origins("10.0.0.1"), Instant::now());
    place(&mut origins, "fcm.googleapis.com", 3, now);
    named(&mut origins, "fcm.googleapis.com").grow(100, now);
    let changed = tokio::time::timeout(Duration::from_secs(10), origins.changed());
    changed.await.expect("it is refused soon");
    assert_eq!(origins.look(now).len(), 0);
    assert_eq!(named(&mut origins, "fcm.googleapis.com").queue.len(), 3);
    assert_eq!(named(&mut origins, "fcm.googleapis.com").unreachable, 1);
}

#[tokio::test]
async fn promise_04_made_up_hosts_are_bounded_and_crowd_out_nobody() {
    let (mut origins, now) = (origins("8.8.8.8"), Instant::now());
    lively(&mut origins, "good.example", now);
    for nth in 0..1_000 {
        let host = format!("made-up-{nth}.example");
        place(&mut origins, &host, 2, now);
        // As if it could not be reached.
        if let Some(way) = origins.ways.iter_mut().find(|way| *way.origin.host == *host) {
            way.unreachable = 1;
        }
    }
    assert_eq!(origins.ways.len(), MAX_ORIGINS);
    assert!(origins.find(&origin("good.example")).is_some(), "who accepts keeps its place");
    assert_eq!(place(&mut origins, "newcomer.example", 1, now), 0, "a newcomer finds one");
    let kept: usize = origins.ways.iter().map(|way| way.queue.len()).sum();
    let evicted = origins.take_evicted().len();
    assert_eq!(kept + evicted, 2_001, "nothing is lost");
    assert!(evicted > 1_500);
}

#[tokio::test]
async fn what_is_under_way_keeps_its_origins_place() {
    let (mut origins, now) = (origins("8.8.8.8"), Instant::now());
    for nth in 0..MAX_ORIGINS {
        place(&mut origins, &format!("busy-{nth}.example"), 1, now);
    }
    for way in origins.iter_mut() {
        way.in_flight = 1;
        way.unreachable = 1;
    }
    let placed = origins.place(push(), &origin("newcomer.example"), SAMPLE, now);
    assert!(matches!(placed, Placed::PutOff(_, _, "too_many_origins")));
}

#[tokio::test]
async fn however_many_are_slow_there_is_something_left_for_one_that_is_not() {
    let (mut origins, now) = (origins("8.8.8.8"), Instant::now());
    let max = settings().max_concurrency;
    for nth in 0..20 {
        place(&mut origins, &format!("slow-{nth}.example"), 1, now);
    }
    let mut total = 0;
    // Each takes what it may, again and again; nothing ever ends.
    for _ in 0..200 {
        for way in origins.iter_mut() {
            if (max - total).saturating_sub(way.in_flight) > 0 {
                way.in_flight += 1;
                total += 1;
            }
        }
    }
    assert!(total < max, "{total} of {max}");
    assert!(origins.iter().all(|way| way.in_flight >= 1));
}

#[tokio::test]
async fn turns_go_round() {
    let (mut origins, now) = (origins("8.8.8.8"), Instant::now());
    for host in ["a.example", "b.example", "c.example"] {
        place(&mut origins, host, 1, now);
    }
    let firsts: Vec<WayId> = (0..3).map(|_| origins.in_turn()[0]).collect();
    assert_eq!(firsts.iter().map(|id| id.0).collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert_eq!(origins.in_turn().len(), 3);
}

#[tokio::test]
async fn one_that_says_nothing_gets_no_more_than_a_few() {
    let (mut origins, start) = (origins("8.8.8.8"), Instant::now());
    place(&mut origins, "mute.example", 1, start);
    let way = named(&mut origins, "mute.example");
    let silent = |way: &Way, now: Instant| {
        way.in_flight >= MOST_IN_SILENCE && now.saturating_duration_since(way.heard) > SILENT && way.room(100, now) == 0
    };
    let at = |millis| start + Duration::from_millis(millis);
    (0..MOST_IN_SILENCE).for_each(|_| way.begun(at(10)));
    assert!(!silent(way, at(210)));
    assert!(silent(way, at(211)));
    way.ended(false, false, at(220));
    way.begun(at(220));
    assert!(silent(way, at(220)), "a time-out is no answer");
    way.ended(true, false, at(230));
    way.begun(at(230));
    assert!(!silent(way, at(231)));
}
