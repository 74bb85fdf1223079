//! What a running pipeline shows: everything behind `/v1/status`, `/readyz` and the demo's table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::inquiry::Inquiry;
use super::routes::OpenRoute;
use crate::delivery::{RouteOrders, RouteState, RouteStatus};
use crate::dispatch::{Shedding, Waiting, Waits};
use crate::flow::Rate;
use crate::job::{Lane, MemoryBudget, RouteId, SourceName, UnixMillis};
use crate::outcome::{OutcomeKind, ReasonCount, Tally, Tap, Troubles};
use crate::source::amqp::SourceStatus;
use crate::source::spool::SpoolSourceStatus;
use crate::spool::SpoolStatus;
use crate::telemetry::{Metrics, RouteLabel};
use tokio::sync::watch;

/// A running pipeline, seen from outside. Cheap to clone; reading it disturbs nobody.
#[derive(Clone)]
pub struct View {
    pub(super) started: Instant,
    pub(super) started_at: UnixMillis,
    pub(super) routes: watch::Receiver<Arc<[OpenRoute]>>,
    pub(super) amqp: Option<watch::Receiver<SourceStatus>>,
    pub(super) spool: Option<watch::Receiver<SpoolSourceStatus>>,
    pub(super) troubles: Troubles,
    pub(super) waiting: watch::Receiver<Waiting>,
    pub(super) shedding: watch::Receiver<Shedding>,
    /// Where the spool is, which has the dead letters; `None`: there is none.
    pub letters: Option<Arc<Path>>,
    /// Every outcome as it comes.
    pub tap: Arc<Tap>,
    pub(super) inquiry: Inquiry,
    /// The books.
    pub tally: Arc<Tally>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Memory held.
    pub memory: Arc<MemoryBudget>,
}

/// The status document.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    started_at: UnixMillis,
    uptime_seconds: u64,
    ready: bool,
    /// Why it is not ready, or what is amiss though it is.
    reasons: Vec<String>,
    sources: Vec<SourceReport>,
    routes: Vec<RouteReport>,
    lanes: Vec<LaneReport>,
    outcomes: BTreeMap<&'static str, u64>,
    /// Why, where it was not `delivered`; the most frequent first.
    outcome_reasons: Vec<ReasonCount>,
    jobs_settled: u64,
    pushes_put_off: u64,
    pushes_given_back: u64,
    memory: MemoryReport,
}

#[derive(Debug, Serialize)]
struct SourceReport {
    source: &'static str,
    #[serde(flatten)]
    status: AnyStatus,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum AnyStatus {
    Amqp(SourceStatus),
    Spool(SpoolSourceStatus),
}

#[derive(Debug, Serialize)]
struct RouteReport {
    app: Arc<str>,
    provider: &'static str,
    #[serde(flatten)]
    status: RouteStatus,
    /// Its state in words.
    says: &'static str,
    /// When it sends again, or tries one push, as far as that is known.
    until: Option<UnixMillis>,
    /// What it goes by: the configuration, or what was changed since.
    limits: LimitsReport,
    /// What waits for it in memory, by lane.
    waiting: [WaitingReport; 3],
    outcomes: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct LimitsReport {
    rate: String,
    burst: u32,
    concurrency: ConcurrencyReport,
    paused: bool,
}

#[derive(Debug, Serialize)]
struct ConcurrencyReport {
    min: u32,
    max: u32,
}

#[derive(Debug, Serialize)]
struct WaitingReport {
    lane: &'static str,
    pushes: usize,
    oldest_seconds: f64,
    /// Whether its overload policy drops what has waited too long, now.
    shedding: bool,
}

#[derive(Debug, Serialize)]
struct LaneReport {
    lane: &'static str,
    delivered: u64,
    p50_ms: Option<u128>,
    p99_ms: Option<u128>,
    p999_ms: Option<u128>,
}

#[derive(Debug, Serialize)]
struct MemoryReport {
    held_bytes: usize,
    limit_bytes: usize,
}

impl View {
    /// Whether it takes jobs, and what is amiss. A parked route is amiss but does not make the whole unready, unless
    /// every route is; one that the operator has paused never does.
    #[must_use]
    pub fn readiness(&self) -> (bool, Vec<String>) {
        let mut reasons = Vec::new();
        let mut ready = true;
        if let Some(amqp) = &self.amqp {
            let status = amqp.borrow();
            if !status.is_consuming() {
                ready = false;
                reasons.push(format!("source amqp: {}", *status));
            }
        }
        if let Some(trouble) = self.spool.as_ref().and_then(|spool| spool.borrow().trouble()) {
            ready = false;
            reasons.push(format!("source spool: {trouble}"));
        }
        for (sink, error) in self.troubles.all() {
            reasons.push(format!("outcomes can't be told, and jobs wait for that: {sink}: {error}"));
        }
        let routes = Arc::clone(&self.routes.borrow());
        let mut usable = routes.is_empty();
        for OpenRoute { label, status, .. } in routes.iter() {
            let status = status.borrow();
            match status.state {
                RouteState::Parked | RouteState::Unavailable | RouteState::NoCredential => {
                    let why = status.reason.as_deref().unwrap_or("no credential yet");
                    reasons.push(format!("route {label}: {why}"));
                }
                RouteState::PausedByOperator => {
                    usable = true;
                    reasons.push(format!("route {label}: {}", status.reason.as_deref().unwrap_or("paused")));
                }
                RouteState::Ready | RouteState::Paused => usable = true,
            }
        }
        (ready && usable, reasons)
    }

