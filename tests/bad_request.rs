//! Whatever is sent to the door that it does not take: the answer says what is wrong and what to do about it, nothing of it
//! is queued, and others are served meanwhile (SPEC.md, section 5; promises 4 and 12).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "door/bounds.rs"]
mod bounds;
mod configuration;
#[path = "support/corpus.rs"]
mod jobs;
#[path = "door/open.rs"]
mod open;
#[path = "door/raw.rs"]
mod raw;
#[path = "door/requests.rs"]
mod requests;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use configuration::Credentials;
use futures::stream::{self, StreamExt};
use open::{queued, spool, table};
use raw::{Answer, Client, ask, job, post, post_json};
use requests::{Case, TOKEN, What, corpus};
use serde_json::Value;
use tidegate::dispatch::Shedding;
use tidegate::door::DoorLimits;
use tidegate::pipeline::{Intake, Pipeline};
use tidegate::spool::Reader;
use tidegate::{admin, config};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The whole door as it is served, with a spool that nobody else reads.
struct Door {
    address: SocketAddr,
    reader: Reader,
    _pipeline: Pipeline,
    _files: (tempfile::TempDir, Credentials),
    _routes: watch::Sender<Arc<tidegate::job::RouteTable>>,
    _shedding: watch::Sender<Shedding>,
}

