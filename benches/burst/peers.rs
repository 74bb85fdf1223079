//! The same job by programs as users of other languages would write them (`benches/peers`), from the same broker to the same
//! simulator, in the same run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tidegate::source::amqp::{AmqpSettings, PrivateBroker, declare, delete};

use crate::account::{self, Process};
use crate::amqp::{Message, Peer as Publisher};
use crate::ground::Simulators;
use crate::numbers::float;
use crate::run::{DEFAULT, Ground};

/// How long a program may take: the slowest that was seen sends 1,000 a second.
const PATIENCE: Duration = Duration::from_secs(90);

type Outcome<T> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A program that can be played.
pub struct Peer {
    pub name: &'static str,
    program: PathBuf,
    script: PathBuf,
    /// The simulators' configuration.
    simulator: &'static str,
    /// Of a thousand of the largest burst's pushes, so many are enough to measure it, and don't take for ever.
    pub permille: u64,
}

/// What it took.
#[derive(Debug, Clone)]
pub struct PeerFigures {
    pub name: &'static str,
    pub pushes: u64,
    pub seconds: f64,
    /// CPU a push, in microseconds: its own, and the broker's.
    pub micros: f64,
    pub broker: f64,
}

/// Those there are, or in words why one is not.
pub fn all() -> Vec<Outcome<Peer>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    vec![node(&folder.join("node")), python(&folder.join("python"))]
}

fn node(folder: &Path) -> Outcome<Peer> {
    if !succeeds(Command::new("node").arg("--version")) {
        return Err("Node: it is not installed".to_owned());
    }
    if !folder.join("node_modules").exists() {
        return Err("Node: its packages are missing; npm install --no-package-lock in benches/peers/node".to_owned());
    }
    let name = "Node: amqplib and @parse/node-apn";
    Ok(Peer { name, program: "node".into(), script: folder.join("burst.js"), simulator: "fast = true", permille: 100 })
}

fn python(folder: &Path) -> Outcome<Peer> {
    let program = folder.join(".venv/bin/python");
    if !succeeds(Command::new(&program).args(["-c", "import aioapns, aio_pika"])) {
        return Err("Python: its packages are missing; python3 -m venv .venv and .venv/bin/pip install -r requirements.txt in benches/peers/python".to_owned());
    }
    // It knows an answer by the apns-id that it echoes, which a simulator has to read for that.
    let (name, simulator) = ("Python: aio-pika and aioapns", "fast = false");
    Ok(Peer { name, program, script: folder.join("burst.py"), simulator, permille: 20 })
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The beginning of what it wrote.
fn said(output: &Path) -> String {
    fs::read_to_string(output).unwrap_or_default().chars().take(300).collect()
}

impl Peer {
    /// Has it push a backlog of so many.
    pub fn play(&self, ground: &Ground<'_>, broker: &PrivateBroker, pushes: u64) -> Outcome<PeerFigures> {
        let folder = ground.folder.join("peer");
        let simulators = Simulators::start(&folder, self.simulator)?;
        let settings =
            AmqpSettings { uri: broker.uri().into(), prefix: "burst-peer".to_owned(), ..AmqpSettings::default() };
        ground.runtime.block_on(declare(&settings)).map_err(text)?;
        let all = (0..pushes).map(|nth| Message { routing_key: "normal", ..DEFAULT.message(nth) });
        let mut publisher = Publisher::open(broker.port()).map_err(text)?;
        publisher.publish("burst-peer.jobs", None, &AtomicU64::new(0), all).map_err(text)?;

        let (key, key_id, team_id) = simulators.apns_key()?;
        let output = folder.join("output");
        let mut command = Command::new(&self.program);
        command.arg(&self.script).args([&broker.uri(), "burst-peer.jobs.normal", &pushes.to_string()]);
        command.arg(simulators.apns.to_string()).arg(folder.join("ca.pem")).arg(key).args([key_id, team_id]);
        let file = fs::File::create(&output).map_err(text)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(text)?).stderr(file);
        let pid = account::broker(broker.port()).ok_or("the broker's process is not found")?;
        let (before, begun) = (account::cpu(pid).unwrap_or_default(), Instant::now());
        let (status, cpu) = Process::start(&mut command)
            .and_then(|process| process.end_within(PATIENCE))
            .map_err(|error| format!("{error}; it said: {}", said(&output)))?;
        let seconds = begun.elapsed().as_secs_f64();
        let broker_cpu = account::cpu(pid).unwrap_or_default().saturating_sub(before);
        ground.runtime.block_on(delete(&settings)).map_err(text)?;
        let accepted = simulators.ledger(DEFAULT.aim)?["accepted"].as_u64();
        if !status.success() || accepted != Some(pushes) {
            let said = said(&output);
            return Err(format!("it ended with {status}, {accepted:?} of {pushes} were accepted; it said: {said}"));
        }
        let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6 / float(pushes);
        Ok(PeerFigures { name: self.name, pushes, seconds, micros: micros(cpu), broker: micros(broker_cpu) })
    }
}