    /// The way to ask what became of a job.
    #[must_use]
    pub const fn inquiry(&self) -> &Inquiry {
        &self.inquiry
    }

    /// Brings the gauges up to date that nobody keeps so by himself: before a scrape.
    pub fn measure(&self) {
        self.metrics.ready(self.readiness().0);
        self.metrics.memory(self.memory.bytes(), self.memory.limit());
        if let Some(spool) = &self.spool {
            let SpoolStatus { queued, later, dead, used_bytes, .. } = spool.borrow().store;
            self.metrics.spool(queued, later, dead, used_bytes);
        }
    }

    /// The status document.
    #[must_use]
    pub fn status(&self) -> Status {
        let (ready, reasons) = self.readiness();
        let amqp = self.amqp.iter().map(|status| (SourceName::Amqp, AnyStatus::Amqp(status.borrow().clone())));
        let spool = self.spool.iter().map(|status| (SourceName::Spool, AnyStatus::Spool(status.borrow().clone())));
        Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            uptime_seconds: self.started.elapsed().as_secs(),
            ready,
            reasons,
            sources: amqp
                .chain(spool)
                .map(|(source, status)| SourceReport { source: source.as_str(), status })
                .collect(),
            routes: self.routes.borrow().iter().map(|route| self.route(route)).collect(),
            lanes: Lane::ALL.into_iter().map(|lane| self.lane(lane)).collect(),
            outcomes: counts(|kind| self.tally.total(kind)),
            outcome_reasons: self.tally.reasons(),
            jobs_settled: self.tally.jobs_settled(),
            pushes_put_off: self.tally.put_off(),
            pushes_given_back: self.tally.given_back(),
            memory: MemoryReport { held_bytes: self.memory.bytes(), limit_bytes: self.memory.limit() },
        }
    }

    /// The routes that are configured now, in the order of their names, with what each shows.
    #[must_use]
    pub fn routes(&self) -> Vec<(RouteId, RouteLabel, RouteStatus)> {
        let routes = Arc::clone(&self.routes.borrow());
        routes.iter().map(|route| (route.id, route.label.clone(), route.status.borrow().clone())).collect()
    }

    /// What waits for a route, by lane.
    #[must_use]
    pub fn waits(&self, route: RouteId) -> [Waits; 3] {
        self.waiting.borrow().get(route.0 as usize).copied().unwrap_or_default()
    }

    /// Jobs that the spool holds, those in hand included; `None`: there is no spool.
    #[must_use]
    pub fn queued(&self) -> Option<u64> {
        self.spool.as_ref().map(|spool| spool.borrow().store.queued)
    }

