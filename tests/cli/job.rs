//! "What became of push X?": asked of a running instance, by HTTP and by `tidegate job`.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate::simulator::SimulatorSettings;

use super::command::{Ran, run};
use super::support::eventually;
use super::support::world::{Served, Station, job};

async fn ask(served: &Served, id: &str) -> (u16, Value) {
    let (status, body) = served.get(&format!("/v1/jobs/{id}")).await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Runs beside the server, which must be able to answer.
async fn command(served: &Served, args: &[&str]) -> Ran {
    let url = format!("http://{}", served.address());
    let args: Vec<String> =
        ["job"].iter().chain(args).map(|arg| (*arg).to_owned()).chain(["--url".to_owned(), url]).collect();
    tokio::task::spawn_blocking(move || run(Path::new("/"), &args.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_from_its_lane_to_its_outcome() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    let (status, _) = served.patch("chat/fcm", json!({"paused": true})).await;
    assert_eq!(status, 200);
    let wide = r#"{"id":"wide","app":"chat","to":[{"fcm":"one"},{"fcm":"two"},{"apns":"nonsense"}],"priority":"high",
        "notification":{"title":"hi"},"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    let (status, answer) = served.post([("wide".to_owned(), wide.replace('\n', "").into()), job(1, true)]).await;
    assert_eq!(status, 202, "{answer}");

    let told = eventually("one target was refused", || async {
        let (status, told) = ask(&served, "wide").await;
        (status == 200 && told["state"] == "waiting" && told["ended"].is_array()).then_some(told)
    })
    .await;
    assert_eq!(told["pushes"], json!({"total": 3, "waiting": 2, "in_flight": 0}), "{told}");
    assert_eq!(told["says"], "2 pushes wait in the lane high; 1 push rejected (bad_target)");
    assert_eq!((&told["app"], &told["lane"]), (&json!("chat"), &json!("high")));
    assert!(told["traceparent"].as_str().unwrap().starts_with("00-4bf9"), "{told}");
    assert_eq!(told["ended"][0]["target"], 2, "its place in `to`, and no token");
    let delivered = eventually("the other job is delivered", || async {
        let (_, told) = ask(&served, "job-1").await;
        (told["state"] == "ended").then_some(told)
    })
    .await;
    let push = &delivered["ended"][0];
    assert_eq!((&push["outcome"], &push["status"], &push["attempts"]), (&json!("delivered"), &json!(200), &json!(1)));
    assert!(push["provider_id"].as_str().is_some_and(|id| id.len() == 36), "Apple's id: {push}");

    let ran = command(&served, &["wide"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    assert!(ran.out.starts_with("wide: 2 pushes wait in the lane high; 1 push rejected (bad_target)\n"), "{}", ran.out);
    assert!(ran.out.contains("target 2 (apns)  rejected  reason bad_target"), "{}", ran.out);

    served.patch("chat/fcm", json!({"paused": false})).await;
    let told = eventually("all of it has ended", || async {
        let (_, told) = ask(&served, "wide").await;
        (told["state"] == "ended" && told["ended"].as_array().map(Vec::len) == Some(3)).then_some(told)
    })
    .await;
    assert_eq!(told["says"], "2 pushes delivered; 1 push rejected (bad_target)");
    let ran = command(&served, &["wide", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["ended"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_is_found_and_what_is_nowhere_is_404() {
    let station = Station::start(SimulatorSettings::default());
    // A window of one job: the rest stays on disk.
    let config = station.config("[lanes.normal]\nmax_waiting = 1000", "", "");
    let served = Served::start(&config).await;
    served.patch("chat/fcm", json!({"paused": true})).await;
    let (status, _) = served.post((0..3_000).map(|nth| job(nth, false))).await;
    assert_eq!(status, 202);
    let told = eventually("the last is on disk", || async {
        let (status, told) = ask(&served, "job-2999").await;
        (status == 200).then_some(told)
    })
    .await;
    assert_eq!(told["state"], "queued", "{told}");
    assert_eq!(told["on_disk"], json!([{"lies": "queued", "pushes": 1, "attempts": 0}]));
    assert_eq!(told["says"], "1 push waits on disk for its turn in the lane normal");

    let (status, problem) = ask(&served, "nobody").await;
    assert_eq!(status, 404);
    assert!(problem["title"].as_str().unwrap().contains("nobody"), "{problem}");
    let ran = command(&served, &["nobody"]).await;
    assert_eq!((ran.code, &*ran.out), (Some(65), ""));
    assert!(ran.err.contains("nothing is known of a job \"nobody\""), "{}", ran.err);
    assert_eq!(ask(&served, &"x".repeat(129)).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_told_nothing() {
    let station = Station::start(SimulatorSettings::default());
    let token = station.folder.path().join("token");
    std::fs::write(&token, "open\n").unwrap();
    let config = station.config("", "", "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:0\"", "127.0.0.1:0\"\ntokens = [\"file:token\"]")).unwrap();
    let served = Served::start(&config).await;
    assert_eq!(ask(&served, "x").await.0, 401);
    let ran = command(&served, &["x"]).await;
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("--token-file"), "{}", ran.err);
    let ran = command(&served, &["x", "--token-file", token.to_str().unwrap()]).await;
    assert_eq!(ran.code, Some(65), "{}", ran.err);
}

#[test]
fn nobody_there_is_69() {
    let folder = tempdir().unwrap();
    let ran = run(folder.path(), &["job", "x", "--url", "http://127.0.0.1:1"]);
    assert_eq!((ran.code, &*ran.out), (Some(69), ""));
    assert!(ran.err.contains("is tidegate serve running there?"), "{}", ran.err);
}
