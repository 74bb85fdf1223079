//! `tidegate dead` against a real broker and a real spool, with letters that real bad jobs made.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use tempfile::tempdir;
use tidegate::job::{Lane, Provider, UnixMillis};
use tidegate::simulator::SimulatorSettings;
use tidegate::spool::{self, NewJob, Providers, Spool, SpoolSettings};

use super::command::{Ran, Running, run, tidegate};
use super::support::broker::{Broker, Peer};
use super::support::world::{Served, World};
use super::support::{eventually, until};

const TOKEN: &str = "5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b";

fn job(id: &str, app: &str) -> String {
    format!(r#"{{"id":"{id}","app":"{app}","to":[{{"apns":"{TOKEN}"}}],"notification":{{"title":"hi"}}}}"#)
}

fn ids(listed: &Ran) -> Vec<String> {
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let rows = listed.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["id"].as_str().unwrap_or("-").to_owned()).collect()
}

fn said(ran: &Ran) -> (Option<i32>, &str) {
    (ran.code, ran.out.trim_end())
}

/// A letter as `serve` leaves one.
fn dead(id: &str, queue: &str, more: &[(&str, &str)]) -> BasicProperties {
    let mut headers = FieldTable::default();
    let ours = [("x-tidegate-reason", "failed"), ("x-tidegate-queue", queue), ("x-tidegate-attempts", "5")];
    for (name, value) in ours.iter().chain(more) {
        headers.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    BasicProperties::default().with_message_id(id.into()).with_delivery_mode(2).with_headers(headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_dropped_and_replayed_once_the_cause_is_mended() {
    let world = World::start(SimulatorSettings::default()).await;
    let config = world.config("");
    let (folder, config_name) = (world.folder.path(), config.to_str().unwrap());
    let peer = Peer::connect(&world.broker.uri()).await;
    let dead_now = |args: &[&str]| run(folder, &[&["dead", args[0], "--config", config_name], &args[1..]].concat());

    // The broker's own: a message whose expiration ends while it waits.
    let expiring = BasicProperties::default().with_message_id("late".into()).with_expiration("1".into());
    peer.publish("tidegate.jobs", "low", expiring, job("late", "chat").as_bytes()).await;
    eventually("it is dead", || async { (peer.depth("tidegate.dead").await == Some(1)).then_some(()) }).await;
    // Ours: an app that is not configured, and what is no job.
    let mut served = Served::start(&config).await;
    for nth in 0..3 {
        let named = BasicProperties::default().with_message_id(format!("news-{nth}").into());
        peer.publish("tidegate.jobs", "high", named, job(&format!("news-{nth}"), "news").as_bytes()).await;
    }
    let broken = format!("{{\"to\":[{{\"apns\":\"{TOKEN}\"}}");
    for nth in 0..2 {
        let named = BasicProperties::default().with_message_id(format!("broken-{nth}").into());
        peer.publish("tidegate.jobs", "normal", named, broken.as_bytes()).await;
    }
    eventually("all are dead", || async { (peer.depth("tidegate.dead").await == Some(6)).then_some(()) }).await;
    served.terminate();
    assert_eq!(served.ended(Duration::from_secs(60)).await, 0);

    // Listed again and again, in the same order, and never further from life.
    let first = ids(&dead_now(&["list", "--json"]));
    assert_eq!(first.iter().cloned().collect::<BTreeSet<_>>().len(), 6, "{first:?}");
    for _ in 0..7 {
        assert_eq!(ids(&dead_now(&["list", "--json"])), first);
    }
    let shown = dead_now(&["show", "news-1"]).out;
    let count = shown.lines().find_map(|line| line.trim().strip_prefix("x-delivery-count: ")?.parse::<u32>().ok());
    assert!(count.unwrap_or(0) <= 5, "{shown}");
    let table = dead_now(&["list"]).out;
    assert!(table.ends_with("6 dead letters: 3 unknown_app, 2 not_json, 1 expired\n"), "{table}");
    assert!(table.contains("ID") && table.contains("\"news\" is not configured"), "{table}");
    assert_eq!(ids(&dead_now(&["list", "--json", "--app", "news", "--limit", "2"])).len(), 2);
    assert_eq!(ids(&dead_now(&["list", "--json", "--reason", "expired"])), ["late"]);

    // No address is shown unless asked for.
    assert!(!shown.contains(&TOKEN[..16]) && shown.contains("\"app\": \"news\""), "{shown}");
    assert!(!dead_now(&["show", "broken-0"]).out.contains(&TOKEN[..16]));
    assert!(dead_now(&["show", "news-1", "--full"]).out.contains(TOKEN));
    let none = dead_now(&["show", "nobody"]);
    assert_eq!((none.code, &*none.out), (Some(65), ""), "{}", none.err);

    // Everything needs a word.
    assert_eq!(dead_now(&["drop"]).code, Some(64));
    let dropped = dead_now(&["drop", "--reason", "not_json"]);
    assert_eq!(said(&dropped), (Some(0), "2 dead letters dropped"), "{}", dropped.err);
    assert_eq!(peer.depth("tidegate.dead").await, Some(4));

    // A part of a job stays that part.
    let two = job("part", "chat").replace("}]", r#"},{"fcm":"token-of-the-second"}]"#);
    let part = dead("part", "tidegate.jobs.normal", &[("x-tidegate-targets", "1")]);
    peer.publish("tidegate.dead", "", part, two.as_bytes()).await;

    // The cause is mended.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text + "[apps.news.fcm]\nservice_account_file = \"service-account.json\"\n[apps.news.apns]\n",
    )
    .unwrap();
    let key = std::fs::read_to_string(&config).unwrap();
    let apns = key.split("[apps.chat.apns]\n").nth(1).unwrap().split("[apps").next().unwrap().to_owned();
    std::fs::write(&config, key + &apns).unwrap();
    let begun = Instant::now();
    let replayed = dead_now(&["replay", "--app", "news", "--rate", "2/s"]);
    assert_eq!(said(&replayed), (Some(0), "3 dead letters replayed"), "{}", replayed.err);
    assert!(begun.elapsed() >= Duration::from_secs(1), "three at two a second take one: {:?}", begun.elapsed());
    assert_eq!(peer.depth("tidegate.jobs.high").await, Some(3), "in the lane they came by");
    assert_eq!(said(&dead_now(&["replay", "--all", "--rate", "unlimited"])), (Some(0), "2 dead letters replayed"));
    assert_eq!(peer.depth("tidegate.dead").await, Some(0));
    let _served = Served::start(&config).await;
    until("all are delivered", Duration::from_secs(60), || async {
        let ledger = world.simulator.ledger().await;
        (ledger.apns.accepted >= 4 && ledger.fcm.accepted >= 1).then_some(())
    })
    .await;
    let ledger = world.simulator.ledger().await;
    assert_eq!((ledger.apns.accepted, ledger.fcm.accepted), (4, 1), "of the part only its target");
    assert_eq!(peer.depth("tidegate.dead").await, Some(0), "none died again");
}

/// The letter goes only when its copy is safe.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_loses_nothing() {
    const LETTERS: usize = 400;
    let broker = Broker::start().await;
    let (folder, uri) = (tempdir().unwrap(), broker.uri());
    let peer = Peer::connect(&uri).await;
    run(folder.path(), &["enqueue", "--amqp-uri", &uri, "/dev/null"]);
    for nth in 0..LETTERS {
        let id = format!("{nth}");
        peer.publish("tidegate.dead", "", dead(&id, "tidegate.jobs.low", &[]), job(&id, "chat").as_bytes()).await;
    }
    let args = ["dead", "replay", "--amqp-uri", &uri, "--all", "--rate", "100/s"];
    let mut running = Running::start(&mut tidegate(folder.path(), &args));
    eventually("some are replayed", || async { (peer.depth("tidegate.jobs.low").await.unwrap() > 30).then_some(()) })
        .await;
    running.child.kill().unwrap();
    running.ended();
    // What was in hand comes back when the broker sees that its holder has gone.
    eventually("all are somewhere", || async {
        let there = [peer.depth("tidegate.jobs.low").await.unwrap(), peer.depth("tidegate.dead").await.unwrap()];
        (there.iter().sum::<u32>() as usize >= LETTERS).then_some(())
    })
    .await;
    let dead_still = peer.depth("tidegate.dead").await.unwrap() as usize;
    assert!(dead_still > 0 && dead_still < LETTERS, "{dead_still}");
    let args = ["dead", "replay", "--amqp-uri", &uri, "--all", "--rate", "unlimited"];
    let ran = run(folder.path(), &args);
    assert_eq!(said(&ran), (Some(0), &*format!("{dead_still} dead letters replayed")), "{}", ran.err);
    assert_eq!(peer.depth("tidegate.dead").await, Some(0));
    let (mut seen, mut all) = (BTreeSet::new(), 0);
    while let Some((properties, _)) = peer.get("tidegate.jobs.low").await {
        let headers = properties.headers().as_ref().unwrap().inner();
        assert!(!headers.keys().any(|name| name.as_str() == "x-tidegate-attempts"), "attempts begin anew");
        seen.insert(properties.message_id().as_ref().unwrap().to_string());
        all += 1;
    }
    assert_eq!(seen.len(), LETTERS, "none is lost");
    assert!(all <= LETTERS + 256, "{all}: few are there twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_queue_is_gone_goes_to_its_lane_and_one_that_nothing_takes_stays() {
    let broker = Broker::start().await;
    let (folder, uri) = (tempdir().unwrap(), broker.uri());
    let peer = Peer::connect(&uri).await;
    let none = run(folder.path(), &["dead", "list", "--amqp-uri", &uri]);
    assert_eq!(none.code, Some(69));
    assert!(none.err.contains("tidegate.dead") && none.err.contains("prefix"), "{}", none.err);
    run(folder.path(), &["enqueue", "--amqp-uri", &uri, "/dev/null"]);
    let urgent = job("a", "chat").replace("\"app\"", "\"priority\":\"high\",\"app\"");
    peer.publish("tidegate.dead", "", dead("a", "gone", &[]), urgent.as_bytes()).await;
    let ran = run(folder.path(), &["dead", "replay", "--amqp-uri", &uri, "--id", "a"]);
    assert_eq!(said(&ran), (Some(0), "1 dead letters replayed"), "{}", ran.err);
    assert_eq!(peer.depth("tidegate.jobs.high").await, Some(1));
    peer.delete("tidegate.jobs.normal").await;
    peer.publish("tidegate.dead", "", dead("b", "gone", &[]), job("b", "chat").as_bytes()).await;
    let ran = run(folder.path(), &["dead", "replay", "--amqp-uri", &uri, "--id", "b"]);
    assert_eq!(said(&ran), (Some(69), "0 dead letters replayed"), "{}", ran.err);
    assert!(ran.err.contains("1 letters stay dead") && ran.err.contains("tidegate.jobs.normal"), "{}", ran.err);
    assert_eq!(peer.depth("tidegate.dead").await, Some(1));
}

fn new(id: &str, app: &str) -> NewJob {
    NewJob {
        id: id.into(),
        named: true,
        app: app.into(),
        lane: Lane::Normal,
        providers: Providers::default().with(Provider::Apns),
        pushes: 1,
        accepted_at: UnixMillis::now(),
        deadline: None,
        body: job(id, app).into(),
    }
}

fn settings(directory: &Path) -> SpoolSettings {
    SpoolSettings { path: directory.join("spool"), ..SpoolSettings::default() }
}

/// A spool in which these jobs have died.
async fn with_dead(directory: &Path, jobs: &[(&str, &str, &'static str)]) -> Spool {
    let mut spool = Spool::open(&settings(directory)).unwrap();
    spool.writer.put(jobs.iter().map(|(id, app, _)| new(id, app)).collect()).await.unwrap();
    for strand in spool.reader.strands().unwrap() {
        for stored in spool.reader.next(strand.id, 100, usize::MAX).unwrap() {
            let (_, _, reason) = jobs.iter().find(|(id, ..)| *id == &*stored.id).unwrap();
            let detail = "given up after 5 attempts".to_owned();
            let (reason, at) = ((*reason).into(), UnixMillis::now());
            spool
                .writer
                .dead(spool::Dead { of: stored.key, targets: Vec::new(), attempts: 0, reason, detail, at })
                .await;
            spool.writer.settle(vec![stored.key]);
        }
    }
    spool
}

/// While a process has it open, as `serve` would.
#[tokio::test(flavor = "multi_thread")]
async fn a_spools_letters_answer_to_the_same_words_while_it_is_open() {
    let folder = tempdir().unwrap();
    let jobs = [("a", "chat", "failed"), ("b", "news", "failed"), ("c", "chat", "poison"), ("d", "chat", "failed")];
    let mut spool = with_dead(folder.path(), &jobs).await;
    let dead = |args: &[&str]| run(folder.path(), &[&["dead", args[0], "--spool", "spool"], &args[1..]].concat());
    assert_eq!(ids(&dead(&["list", "--json"])).into_iter().collect::<BTreeSet<_>>().len(), 4);
    let table = dead(&["list", "--app", "chat"]);
    assert!(table.out.ends_with("3 dead letters: 2 failed, 1 poison\n"), "{}{}", table.out, table.err);
    let row: Value = serde_json::from_str(dead(&["list", "--json", "--id", "b"]).out.trim()).unwrap();
    assert_eq!(
        (row["source"].as_str(), row["app"].as_str(), row["targets"].as_u64()),
        (Some("spool"), Some("news"), Some(1))
    );
    let n = row["n"].to_string();
    let shown = dead(&["show", "--n", &n]).out;
    assert!(shown.contains("id        b\n") && !shown.contains(&TOKEN[..16]), "{shown}");
    assert!(dead(&["show", "b", "--full"]).out.contains(TOKEN));
    assert_eq!(dead(&["show", "nobody"]).code, Some(65));
    assert_eq!(dead(&["replay"]).code, Some(64));
    assert_eq!(said(&dead(&["drop", "--reason", "poison"])), (Some(0), "1 dead letters dropped"));
    assert_eq!(said(&dead(&["drop", "--n", &n])), (Some(0), "1 dead letters dropped"));
    let replayed = dead(&["replay", "--app", "chat", "--rate", "unlimited"]);
    assert_eq!(said(&replayed), (Some(0), "2 dead letters replayed"), "{}", replayed.err);
    assert_eq!(said(&dead(&["list"])), (Some(0), "no dead letters"));
    let mut back = BTreeSet::new();
    let give_up = Instant::now() + Duration::from_secs(30);
    while back.len() < 2 {
        assert!(Instant::now() < give_up, "only {back:?} came back");
        for strand in spool.reader.strands().unwrap() {
            let jobs = spool.reader.next(strand.id, 100, usize::MAX).unwrap();
            back.extend(jobs.into_iter().map(|job| (job.id.to_string(), job.attempts)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(back, BTreeSet::from([("a".to_owned(), 0), ("d".to_owned(), 0)]));
}

/// Both are looked at together; what can't be taken back is done to the one that is named.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_sources_both_are_listed_and_one_is_named_for_the_rest() {
    let broker = Broker::start().await;
    let (folder, uri) = (tempdir().unwrap(), broker.uri());
    let _spool = with_dead(folder.path(), &[("in-the-spool", "chat", "failed")]).await;
    let peer = Peer::connect(&uri).await;
    run(folder.path(), &["enqueue", "--amqp-uri", &uri, "/dev/null"]);
    let letter = dead("in-the-broker", "tidegate.jobs.low", &[]);
    peer.publish("tidegate.dead", "", letter, job("in-the-broker", "chat").as_bytes()).await;
    let config = format!("[source.amqp]\nuri = \"{uri}\"\n[source.spool]\npath = \"spool\"\n");
    std::fs::write(folder.path().join("both.toml"), config).unwrap();
    let dead = |args: &[&str]| run(folder.path(), &[&["dead", args[0], "--config", "both.toml"], &args[1..]].concat());
    assert_eq!(ids(&dead(&["list", "--json"])), ["in-the-spool", "in-the-broker"]);
    let table = dead(&["list"]).out;
    assert!(table.starts_with("SOURCE") && table.contains("\nspool ") && table.contains("\namqp "), "{table}");
    assert_eq!(ids(&dead(&["list", "--json", "--source", "amqp"])), ["in-the-broker"]);
    for undecided in [dead(&["replay", "--all"]), dead(&["drop", "--all"])] {
        assert_eq!(undecided.code, Some(64));
        assert!(undecided.err.contains("--source spool"), "{}", undecided.err);
    }
    let enqueued = run(folder.path(), &["enqueue", "--config", "both.toml", "/dev/null"]);
    assert_eq!(enqueued.code, Some(64), "{}", enqueued.err);
    assert_eq!(
        run(folder.path(), &["enqueue", "--config", "both.toml", "--source", "amqp", "/dev/null"]).code,
        Some(0)
    );
    assert_eq!(said(&dead(&["drop", "--all", "--source", "spool"])), (Some(0), "1 dead letters dropped"));
    assert_eq!(ids(&dead(&["list", "--json"])), ["in-the-broker"]);
    assert_eq!(said(&dead(&["replay", "--all", "--source", "amqp"])), (Some(0), "1 dead letters replayed"));
    assert_eq!(peer.depth("tidegate.jobs.low").await, Some(1));
}

#[test]
fn what_is_unclear_is_64_and_what_is_not_there_69() {
    let folder = tempdir().unwrap();
    let two = ["--spool", "spool", "--amqp-uri", "amqp://127.0.0.1:1/%2f"];
    let ran = run(folder.path(), &[&["dead", "drop", "--all"], &two[..]].concat());
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("--source"), "{}", ran.err);
    assert_eq!(run(folder.path(), &["dead", "replay", "--all", "--rate", "fast"]).code, Some(64));
    let ran = run(folder.path(), &["dead", "list", "--spool", "spool"]);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains("there is no spool"), "{}", ran.err);
    let ran = run(folder.path(), &["dead", "list", "--amqp-uri", "amqp://127.0.0.1:1/%2f"]);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert_eq!(run(folder.path(), &["dead", "list"]).code, Some(78), "no configuration");
    for command in ["list", "show", "replay", "drop"] {
        let help = run(folder.path(), &["dead", command, "--help"]);
        assert!(help.code == Some(0) && help.out.contains("Examples:\n  tidegate dead"), "{}", help.out);
    }
}
