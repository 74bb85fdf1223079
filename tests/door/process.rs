//! The door of a whole process: without file descriptors, and what its log says.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::configuration::Credentials;
use crate::raw::{Client, ask, job, post, post_json};

const SOON: Duration = Duration::from_secs(15);
/// What the process may have open.
const DESCRIPTORS: usize = 96;

const REST: &str = r#"
[source.spool]
path = "spool"
min_free = "1MiB"
[providers.apns]
endpoint = "https://127.0.0.1:1"
[apps.chat.apns]
key_file = "good.p8"
key_id = "ABC123DEFG"
team_id = "TEAM123456"
topic = "com.example.chat"
"#;

struct Served {
    child: Child,
    address: SocketAddr,
    /// What it said until it listened.
    said: Vec<String>,
    log: mpsc::Receiver<String>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(folder: &std::path::Path, http: &str, level: &str) -> Self {
        let text = format!("[http]\nlisten = \"127.0.0.1:0\"\n{http}\n{REST}");
        std::fs::write(folder.join("tidegate.toml"), text).unwrap();
        let script = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" serve --config tidegate.toml");
        let mut child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_tidegate")])
            .current_dir(folder)
            .env("TIDEGATE_LOG", level)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (say, log) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| say.send(line).is_ok()));
        let mut said_before = Vec::new();
        let address = loop {
            let line = log.recv_timeout(SOON).unwrap_or_else(|_| panic!("it does not listen: {said_before:#?}"));
            let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            said_before.push(line);
            if let Some(address) = said["address"].as_str() {
                break address.parse().unwrap();
            }
        };
        Self { child, address, said: said_before, log }
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Processor time, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, after) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = after.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

#[tokio::test]
async fn without_descriptors_it_neither_spins_nor_fills_the_log_and_serves_whom_it_has() {
    let folder = Credentials::new();
    let served = Served::start(folder.path(), "", "info");
    let mut guest = Client::connect(served.address).await;
    guest.send(&post_json(job("before"))).await;
    assert_eq!(guest.answer(false).await.unwrap().status, 202);

    // The kernel takes connections in which the process can't.
    let crowd = join_all((0..2 * DESCRIPTORS).map(|_| Client::connect(served.address))).await;
    let begun = Instant::now();
    while served.descriptors() < DESCRIPTORS {
        assert!(begun.elapsed() < SOON, "{} open", served.descriptors());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = served.ticks();
    for nth in 0..10 {
        guest.send(&post_json(job(&format!("meanwhile-{nth}")))).await;
        assert_eq!(guest.answer(false).await.unwrap().status, 202);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A loop that spins takes all of this second.
    let ticks = served.ticks() - before;
    assert!(ticks < 50, "{ticks} ticks in a second");

    drop(crowd);
    let livez = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(ask(served.address, livez).await.unwrap().status, 200);
    let complaints = served.log.try_iter().filter(|line| line.contains("a connection can't be accepted")).count();
    assert!((1..=10).contains(&complaints), "{complaints} lines");
}

/// SPEC.md, promise 12, at the door: neither the log at its most verbose nor an answer shows a token or a device's address.
#[tokio::test]
async fn neither_log_nor_answer_shows_a_secret() {
    const DOOR: &str = "CANARYdoorCANARY";
    let device = "CA4A21".repeat(12);
    let folder = Credentials::new();
    let mut served = Served::start(folder.path(), &format!("tokens = [\"{DOOR}\"]"), "trace");
    let good = format!(r#"{{"id":"good","app":"chat","to":[{{"apns":"{device}"}}],"data":{{"k":"v"}}}}"#);
    let mut answers = String::new();
    let mut statuses = Vec::new();
    for (token, body) in [
        (DOOR, good.clone()),
        (DOOR, format!("[{good},{good}")),
        (DOOR, good.replace("\"apns\"", "\"apn\"")),
        (DOOR, good.replace("[{\"apns\":", "[").replace("}]", "]")),
        (DOOR, good.replace("\"good\"", "7")),
        (DOOR, good.replace("{\"apns\":", "{\"apns\":1,\"fcm\":")),
        (DOOR, good.replace("chat", "chess")),
        (&DOOR[1..], good.clone()),
    ] {
        let request = post("application/json", &format!("authorization: Bearer {token}\r\n"), body.as_bytes());
        let answer = ask(served.address, &request).await.unwrap();
        statuses.push(answer.status);
        answers.push_str(&String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(statuses, [202, 400, 400, 400, 400, 400, 400, 401]);
    // Also the words of what tries to send it.
    let begun = Instant::now();
    let mut log = std::mem::take(&mut served.said);
    while !log.iter().any(|line| line.contains("connect_failed")) {
        assert!(begun.elapsed() < SOON, "it tries: {log:#?}");
        log.extend(served.log.try_iter());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let shown = format!("{}\n{answers}", log.join("\n"));
    for secret in [DOOR, &DOOR[1..], &device, &device.to_lowercase()] {
        let line = shown.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "shown: {secret} in {line:?}");
    }
}

/// Clients that keep their connections, or are in the middle of a request that does not go on.
#[tokio::test]
async fn no_client_keeps_a_process_from_ending() {
    let folder = Credentials::new();
    let mut served = Served::start(folder.path(), "", "info");
    let mut idle = Client::connect(served.address).await;
    idle.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(idle.answer(false).await.unwrap().status, 200);
    let mut stalled = Client::connect(served.address).await;
    let request = post("application/json", "expect: 100-continue\r\n", job("stalled").as_bytes());
    stalled.send(&request[..request.len() - job("stalled").len()]).await;
    assert_eq!(stalled.any_answer(false).await.unwrap().status, 100);
    let pid = served.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = served.child.try_wait().unwrap() {
            break status.code();
        }
        assert!(begun.elapsed() < SOON, "it does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(code, Some(0));
    assert!(idle.is_closed().await);
    assert!(stalled.is_closed().await);
}