impl Door {
    async fn open(http: &str) -> Self {
        let credentials = Credentials::new();
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{http}\n[apps.chat.apns]\nkey_file = \"good.p8\"\nkey_id = \"ABC123DEFG\"\n\
             team_id = \"TEAM123456\"\ntopic = \"com.example.chat\"\n"
        );
        let loaded = config::parse(&text, "tidegate.toml", credentials.path(), std::iter::empty()).unwrap();
        let pipeline = Pipeline::start(&loaded.settings).unwrap();
        let (directory, spool) = spool(1 << 30, 0);
        let (routes_in, routes) = watch::channel(table(&["chat"]));
        let (shedding_in, shedding) = watch::channel(Shedding::new());
        let intake = Some(Intake { writer: spool.writer, routes, shedding, closed: CancellationToken::new() });
        let (view, steering) = (pipeline.view(), pipeline.steering());
        let door = admin::serve(&loaded.settings.http, view, steering, intake, CancellationToken::new());
        let (address, _) = door.await.unwrap();
        let files = (directory, credentials);
        Self {
            address,
            reader: spool.reader,
            _pipeline: pipeline,
            _files: files,
            _routes: routes_in,
            _shedding: shedding_in,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_is_refused_with_its_reason_and_nothing_of_it_is_queued() {
    let cases = corpus();
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    let mut doors = [Door::open("").await, Door::open(&format!("tokens = [\"{TOKEN}\"]")).await];
    let mut wrong = String::new();
    for case in &cases {
        let door = &mut doors[usize::from(case.guarded)];
        let answer = ask(door.address, &case.request).await;
        let mut verdict = judged(case, answer.as_ref());
        if !queued(&mut door.reader).is_empty() {
            verdict = Err("something was queued".to_owned());
        }
        if let Err(why) = verdict {
            let start = String::from_utf8_lossy(&case.request[..case.request.len().min(200)]).into_owned();
            let body = answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
            writeln!(wrong, "{} {:?}: {why}\n{start}\n{body:?}\n", case.status, case.what).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for door in &mut doors {
        let authorization = format!("authorization: Bearer {TOKEN}\r\n");
        let good = post("application/json", &authorization, job("good").as_bytes());
        assert_eq!(ask(door.address, &good).await.unwrap().status, 202, "the door is as open as before");
        assert_eq!(queued(&mut door.reader).len(), 1);
    }
}

/// Whether the answer is what the case wants.
fn judged(case: &Case, answer: Option<&Answer>) -> Result<(), String> {
    let wanted = |what: &str, holds: bool| if holds { Ok(()) } else { Err(what.to_owned()) };
    let Some(answer) = answer else { return wanted("there is no answer", case.what == What::Closed) };
    wanted(&format!("the status is {}", answer.status), answer.status == case.status)?;
    problem(answer)?;
    let problem = answer.json();
    match &case.what {
        What::Job { index, path, reason } => {
            let said = (problem["index"].as_u64(), problem["path"].as_str(), problem["reason"].as_str());
            wanted("index, path or reason", said == (Some(*index), Some(path), Some(reason)))?;
        }
        What::Words(words) => {
            let text = format!("{} {}", problem["title"].as_str().unwrap(), problem["detail"].as_str().unwrap());
            for word in words {
                wanted(&format!("{word:?} is not said"), text.contains(word.as_str()))?;
            }
        }
        What::Closed => {}
    }
    match case.status {
        401 => wanted("no WWW-Authenticate", answer.header("www-authenticate") == Some("Bearer")),
        405 => wanted("no Allow", answer.header("allow").is_some_and(|allow| !allow.is_empty())),
        _ => Ok(()),
    }
}

/// RFC 9457, and a remedy.
fn problem(answer: &Answer) -> Result<(), String> {
    let problem: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let text = |key: &str| problem[key].as_str().is_some_and(|text| !text.is_empty());
    let holds = answer.header("content-type") == Some("application/problem+json")
        && problem["status"] == answer.status
        && problem["type"] == "about:blank"
        && text("title")
        && text("detail")
        && answer.body.len() < 8_000
        && !String::from_utf8_lossy(&answer.body).contains(TOKEN);
    if holds { Ok(()) } else { Err(format!("it is no problem document: {answer:?}")) }
}

/// The corpus of bad jobs, each in the middle of good ones: in an array where it is JSON, as a line where it is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_job_among_good_ones_is_named_and_none_is_queued() {
    let mut door = Door::open("").await;
    let (before, after) = (job("before"), job("after"));
    let mut asked = 0;
    for case in jobs::corpus() {
        let around = |open: &str, between: &str, close: &str| {
            [
                open.as_bytes(),
                before.as_bytes(),
                between.as_bytes(),
                &case.body,
                between.as_bytes(),
                after.as_bytes(),
                close.as_bytes(),
            ]
            .concat()
        };
        let in_lines = !case.body.contains(&b'\n') && !case.body.trim_ascii().is_empty();
        let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&case.body).is_ok();
        let requests = [
            in_lines.then(|| post("application/x-ndjson", "", &around("", "\n", ""))),
            is_json.then(|| post_json(around("[", ",", "]"))),
        ];
        for request in requests.into_iter().flatten() {
            asked += 1;
            let answer = ask(door.address, &request).await.unwrap();
            problem(&answer).unwrap();
            let said = answer.json();
            let said = (answer.status, said["index"].as_u64(), said["path"].as_str(), said["reason"].as_str());
            let wanted = (400, Some(1), Some(&*case.wanted.path), Some(case.wanted.reason));
            assert_eq!(said, wanted, "{}", String::from_utf8_lossy(&case.body[..case.body.len().min(200)]));
        }
    }
    assert!(asked >= 150, "only {asked} requests");
    assert!(queued(&mut door.reader).is_empty());
}

#[tokio::test]
async fn head_and_options_are_told_what_is_allowed() {
    let door = Door::open("").await;
    for method in ["HEAD", "OPTIONS", "GET"] {
        let answer =
            ask(door.address, format!("{method} /v1/jobs HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
}

/// RFC 9112, section 6.3: of two lengths chunked is the true one, and what comes after it is nobody's.
#[tokio::test]
async fn a_request_with_two_lengths_is_the_last_of_its_connection() {
    let mut door = Door::open("").await;
    for (nth, length) in ["content-length: 5\r\n", "content-length: 99999999\r\n"].into_iter().enumerate() {
        let request = String::from_utf8(chunked(&job(&nth.to_string()))).unwrap();
        for both in [
            request.replacen("transfer-encoding", &format!("{length}transfer-encoding"), 1),
            request.replacen("chunked\r\n", &format!("chunked\r\n{length}"), 1),
        ] {
            let mut client = Client::connect(door.address).await;
            client.send(&[both.as_bytes(), &post_json(job("smuggled"))].concat()).await;
            assert_eq!(client.answer(false).await.unwrap().status, 202);
            assert!(client.is_closed().await);
        }
    }
    let ids: Vec<String> = queued(&mut door.reader).into_iter().map(|job| job.id.into()).collect();
    assert_eq!(ids, ["0", "1"]);
}

/// Good requests with some bytes changed, cut out, put in twice or cut off: whatever comes of them, the spool has exactly
/// what was answered 202, and the door goes on.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_requests_do_no_harm() {
    const REQUESTS: usize = 3_000;
    const SEED: u64 = 20_261_125;
    let moment = Duration::from_millis(200);
    let limits = DoorLimits { head_timeout: moment, idle_timeout: moment, body_pause: moment, ..DoorLimits::default() };
    let mut door = open::Door::with(limits).await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(|nth| damaged(nth, &mut random)).collect();
    let address = door.address;
    let sent = stream::iter(requests.iter().enumerate()).map(async |(nth, request)| {
        let mut client = Client::connect(address).await;
        client.send(request).await;
        let mut answers = Vec::new();
        // Until the door has had enough of waiting for more.
        while let Some(answer) = client.answer(false).await {
            // Paths and methods are the whole door's affair.
            if answer.status > 202 && ![404, 405].contains(&answer.status) {
                problem(&answer).unwrap_or_else(|why| panic!("{nth} of seed {SEED}: {why}"));
            }
            answers.push(answer);
        }
        answers
    });
    let answers: Vec<Answer> = sent.buffer_unordered(100).flat_map(stream::iter).collect().await;
    let accepted: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 202).collect();
    let ids = accepted.iter().flat_map(|answer| answer.json()["ids"].as_array().unwrap().clone());
    let said: BTreeSet<String> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
    let queued = door.queued_ids();
    assert!(said.iter().eq(&queued), "{} said, {} queued", said.len(), queued.len());
    let refused = answers.len() - accepted.len();
    assert!(accepted.len() > 300 && refused > 1_000, "{} accepted, {refused} refused", accepted.len());
}

/// Up to three times: every fourth is good.
fn damaged(nth: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let jobs = [job(&format!("{nth}-a")), job(&format!("{nth}-b"))];
    let mut request = match nth % 3 {
        0 => post_json(format!("[{}]", jobs.join(","))),
        1 => post("application/x-ndjson", "", jobs.join("\n").as_bytes()),
        _ => chunked(&jobs[0]),
    };
    for _ in 0..random.usize(..4) {
        damage(&mut request, random);
    }
    request
}

fn chunked(body: &str) -> Vec<u8> {
    let head =
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let (one, other) = body.split_at(body.len() / 2);
    format!("{head}\r\n{:x}\r\n{one}\r\n{:X};e=x\r\n{other}\r\n0\r\n\r\n", one.len(), other.len()).into_bytes()
}

fn damage(request: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if request.is_empty() {
        return;
    }
    let from = random.usize(..request.len());
    let to = (from + random.usize(1..20)).min(request.len());
    match random.u8(..6) {
        0 => request[from] = random.u8(..),
        1 => request[from] ^= 1 << random.u8(..8),
        2 => drop(request.drain(from..to)),
        3 => {
            let again = request[from..to].to_vec();
            drop(request.splice(from..from, again));
        }
        4 => request.insert(from, *random.choice(b"\r\n\0 :,{}[]\"09").unwrap()),
        _ => request.truncate(from),
    }
}

/// Each token has a rate of its own; who has none that fits takes nothing of it.
#[tokio::test]
async fn a_rate_is_that_of_a_token() {
    let mut door = Door::open("tokens = [\"one\", \"two\"]\nrate = \"2/min\"").await;
    let ask_as = async |token: &str, id: &str| {
        let authorization = format!("authorization: Bearer {token}\r\n");
        ask(door.address, &post("application/json", &authorization, job(id).as_bytes())).await.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(ask_as("three", "0").await.status, 401);
    }
    // What a minute's two leave at once is one.
    assert_eq!(ask_as("one", "1").await.status, 202);
    let early = ask_as("one", "2").await;
    problem(&early).unwrap();
    assert_eq!(early.status, 429);
    assert!((1..=30).contains(&early.retry_after().unwrap()), "{early:?}");
    assert_eq!(ask_as("two", "3").await.status, 202);
    assert_eq!(ask_as("two", "4").await.status, 429);
    assert_eq!(queued(&mut door.reader).len(), 2);
}

/// What a request leaves behind on its connection is never read as the next request.
#[tokio::test]
async fn a_refused_body_is_not_the_next_request() {
    let mut door = Door::open("").await;
    let smuggled = post_json(job("smuggled"));
    for refused in [
        post("text/plain", "", &smuggled),
        post("application/json", "expect: 100-continue\r\nx-deadline: never\r\n", &smuggled),
        [b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 400\r\n\r\n", smuggled.as_slice()].concat(),
    ] {
        let mut client = Client::connect(door.address).await;
        client.send(&refused).await;
        assert!(client.answer(false).await.unwrap().status >= 400);
        client.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if let Some(next) = client.answer(false).await {
            assert_eq!((next.status, next.body.as_slice()), (200, b"ok\n".as_slice()));
        }
    }
    assert!(queued(&mut door.reader).is_empty());
}

#[tokio::test]
async fn a_patch_that_does_not_come_is_cut_off() {
    let door = Door::open("").await;
    let mut client = Client::connect(door.address).await;
    client.send(b"PATCH /v1/routes/chat/apns HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{").await;
    let answer = client.answer(false).await.unwrap();
    problem(&answer).unwrap();
    assert_eq!(answer.status, 408);
}
