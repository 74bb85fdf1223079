//! What a burst runs on: the simulators and the pipeline, each a process of its own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::account::Process;
use crate::jobs::{Aim, app};

/// The program that is measured: this build's, or the one that `BURST_TIDEGATE` names, to compare two.
fn tidegate() -> String {
    std::env::var("BURST_TIDEGATE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tidegate").to_owned())
}

/// How long a process may take until it answers.
const START: Duration = Duration::from_secs(20);

type Outcome<T> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Waits until `look` finds something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Outcome<T> {
    let deadline = Instant::now() + START;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {} s", START.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `tidegate simulate`.
pub struct Simulators {
    pub process: Process,
    pub folder: PathBuf,
    pub apns: u16,
    pub fcm: u16,
    ledger: u16,
}

impl Simulators {
    /// Starts both with this configuration (TOML); credentials go to `folder`.
    pub fn start(folder: &Path, configuration: &str) -> Outcome<Self> {
        fs::create_dir_all(folder).map_err(text)?;
        let config = folder.join("simulator.toml");
        fs::write(&config, configuration).map_err(text)?;
        let mut command = Command::new(tidegate());
        command.arg("simulate").arg("--config").arg(&config).arg("--credentials").arg(folder);
        let log = fs::File::create(folder.join("simulator.log")).map_err(text)?;
        command.stdout(Stdio::null()).stderr(log);
        let process = Process::start(&mut command).map_err(text)?;
        let ports = wait_for("the simulators", || {
            // Written last; read before it is whole, it is no TOML or lacks the last table.
            let written: toml::Table = fs::read_to_string(folder.join("tidegate.toml")).ok()?.parse().ok()?;
            written.get("apps")?.get("chat")?.get("fcm")?;
            fs::read_to_string(folder.join("ports.toml")).ok()?.parse::<toml::Table>().ok()
        })?;
        let port = |name: &str| ports[name].as_integer().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let (apns, fcm, ledger) = (port("apns_port"), port("fcm_port"), port("ledger_port"));
        Ok(Self { process, folder: folder.to_owned(), apns, fcm, ledger })
    }

    /// What they say they have seen, by door.
    pub fn ledger(&self, aim: Aim) -> Outcome<Value> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.ledger));
        Ok(get(address, "/ledger")?[aim.name()].clone())
    }

    /// The APNs key as the simulators wrote it: file, key id, team id.
    pub fn apns_key(&self) -> Outcome<(PathBuf, String, String)> {
        let written = fs::read_to_string(self.folder.join("tidegate.toml")).map_err(text)?;
        let written: toml::Table = written.parse().map_err(text)?;
        let route = &written["apps"]["chat"]["apns"];
        let field = |name: &str| route[name].as_str().unwrap_or_default().to_owned();
        Ok((self.folder.join(field("key_file")), field("key_id"), field("team_id")))
    }
}

/// Where the jobs wait.
pub enum Place<'a> {
    Spool(&'a Path),
    Broker { uri: &'a str, prefix: &'a str },
}

/// `tidegate serve`.
pub struct Serve {
    pub process: Process,
    door: SocketAddr,
}

impl Serve {
    /// Starts it with routes that lead to the simulators, and waits until its door is open.
    pub fn start(simulators: &Simulators, place: &Place<'_>, apps: u64, rest: &str) -> Outcome<Self> {
        let door = free_address().map_err(text)?;
        let config = simulators.folder.join("serve.toml");
        fs::write(&config, configuration(simulators, place, apps, door, rest)?).map_err(text)?;
        let log = fs::File::create(simulators.folder.join("serve.log")).map_err(text)?;
        let mut command = Command::new(tidegate());
        command.arg("serve").arg("--config").arg(&config).stdout(log.try_clone().map_err(text)?).stderr(log);
        let mut serve = Self { process: Process::start(&mut command).map_err(text)?, door };
        wait_for("tidegate serve", || (serve.process.has_ended() || TcpStream::connect(door).is_ok()).then_some(()))?;
        if serve.process.has_ended() {
            let log = fs::read_to_string(simulators.folder.join("serve.log")).unwrap_or_default();
            return Err(format!("tidegate serve ended:\n{log}"));
        }
        Ok(serve)
    }

    pub fn status(&self) -> Outcome<Value> {
        get(self.door, "/v1/status")
    }

