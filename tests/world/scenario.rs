//! A scenario as it stands in its TOML file: what comes, what serves it, what goes wrong, and what must hold.
//!
//! Spans of time are written as humans do (`"90s"`, `"1m 30s"`), moments as the span since the start. An unknown key is
//! an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tidegate::dispatch::{LaneSettings, OnOverload};
use tidegate::job::{Lane, Provider};

use super::measure::Measure;

/// A span of time, or a moment since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map(Span).map_err(serde::de::Error::custom)
    }
}

/// One scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, for people; said when it fails.
    pub shows: String,
    /// How many seeds it is run with, from 1 on.
    pub seeds: u64,
    /// How long traffic comes.
    pub duration: Span,
    /// How long the world goes on after that.
    #[serde(default)]
    pub tail: Span,
    /// The broker.
    #[serde(default)]
    pub source: SourceModel,
    /// The lanes' settings.
    #[serde(default)]
    pub lanes: LanesModel,
    /// App × provider.
    pub route: Vec<RouteModel>,
    /// What comes.
    pub traffic: Vec<TrafficModel>,
    /// What happens to the process.
    #[serde(default)]
    pub incident: Vec<Incident>,
    /// What must hold from beginning to end.
    pub expect: BTreeMap<Measure, [f64; 2]>,
    /// What must hold at times, or of a part of the traffic.
    #[serde(default)]
    pub span: BTreeMap<String, SpanModel>,
}

/// The broker and the settlement behind it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceModel {
    /// Jobs that may be out unsettled, of each lane's queue.
    pub prefetch: usize,
    /// Jobs a second that it hands over, of each lane's queue.
    pub per_second: usize,
    /// Bytes of jobs that may be held.
    pub memory: usize,
    /// Whether outcomes (all but `delivered`) are told before a job is settled.
    pub told: bool,
}

impl Default for SourceModel {
    fn default() -> Self {
        Self { prefetch: 2_000, per_second: 20_000, memory: 256 << 20, told: false }
    }
}

/// The three lanes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanesModel {
    high: LaneModel,
    normal: LaneModel,
    low: LaneModel,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LaneModel {
    weight: Option<u32>,
    max_waiting: Option<u32>,
    max_age: Option<Span>,
    on_overload: Overload,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Overload {
    #[default]
    Wait,
    ShedOldest,
    ShedNewest,
}

impl LanesModel {
    /// As the dispatch takes them.
    pub fn settings(&self) -> [LaneSettings; 3] {
        let settings = |lane: &LaneModel, weight: u32| {
            let default = LaneSettings::weighing(lane.weight.unwrap_or(weight));
            LaneSettings {
                max_waiting: lane.max_waiting.unwrap_or(default.max_waiting),
                max_age: lane.max_age.map(|age| age.0),
                on_overload: match lane.on_overload {
                    Overload::Wait => OnOverload::Wait,
                    Overload::ShedOldest => OnOverload::ShedOldest,
                    Overload::ShedNewest => OnOverload::ShedNewest,
                },
                ..default
            }
        };
        [settings(&self.high, 16), settings(&self.normal, 4), settings(&self.low, 1)]
    }
}

/// A route: its limits, and the provider at its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteModel {
    pub app: String,
    #[serde(default = "apns")]
    pub provider: Provider,
    /// Pushes a second; none: unlimited.
    pub rate: Option<u32>,
    pub burst: Option<u32>,
    #[serde(default = "one")]
    pub min_concurrency: u32,
    #[serde(default = "thousand")]
    pub max_concurrency: u32,
    #[serde(default = "five")]
    pub max_attempts: u8,
    #[serde(default = "twenty_seconds")]
    pub request_timeout: Span,
    #[serde(default = "hour")]
    pub default_ttl: Span,
    #[serde(default = "half")]
    pub max_dead_percent: u8,
    /// What a round trip takes in milliseconds when nobody else is there, at least and at most.
    #[serde(default = "latency")]
    pub latency_ms: [f64; 2],
    /// Pushes a second that the provider can serve: beyond it they queue there, and round trips grow (the knee).
    pub capacity: Option<f64>,
    /// Pushes that may queue at the provider; beyond it they are answered 503 at once.
    pub queue: Option<u32>,
    /// Streams that the server allows, from which moment on.
    #[serde(default)]
    pub streams: Vec<(Span, u32)>,
    /// A bucket that refills whole at a phase that nobody knows: 429 without `Retry-After` beyond it.
    pub quota: Option<Quota>,
    #[serde(default)]
    pub phase: Vec<Phase>,
}

