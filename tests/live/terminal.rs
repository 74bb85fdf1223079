//! `tidegate top` and `tidegate tap` against an instance that runs.

use tempfile::tempdir;
use tidegate::simulator::{DeadTokens, SimulatorSettings};

use super::command::{Running, run, tidegate};
use super::support::eventually;
use super::support::world::{Served, Station, jobs};

#[tokio::test(flavor = "multi_thread")]
async fn top_prints_a_picture_lines_or_json_where_no_terminal_is() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "rate = \"50/s\"\n")).await;
    served.post(jobs(1_000)).await;
    eventually("some are delivered", || async {
        served.status().await["outcomes"]["delivered"].as_u64().filter(|delivered| *delivered > 20)
    })
    .await;
    served.patch("chat/fcm", serde_json::json!({"paused": true})).await;
    let (folder, url) = (tempdir().unwrap(), format!("http://{}", served.address()));
    let paused = || async { (served.status().await["routes"][1]["state"] == "paused_by_operator").then_some(()) };
    eventually("it is paused", paused).await;

    let once = run(folder.path(), &["top", "--url", &url, "--once"]);
    assert_eq!((once.code, once.err.as_str()), (Some(0), ""));
    for part in ["chat/apns", "chat/fcm", "◆ paused by an operator", "50/s", "delivered", "1 of 2 routes held back"] {
        assert!(once.out.contains(part), "{part} is in:\n{}", once.out);
    }
    assert!(!once.out.contains('\u{1b}'), "no colours where no terminal is");

    let json = run(folder.path(), &["top", "--url", &url, "--once", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["status"]["routes"][1]["limits"]["paused"], true);
    assert!(json["second"]["routes"]["chat/apns"]["in_flight"].is_u64());

    // Lines, second after second, until it is told to end.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = tidegate(folder.path(), &["top", "--url", &url]);
    let running = Running::start(command.stdout(writer));
    drop(command);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(reader)).map_while(Result::ok);
    let lines: Vec<String> = lines.take(6).collect();
    assert!(lines.iter().filter(|line| line.contains(" route=* ready=true ")).count() >= 2, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(" route=chat/fcm state=paused_by_operator ")), "{lines:#?}");
    running.signal("INT");
    assert_eq!(running.ended().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tap_follows_what_is_asked_for() {
    let mut settings = SimulatorSettings::default();
    settings.fcm.faults.dead_tokens = DeadTokens { share: 0.3, ..DeadTokens::default() };
    let station = Station::start(settings);
    let served = Served::start(&station.config("", "", "")).await;
    let (folder, url) = (tempdir().unwrap(), format!("http://{}", served.address()));
    let (errors, writer) = std::io::pipe().unwrap();
    let mut command = tidegate(folder.path(), &["tap", "--url", &url, "--outcome", "unregistered", "--limit", "5"]);
    let running = Running::start(command.stderr(writer));
    drop(command);
    let mut errors = std::io::BufRead::lines(std::io::BufReader::new(errors));
    assert!(errors.next().unwrap().unwrap().starts_with("listening at "));
    served.post(jobs(400)).await;
    let ran = running.ended();
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 5), "{}", ran.out);
    for line in ran.out.lines() {
        assert!(line.contains("unregistered  chat/fcm") && line.contains("UNREGISTERED (404)"), "{line}");
    }

    let mut json = tidegate(folder.path(), &["tap", "--url", &url, "--json", "--target", "token-x"]);
    let (errors, writer) = std::io::pipe().unwrap();
    let running = Running::start(json.stderr(writer));
    drop(json);
    assert!(std::io::BufRead::lines(std::io::BufReader::new(errors)).next().unwrap().unwrap().starts_with("listening"));
    running.signal("TERM");
    assert_eq!(running.ended().code, Some(0), "it ends when it is told to");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_instance_or_a_token_it_is_69_and_says_what_to_do() {
    let folder = tempdir().unwrap();
    for command in ["top", "tap"] {
        let ran = run(folder.path(), &[command, "--url", "http://127.0.0.1:1"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""));
        assert!(ran.err.contains("does not answer") && ran.err.contains("refused"), "{}", ran.err);
    }
    let station = Station::start(SimulatorSettings::default());
    let config = station.config("", "", "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]", "[http]\ntokens = [\"let-me-look\"]")).unwrap();
    let served = Served::start(&config).await;
    let url = format!("http://{}", served.address());
    let refused = run(folder.path(), &["top", "--url", &url, "--once"]);
    assert_eq!(refused.code, Some(69));
    assert!(refused.err.contains("--token-file"), "{}", refused.err);
    std::fs::write(folder.path().join("token"), "let-me-look\n").unwrap();
    let entered = run(folder.path(), &["top", "--url", &url, "--once", "--token-file", "token"]);
    assert_eq!(entered.code, Some(0), "{}", entered.err);
}
