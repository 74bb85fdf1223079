//! Sets the stage, plays the burst, clears the stage.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Demo;
use super::books::{Books, LaneLine, RouteLine};
use super::load::{APPS, Burst};
use super::usage::{Cpu, peak_memory};
use crate::delivery::RouteSettings;
use crate::dispatch::LaneSettings;
use crate::job::{Lane, Provider, RouteId};
use crate::outcome::{OutcomeKind, OutcomeSettings};
use crate::pipeline::{AppSettings, Drained, HttpSettings, LimitSettings, Pipeline, Settings, View};
use crate::provider::ProviderSettings;
use crate::provider::apns::ApnsSettings;
use crate::provider::fcm::FcmSettings;
use crate::simulator::{
    self, DeadTokens, Faults, Latency, Reset, ResetCode, ServerError, Simulator, SimulatorSettings,
};
use crate::source::amqp::{AmqpSettings, Names, PrivateBroker, Publisher, declare};

/// Without one more outcome for so long, something is wrong.
const STALLED: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const DRAIN: Duration = Duration::from_secs(30);

/// Plays the demo and brings the books.
pub(super) async fn run(demo: &Demo) -> Result<Books, String> {
    let broker = broker(demo).await?;
    let amqp = amqp_settings(demo, broker.as_ref());
    say(demo, "starting the provider simulators");
    let simulator = simulator::start(simulator_settings(demo)).map_err(|error| error.to_string())?;
    declare(&amqp).await.map_err(|error| error.to_string())?;
    let settings = settings(&amqp, &simulator);
    let pipeline = Pipeline::start(&settings).map_err(|error| error.to_string())?;
    let stop = CancellationToken::new();
    let (address, _door) =
        crate::admin::serve(&settings.http, pipeline.view(), stop.clone()).await.map_err(|error| error.to_string())?;
    say(
        demo,
        &format!(
            "watch it: http://{address}/v1/status and /metrics; the simulators' ledger: http://{}/ledger",
            simulator.ledger_address()
        ),
    );

    let before = Cpu::now();
    let begun = Instant::now();
    let played = play(demo, &amqp, &pipeline.view()).await;
    let took = begun.elapsed();
    let cpu = before.and_then(|before| Cpu::now().map(|now| now.since(before)));

    let view = pipeline.view();
    let lines = route_lines(&view);
    let drained = pipeline.drain(DRAIN).await == Drained::Clean;
    stop.cancel();
    let ledger = simulator.ledger().await;
    if demo.amqp_uri.is_some() {
        crate::source::amqp::delete(&amqp).await.map_err(|error| error.to_string())?;
    }
    played?;
    Ok(Books {
        published: demo.pushes,
        took,
        cpu,
        peak_memory: peak_memory(),
        lanes: lane_lines(&view),
        routes: lines,
        outcomes: OutcomeKind::ALL.map(|kind| (kind.as_str(), view.tally.total(kind))).to_vec(),
        put_off: view.tally.put_off(),
        accepted: ledger.apns.accepted + ledger.fcm.accepted,
        duplicates: ledger.apns.duplicates + ledger.fcm.duplicates,
        violations: ledger.apns.protocol_violations + ledger.fcm.protocol_violations,
        drained,
    })
}

fn say(_demo: &Demo, text: &str) {
    eprintln!("{text}");
}

async fn broker(demo: &Demo) -> Result<Option<PrivateBroker>, String> {
    if demo.amqp_uri.is_some() {
        return Ok(None);
    }
    say(demo, "starting a private RabbitMQ (some seconds)");
    PrivateBroker::start().await.map(Some).map_err(|error| error.to_string())
}

fn amqp_settings(demo: &Demo, broker: Option<&PrivateBroker>) -> AmqpSettings {
    let uri = broker.map(PrivateBroker::uri).or_else(|| demo.amqp_uri.clone()).unwrap_or_default();
    // On somebody else's broker the demo must not meet anybody's queues.
    let prefix = if broker.is_some() { "tidegate".to_owned() } else { format!("tidegate-demo-{}", std::process::id()) };
    AmqpSettings { uri: uri.into(), prefix, ..AmqpSettings::default() }
}

fn simulator_settings(demo: &Demo) -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    for faults in [&mut settings.apns.faults, &mut settings.fcm.faults] {
        faults.latency = Latency::LogNormal { median: Duration::from_millis(30), sigma: 0.4 };
        if !demo.calm {
            *faults = faulty(faults.clone());
        }
    }
    settings
}

