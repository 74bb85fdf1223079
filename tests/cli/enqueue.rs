//! `tidegate enqueue` against a real broker.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use tempfile::tempdir;

use super::command::{Running, run, run_with, tidegate};
use super::support::broker::{Broker, Peer};
use super::support::eventually;

fn job(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","app":"chat","to":[{{"fcm":"token"}}],"data":{{"k":"v"}}{more}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_arrive_in_their_lanes_as_a_backend_would_send_them() {
    let broker = Broker::start().await;
    let folder = tempdir().unwrap();
    let (uri, peer) = (broker.uri(), Peer::connect(&broker.uri()).await);
    let high = job("a", r#","priority":"high""#);
    std::fs::write(folder.path().join("jobs.ndjson"), format!("{high}\n\n{}\n", job("b", ""))).unwrap();
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let ran = run(folder.path(), &["enqueue", "--amqp-uri", &uri, "jobs.ndjson"]);
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "2 jobs enqueued, 0 refused\n", ""));
    let (properties, body) = peer.get("tidegate.jobs.high").await.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), high);
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "a");
    assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    let timestamp = properties.timestamp().unwrap();
    assert!((before..before + 240).contains(&timestamp), "{timestamp} against {before}");
    let (properties, _) = peer.get("tidegate.jobs.normal").await.unwrap();
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "b");

    // Standard input, another lane and another prefix; a job without an id gets one.
    let nameless = r#"{"app":"chat","to":[{"fcm":"x"}],"data":{"k":"v"}}"#;
    let args = ["enqueue", "--amqp-uri", &uri, "--prefix", "mine", "--lane", "low", "-"];
    let ran = run_with(folder.path(), &args, nameless);
    assert_eq!((ran.code, &*ran.out), (Some(0), "1 jobs enqueued, 0 refused\n"), "{}", ran.err);
    let (properties, body) = peer.get("mine.jobs.low").await.unwrap();
    assert_eq!(body, nameless.as_bytes());
    assert_eq!(properties.message_id().as_ref().unwrap().as_str().len(), 36, "a UUID");
    assert_eq!(peer.depth("tidegate.jobs.low").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_named_and_good_ones_are_sent() {
    let broker = Broker::start().await;
    let folder = tempdir().unwrap();
    let lines = [job("a", ""), "{".to_owned(), job("b", r#","tll":5"#), job("c", ""), job("d", r#","ttl":-1"#)];
    let ran = run_with(folder.path(), &["enqueue", "--amqp-uri", &broker.uri()], &lines.join("\n"));
    assert_eq!((ran.code, &*ran.out), (Some(65), "2 jobs enqueued, 3 refused\n"), "{}", ran.err);
    let said: Vec<&str> = ran.err.lines().collect();
    assert_eq!(said.len(), 3, "{}", ran.err);
    assert!(said[0].starts_with("error: line 2: not_json: "), "{}", ran.err);
    assert!(said[1].starts_with("error: line 3: unknown_field: tll is not known; did you mean \"ttl\""), "{}", ran.err);
    assert!(said[2].starts_with("error: line 5: out_of_range: ttl must be 0 to 2419200"), "{}", ran.err);
    assert_eq!(Peer::connect(&broker.uri()).await.depth("tidegate.jobs.normal").await, Some(2));
}

/// `tail -f jobs.ndjson | tidegate enqueue`: a job is sent when it comes, not when the pipe ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_wait_for_the_end_of_the_input() {
    let broker = Broker::start().await;
    let folder = tempdir().unwrap();
    let uri = broker.uri();
    let peer = Peer::connect(&uri).await;
    let mut command = tidegate(folder.path(), &["enqueue", "--amqp-uri", &uri]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().unwrap();
    writeln!(stdin, "{}", job("a", "")).unwrap();
    eventually("the job is there", || async { (peer.depth("tidegate.jobs.normal").await == Some(1)).then_some(()) })
        .await;
    writeln!(stdin, "{}", job("b", "")).unwrap();
    drop(stdin);
    let ran = running.ended();
    assert_eq!((ran.code, &*ran.out), (Some(0), "2 jobs enqueued, 0 refused\n"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_to_queues_of_somebody_elses_making() {
    let broker = Broker::start().await;
    let folder = tempdir().unwrap();
    let peer = Peer::connect(&broker.uri()).await;
    peer.declare("push", &[]).await;
    let config = format!(
        "[source.amqp]\nuri = \"{}\"\n[[source.amqp.queues]]\nname = \"push\"\nlane = \"high\"\n",
        broker.uri()
    );
    std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
    let jobs = format!("{}\n{}", job("a", r#","priority":"high""#), job("b", ""));
    let ran = run_with(folder.path(), &["enqueue", "--config", "tidegate.toml"], &jobs);
    assert_eq!((ran.code, &*ran.out), (Some(65), "1 jobs enqueued, 1 refused\n"), "{}", ran.err);
    assert!(ran.err.contains("line 2: no queue of source.amqp.queues is of lane normal"), "{}", ran.err);
    assert_eq!(peer.depth("push").await, Some(1));
}

/// The broker goes while a pipe is open: one error, not one for every line that might still come.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_ends_it() {
    let mut broker = Broker::start().await;
    let folder = tempdir().unwrap();
    let uri = broker.uri();
    let peer = Peer::connect(&uri).await;
    let mut command = tidegate(folder.path(), &["enqueue", "--amqp-uri", &uri]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().unwrap();
    writeln!(stdin, "{}", job("a", "")).unwrap();
    eventually("the job is there", || async { (peer.depth("tidegate.jobs.normal").await == Some(1)).then_some(()) })
        .await;
    broker.kill_9();
    let writing = std::thread::spawn(move || {
        for nth in 0..2_000 {
            if writeln!(stdin, "{}", job(&format!("late-{nth}"), "")).is_err() {
                return;
            }
        }
    });
    let ran = running.ended();
    writing.join().unwrap();
    assert_eq!((ran.code, &*ran.out), (Some(69), "1 jobs enqueued, 0 refused\n"), "{}", ran.err);
    assert!(ran.err.contains("error: line 2: "), "{}", ran.err);
    assert!(ran.err.lines().count() <= 502, "{} lines of errors", ran.err.lines().count());
}

#[test]
fn no_broker_is_69_within_seconds() {
    let folder = tempdir().unwrap();
    let begun = Instant::now();
    let ran = run_with(folder.path(), &["enqueue", "--amqp-uri", "amqp://127.0.0.1:1/%2f"], &job("a", ""));
    assert_eq!((ran.code, &*ran.out), (Some(69), ""));
    assert!(ran.err.contains("127.0.0.1:1 can't be reached") && ran.err.contains("check host and port"), "{}", ran.err);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Something that takes connections and says nothing is not waited for without end.
#[test]
fn a_port_that_is_no_broker_is_69_too() {
    let folder = tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("amqp://ada:hunter2@{}/%2f", listener.local_addr().unwrap());
    let ran = run_with(folder.path(), &["enqueue", "--amqp-uri", &uri], &job("a", ""));
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("accepted no AMQP connection") && !ran.err.contains("hunter2"), "{}", ran.err);
}

#[test]
fn what_is_no_file_is_74_and_no_configuration_78() {
    let folder = tempdir().unwrap();
    let ran = run(folder.path(), &["enqueue", "--amqp-uri", "amqp://127.0.0.1:1/%2f", "nowhere.ndjson"]);
    assert_eq!(ran.code, Some(74));
    assert!(ran.err.contains("nowhere.ndjson"), "{}", ran.err);
    let ran = run_with(folder.path(), &["enqueue"], &job("a", ""));
    assert_eq!(ran.code, Some(78));
    assert!(ran.err.contains("--amqp-uri"), "the other way is named: {}", ran.err);
}
