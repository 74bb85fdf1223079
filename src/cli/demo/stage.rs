//! Sets the stage, plays the burst, clears the stage.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Demo;
use super::books::{Books, LaneLine, RouteLine};
use super::load::Burst;
use super::place::{INTERRUPTED, Place};
use super::settings::{DRAIN, settings, simulator_settings};
use super::usage::{Cpu, peak_memory};
use crate::cli::{Signals, tell};
use crate::job::Lane;
use crate::outcome::OutcomeKind;
use crate::pipeline::{Drained, Pipeline, View};
use crate::simulator::{self, Simulator};

/// Without one more outcome for so long, something is wrong.
const STALLED: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Plays the demo and brings the books. However it ends, nothing of it is left.
pub(super) async fn run(demo: &Demo) -> Result<Books, String> {
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let place = Place::open(demo, &mut signals).await?;
    let books = on_stage(demo, &place, &mut signals).await;
    match (books, place.clear().await) {
        (Ok(_), Err(left)) => Err(left),
        // What went wrong before is the cause, or matters more.
        (books, _) => books,
    }
}

async fn on_stage(demo: &Demo, place: &Place, signals: &mut Signals) -> Result<Books, String> {
    place.prepare().await?;
    tell("starting the provider simulators");
    let simulator = simulator::start(simulator_settings(demo)).map_err(|error| error.to_string())?;
    let settings = settings(place, &simulator);
    let pipeline = Pipeline::start(&settings).map_err(|error| error.to_string())?;
    let stop = CancellationToken::new();
    let played = async {
        let door =
            crate::admin::serve(&settings.http, pipeline.view(), pipeline.steering(), pipeline.intake(), stop.clone());
        let (address, _door) = door.await.map_err(|error| error.to_string())?;
        let ledger = simulator.ledger_address();
        tell(format_args!(
            "watch it: http://{address}/ in a browser, or `tidegate top --url http://{address}`; the simulators' ledger: http://{ledger}/ledger"
        ));
        let (cpu, begun) = (Cpu::now(), Instant::now());
        let most = play(demo, place, address, &pipeline.view(), signals).await?.saturating_duration_since(begun);
        let cpu = cpu.and_then(|before| Cpu::now().map(|now| now.since(before)));
        Ok((begun.elapsed(), most, cpu))
    };
    let played: Result<(Duration, Duration, Option<Cpu>), String> = played.await;

    let view = pipeline.view();
    let connections = view.routes().into_iter().map(|(_, _, status)| status.connections).collect();
    // The pipeline must be gone before its queues are: it would make them again.
    let deadline = if played.is_ok() { DRAIN } else { Duration::ZERO };
    let drained = pipeline.drain(deadline).await == Drained::Clean;
    // What a route says last is said when it has drained, and its connections are gone by then.
    let routes = route_lines(&view, connections);
    stop.cancel();
    let (took, most, cpu) = played?;
    let books = Books { took, most, cpu, routes, drained, ..books(demo, &view, &simulator).await };
    simulator.shutdown().await;
    Ok(books)
}

async fn books(demo: &Demo, view: &View, simulator: &Simulator) -> Books {
    let ledger = simulator.ledger().await;
    Books {
        published: demo.pushes,
        took: Duration::ZERO,
        most: Duration::ZERO,
        cpu: None,
        peak_memory: peak_memory(),
        lanes: lane_lines(view),
        routes: Vec::new(),
        outcomes: OutcomeKind::ALL.map(|kind| (kind.as_str(), view.tally.total(kind))).to_vec(),
        put_off: view.tally.put_off(),
        accepted: ledger.apns.accepted + ledger.fcm.accepted,
        duplicates: ledger.apns.duplicates + ledger.fcm.duplicates,
        violations: ledger.apns.protocol_violations + ledger.fcm.protocol_violations,
        drained: false,
    }
}

/// Publishes the burst and waits until every push of it has ended. Says when 99% of them had.
async fn play(
    demo: &Demo,
    place: &Place,
    door: SocketAddr,
    view: &View,
    signals: &mut Signals,
) -> Result<Instant, String> {
    let close = CancellationToken::new();
    let _closed = close.clone().drop_guard();
    let way = place.way_in(door, close).await?;
    let published = AtomicU64::new(0);
    let burst = Burst { pushes: demo.pushes, targets_per_job: demo.targets_per_job.into() };
    let bar = progress(demo.pushes);
    let played = tokio::select! {
        ended = async { tokio::try_join!(burst.publish(&way, &published), watch(demo, view, &published, &bar)) } => ended.map(|((), most)| most),
        () = signals.any() => Err(INTERRUPTED.to_owned()),
    };
    bar.finish_and_clear();
    played
}

/// Waits until as many pushes have ended as are published, and shows how far it is. Says when 99% of them had ended.
async fn watch(demo: &Demo, view: &View, published: &AtomicU64, bar: &ProgressBar) -> Result<Instant, String> {
    let mut last = (0, Instant::now());
    let mut most = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let ended = view.tally.ended_in_all();
        bar.set_position(ended);
        let (published, held) = (published.load(Ordering::Relaxed), view.memory.bytes() >> 10);
        bar.set_message(format!("published {published}, held in memory {held} KiB"));
        if ended >= demo.pushes - demo.pushes / 100 {
            most.get_or_insert_with(Instant::now);
        }
        if ended >= demo.pushes {
            return Ok(most.unwrap_or_else(Instant::now));
        }
        if ended > last.0 {
            last = (ended, Instant::now());
        }
        if last.1.elapsed() > STALLED {
            let ((_, reasons), seconds) = (view.readiness(), STALLED.as_secs());
            return Err(format!("no outcome for {seconds} s at {ended} of {}; {}", demo.pushes, reasons.join("; ")));
        }
    }
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

fn route_lines(view: &View, connections: Vec<usize>) -> Vec<RouteLine> {
    view.routes()
        .into_iter()
        .zip(connections)
        .map(|((id, label, status), connections)| {
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
                connections,
            }
        })
        .collect()
}
