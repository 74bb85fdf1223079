//! A world to test in: a private RabbitMQ, the simulators, and `tidegate serve` as a process that can be killed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use serde_json::Value;
use tempfile::TempDir;
use tidegate::job::Lane;
use tidegate::provider::apns::ApnsCredential;
use tidegate::simulator::{self, Simulator, SimulatorSettings};
use tidegate::source::amqp::{AmqpSettings, Names, PrivateBroker, Publisher, declare, enqueue};
use tokio_util::sync::CancellationToken;

use super::until;

/// Everything but Tidegate itself.
pub struct World {
    pub broker: PrivateBroker,
    pub simulator: Simulator,
    pub folder: TempDir,
}

impl World {
    /// Starts broker and simulators, and declares the topology.
    pub async fn start(simulator: SimulatorSettings) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broker = PrivateBroker::start().await.expect("a private RabbitMQ starts");
        let simulator = simulator::start(simulator).expect("the simulators start");
        let folder = tempfile::tempdir().expect("a temporary folder");
        simulator.write_credentials(folder.path()).expect("credentials are written");
        let world = Self { broker, simulator, folder };
        declare(&world.amqp()).await.expect("the topology is declared");
        world
    }

    /// The broker, as the configuration would name it.
    pub fn amqp(&self) -> AmqpSettings {
        AmqpSettings { uri: self.broker.uri().into(), ..AmqpSettings::default() }
    }

    /// Writes a configuration for an app `chat` with both routes; `more` is put in front of the apps' tables.
    pub fn config(&self, more: &str) -> PathBuf {
        self.config_with(more, "", "")
    }

    /// The same, with further keys of `[source.amqp]` and of both routes of the app.
    pub fn config_with(&self, more: &str, amqp: &str, routes: &str) -> PathBuf {
        let source = format!("[source.amqp]\nuri = \"{}\"\n{amqp}", self.broker.uri());
        write_config(&self.simulator, self.folder.path(), &source, more, routes)
    }

    /// Publishes jobs as a backend would, each confirmed; ids and bodies.
    pub async fn publish(&self, lane: Lane, jobs: impl IntoIterator<Item = (String, Bytes)>) {
        let close = CancellationToken::new();
        let publisher = Publisher::start(Arc::new(self.amqp()), close.clone());
        publisher.connected().await.expect("the broker is there");
        let names = Names::new("tidegate");
        let sends = stream::iter(jobs).map(|(id, body)| {
            let (publisher, names) = (publisher.clone(), names.clone());
            async move { enqueue(&publisher, &names, lane, &id, body).await.expect("the broker confirms") }
        });
        sends.buffer_unordered(500).for_each(|()| async {}).await;
        close.cancel();
    }

    /// Publishes one job whose `timestamp` says that it was accepted so long ago.
    pub async fn publish_aged(&self, lane: Lane, id: &str, body: Bytes, age: Duration) {
        let uri = self.broker.uri();
        let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default());
        let connection = connection.await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel opens");
        channel.confirm_select(Default::default()).await.expect("confirms are on");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let properties = lapin::BasicProperties::default()
            .with_message_id(id.into())
            .with_delivery_mode(2)
            .with_timestamp((now - age).as_secs());
        let queue = format!("tidegate.jobs.{lane}");
        let published = channel.basic_publish("".into(), queue.into(), Default::default(), &body, properties).await;
        published.expect("it is written").await.expect("it is confirmed");
        let _ = connection.close(200, "done".into()).await;
    }

    /// Messages ready in a queue (those unsettled with a consumer are not counted).
    pub async fn depth(&self, queue: &str) -> u32 {
        let uri = self.broker.uri();
        let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default());
        let connection = connection.await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel opens");
        let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = channel.queue_declare(queue.into(), passive, Default::default()).await.expect("the queue is there");
        let count = queue.message_count();
        let _ = connection.close(200, "done".into()).await;
        count
    }

    /// Takes all messages out of a queue: bodies and headers as text.
    pub async fn take(&self, queue: &str) -> Vec<(Vec<u8>, lapin::BasicProperties)> {
        let uri = self.broker.uri();
        let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default());
        let connection = connection.await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel opens");
        let mut taken = Vec::new();
        let no_ack = lapin::options::BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(queue.into(), no_ack).await.expect("the queue is there") {
            taken.push((message.delivery.data.clone(), message.delivery.properties.clone()));
        }
        let _ = connection.close(200, "done".into()).await;
        taken
    }
}

/// A world without a broker: jobs come by the door and wait in the spool.
pub struct Station {
    pub simulator: Simulator,
    pub folder: TempDir,
}

impl Station {
    /// Starts the simulators.
    pub fn start(simulator: SimulatorSettings) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = simulator::start(simulator).expect("the simulators start");
        let folder = tempfile::tempdir().expect("a temporary folder");
        simulator.write_credentials(folder.path()).expect("credentials are written");
        Self { simulator, folder }
    }

    /// Writes a configuration, as [`World::config_with`] does, with further keys of `[source.spool]`.
    pub fn config(&self, more: &str, spool: &str, routes: &str) -> PathBuf {
        let source = format!("[source.spool]\nmin_free = \"1MiB\"\n{spool}");
        write_config(&self.simulator, self.folder.path(), &source, more, routes)
    }
}