    /// A metric's samples, summed over its labels.
    pub fn metrics(&self) -> Outcome<Metrics> {
        request(self.door, "GET", "/metrics", "", b"").map(|(_, body)| Metrics(body))
    }

    /// Stops a route, or lets it go on.
    pub fn pause(&self, app: &str, aim: Aim, paused: bool) -> Outcome<()> {
        let (path, body) = (format!("/v1/routes/{app}/{}", aim.name()), format!(r#"{{"paused":{paused}}}"#));
        match request(self.door, "PATCH", &path, "application/json", body.as_bytes())? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("the door answers {status} to a pause: {body}")),
        }
    }

    /// Posts jobs, as lines, on a connection that is kept.
    pub fn poster(&self) -> Outcome<Poster> {
        Ok(Poster { socket: TcpStream::connect(self.door).map_err(text)?, door: self.door, answer: Vec::new() })
    }
}

/// A client of `POST /v1/jobs`.
pub struct Poster {
    socket: TcpStream,
    door: SocketAddr,
    answer: Vec<u8>,
}

impl Poster {
    /// Posts them; true if they were taken, false if the spool had no room for them now.
    pub fn post(&mut self, lines: &[u8]) -> Outcome<bool> {
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            self.door,
            lines.len()
        );
        self.socket.write_all(&[head.as_bytes(), lines].concat()).map_err(text)?;
        let (status, body) = self.read_answer()?;
        match status {
            202 => Ok(true),
            429 | 503 | 507 => Ok(false),
            status => Err(format!("the door answers {status}: {body}")),
        }
    }

    /// One answer with a `content-length`, as the door gives them.
    fn read_answer(&mut self) -> Outcome<(u16, String)> {
        self.answer.clear();
        loop {
            let text = String::from_utf8_lossy(&self.answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if body.len() >= length.unwrap_or(0) {
                    return Ok((status_of(&head)?, body.to_owned()));
                }
            }
            let mut chunk = [0; 16_384];
            match self.socket.read(&mut chunk).map_err(self::text)? {
                0 => return Err("the door closed the connection".to_owned()),
                count => self.answer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// What `/metrics` said.
pub struct Metrics(String);

impl Metrics {
    /// The sum of a metric's samples whose labels hold this text.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let samples = self.0.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.contains(label));
        samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn get(address: SocketAddr, path: &str) -> Outcome<Value> {
    let (status, body) = request(address, "GET", path, "", b"")?;
    match status {
        200 => serde_json::from_str(&body).map_err(text),
        status => Err(format!("{path}: {status} {body}")),
    }
}

/// One request on a connection of its own.
fn request(address: SocketAddr, method: &str, path: &str, kind: &str, body: &[u8]) -> Outcome<(u16, String)> {
    let mut socket = TcpStream::connect(address).map_err(text)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).map_err(text)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    Ok((status_of(head)?, body.to_owned()))
}

fn status_of(head: &str) -> Outcome<u16> {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| format!("no HTTP status in {head}"))
}

/// An address that was free a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn configuration(
    simulators: &Simulators,
    place: &Place<'_>,
    apps: u64,
    door: SocketAddr,
    rest: &str,
) -> Outcome<String> {
    let (key_file, key_id, team_id) = simulators.apns_key()?;
    let (apns, fcm, key_file) = (simulators.apns, simulators.fcm, key_file.display());
    let source = match place {
        Place::Spool(path) => format!("[source.spool]\npath = \"{}\"", path.display()),
        Place::Broker { uri, prefix } => format!("[source.amqp]\nuri = \"{uri}\"\nprefix = \"{prefix}\""),
    };
    let mut text = format!(
        r#"
[http]
listen = "{door}"
rate = "unlimited"
{source}
[providers.apns]
endpoint = "https://localhost:{apns}"
ca_file = "ca.pem"
[providers.fcm]
endpoint = "https://localhost:{fcm}"
ca_file = "ca.pem"
rate = "unlimited"
{rest}
"#
    );
    for nth in 0..apps {
        let app = app(nth);
        text += &format!(
            r#"
[apps.{app}.apns]
key_file = "{key_file}"
key_id = "{key_id}"
team_id = "{team_id}"
topic = "com.example.{app}"
[apps.{app}.fcm]
service_account_file = "service-account.json"
"#
        );
    }
    Ok(text)
}
