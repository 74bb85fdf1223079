//! `tidegate enqueue` against the door of a real `serve`, and against a door that is difficult.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tidegate::simulator::{self, Simulator, SimulatorSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::command::{run, run_with};
use super::support::until;
use super::support::world::Served;

const BEARER: &str = "a-token-for-the-door-of-this-test";

fn job(id: &str, app: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","#) };
    format!(r#"{{{id}"app":"{app}","to":[{{"fcm":"token-{app}"}}],"data":{{"k":"v"}}}}"#)
}

/// `serve` on a spool, with FCM simulated, and its door behind a token.
struct Gate {
    _served: Served,
    simulator: Simulator,
    folder: TempDir,
    url: String,
}

impl Gate {
    async fn open() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = simulator::start(SimulatorSettings::default()).unwrap();
        let folder = tempdir().unwrap();
        simulator.write_credentials(folder.path()).unwrap();
        std::fs::write(folder.path().join("token"), format!("{BEARER}\n")).unwrap();
        let config = config_for(folder.path(), "127.0.0.1:0", simulator.fcm_address().port());
        let served = Served::start(&config).await;
        let up = served.log().into_iter().find(|line| line.contains("tidegate is up")).unwrap();
        let address = serde_json::from_str::<Value>(&up).unwrap()["address"].as_str().unwrap().to_owned();
        // For those that find the door by the configuration.
        config_for(folder.path(), &address, simulator.fcm_address().port());
        Self { _served: served, simulator, folder, url: format!("http://{address}") }
    }

    async fn sent(&self, count: u64) {
        until("all are sent", Duration::from_secs(60), || async {
            (self.simulator.ledger().await.fcm.accepted >= count).then_some(())
        })
        .await;
        assert_eq!(self.simulator.ledger().await.fcm.accepted, count, "and none twice");
    }
}

