//! What others take for a part of the same work, in the same run: `h2load` for sending, a bare consumer for the broker.

use std::fs;
use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tidegate::source::amqp::{AmqpSettings, PrivateBroker, declare, delete};

use crate::account::{self, Process};
use crate::amqp::{Message, Peer};
use crate::ground::Simulators;
use crate::jobs::{PAYLOAD, token};
use crate::numbers::float;
use crate::run::{DEFAULT, Ground};

/// Connections of h2load and streams on each: it is quickest here with few connections and many streams.
const CONNECTIONS: &str = "2";
const STREAMS: &str = "500";
/// Different paths that it goes through.
const PATHS: u64 = 10_000;
/// The bare consumer's prefetch: the same as the pipeline's.
const PREFETCH: u16 = 2_000;
/// How long h2load may take: a minute is ten times of what a million requests need.
const PATIENCE: Duration = Duration::from_secs(60);
const PREFIX: &str = "burst-yardstick";

type Outcome<T> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What h2load took.
#[derive(Debug, Clone, Copy)]
pub struct Sends {
    /// CPU a request, in microseconds.
    pub micros: f64,
    /// Requests a second.
    pub rate: f64,
}

/// Sends so many requests with the headers and the body of a push by h2load.
pub fn h2load(ground: &Ground<'_>, requests: u64) -> Outcome<Sends> {
    let folder = ground.folder.join("h2load");
    let simulators = Simulators::start(&folder, "fast = true")?;
    let authority = format!("https://localhost:{}", simulators.apns);
    let paths: String = (0..PATHS).map(|nth| format!("{authority}/3/device/{}\n", token(nth))).collect();
    let (list, body) = (folder.join("paths"), folder.join("body.json"));
    fs::write(&list, paths).map_err(text)?;
    fs::write(&body, PAYLOAD).map_err(text)?;
    let output = folder.join("output");
    let mut command = Command::new("h2load");
    command.args(["-t", "1", "-c", CONNECTIONS, "-m", STREAMS, "-n", &requests.to_string()]);
    command.arg("-i").arg(&list).arg("-d").arg(&body);
    // As many bytes as Tidegate's; a provider token has some 240.
    let authorization = format!("authorization: bearer {}", "e".repeat(240));
    for header in [
        "apns-topic: com.example.app0",
        "apns-push-type: alert",
        "apns-priority: 5",
        "apns-expiration: 1800000000",
        "apns-id: 018f2f6e-7f2b-7c3a-9d51-3c2b1a0f9e8d",
        &authorization,
    ] {
        command.args(["-H", header]);
    }
    command.stdout(fs::File::create(&output).map_err(text)?).stderr(Stdio::null());
    let process = Process::start(&mut command).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "h2load is not installed (apt-get install nghttp2-client)".to_owned(),
        _ => error.to_string(),
    })?;
    let (status, cpu) = process.end_within(PATIENCE).map_err(text)?;
    let mut said = String::new();
    fs::File::open(&output).and_then(|mut file| file.read_to_string(&mut said)).map_err(text)?;
    let word = |after: &str, before: &str| said.split_once(after)?.1.split_once(before).map(|(word, _)| word.trim());
    let succeeded: Option<u64> = word(" done, ", " succeeded").and_then(|count| count.parse().ok());
    if !status.success() || succeeded != Some(requests) {
        return Err(format!("h2load ended with {status} and {succeeded:?} answers"));
    }
    // "finished in 1.23s, 123456.78 req/s, 12.34MB/s"
    let rate = said.lines().find(|line| line.starts_with("finished in")).and_then(|line| line.split(", ").nth(1));
    let rate = rate.and_then(|rate| rate.trim_end_matches(" req/s").parse().ok()).ok_or("h2load says no rate")?;
    Ok(Sends { micros: cpu.as_secs_f64() * 1e6 / float(requests), rate })
}

/// The broker's CPU for one message that a bare consumer takes and acks by the hundred, in microseconds.
pub fn bare_consumer(ground: &Ground<'_>, broker: &PrivateBroker, messages: u64) -> Outcome<f64> {
    let settings = AmqpSettings { uri: broker.uri().into(), prefix: PREFIX.to_owned(), ..AmqpSettings::default() };
    ground.runtime.block_on(declare(&settings)).map_err(text)?;
    let all = (0..messages).map(|nth| Message { routing_key: "normal", ..DEFAULT.message(nth) });
    let exchange = format!("{PREFIX}.jobs");
    Peer::open(broker.port())
        .and_then(|mut peer| peer.publish(&exchange, None, &AtomicU64::new(0), all))
        .map_err(text)?;
    let pid = account::broker(broker.port()).ok_or("the broker's process is not found")?;
    let before = account::cpu(pid).unwrap_or_default();
    let queue = format!("{PREFIX}.jobs.normal");
    Peer::open(broker.port()).and_then(|mut peer| peer.consume(&queue, PREFETCH, messages)).map_err(text)?;
    let took = account::cpu(pid).unwrap_or_default().saturating_sub(before);
    ground.runtime.block_on(delete(&settings)).map_err(text)?;
    Ok(took.as_secs_f64() * 1e6 / float(messages))
}
