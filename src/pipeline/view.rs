//! What a running pipeline shows: everything behind `/v1/status`, `/readyz` and the demo's table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::routes::OpenRoute;
use crate::delivery::{RouteState, RouteStatus};
use crate::job::{Lane, MemoryBudget, RouteId, SourceName, UnixMillis};
use crate::outcome::{OutcomeKind, Tally, Troubles};
use crate::source::amqp::SourceStatus;
use crate::source::spool::SpoolSourceStatus;
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
    outcomes: BTreeMap<&'static str, u64>,
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
            routes: self
                .routes()
                .into_iter()
                .map(|(id, label, status)| RouteReport {
                    provider: label.provider.as_str(),
                    app: label.app,
                    status,
                    outcomes: counts(|kind| self.tally.route(id, kind)),
                })
                .collect(),
            lanes: Lane::ALL.into_iter().map(|lane| self.lane(lane)).collect(),
            outcomes: counts(|kind| self.tally.total(kind)),
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

fn counts(of: impl Fn(OutcomeKind) -> u64) -> BTreeMap<&'static str, u64> {
    OutcomeKind::ALL.into_iter().map(|kind| (kind.as_str(), of(kind))).collect()
}