const fn apns() -> Provider {
    Provider::Apns
}
const fn one() -> u32 {
    1
}
const fn thousand() -> u32 {
    1_000
}
const fn five() -> u8 {
    5
}
const fn half() -> u8 {
    50
}
const fn twenty_seconds() -> Span {
    Span(Duration::from_secs(20))
}
const fn hour() -> Span {
    Span(Duration::from_secs(3_600))
}
const fn latency() -> [f64; 2] {
    [40.0, 60.0]
}

/// A quota.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub cells: u32,
    pub per: Span,
}

/// A time in which the provider is not itself. What is not named stays as usual.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub from: Span,
    pub to: Span,
    /// So many times its usual latency.
    #[serde(default = "unchanged")]
    pub latency: f64,
    /// The share of pushes answered 503.
    #[serde(default)]
    pub unavailable: f64,
    /// The share of streams refused.
    #[serde(default)]
    pub unprocessed: f64,
    /// The share of devices that get too much.
    #[serde(default)]
    pub device_throttled: f64,
    /// All are answered 403: the credential is broken.
    #[serde(default)]
    pub forbidden: bool,
    /// The share of tokens that are dead.
    #[serde(default)]
    pub dead: f64,
    /// The share of pushes answered "not for this topic".
    #[serde(default)]
    pub misaddressed: f64,
    /// All are answered 429 with this `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    pub outage: Option<Outage>,
}

const fn unchanged() -> f64 {
    1.0
}

/// How a provider is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// Connections are lost, new ones refused.
    Unreachable,
    /// Nothing is answered.
    Silent,
    /// Everything is answered 503.
    Refusing,
}

/// What comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficModel {
    pub app: String,
    #[serde(default = "apns")]
    pub provider: Provider,
    #[serde(default = "normal")]
    pub lane: Lane,
    #[serde(default)]
    pub from: Span,
    pub to: Option<Span>,
    pub model: Model,
    /// Targets of each job.
    #[serde(default = "one")]
    pub fan_out: u32,
    /// Time to live, in seconds.
    pub ttl: Option<u32>,
    /// Jobs carry a collapse key and are addressed to one of so many devices.
    pub collapse_over: Option<u32>,
}

const fn normal() -> Lane {
    Lane::Normal
}

/// How jobs come, in jobs a second.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// At random, at this mean rate.
    Steady(f64),
    /// So many at once.
    Burst(u32),
    /// A steady rate that jumps to `peak` at `at` and decays with the time constant `decay`.
    FlashCrowd { usual: f64, peak: f64, at: Span, decay: Span },
    /// A sine between `least` and `most`.
    Diurnal { least: f64, most: f64, day: Span },
}

/// Something that happens to the process.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    pub at: Span,
    pub is: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// `kill -9`; it is back two seconds later.
    Crash,
    /// The connection to the broker is lost and made anew.
    Cut,
}

/// What must hold between two moments, of all pushes or of some.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanModel {
    #[serde(default)]
    pub from: Span,
    pub to: Option<Span>,
    /// Of these apps only.
    pub apps: Option<Vec<String>>,
    pub provider: Option<Provider>,
    pub lane: Option<Lane>,
    /// Of this traffic only, by its number in the file from 0.
    pub traffic: Option<u16>,
    /// The time that is compared with, where a measure compares.
    pub reference: Option<[Span; 2]>,
    pub expect: BTreeMap<Measure, [f64; 2]>,
}

/// Reads `tests/scenarios/<name>.toml`.
pub fn read(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