    /// Jobs that are asked of the sources now, and jobs that they have handed over and that are not settled yet.
    #[must_use]
    pub fn appetite(&self) -> (usize, usize) {
        let mut sums = (0, 0);
        let mut add = |demand: usize, unsettled: usize| sums = (sums.0 + demand, sums.1 + unsettled);
        if let Some(spool) = &self.spool {
            spool.borrow().lanes.iter().for_each(|lane| add(lane.demand, lane.unsettled));
        }
        if let Some(amqp) = &self.amqp {
            amqp.borrow().queues.iter().for_each(|queue| add(queue.demand, queue.unsettled));
        }
        sums
    }

    /// Whether jobs come from a broker, too.
    #[must_use]
    pub const fn has_broker(&self) -> bool {
        self.amqp.is_some()
    }

    /// What tells whether anything has changed that an operator did, or must know at once: states, reasons, limits.
    #[must_use]
    pub fn posture(&self) -> Vec<(RouteId, RouteState, Option<String>, RouteOrders)> {
        let routes = Arc::clone(&self.routes.borrow());
        let posture = |route: &OpenRoute| {
            let status = route.status.borrow();
            (route.id, status.state, status.reason.clone(), route.orders.borrow().clone())
        };
        routes.iter().map(posture).collect()
    }

    fn route(&self, OpenRoute { id, label, status, orders }: &OpenRoute) -> RouteReport {
        let (status, orders) = (status.borrow().clone(), orders.borrow().clone());
        let now = Instant::now();
        let waits = self.waits(*id);
        let sheds = self.shedding.borrow().get(id.0 as usize).copied().unwrap_or_default();
        RouteReport {
            app: Arc::clone(&label.app),
            provider: label.provider.as_str(),
            says: says(&status, &orders),
            until: status.until.map(|until| {
                let left = until.saturating_duration_since(now).as_millis();
                UnixMillis(UnixMillis::now().0.saturating_add(u64::try_from(left).unwrap_or(u64::MAX)))
            }),
            limits: LimitsReport {
                rate: Rate::write(orders.settings.rate),
                burst: orders.settings.burst,
                concurrency: ConcurrencyReport {
                    min: orders.settings.min_concurrency,
                    max: orders.settings.max_concurrency,
                },
                paused: orders.paused,
            },
            waiting: Lane::ALL.map(|lane| {
                let Waits { pushes, oldest } = waits[lane.index()];
                let age = oldest.map_or(0.0, |accepted| now.saturating_duration_since(accepted).as_secs_f64());
                let oldest_seconds = (age * 10.0).round() / 10.0;
                WaitingReport { lane: lane.as_str(), pushes, oldest_seconds, shedding: sheds[lane.index()] }
            }),
            outcomes: counts(|kind| self.tally.route(*id, kind)),
            status,
        }
    }

    fn lane(&self, lane: Lane) -> LaneReport {
        let latency = self.tally.latency(lane);
        let millis = |quantile| latency.quantile(quantile).map(|took| took.as_millis());
        LaneReport {
            lane: lane.as_str(),
            delivered: latency.count(),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            p999_ms: millis(0.999),
        }
    }
}

/// A route's state as people say it.
fn says(status: &RouteStatus, orders: &RouteOrders) -> &'static str {
    let configured = orders.settings.rate.map(|rate| rate.per_second());
    let ramps = status.rate.is_some_and(|rate| configured.is_none_or(|configured| rate < configured * 0.99));
    match status.state {
        RouteState::Ready if ramps => "flowing, ramping up",
        RouteState::Ready => "flowing",
        RouteState::Paused => "throttled by the provider",
        RouteState::PausedByOperator => "paused by an operator",
        RouteState::NoCredential => "waiting for its credential",
        RouteState::Parked => "parked: its jobs are kept",
        RouteState::Unavailable => "provider down: its pushes wait",
    }
}

fn counts(of: impl Fn(OutcomeKind) -> u64) -> BTreeMap<&'static str, u64> {
    OutcomeKind::ALL.into_iter().map(|kind| (kind.as_str(), of(kind))).collect()
}
