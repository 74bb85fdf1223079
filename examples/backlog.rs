//! Memory of `tidegate serve` while a backlog waits: `cargo run --release --example backlog -- 1000000`.
//!
//! It starts a private RabbitMQ and both simulators, puts so many jobs into one queue, and runs `serve` as a process of
//! its own, first with providers that answer nothing, then with ones that answer. It prints resident memory and the
//! queue's depth as they go, and the most that was seen. Promise 4's test asserts the same of a smaller backlog.

#![allow(clippy::unwrap_used, reason = "a measurement that can't go on ends")]

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use tidegate::job::{Lane, Provider};
use tidegate::provider::apns::ApnsCredential;
use tidegate::simulator::{self, Faults, Latency, Simulator, SimulatorSettings, Window};
use tidegate::source::amqp::{AmqpSettings, Names, PrivateBroker, Publisher, declare, enqueue};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUEUE: &str = "tidegate.jobs.low";
/// How long the providers stall.
const STALL: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Lines are printed so often.
const PRINT_EVERY: u32 = 5;

fn main() -> ExitCode {
    // The process that is measured is this program again, as `tidegate` would be.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return tidegate::cli::run().into();
    }
    let jobs = std::env::args().nth(1).map_or(100_000, |jobs| jobs.parse().expect("how many jobs"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new().unwrap().block_on(measure(jobs));
    ExitCode::SUCCESS
}

async fn measure(jobs: u32) {
    let broker = PrivateBroker::start().await.unwrap();
    let faults = Faults {
        stalls: vec![Window { from: Duration::ZERO, length: Duration::from_secs(86_400) }],
        ..Faults::default()
    };
    let mut settings = SimulatorSettings { threads: 2, ..SimulatorSettings::default() };
    (settings.apns.faults, settings.fcm.faults) = (faults.clone(), faults);
    let simulator = simulator::start(settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    simulator.write_credentials(folder.path()).unwrap();
    let amqp = AmqpSettings { uri: broker.uri().into(), ..AmqpSettings::default() };
    declare(&amqp).await.unwrap();
    let begun = Instant::now();
    publish(&amqp, jobs).await;
    println!("{jobs} jobs in {QUEUE} after {:.0} s", begun.elapsed().as_secs_f64());

    let config = folder.path().join("tidegate.toml");
    std::fs::write(&config, configuration(&broker, &simulator)).unwrap();
    let serve = Serve::start(&config);
    let peer = Peer::connect(&broker).await;
    let begun = Instant::now();
    let stalled = watch("stalled", &serve, &peer, |_| begun.elapsed() < STALL).await;
    for provider in [Provider::Apns, Provider::Fcm] {
        let latency = Latency::Fixed { value: Duration::from_millis(30) };
        simulator.set_faults(provider, Faults { latency, ..Faults::default() });
    }
    let begun = Instant::now();
    let running = watch("running", &serve, &peer, |depth| depth > 0).await;
    let took = begun.elapsed().as_secs_f64();
    let ledger = simulator.ledger().await;
    println!("the queue was empty after {took:.0} s, {:.0} jobs a second", f64::from(jobs) / took);
    println!("accepted {}", ledger.apns.accepted + ledger.fcm.accepted);
    println!(
        "most resident: {} MiB stalled, {} MiB running (VmHWM {} MiB)",
        stalled >> 20,
        running >> 20,
        serve.memory("VmHWM:") >> 20
    );
}

/// Looks until `go_on` ends it; the most memory seen.
async fn watch(what: &str, serve: &Serve, peer: &Peer, go_on: impl Fn(u32) -> bool) -> u64 {
    let (mut most, mut depth) = (0, 1);
    for look in 0.. {
        if !go_on(depth) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        depth = peer.depth().await;
        let memory = serve.memory("VmRSS:");
        most = most.max(memory);
        if look % PRINT_EVERY == 0 {
            println!("{what} {:>4} s: {:>4} MiB resident, {depth:>8} jobs ready at the broker", look + 1, memory >> 20);
        }
    }
    most
}

async fn publish(amqp: &AmqpSettings, jobs: u32) {
    let close = CancellationToken::new();
    let publisher = Publisher::start(Arc::new(amqp.clone()), close.clone());
    publisher.connected().await.unwrap();
    let names = Names::new("tidegate");
    let sends = stream::iter(0..jobs).map(|nth| {
        let (id, body) = job(nth);
        enqueue(&publisher, &names, Lane::Low, &id, body)
    });
    sends.buffer_unordered(1_000).for_each(async |sent| sent.unwrap()).await;
    close.cancel();
}

fn job(nth: u32) -> (String, Bytes) {
    let id = format!("backlog-{nth}");
    let target = match nth % 2 {
        0 => format!(r#"{{"apns":"{nth:064x}"}}"#),
        _ => format!(r#"{{"fcm":"token-{nth:0140x}"}}"#),
    };
    let body = format!(
        r#"{{"id":"{id}","app":"chat","to":[{target}],"ttl":86400,"notification":{{"title":"Mina","body":"See you at eight?"}},"data":{{"channel":"42"}}}}"#
    );
    (id, body.into())
}

fn configuration(broker: &PrivateBroker, simulator: &Simulator) -> String {
    let ApnsCredential::Token { key_id, team_id, .. } = simulator.apns_credential() else { unreachable!("a token") };
    let (uri, apns, fcm) = (broker.uri(), simulator.apns_address().port(), simulator.fcm_address().port());
    format!(
        r#"
http.listen = "127.0.0.1:0"
source.amqp.uri = "{uri}"
[providers]
apns = {{ endpoint = "https://localhost:{apns}", ca_file = "ca.pem" }}
fcm = {{ endpoint = "https://localhost:{fcm}", ca_file = "ca.pem", rate = "unlimited" }}
[apps.chat]
apns = {{ key_file = "AuthKey_{key_id}.p8", key_id = "{key_id}", team_id = "{team_id}", topic = "com.example.chat" }}
fcm = {{ service_account_file = "service-account.json" }}
"#
    )
}

/// `tidegate serve`, as a process; killed in the end.
struct Serve(Child);

impl Serve {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["serve", "--config"]).arg(config).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// A line of the kernel's account of it, in bytes.
    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let kib = status.lines().find_map(|it| it.strip_prefix(line)).expect("it runs");
        kib.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Peer(lapin::Channel, #[expect(dead_code, reason = "keeps the channel open")] lapin::Connection);

impl Peer {
    async fn connect(broker: &PrivateBroker) -> Self {
        let connection = lapin::Connection::connect(&broker.uri(), Default::default()).await.unwrap();
        Self(connection.create_channel().await.unwrap(), connection)
    }

    /// Jobs ready in the queue: those that `serve` holds are not counted.
    async fn depth(&self) -> u32 {
        let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = self.0.queue_declare(QUEUE.into(), passive, Default::default()).await.unwrap();
        queue.message_count()
    }
}