/// A day like any other: some dead tokens, some resets, now and then a server that can't.
fn faulty(faults: Faults) -> Faults {
    Faults {
        dead_tokens: DeadTokens { share: 0.01, ..DeadTokens::default() },
        reset: Some(Reset { share: 0.002, code: ResetCode::RefusedStream }),
        server_error: Some(ServerError { share: 0.0005, status: 500, retry_after: None }),
        ..faults
    }
}

fn settings(amqp: &AmqpSettings, simulator: &Simulator) -> Settings {
    let route = |provider| match provider {
        Provider::Fcm => ProviderSettings::Fcm(FcmSettings {
            endpoint: simulator.endpoint(provider),
            account: simulator.service_account("demo"),
        }),
        _ => ProviderSettings::Apns(ApnsSettings {
            endpoint: simulator.endpoint(provider),
            topic: "dev.tidegate.demo".to_owned(),
            credential: simulator.apns_credential(),
        }),
    };
    let routes = || [Provider::Apns, Provider::Fcm].map(|provider| (provider, route(provider), limits())).to_vec();
    Settings {
        http: HttpSettings { listen: ([127, 0, 0, 1], 0).into(), tokens: Vec::new() },
        limits: LimitSettings { memory: 256 << 20, drain_timeout: DRAIN },
        amqp: Some(amqp.clone()),
        outcomes: OutcomeSettings {
            publish: vec![OutcomeKind::Unregistered, OutcomeKind::Rejected, OutcomeKind::Expired, OutcomeKind::Failed],
            amqp: true,
            file: None,
            webhook: None,
        },
        lanes: [16, 4, 1].map(LaneSettings::weighing),
        apps: APPS.map(|name| AppSettings { name: name.to_owned(), routes: routes() }).to_vec(),
    }
}

fn limits() -> RouteSettings {
    RouteSettings {
        rate: None,
        burst: 1,
        min_concurrency: 1,
        max_concurrency: 8_000,
        connections: 8,
        request_timeout: Duration::from_secs(20),
        max_attempts: 5,
        default_ttl: Duration::from_secs(3600),
    }
}

/// Publishes the burst and waits until every push of it has ended.
async fn play(demo: &Demo, amqp: &AmqpSettings, view: &View) -> Result<(), String> {
    let close = CancellationToken::new();
    let publisher = Publisher::start(Arc::new(amqp.clone()), close.clone());
    publisher.connected().await.map_err(|error| error.to_string())?;
    let published = Arc::new(AtomicU64::new(0));
    let burst = Burst { pushes: demo.pushes, targets_per_job: demo.targets_per_job.into() };
    let publishing = tokio::spawn({
        let (names, published) = (Names::new(amqp.prefix.as_str()), Arc::clone(&published));
        async move { burst.publish(&publisher, &names, &published).await }
    });
    let bar = progress(demo.pushes);
    let mut last = (0, Instant::now());
    let result = loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let ended = view.tally.ended_in_all();
        bar.set_position(ended);
        bar.set_message(format!(
            "published {}, held in memory {} KiB",
            published.load(Ordering::Relaxed),
            view.memory.bytes() >> 10
        ));
        if ended >= demo.pushes {
            break Ok(());
        }
        if ended > last.0 {
            last = (ended, Instant::now());
        }
        if last.1.elapsed() > STALLED {
            let (_, reasons) = view.readiness();
            break Err(format!(
                "no outcome for {} s at {ended} of {}; {}",
                STALLED.as_secs(),
                demo.pushes,
                reasons.join("; ")
            ));
        }
    };
    bar.finish_and_clear();
    if result.is_ok() {
        publishing.await.map_err(|error| error.to_string())??;
    }
    close.cancel();
    result
}

fn progress(pushes: u64) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(pushes), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pushes, {per_sec}, {eta} left; {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn lane_lines(view: &View) -> Vec<LaneLine> {
    let line = |lane: Lane| {
        let latency = view.tally.latency(lane);
        LaneLine {
            lane: lane.as_str(),
            delivered: latency.count(),
            p50: latency.quantile(0.5),
            p99: latency.quantile(0.99),
        }
    };
    Lane::ALL.into_iter().map(line).collect()
}

fn route_lines(view: &View) -> Vec<RouteLine> {
    let routes = (0..).map(RouteId).zip(view.routes());
    routes
        .map(|(id, (label, status))| {
            let count = |kind| view.tally.route(id, kind);
            let all: u64 = OutcomeKind::ALL.into_iter().map(count).sum();
            let (delivered, unregistered) = (count(OutcomeKind::Delivered), count(OutcomeKind::Unregistered));
            RouteLine {
                route: label.to_string(),
                delivered,
                unregistered,
                other: all - delivered - unregistered,
                attempts: status.attempts,
                retries: status.retries,
                connections: status.connections,
            }
        })
        .collect()
}
