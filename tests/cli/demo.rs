//! `tidegate demo`: its books balance, and nothing of it stays behind.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;
use tidegate::source::amqp::RETRY_LEVELS;

use super::command::{Running, run, tidegate};
use super::support::broker::{Broker, Peer};
use super::support::relay::Relay;
use super::support::until;

const MINUTE: Duration = Duration::from_secs(60);

/// Processes that were started with this folder for their temporary files: a broker's, its port mapper's, ours.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        if String::from_utf8_lossy(&read("environ")).contains(folder) {
            found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    found
}

async fn gone(folder: &Path) {
    until("every process is gone", MINUTE, || async { processes(folder).is_empty().then_some(()) }).await;
    let left = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 0, "its files are gone too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_and_nothing_is_left() {
    for arguments in [&["demo", "--pushes", "3000"][..], &["demo", "--pushes", "3000", "--source", "amqp"]] {
        let folder = tempdir().unwrap();
        let mut command = tidegate(folder.path(), arguments);
        let ran = Running::start(command.env("TMPDIR", folder.path())).ended();
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
        for part in ["3,000 published, 3,000 with an outcome", "balance: every push has exactly one outcome", "p99"] {
            assert!(ran.out.contains(part), "{part} is in:\n{}", ran.out);
        }
        gone(folder.path()).await;
    }
}

/// Nothing else is needed: not even a path to look for it.
#[tokio::test(flavor = "multi_thread")]
async fn without_anything_installed_it_plays_on_the_spool_and_interrupted_it_leaves_no_file() {
    let folder = tempdir().unwrap();
    let mut command = tidegate(folder.path(), &["demo", "--pushes", "10000000", "--targets-per-job", "100"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let running = Running::start(command.env("PATH", "").env("TMPDIR", folder.path()).stderr(writer));
    drop(command);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    lines.find(|line| line.contains("watch it: ")).expect("it starts");
    until("its spool is there", MINUTE, || async {
        (std::fs::read_dir(folder.path()).unwrap().count() > 0).then_some(())
    })
    .await;
    running.signal("INT");
    let ran = running.ended();
    assert_eq!((ran.code, &*ran.out), (Some(69), ""));
    gone(folder.path()).await;
}

#[test]
fn a_broker_and_the_spool_at_once_are_64() {
    let folder = tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--source", "spool", "--amqp-uri", "amqp://127.0.0.1:1/%2f"]);
    assert_eq!((ran.code, &*ran.out), (Some(64), ""));
    assert!(ran.err.contains("leave one of them out"), "{}", ran.err);
}

/// Somebody who has seen enough presses ctrl-c.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_leaves_no_broker_running() {
    for when in ["starting a private RabbitMQ", "watch it: "] {
        let folder = tempdir().unwrap();
        let mut command = tidegate(folder.path(), &["demo", "--source", "amqp", "--pushes", "10000000"]);
        let (reader, writer) = std::io::pipe().unwrap();
        let running = Running::start(command.env("TMPDIR", folder.path()).stderr(writer));
        drop(command);
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines.find(|line| line.contains(when)).expect("it starts");
        until("the broker's processes are there", MINUTE, || async {
            (processes(folder.path()).len() > 2).then_some(())
        })
        .await;
        running.signal("INT");
        let ran = running.ended();
        assert_eq!((ran.code, &*ran.out), (Some(69), ""));
        assert!(lines.any(|line| line.contains("interrupted")));
        gone(folder.path()).await;
    }
}

#[test]
fn without_rabbitmq_it_says_how_to_get_it() {
    let folder = tempdir().unwrap();
    let mut command = tidegate(folder.path(), &["demo", "--source", "amqp"]);
    // Erlang's port mapper is looked for on the path, and is as good as the server for being absent.
    let ran = Running::start(command.env("PATH", folder.path()).env("TMPDIR", folder.path())).ended();
    assert_eq!((ran.code, &*ran.out), (Some(69), ""));
    assert!(ran.err.contains("apt-get install rabbitmq-server") && ran.err.contains("--amqp-uri"), "{}", ran.err);
}

#[test]
fn a_broker_that_is_not_there_is_69() {
    let folder = tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--amqp-uri", "amqp://127.0.0.1:1/%2f"]);
    assert_eq!((ran.code, &*ran.out), (Some(69), ""));
    assert!(ran.err.contains("127.0.0.1:1 can't be reached"), "{}", ran.err);
}

/// The prefix that the demo says it uses.
fn prefix(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("called ")?;
    Some(rest.split_once(".*")?.0.to_owned())
}

async fn queues(peer: &Peer, prefix: &str) -> Vec<String> {
    let retries = RETRY_LEVELS.iter().map(|level| format!("{prefix}.retry.{}", level.name));
    let lanes = ["high", "normal", "low"].iter().map(|lane| format!("{prefix}.jobs.{lane}"));
    let mut there = Vec::new();
    for name in retries.chain(lanes).chain([format!("{prefix}.dead")]) {
        if peer.depth(&name).await.is_some() {
            there.push(name);
        }
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_anothers_broker() {
    let broker = Broker::start().await;
    let folder = tempdir().unwrap();
    let peer = Peer::connect(&broker.uri()).await;
    let ran = run(folder.path(), &["demo", "--pushes", "2000", "--amqp-uri", &broker.uri()]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    let prefix = ran.err.lines().find_map(prefix).expect("it says how its queues are called");
    assert!(prefix.starts_with("tidegate-demo-"), "{prefix}");
    assert_eq!(queues(&peer, &prefix).await, Vec::<String>::new());
    assert_eq!(queues(&peer, "tidegate").await, Vec::<String>::new(), "and it never made others");
}

/// However it ends: told to, or by losing the broker's connections on the way.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_anothers_broker_when_it_fails() {
    let broker = Broker::start().await;
    let peer = Peer::connect(&broker.uri()).await;
    for cut in [true, false] {
        let folder = tempdir().unwrap();
        let relay = Relay::to(broker.port()).await;
        let mut command = tidegate(folder.path(), &["demo", "--pushes", "10000000", "--amqp-uri", &relay.uri()]);
        let (reader, writer) = std::io::pipe().unwrap();
        let running = Running::start(command.stderr(writer));
        drop(command);
        let mut log = BufReader::new(reader);
        let mut lines = log.by_ref().lines().map_while(Result::ok);
        let prefix = lines.find_map(|line| prefix(&line)).expect("it says how its queues are called");
        until("it has begun", MINUTE, || async {
            (peer.depth(&format!("{prefix}.jobs.low")).await.unwrap_or_default() > 0).then_some(())
        })
        .await;
        assert_eq!(queues(&peer, &prefix).await.len(), RETRY_LEVELS.len() + 4);
        if cut {
            relay.cut();
        } else {
            running.signal("TERM");
        }
        let ran = running.ended();
        assert_eq!((ran.code, &*ran.out), (Some(69), ""));
        assert_eq!(queues(&peer, &prefix).await, Vec::<String>::new(), "cut: {cut}");
    }
}