fn config_for(folder: &Path, listen: &str, fcm: u16) -> std::path::PathBuf {
    let path = folder.join(if listen.ends_with(":0") { "serve.toml" } else { "tidegate.toml" });
    let text = format!(
        "[http]\nlisten = \"{listen}\"\ntokens = [\"file:token\"]\n[source.spool]\npath = \"spool\"\n\
         [providers.fcm]\nendpoint = \"https://localhost:{fcm}\"\nca_file = \"ca.pem\"\nrate = \"unlimited\"\n\
         [apps.chat.fcm]\nservice_account_file = \"service-account.json\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_through_the_door_once_however_often_they_are_sent() {
    const JOBS: usize = 1_201;
    let gate = Gate::open().await;
    let folder = gate.folder.path();
    let lines: Vec<String> = (0..JOBS).map(|nth| job(&format!("job-{nth}"), "chat")).collect();
    std::fs::write(folder.join("jobs.ndjson"), lines.join("\n")).unwrap();

    let closed = run(folder, &["enqueue", "--url", &gate.url, "jobs.ndjson"]);
    assert_eq!((closed.code, &*closed.out), (Some(69), "0 jobs enqueued, 0 refused\n"), "{}", closed.err);
    assert!(closed.err.contains("--token-file"), "{}", closed.err);

    let args = ["enqueue", "--url", &gate.url, "--token-file", "token", "jobs.ndjson"];
    let ran = run(folder, &args);
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "1201 jobs enqueued, 0 refused\n", ""));
    gate.sent(JOBS as u64).await;
    let again = run(folder, &args);
    assert_eq!(again.out, "1201 jobs enqueued (1201 of them before), 0 refused\n", "{}", again.err);
    // By the configuration: its door and its token; a job without an id.
    let ran = run_with(folder, &["enqueue", "--config", "tidegate.toml"], &job("", "chat"));
    assert_eq!((ran.code, &*ran.out), (Some(0), "1 jobs enqueued, 0 refused\n"), "{}", ran.err);
    gate.sent(JOBS as u64 + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_only_the_door_knows_to_be_bad_is_named_by_its_line() {
    let gate = Gate::open().await;
    let lines =
        [job("a", "chat"), String::new(), job("b", "nobody"), "{".to_owned(), job("c", "chat"), job("d", "nobody")];
    let args = ["enqueue", "--url", &gate.url, "--token-file", "token"];
    let ran = run_with(gate.folder.path(), &args, &lines.join("\n"));
    assert_eq!((ran.code, &*ran.out), (Some(65), "2 jobs enqueued, 3 refused\n"), "{}", ran.err);
    let said: BTreeSet<&str> = ran.err.lines().collect();
    for line in [3, 6] {
        let wanted = format!("error: line {line}: unknown_app: app \"nobody\" is not configured");
        assert!(said.contains(&*wanted), "{}", ran.err);
    }
    assert!(said.iter().any(|line| line.starts_with("error: line 4: not_json: ")), "{}", ran.err);
    gate.sent(2).await;
}

/// Full at first, then silent, then as it should be: the same jobs, with the same ids, are sent until they are taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_is_full_is_waited_for_and_a_lost_answer_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let door = tokio::spawn(async move {
        let mut bodies = Vec::new();
        let full = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n";
        let taken = "HTTP/1.1 202 Accepted\r\nconnection: close\r\n";
        let problem = r#"{"title":"the spool is full","status":429}"#;
        for answer in [Some((full, problem)), Some((full, problem)), None, Some((taken, r#"{"accepted":2}"#))] {
            let (mut socket, _) = listener.accept().await.unwrap();
            bodies.push(request(&mut socket).await);
            if let Some((head, body)) = answer {
                let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                socket.write_all(text.as_bytes()).await.unwrap();
            }
        }
        bodies
    });
    let folder = tempdir().unwrap();
    let input = format!("{}\n{}", job("", "chat"), job("b", "chat"));
    let begun = Instant::now();
    let ran = tokio::task::spawn_blocking(move || {
        run_with(folder.path(), &["enqueue", "--url", &url, "--lane", "low"], &input)
    });
    let ran = ran.await.unwrap();
    assert_eq!((ran.code, &*ran.out), (Some(0), "2 jobs enqueued, 0 refused\n"), "{}", ran.err);
    assert_eq!(ran.err, "waiting: the spool is full (429)\n", "once");
    assert!(begun.elapsed() >= Duration::from_secs(2), "Retry-After is kept, twice");
    let bodies = door.await.unwrap();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    let jobs: Vec<Value> = bodies[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((jobs[0]["id"].as_str().unwrap().len(), &jobs[1]["id"]), (36, &Value::from("b")));
    assert_eq!((&jobs[0]["priority"], &jobs[1]["priority"]), (&Value::from("low"), &Value::from("low")));
}

/// A request's body, by its length.
async fn request(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = socket.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the request ends early");
        text.extend_from_slice(&chunk[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            assert!(head.contains("content-type: application/x-ndjson"), "{head}");
            return body.to_owned();
        }
    }
}

#[test]
fn no_door_is_69_within_seconds() {
    let folder = tempdir().unwrap();
    let begun = Instant::now();
    let ran = run_with(folder.path(), &["enqueue", "--url", "http://127.0.0.1:1"], &job("a", "chat"));
    assert_eq!((ran.code, &*ran.out), (Some(69), "0 jobs enqueued, 0 refused\n"), "{}", ran.err);
    assert!(ran.err.contains("error: line 1: http://127.0.0.1:1/v1/jobs can't be reached"), "{}", ran.err);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_url_that_is_none_is_64_and_no_token_file_74() {
    let folder = tempdir().unwrap();
    assert_eq!(run(folder.path(), &["enqueue", "--url", "127.0.0.1:8080", "/dev/null"]).code, Some(64));
    let both = ["enqueue", "--url", "http://h", "--amqp-uri", "amqp://h", "/dev/null"];
    assert_eq!(run(folder.path(), &both).code, Some(64));
    let ran = run(folder.path(), &["enqueue", "--url", "http://127.0.0.1:1", "--token-file", "none", "/dev/null"]);
    assert_eq!(ran.code, Some(74), "{}", ran.err);
}