/// A configuration for an app `chat` with both routes.
fn write_config(simulator: &Simulator, folder: &Path, source: &str, more: &str, routes: &str) -> PathBuf {
    let key = file_named(folder, "AuthKey_");
    let key_id = key.trim_start_matches("AuthKey_").trim_end_matches(".p8");
    let mut text = String::new();
    write!(
        text,
        r#"
[http]
listen = "127.0.0.1:0"
{source}
[providers.apns]
endpoint = "https://localhost:{apns}"
ca_file = "ca.pem"
[providers.fcm]
endpoint = "https://localhost:{fcm}"
ca_file = "ca.pem"
rate = "unlimited"
{more}
[apps.chat.apns]
key_file = "{key}"
key_id = "{key_id}"
team_id = "{team}"
topic = "com.example.chat"
{routes}
[apps.chat.fcm]
service_account_file = "service-account.json"
{routes}
"#,
        apns = simulator.apns_address().port(),
        fcm = simulator.fcm_address().port(),
        team = team_id(simulator),
    )
    .expect("writing to a String does not fail");
    let path = folder.join("tidegate.toml");
    std::fs::write(&path, text).expect("the configuration is written");
    path
}

fn file_named(folder: &Path, prefix: &str) -> String {
    let names = std::fs::read_dir(folder).expect("the folder can be read");
    let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.into_iter().find(|name| name.starts_with(prefix)).expect("the simulator wrote it")
}

fn team_id(simulator: &Simulator) -> String {
    match simulator.apns_credential() {
        ApnsCredential::Token { team_id, .. } => team_id,
        ApnsCredential::Certificate { .. } => unreachable!("the simulator's first credential is a token"),
    }
}

/// `tidegate serve`, running.
pub struct Served {
    child: Child,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Served {
    /// Starts it and waits until its door is open.
    pub async fn start(config: &Path) -> Self {
        Self::start_with(config, &[]).await
    }

    /// The same with environment variables.
    pub async fn start_with(config: &Path, env: &[(&str, &str)]) -> Self {
        // Another build may be put to the same tests: an optimised one is several times faster, and so finds other races.
        let binary =
            std::env::var("TIDEGATE_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tidegate").to_owned());
        let mut child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(config)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("it is piped");
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().expect("nobody panics with it").push(line);
                }
            }
        });
        let mut served = Self { child, address: String::new(), log };
        let address =
            until("tidegate says where it listens", Duration::from_secs(30), || async { served.said_address() });
        served.address = address.await;
        served
    }

    fn said_address(&self) -> Option<String> {
        let lines = self.log();
        let up = lines.iter().find(|line| line.contains("tidegate is up"))?;
        let line: Value = serde_json::from_str(up).expect("logs are JSON where no terminal is");
        Some(line["address"].as_str().expect("it says its address").to_owned())
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// An answer of its door: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = answer.get(format!("http://{}{path}", self.address)).send().await.expect("the door answers");
        (answer.status().as_u16(), answer.text().await.expect("the answer is text"))
    }

    /// The same with a bearer token.
    pub async fn get_with(&self, path: &str, token: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(format!("http://{}{path}", self.address)).bearer_auth(token).send().await;
        let answer = answer.expect("the door answers");
        (answer.status().as_u16(), answer.text().await.expect("the answer is text"))
    }

    /// Where its door is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Posts jobs, one a line; the answer's status and body.
    pub async fn post(&self, jobs: impl IntoIterator<Item = (String, Bytes)>) -> (u16, Value) {
        let lines: Vec<u8> = jobs.into_iter().flat_map(|(_, job)| [&job[..], b"\n"].concat()).collect();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(format!("http://{}/v1/jobs", self.address)).body(lines);
        let answer = request.header("content-type", "application/x-ndjson").send().await.expect("the door answers");
        (answer.status().as_u16(), answer.json().await.expect("the answer is JSON"))
    }

    /// Changes a route; the answer's status and body.
    pub async fn patch(&self, route: &str, change: Value) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.patch(format!("http://{}/v1/routes/{route}", self.address)).body(change.to_string());
        let answer = request.send().await.expect("the door answers");
        (answer.status().as_u16(), answer.json().await.expect("the answer is JSON"))
    }

    /// `/v1/status`.
    pub async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/v1/status").await.1).expect("the status is JSON")
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// Ends it as a power cut would.
    pub fn kill_9(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end; the exit code.
    pub async fn ended(&mut self, deadline: Duration) -> i32 {
        let give_up = Instant::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait().expect("its end can be waited for") {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < give_up, "it did not end within {deadline:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A job of `targets` APNs or FCM addresses, ids counted from `nth`.
pub fn job(nth: usize, apple: bool) -> (String, Bytes) {
    let id = format!("job-{nth}");
    let target = if apple { format!(r#"{{"apns":"{nth:064x}"}}"#) } else { format!(r#"{{"fcm":"token-{nth:032x}"}}"#) };
    let body = format!(
        r#"{{"id":"{id}","app":"chat","to":[{target}],"ttl":3600,"notification":{{"title":"Mina","body":"hi"}},"data":{{"tidegate-id":"{id}"}}}}"#
    );
    (id, body.into())
}

/// So many jobs, every second one Apple's.
pub fn jobs(count: usize) -> impl Iterator<Item = (String, Bytes)> {
    (0..count).map(|nth| job(nth, nth % 2 == 0))
}
