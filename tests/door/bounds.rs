//! What a client may take: it is cut off at each bound, and another one is served meanwhile.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use tidegate::door::DoorLimits;
use tokio::time::{Instant, sleep, timeout};

use crate::open::{Door, How, LARGE, table};
use crate::raw::{Answer, Client, ask, job, post, post_json};

const SOON: Duration = Duration::from_secs(15);
/// Longer than any test takes: a bound that is not the one that is looked at.
const NEVER: Duration = Duration::from_secs(60);
/// The bound that is.
const SHORT: Duration = Duration::from_millis(300);

fn limits() -> DoorLimits {
    DoorLimits {
        head_timeout: NEVER,
        idle_timeout: NEVER,
        body_timeout: NEVER,
        body_pause: NEVER,
        write_timeout: NEVER,
        ..DoorLimits::default()
    }
}

/// A head that announces so many bytes.
fn announcing(length: usize) -> String {
    format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

const CHUNKED: &str = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                       transfer-encoding: chunked\r\n\r\n";

/// A good client gets through: its job is on disk.
async fn served(door: &Door, id: &str) -> Answer {
    let answer = ask(door.address, &post_json(job(id))).await.expect("a good client is answered");
    assert_eq!(answer.status, 202, "{answer:?}");
    answer
}

#[track_caller]
fn refused(answer: Option<Answer>, status: u16) -> Answer {
    let answer = answer.expect("it is answered");
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["status"], status);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_cut_off() {
    let mut door = Door::with(DoorLimits { head_timeout: SHORT, ..limits() }).await;
    let address = door.address;
    let drip = async |nth: usize| {
        let mut client = Client::connect(address).await;
        let begun = Instant::now();
        // Some say nothing at all, some a little, some go on and on.
        let head = &announcing(9)[..nth % 3 * 15];
        client.send(head.as_bytes()).await;
        if nth % 3 == 2 {
            while begun.elapsed() < SOON && client.send(b"x").await {
                sleep(Duration::from_millis(20)).await;
            }
        }
        let answer = client.answer(false).await;
        assert!(answer.is_none() && begun.elapsed() < SOON, "{nth}: {answer:?}");
    };
    // The same with a second request.
    let dawdle = async |nth: usize| {
        let mut client = Client::connect(address).await;
        client.send(&post_json(job(&format!("first-{nth}")))).await;
        assert_eq!(client.answer(false).await.expect("an answer").status, 202);
        client.send(b"POST /v1/jobs HTT").await;
        assert!(client.is_closed().await);
    };
    let slow = join_all((0..60).map(drip));
    let slower = join_all((0..60).map(dawdle));
    let others = async {
        for nth in 0..20 {
            served(&door, &format!("{nth}")).await;
        }
    };
    tokio::join!(slow, slower, others);
    assert_eq!(door.queued().len(), 60 + 20);
}

#[tokio::test]
async fn a_connection_that_is_idle_is_closed() {
    let door = Door::with(DoorLimits { idle_timeout: SHORT, ..limits() }).await;
    let mut client = Client::connect(door.address).await;
    for id in ["one", "another"] {
        client.send(&post_json(job(id))).await;
        assert_eq!(client.answer(false).await.expect("kept alive").status, 202);
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_pause_between_two_requests_may_be_longer_than_a_head() {
    let door = Door::with(DoorLimits { head_timeout: SHORT, ..limits() }).await;
    let mut client = Client::connect(door.address).await;
    for id in ["one", "another", "a-third"] {
        client.send(&post_json(job(id))).await;
        assert_eq!(client.answer(false).await.expect("kept alive").status, 202);
        sleep(2 * SHORT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_pauses_is_cut_off_and_took_no_memory_but_for_what_came() {
    let limits = DoorLimits { body_pause: SHORT, body_memory: 16 << 20, ..limits() };
    let mut door = Door::with(limits).await;
    let address = door.address;
    // Each announces all the memory there is.
    let stall = async |_| {
        let mut client = Client::connect(address).await;
        client.send(announcing(16 << 20).as_bytes()).await;
        client.send(b"[").await;
        refused(client.answer(false).await, 408)
    };
    let others = async {
        for nth in 0..20 {
            served(&door, &format!("{nth}")).await;
        }
    };
    let (stalled, ()) = tokio::join!(join_all((0..40).map(stall)), others);
    assert!(stalled[0].json()["title"].as_str().is_some_and(|title| title.contains("1 bytes so far")));
    assert_eq!(door.queued().len(), 20);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let mut door = Door::with(DoorLimits { body_timeout: SHORT, ..limits() }).await;
    let mut client = Client::connect(door.address).await;
    client.send(announcing(10_000).as_bytes()).await;
    let begun = Instant::now();
    // Never long without a byte; the answer comes in between.
    let answer = loop {
        assert!(begun.elapsed() < SOON, "it is not cut off");
        client.send(b" ").await;
        if let Ok(answer) = timeout(Duration::from_millis(20), client.answer(false)).await {
            break answer;
        }
    };
    refused(answer, 408);
    served(&door, "other").await;
    assert_eq!(door.queued_ids(), ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_come_byte_by_byte() {
    let mut door = Door::with(DoorLimits { body_memory: 16 << 20, ..limits() }).await;
    let mut client = Client::connect(door.address).await;
    client.send(announcing(job("whole").len()).as_bytes()).await;
    for byte in job("whole").bytes() {
        client.send(&[byte]).await;
    }
    assert_eq!(client.answer(false).await.expect("kept alive").status, 202);
    // As chunks of one byte, and more of them than the memory has units.
    let body = format!("{}{}", job("chunked"), " ".repeat(40_000));
    let chunks: String = body.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    client.send(format!("{CHUNKED}{chunks}0\r\nx-trailer: says nothing\r\n\r\n").as_bytes()).await;
    assert_eq!(client.answer(false).await.expect("kept alive").status, 202);
    assert_eq!(door.queued_ids(), ["chunked", "whole"]);
}

#[tokio::test]
async fn what_is_announced_too_large_is_refused_before_a_byte_of_it_came() {
    let door = Door::with(limits()).await;
    let mut client = Client::connect(door.address).await;
    client.send(announcing((16 << 20) + 1).as_bytes()).await;
    refused(client.answer(false).await, 413);
    // Nobody is asked to go on with what will be refused.
    let expecting = announcing((16 << 20) + 1).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    let mut client = Client::connect(door.address).await;
    client.send(expecting.as_bytes()).await;
    refused(client.any_answer(false).await, 413);
}

/// A client that sends everything before it reads: a reset would take the answer with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_arrives_though_the_body_is_on_its_way() {
    let mut door = Door::with(limits()).await;
    let spaces = vec![b' '; 1 << 20];
    for (head, status) in [
        (announcing(40 << 20), 413),
        (format!("{CHUNKED}{:x}\r\n", 40 << 20), 413),
        (announcing(40 << 20).replace("application/json", "text/plain"), 415),
        (announcing(40 << 20).replace("/v1/jobs", "/nowhere"), 404),
    ] {
        let mut client = Client::connect(door.address).await;
        assert!(client.send(head.as_bytes()).await);
        for _ in 0..40 {
            assert!(client.send(&spaces).await, "the door still reads, if only to throw it away");
        }
        let answer = client.answer(false).await.expect("the answer arrives");
        assert_eq!(answer.status, status);
        assert!(client.is_closed().await);
    }
    served(&door, "other").await;
    assert_eq!(door.queued_ids(), ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_share_a_bounded_memory() {
    let mut door = Door::with(DoorLimits { body_memory: 16 << 20, ..limits() }).await;
    // All of it, but for a byte that does not come.
    let mut large = Client::connect(door.address).await;
    let mut body = job("large").into_bytes();
    body.resize(16 << 20, b' ');
    large.send(announcing(body.len()).as_bytes()).await;
    large.send(&body[..body.len() - 1]).await;
    let refusal = loop {
        // Until the door has read it.
        let answer = ask(door.address, &post_json(job("small"))).await.expect("it is answered");
        if answer.status != 202 {
            break refused(Some(answer), 503);
        }
    };
    assert_eq!(refusal.retry_after(), Some(1));
    // What needs no memory is served.
    assert_eq!(
        ask(door.address, b"GET /v1/jobs HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("an answer").status,
        405
    );
    large.send(b" ").await;
    let answer = large.answer(false).await.expect("it is answered");
    // Twice as large as a job may be: but it is read, whole.
    assert_eq!(answer.json()["reason"], "too_large");
    served(&door, "after").await;
    assert!(door.queued_ids().contains(&"after".to_owned()));
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let mut door = Door::with(DoorLimits { connections: 8, connections_per_peer: 8, ..limits() }).await;
    let mut guests = Vec::new();
    for _ in 0..8 {
        let mut guest = Client::connect(door.address).await;
        guest.send(&post_json(job("same"))).await;
        assert_eq!(guest.answer(false).await.expect("it has a place").status, 202);
        guests.push(guest);
    }
    for _ in 0..20 {
        let answer = refused(ask(door.address, &post_json(job("refused"))).await, 503);
        assert_eq!((answer.retry_after(), answer.header("connection")), (Some(1), Some("close")));
    }
    for guest in &mut guests {
        guest.send(&post_json(job("same"))).await;
        assert_eq!(guest.answer(false).await.expect("it is served meanwhile").status, 202);
    }
    // A place that is left is given on.
    guests.pop();
    let begun = Instant::now();
    while ask(door.address, &post_json(job("next"))).await.expect("an answer").status != 202 {
        assert!(begun.elapsed() < SOON);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(door.queued_ids(), ["next", "same"]);
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let door = Door::with(DoorLimits { connections: 8, connections_per_peer: 2, ..limits() }).await;
    let (greedy, other): (IpAddr, IpAddr) = ([127, 0, 0, 2].into(), [127, 0, 0, 3].into());
    let mut guests = Vec::new();
    for _ in 0..2 {
        let mut guest = Client::connect_from(greedy, door.address).await;
        guest.send(&post_json(job("same"))).await;
        assert_eq!(guest.answer(false).await.expect("it has a place").status, 202);
        guests.push(guest);
    }
    for _ in 0..10 {
        refused(Client::connect_from(greedy, door.address).await.answer(false).await, 503);
    }
    let mut guest = Client::connect_from(other, door.address).await;
    guest.send(&post_json(job("same"))).await;
    assert_eq!(guest.answer(false).await.expect("it has a place").status, 202);
}

/// Far more connections than are told why: none is left open, and the next one that there is a place for is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_ends() {
    let door =
        Door::with(DoorLimits { connections: 4, connections_per_peer: 4, head_timeout: SHORT, ..limits() }).await;
    let mut flood = join_all((0..400).map(|_| Client::connect(door.address))).await;
    let ended = join_all(flood.iter_mut().map(async |client| {
        let answer = client.answer(false).await;
        answer.is_none_or(|answer| answer.status == 503)
    }));
    assert!(ended.await.into_iter().all(|ended| ended));
    let begun = Instant::now();
    while ask(door.address, &post_json(job("next"))).await.is_none_or(|answer| answer.status != 202) {
        assert!(begun.elapsed() < SOON);
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_loses_its_place() {
    let mut door = Door::with(DoorLimits { connections: 1, write_timeout: SHORT, ..limits() }).await;
    let mut deaf = Client::connect(door.address).await;
    deaf.send(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let begun = Instant::now();
    while ask(door.address, &post_json(job("next"))).await.is_none_or(|answer| answer.status != 202) {
        assert!(begun.elapsed() < SOON, "the place is not given back");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(door.queued_ids(), ["next"]);
}

/// It is patient as long as there is progress, which the kernel's buffers let it see every few sips: the whole takes longer
/// than a pause may.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let pause = Duration::from_secs(2);
    let door = Door::with(DoorLimits { write_timeout: pause, ..limits() }).await;
    let mut slow = Client::connect(door.address).await;
    slow.send(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let begun = Instant::now();
    let answer = slow.answer_in_sips(64, LARGE / 64, pause / 40).await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    assert!(begun.elapsed() > pause);
}

#[tokio::test]
async fn a_full_spool_and_a_full_disk_say_so() {
    let mut door = Door::open(How { max_bytes: 1 << 20, ..How::default() }).await;
    let large = |nth: usize| job(&format!("{nth}")).replace("\"v\"", &format!("\"{}\"", "v".repeat(3_000)));
    let mut accepted = 0;
    let answer = loop {
        let answer = ask(door.address, &post_json(large(accepted))).await.expect("an answer");
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 1_000, "a spool of 1 MiB is not full after 3 MB");
    };
    assert!(refused(Some(answer), 429).retry_after().is_some_and(|seconds| seconds >= 1));
    assert_eq!(door.queued().len(), accepted);
    let mut door = Door::open(How { min_free: u64::MAX, ..How::default() }).await;
    let answer = refused(ask(door.address, &post_json(job("one"))).await, 507);
    assert!(answer.retry_after().is_some_and(|seconds| seconds >= 1));
    assert!(door.queued().is_empty());
}

#[tokio::test]
async fn a_lane_that_sheds_is_closed_and_the_others_are_open() {
    let mut door = Door::with(limits()).await;
    // By route, then by lane: of chat's APNs the low one.
    door.shedding.send_replace(vec![[false, false, true]]);
    let low = job("low").replace("\"high\"", "\"low\"");
    let answer = refused(ask(door.address, &post_json(&low)).await, 429);
    assert!(answer.retry_after().is_some_and(|seconds| seconds >= 1));
    assert!(answer.json()["title"].as_str().is_some_and(|title| title.contains("low")));
    refused(ask(door.address, &post_json(format!("[{},{low}]", job("with")))).await, 429);
    served(&door, "high").await;
    // Another app's route does not shed.
    door.routes.send_replace(table(&["chat", "shop"]));
    assert_eq!(ask(door.address, &post_json(low.replace("chat", "shop"))).await.expect("an answer").status, 202);
    door.shedding.send_replace(Vec::new());
    let again = low.replace("\"id\":\"low\"", "\"id\":\"low again\"").replace("low again", "again");
    assert_eq!(ask(door.address, &post_json(again)).await.expect("an answer").status, 202);
    assert_eq!(door.queued_ids(), ["again", "high", "low"]);
}

#[tokio::test]
async fn who_asks_too_often_hears_when_to_come_again() {
    let mut door = Door::open(How { rate: Some(1), ..How::default() }).await;
    served(&door, "first").await;
    let answer = refused(ask(door.address, &post_json(job("second"))).await, 429);
    assert_eq!(answer.retry_after(), Some(1));
    // Honest: after that time there is room, and not only for a bad one.
    sleep(Duration::from_secs(1)).await;
    served(&door, "third").await;
    assert_eq!(door.queued_ids(), ["first", "third"]);
}

#[tokio::test]
async fn a_closed_spool_sends_clients_away() {
    let door = Door::with(limits()).await;
    served(&door, "before").await;
    door.writer.clone().close().await.expect("all is written");
    let answer = refused(ask(door.address, &post_json(job("after"))).await, 503);
    assert!(answer.retry_after().is_some_and(|seconds| seconds >= 1));
}

#[tokio::test]
async fn a_door_that_closes_lets_requests_under_way_end() {
    let mut door = Door::with(limits()).await;
    let body = job("under-way");
    let mut client = Client::connect(door.address).await;
    client.send(announcing(body.len()).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n").as_bytes()).await;
    assert_eq!(client.any_answer(false).await.expect("it goes on").status, 100, "the door waits for the body");
    let mut idle = Client::connect(door.address).await;
    idle.send(&post_json(job("idle"))).await;
    assert_eq!(idle.answer(false).await.expect("an answer").status, 202);
    door.stop.cancel();
    assert!(idle.is_closed().await);
    client.send(body.as_bytes()).await;
    assert_eq!(client.answer(false).await.expect("it is answered still").status, 202);
    assert!(client.is_closed().await);
    drop((idle, client));
    timeout(SOON, &mut door.task).await.expect("the door ends").expect("well");
    assert_eq!(door.queued_ids(), ["idle", "under-way"]);
}

#[tokio::test]
async fn a_door_that_closes_does_not_wait_for_ever() {
    let mut door = Door::with(DoorLimits { farewell: SHORT, ..limits() }).await;
    let mut client = Client::connect(door.address).await;
    client.send(&post("application/json", "expect: 100-continue\r\n", b"")).await;
    client.answer(false).await.expect("an empty body is refused");
    client.send(announcing(100).as_bytes()).await;
    door.stop.cancel();
    timeout(SOON, &mut door.task).await.expect("the door ends").expect("well");
    assert!(client.is_closed().await);
    assert!(door.queued().is_empty());
}
