//! `POST /v1/jobs` as a backend uses it: what is answered 202 is on disk, once, as it came.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;
#[path = "door/open.rs"]
mod open;
#[path = "door/process.rs"]
mod process;
#[path = "door/raw.rs"]
mod raw;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use open::{Door, How, table};
use raw::{Answer, Client, ask, job, post, post_json};
use serde_json::{Value, json};
use tidegate::job::{Lane, Provider, UnixMillis};
use tidegate::spool::{Providers, Stored};

const LINES: &str = "application/x-ndjson";

async fn open() -> Door {
    Door::open(How::default()).await
}

#[track_caller]
fn accepted(answer: Option<Answer>) -> Value {
    let answer = answer.expect("it is answered");
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")), "{answer:?}");
    answer.json()
}

fn by_id(jobs: Vec<Stored>) -> BTreeMap<String, Stored> {
    jobs.into_iter().map(|job| (job.id.to_string(), job)).collect()
}

/// Counts of `tidegate_jobs_total` by lane and result, but for those that are 0.
fn counts(door: &Door) -> Vec<String> {
    let text = door.metrics.render();
    let lines = text.lines().filter_map(|line| line.strip_prefix("tidegate_jobs_total{source=\"spool\","));
    let lines = lines.filter(|line| !line.ends_with(" 0"));
    let mut counts: Vec<String> = lines.map(|line| line.replace(['"', '}'], "")).collect();
    counts.sort();
    counts
}

#[tokio::test]
async fn one_job_is_on_disk_as_it_came() {
    let mut door = open().await;
    let body = format!("\t{} \r\n", job("one").replace(':', " : "));
    let before = UnixMillis::now();
    let answer = accepted(ask(door.address, &post_json(&body)).await);
    assert_eq!(answer, json!({"accepted": 1, "ids": ["one"]}));
    let strands = door.reader.strands().unwrap();
    let providers = Providers::default().with(Provider::Apns);
    assert_eq!((strands[0].lane, &*strands[0].app, strands[0].providers), (Lane::High, "chat", providers));
    let [stored] = <[Stored; 1]>::try_from(door.queued()).unwrap();
    assert_eq!((&*stored.id, stored.pushes, stored.attempts, stored.deadline), ("one", 1, 0, None));
    assert_eq!(stored.body, body.as_bytes());
    assert!(before <= stored.accepted_at && stored.accepted_at <= UnixMillis::now());
    assert_eq!(counts(&door), ["lane=high,result=accepted 1"]);
}

#[tokio::test]
async fn an_array_and_lines_keep_each_job_and_their_order() {
    let mut door = open().await;
    let jobs: Vec<String> = (0..5).map(|nth| job(&format!("{nth}")).replace(",\"data\"", " , \"data\"")).collect();
    let ids = json!(["0", "1", "2", "3", "4"]);
    for (kind, body) in [
        ("application/json", format!(" [\n{} ] ", jobs.join(" ,\r\n "))),
        ("Application/JSON; Charset=\"UTF-8\"", format!("[{}]", jobs.join(","))),
        (LINES, jobs.join("\n")),
        (LINES, format!("\r\n{}\r\n\r\n", jobs.join("\r\n\r\n"))),
    ] {
        // Another time, other ids.
        let answer = accepted(ask(door.address, &post(kind, "", body.as_bytes())).await);
        assert_eq!((&answer["accepted"], &answer["ids"]), (&json!(5), &ids), "{kind}");
    }
    let stored = door.queued();
    let bodies: Vec<&str> = stored.iter().map(|job| std::str::from_utf8(&job.body).unwrap()).collect();
    assert_eq!(bodies, jobs, "each once, its own bytes, in order");
    assert_eq!(counts(&door), ["lane=high,result=accepted 5", "lane=high,result=duplicate 15"]);
}

