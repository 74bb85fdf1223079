//! One scenario, from an empty place to its figures.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate::source::amqp::{AmqpSettings, PrivateBroker, declare, delete};
use tokio::runtime::Runtime;

use crate::account;
use crate::amqp::Peer;
use crate::ground::{Place, Serve, Simulators};
use crate::jobs::{Aim, Shape, app};
use crate::numbers::float;

/// How often the burst is looked at: often enough for a plot, seldom enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Without one more outcome for so long, something is wrong.
const STALLED: Duration = Duration::from_secs(60);
/// Jobs of one request to the door.
const JOBS_A_REQUEST: u64 = 100;
/// Clients of the door.
const POSTERS: u64 = 4;
/// When a client of the door comes again that was told to.
const COME_AGAIN: Duration = Duration::from_millis(200);

type Outcome<T> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// How the jobs come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feed {
    /// All are there before the pipeline starts (or before its routes are let go).
    Backlog,
    /// They come as fast as they are taken, while the pipeline runs.
    Meanwhile,
    /// So many jobs a second.
    Paced(f64),
}

/// Where they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Spool,
    Broker,
}

/// What is played.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub key: &'static str,
    pub what: String,
    pub source: Source,
    pub shape: Shape,
    pub pushes: u64,
    pub feed: Feed,
    /// The simulators' configuration.
    pub simulator: String,
    /// Further lines of the pipeline's.
    pub pipeline: String,
    /// It is over then, whatever waits.
    pub over_after: Option<Duration>,
}

impl Scenario {
    fn jobs(&self) -> u64 {
        self.pushes.div_ceil(self.shape.targets)
    }
}

/// What was seen at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Seconds since the pipeline was let go.
    pub at: f64,
    /// Pushes whose jobs the source had confirmed.
    pub published: u64,
    /// Pushes with an outcome.
    pub ended: u64,
    pub in_flight: u64,
    /// Provider round trips, in seconds, and how many of them.
    pub round_trips: (f64, f64),
    pub cpu: Cpu,
}

/// CPU time, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub pipeline: f64,
    pub simulators: f64,
    pub broker: f64,
    /// The bench itself.
    pub publisher: f64,
}

/// A lane's latency, from acceptance to the provider's answer, in milliseconds.
#[derive(Debug, Clone)]
pub struct LaneFigures {
    pub lane: String,
    pub delivered: u64,
    pub quantiles: [Option<u64>; 3],
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Figures {
    pub scenario: Scenario,
    pub series: Vec<Sample>,
    /// Pushes that had an outcome within `took`.
    pub ended: u64,
    pub delivered: u64,
    /// From the last look at which nothing had ended to the last outcome, in seconds.
    pub took: f64,
    /// Within the same time.
    pub cpu: Cpu,
    pub lanes: Vec<LaneFigures>,
    /// Of the pipeline, in bytes.
    pub peak: u64,
    pub connections: u64,
    /// What the provider counted.
    pub accepted: u64,
    pub refused: u64,
    /// CPU that the broker took for taking the backlog in, in seconds.
    pub broker_publish: f64,
}

impl Figures {
    /// Pushes a second.
    pub fn rate(&self) -> f64 {
        float(self.ended) / self.took.max(1e-3)
    }

    /// Microseconds a push, of so many seconds.
    pub fn micros(&self, seconds: f64) -> f64 {
        seconds * 1e6 / float(self.ended.max(1))
    }

    /// What does not agree between pipeline and provider.
    pub fn disagreement(&self) -> Option<String> {
        let (delivered, accepted) = (self.delivered, self.accepted);
        let all = self.scenario.over_after.is_some() || self.ended == self.scenario.pushes;
        (!all || accepted < delivered || (self.scenario.over_after.is_none() && accepted != delivered))
            .then(|| format!("{} ended, {delivered} delivered, the provider accepted {accepted}", self.ended))
    }
}

/// What scenarios share.
pub struct Ground<'a> {
    pub runtime: &'a Runtime,
    pub folder: &'a Path,
    pub broker: Option<&'a PrivateBroker>,
}

impl Ground<'_> {
    /// Plays a scenario; what was started for it has ended when this returns.
    pub fn play(&self, scenario: &Scenario) -> Outcome<Figures> {
        let folder = self.folder.join(scenario.key);
        let simulators = Simulators::start(&folder, &scenario.simulator)?;
        match (scenario.source, self.broker) {
            (Source::Spool, _) => Play { scenario, simulators: &simulators, broker: None }.on_spool(&folder),
            (Source::Broker, Some(broker)) => {
                let prefix = format!("burst-{}", scenario.key);
                let settings =
                    AmqpSettings { uri: broker.uri().into(), prefix: prefix.clone(), ..AmqpSettings::default() };
                self.runtime.block_on(declare(&settings)).map_err(text)?;
                let pid = account::broker(broker.port());
                let play = Play { scenario, simulators: &simulators, broker: pid };
                let figures = play.on_broker(broker, &prefix);
                self.runtime.block_on(delete(&settings)).map_err(text)?;
                figures
            }
            (Source::Broker, None) => Err("there is no broker".to_owned()),
        }
    }
}

struct Play<'a> {
    scenario: &'a Scenario,
    simulators: &'a Simulators,
    broker: Option<u32>,
}

impl Play<'_> {
    fn on_broker(&self, broker: &PrivateBroker, prefix: &str) -> Outcome<Figures> {
        let (uri, exchange) = (broker.uri(), format!("{prefix}.jobs"));
        let confirmed = AtomicU64::new(0);
        let publish = || {
            let rate = if let Feed::Paced(rate) = self.scenario.feed { Some(rate) } else { None };
            let messages = (0..self.scenario.jobs()).map(|nth| self.scenario.shape.message(nth));
            Peer::open(broker.port())
                .and_then(|mut peer| peer.publish(&exchange, rate, &confirmed, messages))
                .map_err(text)
        };
        let before = self.cpu_of_broker();
        if self.scenario.feed == Feed::Backlog {
            publish()?;
        }
        let broker_publish = self.cpu_of_broker() - before;
        let place = Place::Broker { uri: &uri, prefix };
        let serve = Serve::start(self.simulators, &place, self.scenario.shape.apps, &self.scenario.pipeline)?;
        let figures = match self.scenario.feed {
            Feed::Backlog => self.watch(&serve, &confirmed),
            _ => self.watch_while(&serve, &confirmed, |_| publish()),
        }?;
        self.close(serve)?;
        Ok(Figures { broker_publish, ..figures })
    }

    fn on_spool(&self, folder: &Path) -> Outcome<Figures> {
        let spool = folder.join("spool");
        let place = Place::Spool(&spool);
        let shape = self.scenario.shape;
        let serve = Serve::start(self.simulators, &place, shape.apps, &self.scenario.pipeline)?;
        let confirmed = AtomicU64::new(0);
        let apps: Vec<String> = (0..shape.apps).map(app).collect();
        let pause = |paused| apps.iter().try_for_each(|app| serve.pause(app, shape.aim, paused));
        let figures = if self.scenario.feed == Feed::Backlog {
            pause(true)?;
            self.post(&serve, &confirmed, &AtomicBool::new(false))?;
            pause(false)?;
            self.watch(&serve, &confirmed)
        } else {
            self.watch_while(&serve, &confirmed, |over| self.post(&serve, &confirmed, over))
        }?;
        self.close(serve)?;
        Ok(figures)
    }

    fn close(&self, serve: Serve) -> Outcome<()> {
        let (status, _) = serve.process.terminate().map_err(text)?;
        // What is cut short leaves work: exit code 75.
        match status.success() || self.scenario.over_after.is_some() {
            true => Ok(()),
            false => Err(format!("tidegate serve ended with {status}")),
        }
    }

    /// Posts all jobs by a few clients.
    fn post(&self, serve: &Serve, confirmed: &AtomicU64, over: &AtomicBool) -> Outcome<()> {
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..POSTERS).map(|_| scope.spawn(|| self.post_some(serve, &next, confirmed, over))).collect();
            clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
        })
    }

    fn post_some(&self, serve: &Serve, next: &AtomicU64, confirmed: &AtomicU64, over: &AtomicBool) -> Outcome<()> {
        let mut client = serve.poster()?;
        loop {
            let first = next.fetch_add(JOBS_A_REQUEST, Ordering::Relaxed);
            let last = (first + JOBS_A_REQUEST).min(self.scenario.jobs());
            if first >= last {
                return Ok(());
            }
            let lines: Vec<u8> =
                (first..last).flat_map(|nth| [self.scenario.shape.job(nth), b"\n".to_vec()].concat()).collect();
            while !client.post(&lines)? {
                if over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(COME_AGAIN);
            }
            confirmed.fetch_add(last - first, Ordering::Relaxed);
        }
    }

    fn watch_while(
        &self,
        serve: &Serve,
        confirmed: &AtomicU64,
        feed: impl FnOnce(&AtomicBool) -> Outcome<()> + Send,
    ) -> Outcome<Figures> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feed(&over));
            let figures = self.watch(serve, confirmed);
            over.store(true, Ordering::Relaxed);
            feeding.join().expect("the publisher does not panic")?;
            figures
        })
    }

    /// Looks until all has ended, or it is over.
    fn watch(&self, serve: &Serve, confirmed: &AtomicU64) -> Outcome<Figures> {
        let (begun, mut series) = (Instant::now(), Vec::<Sample>::new());
        let mut progress = (0, Instant::now());
        let status = loop {
            let status = serve.status()?;
            let sample = self.sample(serve, &status, begun, confirmed)?;
            series.push(sample);
            if sample.ended > progress.0 {
                progress = (sample.ended, Instant::now());
            }
            let over = self.scenario.over_after.is_some_and(|after| begun.elapsed() >= after);
            if sample.ended >= self.scenario.pushes || over {
                break status;
            }
            if progress.1.elapsed() > STALLED {
                return Err(format!(
                    "no outcome for {} s at {} of {}; {}",
                    STALLED.as_secs(),
                    sample.ended,
                    self.scenario.pushes,
                    status["reasons"]
                ));
            }
            std::thread::sleep(LOOK_EVERY);
        };
        self.figures(serve, &status, series)
    }

    fn sample(&self, serve: &Serve, status: &Value, begun: Instant, confirmed: &AtomicU64) -> Outcome<Sample> {
        let metrics = serve.metrics()?;
        let provider = format!("provider=\"{}\"", self.scenario.shape.aim.name());
        let sum = |name| metrics.sum(name, &provider);
        let in_flight = status["routes"].as_array().into_iter().flatten().filter_map(|it| it["in_flight"].as_u64());
        Ok(Sample {
            at: begun.elapsed().as_secs_f64(),
            published: (confirmed.load(Ordering::Relaxed) * self.scenario.shape.targets).min(self.scenario.pushes),
            ended: outcomes(status, None),
            in_flight: in_flight.sum(),
            round_trips: (sum("tidegate_attempt_seconds_sum"), sum("tidegate_attempt_seconds_count")),
            cpu: Cpu {
                pipeline: serve.process.cpu().as_secs_f64(),
                simulators: self.simulators.process.cpu().as_secs_f64(),
                broker: self.cpu_of_broker(),
                publisher: account::cpu(std::process::id()).unwrap_or_default().as_secs_f64(),
            },
        })
    }

    fn cpu_of_broker(&self) -> f64 {
        self.broker.and_then(account::cpu).unwrap_or_default().as_secs_f64()
    }

    fn figures(&self, serve: &Serve, status: &Value, series: Vec<Sample>) -> Outcome<Figures> {
        let last = *series.last().expect("it was looked at once");
        let first = series.iter().rev().find(|sample| sample.ended == 0).copied().unwrap_or(series[0]);
        let ledger = self.simulators.ledger(self.scenario.shape.aim)?;
        let refused =
            ledger["rejected"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        let millis = |lane: &Value| ["p50_ms", "p99_ms", "p999_ms"].map(|name| lane[name].as_u64());
        let lanes = status["lanes"].as_array().into_iter().flatten().map(|lane| LaneFigures {
            lane: lane["lane"].as_str().unwrap_or_default().to_owned(),
            delivered: lane["delivered"].as_u64().unwrap_or(0),
            quantiles: millis(lane),
        });
        let connections = status["routes"].as_array().into_iter().flatten();
        Ok(Figures {
            scenario: self.scenario.clone(),
            ended: last.ended - first.ended,
            delivered: outcomes(status, Some("delivered")),
            took: last.at - first.at,
            cpu: Cpu {
                pipeline: last.cpu.pipeline - first.cpu.pipeline,
                simulators: last.cpu.simulators - first.cpu.simulators,
                broker: last.cpu.broker - first.cpu.broker,
                publisher: last.cpu.publisher - first.cpu.publisher,
            },
            lanes: lanes.collect(),
            peak: account::peak(serve.process.pid()).unwrap_or(0),
            connections: connections.filter_map(|route| route["connections"].as_u64()).sum(),
            accepted: ledger["accepted"].as_u64().unwrap_or(0),
            refused,
            broker_publish: 0.0,
            series,
        })
    }
}

/// Pushes that ended so, or at all.
fn outcomes(status: &Value, kind: Option<&str>) -> u64 {
    let all = status["outcomes"].as_object().into_iter().flatten();
    all.filter(|(name, _)| kind.is_none_or(|kind| kind == name.as_str())).filter_map(|(_, count)| count.as_u64()).sum()
}

/// Whose pushes are meant where a scenario names none.
pub const DEFAULT: Shape = Shape { aim: Aim::Apns, targets: 1, apps: 1 };