#[tokio::test]
async fn a_job_without_an_id_gets_one_each_time() {
    let mut door = open().await;
    let body = r#"{"app":"chat","to":[{"apns":"5f3a"},{"fcm":"dXyz"}],"data":{"k":"v"}}"#;
    let mut ids = BTreeSet::new();
    for request in [post_json(body), post_json(format!("[{body},{body}]")), post(LINES, "", body.as_bytes())] {
        let answer = accepted(ask(door.address, &request).await);
        assert_eq!(answer.get("duplicates"), None);
        ids.extend(answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(ids.len(), 4);
    for id in &ids {
        assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7, "{id}");
    }
    let stored = by_id(door.queued());
    assert!(stored.keys().eq(&ids));
    assert!(stored.values().all(|job| job.pushes == 2 && job.body == body));
    assert_eq!(counts(&door), ["lane=normal,result=accepted 4"], "without a priority it is normal");
}

#[tokio::test]
async fn an_id_that_was_seen_is_accepted_again_and_queued_once() {
    let mut door = open().await;
    assert_eq!(accepted(ask(door.address, &post_json(job("one"))).await).get("duplicates"), None);
    let answer = accepted(ask(door.address, &post_json(job("one"))).await);
    assert_eq!(answer, json!({"accepted": 1, "ids": ["one"], "duplicates": 1}));
    // Within one request too, and in another lane.
    let low = job("two").replace("\"high\"", "\"low\"");
    let body = [job("one"), job("two"), low, job("three")].join("\n");
    let answer = accepted(ask(door.address, &post(LINES, "", body.as_bytes())).await);
    assert_eq!(answer, json!({"accepted": 4, "ids": ["one", "two", "two", "three"], "duplicates": 2}));
    assert_eq!(door.queued_ids(), ["one", "three", "two"]);
    let counted = ["lane=high,result=accepted 3", "lane=high,result=duplicate 2", "lane=low,result=duplicate 1"];
    assert_eq!(counts(&door), counted);
    // What is refused was not seen.
    let bad = format!("[{},{{}}]", job("four"));
    assert_eq!(ask(door.address, &post_json(bad)).await.unwrap().status, 400);
    assert_eq!(accepted(ask(door.address, &post_json(job("four"))).await).get("duplicates"), None);
}

#[tokio::test]
async fn a_deadline_is_that_of_all_jobs_of_its_request() {
    let mut door = open().await;
    let body = format!("[{},{}]", job("a"), job("b"));
    for (id, deadline) in [("", "1800000000000"), ("late-", "0"), ("never-", "18446744073709551615")] {
        let body = body.replace("\"id\":\"", &format!("\"id\":\"{id}"));
        let request = post("application/json", &format!("X-Deadline: {deadline}\r\n"), body.as_bytes());
        accepted(ask(door.address, &request).await);
    }
    accepted(ask(door.address, &post_json(job("none"))).await);
    let stored = by_id(door.queued());
    let deadline = |id: &str| stored[id].deadline.map(|at| at.0);
    assert_eq!(
        (deadline("a"), deadline("b"), deadline("none")),
        (Some(1_800_000_000_000), Some(1_800_000_000_000), None)
    );
    assert_eq!(deadline("late-a"), Some(0), "what is too late has an outcome, too");
    assert!(deadline("never-b").is_some_and(|at| at > 1 << 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_at_once_each_find_their_jobs_on_disk() {
    const CLIENTS: usize = 100;
    const REQUESTS: usize = 5;
    let mut door = open().await;
    let address = door.address;
    let client = async |nth: usize| {
        let mut client = Client::connect(address).await;
        let mut said = BTreeSet::new();
        for round in 0..REQUESTS {
            let own: Vec<String> = (0..4).map(|of| format!("{nth}-{round}-{of}")).collect();
            // What everybody sends is queued for one of them.
            let jobs: Vec<String> = own.iter().map(|id| job(id)).chain([job(&format!("shared-{round}"))]).collect();
            let request = match nth % 2 {
                0 => post_json(format!("[{}]", jobs.join(","))),
                _ => post(LINES, "", jobs.join("\n").as_bytes()),
            };
            client.send(&request).await;
            let answer = accepted(client.answer(false).await);
            assert_eq!(answer["accepted"], 5);
            said.extend(answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        }
        said
    };
    let said: BTreeSet<String> = join_all((0..CLIENTS).map(client)).await.into_iter().flatten().collect();
    assert_eq!(said.len(), CLIENTS * REQUESTS * 4 + REQUESTS);
    let queued = door.queued_ids();
    assert!(queued.iter().eq(&said), "{} queued, {} said", queued.len(), said.len());
    let duplicates = (CLIENTS - 1) * REQUESTS;
    let counted =
        [format!("lane=high,result=accepted {}", said.len()), format!("lane=high,result=duplicate {duplicates}")];
    assert_eq!(counts(&door), counted);
}

#[tokio::test]
async fn the_most_jobs_of_one_request() {
    let mut door = open().await;
    let body: Vec<String> = (0..10_000).map(|nth| job(&nth.to_string())).collect();
    let answer = accepted(ask(door.address, &post(LINES, "", body.join("\n").as_bytes())).await);
    assert_eq!(answer["accepted"], 10_000);
    assert_eq!(answer["ids"][9_999], "9999");
    assert_eq!(door.queued().len(), 10_000);
}

/// 16 MiB: fifteen jobs of nearly 1 MiB and some blanks.
#[tokio::test]
async fn the_largest_body() {
    let mut door = open().await;
    let filling = "x".repeat((1 << 20) - 200);
    let jobs: Vec<String> =
        (0..15).map(|nth| job(&nth.to_string()).replace("\"v\"", &format!("\"{filling}\""))).collect();
    let mut body = format!("[{}]", jobs.join(",")).into_bytes();
    assert!(body.len() < 16 << 20);
    body.resize(16 << 20, b' ');
    assert_eq!(accepted(ask(door.address, &post_json(&body)).await)["accepted"], 15);
    let stored = by_id(door.queued());
    assert!((0..15).all(|nth| stored[&nth.to_string()].body == jobs[nth].as_bytes()));
    // The same without a length, and a byte more.
    let chunked = |body: &[u8]| {
        let head = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut request = head.as_bytes().to_vec();
        for part in body.chunks(1 << 20) {
            request.extend(format!("{:x}\r\n", part.len()).as_bytes());
            request.extend(part);
            request.extend(b"\r\n");
        }
        [request, b"0\r\n\r\n".to_vec()].concat()
    };
    assert_eq!(accepted(ask(door.address, &chunked(&body)).await)["duplicates"], 15);
    body.push(b' ');
    assert_eq!(ask(door.address, &chunked(&body)).await.unwrap().status, 413);
}

#[tokio::test]
async fn a_client_may_ask_first_whether_to_send_the_body() {
    let mut door = open().await;
    let mut client = Client::connect(door.address).await;
    let body = job("asked");
    let request = post("application/json", "expect: 100-continue\r\n", body.as_bytes());
    let (head, body) = request.split_at(request.len() - body.len());
    client.send(head).await;
    assert_eq!(client.any_answer(false).await.unwrap().status, 100);
    client.send(body).await;
    accepted(client.answer(false).await);
    assert_eq!(door.queued_ids(), ["asked"]);
}

#[tokio::test]
async fn requests_may_be_sent_one_behind_the_other() {
    let mut door = open().await;
    let mut client = Client::connect(door.address).await;
    let requests: Vec<u8> = (0..10).flat_map(|nth| post_json(job(&nth.to_string()))).collect();
    client.send(&requests).await;
    for nth in 0..10 {
        assert_eq!(accepted(client.answer(false).await)["ids"], json!([nth.to_string()]));
    }
    assert_eq!(door.queued().len(), 10);
}

#[tokio::test]
async fn apps_come_and_go_while_the_door_is_open() {
    let mut door = open().await;
    let shop = job("shop").replace("chat", "shop");
    assert_eq!(ask(door.address, &post_json(&shop)).await.unwrap().json()["reason"], "unknown_app");
    door.routes.send_replace(table(&["shop"]));
    accepted(ask(door.address, &post_json(&shop)).await);
    assert_eq!(ask(door.address, &post_json(job("chat"))).await.unwrap().json()["reason"], "unknown_app");
    assert_eq!(door.queued_ids(), ["shop"]);
}

/// A client that leaves after its request loses the answer, not its jobs' place; the door is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_leaves_the_door_as_it_was() {
    let mut door = open().await;
    for nth in 0..200 {
        let mut client = Client::connect(door.address).await;
        client.send(&post_json(job(&format!("gone-{nth}")))).await;
    }
    accepted(ask(door.address, &post_json(job("stays"))).await);
    let ids = door.queued_ids();
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    assert!(ids.contains(&"stays".to_owned()));
}
