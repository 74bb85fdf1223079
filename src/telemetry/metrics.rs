//! The one file that knows metric names (SPEC.md, section 8), with `board` for what routes show and `process`.
//!
//! Code says what happened by calling a method; what it is called, and which labels it has, is decided here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::board::{Board, RouteGauges};
use super::bounds::Reasons;
use super::labels::{
    BuildLabels, JobLabels, JobResult, LatencyLabels, ProviderLabels, PushLabels, ReloadLabels, RetryLabels,
    RouteLabel, SinkLabels, SourceLabels, TraceLabels,
};
use super::process::Process;
use super::trace;
use crate::job::{Lane, Provider, SourceName};

/// How one push ended, for counting.
#[derive(Debug, Clone, Copy)]
pub struct PushEnd<'a> {
    /// Its route's app.
    pub app: &'a Arc<str>,
    /// Its provider.
    pub provider: Provider,
    /// Its lane.
    pub lane: Lane,
    /// How it ended.
    pub outcome: &'static str,
    /// Why; empty when delivered.
    pub reason: &'a str,
    /// From acceptance to outcome.
    pub took: Duration,
    /// The W3C trace that its job belongs to, if it names one.
    pub traceparent: Option<&'a str>,
}

const FAST: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const SLOW: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 14400.0];

fn fast() -> Histogram {
    Histogram::new(FAST)
}

type Traced = HistogramWithExemplars<TraceLabels>;

fn slow() -> Traced {
    Traced::new(SLOW.into_iter())
}

/// How a scrape is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
    /// Prometheus' own text format: what `promtool` and older scrapers read.
    Classic,
}

impl Exposition {
    /// Its `content-type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Classic => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Every metric there is.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    jobs: Family<JobLabels, Counter>,
    pushes: Family<PushLabels, Counter>,
    push_seconds: Family<LatencyLabels, Traced, fn() -> Traced>,
    attempt_seconds: Family<ProviderLabels, Histogram, fn() -> Histogram>,
    retries: Family<RetryLabels, Counter>,
    board: Arc<Board>,
    demand: Family<SourceLabels, Gauge>,
    unsettled: Family<SourceLabels, Gauge>,
    outcome_events: Family<SinkLabels, Counter>,
    outcome_events_unheard: Family<SinkLabels, Counter>,
    ready: Gauge,
    memory_held: Gauge,
    memory_limit: Gauge,
    spool_jobs: Gauge,
    spool_later: Gauge,
    spool_dead: Gauge,
    spool_used: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    reload_failed: Gauge,
    log_lines_left_out: Counter,
    reasons: Reasons,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            jobs: Family::default(),
            pushes: Family::default(),
            push_seconds: Family::new_with_constructor(slow),
            attempt_seconds: Family::new_with_constructor(fast),
            retries: Family::default(),
            board: Arc::default(),
            demand: Family::default(),
            unsettled: Family::default(),
            outcome_events: Family::default(),
            outcome_events_unheard: Family::default(),
            ready: Gauge::default(),
            memory_held: Gauge::default(),
            memory_limit: Gauge::default(),
            spool_jobs: Gauge::default(),
            spool_later: Gauge::default(),
            spool_dead: Gauge::default(),
            spool_used: Gauge::default(),
            reloads: Family::default(),
            reload_failed: Gauge::default(),
            log_lines_left_out: super::repeats::left_out(),
            reasons: Reasons::default(),
        };
        metrics.register();
        metrics.begin();
        metrics
    }
}

impl Metrics {
    /// Where names are given. Counters get `_total` from the encoder, others their unit.
    fn register(&mut self) {
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        self.registry.register_collector(Box::new(Process));
        let to = self.registry.sub_registry_with_prefix("tidegate");
        to.register("build_info", "The version that runs", build);
        to.register("ready", "1 if /readyz says so", self.ready.clone());
        to.register("jobs", "Jobs by what became of them at the source", self.jobs.clone());
        to.register("pushes", "Pushes by how they ended", self.pushes.clone());
        to.register_with_unit("push", "From acceptance to outcome", Unit::Seconds, self.push_seconds.clone());
        to.register_with_unit("attempt", "One provider round trip", Unit::Seconds, self.attempt_seconds.clone());
        to.register("retries", "Attempts that will be made again", self.retries.clone());
        to.register_collector(Box::new(Arc::clone(&self.board)));
        to.register("demand", "Jobs wanted from the source now", self.demand.clone());
        to.register("unsettled", "Jobs taken from the source and not settled", self.unsettled.clone());
        to.register("outcome_events", "Outcome events made durable, by sink", self.outcome_events.clone());
        let unheard = self.outcome_events_unheard.clone();
        to.register("outcome_events_unheard", "Outcome events that no queue took", unheard);
        let held = self.memory_held.clone();
        to.register_with_unit("memory_held", "Estimated bytes of the jobs held", Unit::Bytes, held);
        let limit = self.memory_limit.clone();
        to.register_with_unit("memory_limit", "Bytes of jobs that may be held", Unit::Bytes, limit);
        to.register("spool_jobs", "Jobs on disk, those in hand included", self.spool_jobs.clone());
        to.register("spool_later_jobs", "Retries on disk that are not due yet", self.spool_later.clone());
        to.register("spool_dead_letters", "Dead letters on disk", self.spool_dead.clone());
        to.register_with_unit("spool_used", "Bytes that the spool uses", Unit::Bytes, self.spool_used.clone());
        to.register("config_reloads", "Reloads of the configuration, by what came of them", self.reloads.clone());
        let failed = self.reload_failed.clone();
        to.register("config_reload_failed", "1 if the last reload was refused: the file is bad", failed);
        let left_out = self.log_lines_left_out.clone();
        to.register("log_lines_left_out", "Lines that the log leaves out, since they repeat others", left_out);
    }

    /// Counters that an alert watches begin at 0: a series that appears with a 1 has not risen in Prometheus' eyes.
    fn begin(&self) {
        for source in [SourceName::Amqp, SourceName::Spool] {
            for lane in Lane::ALL {
                for result in [JobResult::Accepted, JobResult::Dead, JobResult::Duplicate] {
                    self.jobs(source, lane, result, 0);
                }
            }
        }
        self.unheard("amqp", 0);
        for result in ["taken", "refused"] {
            self.reloads.get_or_create(&ReloadLabels { result }).inc_by(0);
        }
    }

    /// Jobs came in.
    pub fn jobs(&self, source: SourceName, lane: Lane, result: JobResult, count: u64) {
        self.jobs.get_or_create(&JobLabels { source, lane, result }).inc_by(count);
    }

    /// Jobs the pipeline would take from a source now.
    pub fn demand(&self, source: SourceName, lane: Lane, jobs: usize) {
        self.demand.get_or_create(&SourceLabels { source, lane }).set(gauge(jobs));
    }

    /// Jobs taken from a source and not settled there.
    pub fn unsettled(&self, source: SourceName, lane: Lane, jobs: usize) {
        self.unsettled.get_or_create(&SourceLabels { source, lane }).set(gauge(jobs));
    }

    /// A push ended.
    pub fn ended(&self, end: &PushEnd<'_>) {
        let labels = PushLabels {
            app: self.board.apps.label(end.app),
            provider: end.provider,
            lane: end.lane,
            outcome: end.outcome,
            reason: self.reasons.label(end.reason),
        };
        self.pushes.get_or_create(&labels).inc();
        let latency = LatencyLabels { provider: end.provider, lane: end.lane };
        let traced = end.traceparent.and_then(trace::sampled_id).map(|id| TraceLabels { trace_id: id.to_owned() });
        let at = traced.is_some().then(SystemTime::now);
        self.push_seconds.get_or_create(&latency).observe(end.took.as_secs_f64(), traced, at);
    }

    /// An attempt was answered, or given up.
    pub fn attempt(&self, provider: Provider, round_trip: Duration) {
        self.attempt_seconds.get_or_create(&ProviderLabels { provider }).observe(round_trip.as_secs_f64());
    }

    /// A push will be tried again.
    pub fn retry(&self, provider: Provider, reason: &str) {
        self.retries.get_or_create(&RetryLabels { provider, reason: self.reasons.label(reason) }).inc();
    }

    /// Pushes waiting for a route in a lane.
    pub fn waiting(&self, route: &RouteLabel, lane: Lane, pushes: usize, oldest: Duration) {
        self.board.waiting(route, lane, pushes, oldest);
    }

    /// A route was removed, and nothing waits for it any more: its gauges of that are gone.
    pub fn nothing_waits(&self, route: &RouteLabel) {
        self.board.nothing_waits(route);
    }

    /// A route was removed: its other gauges are gone. Its counters stay.
    pub fn route_removed(&self, route: &RouteLabel) {
        self.board.route_removed(route);
    }

    /// What a route is doing.
    pub fn route(&self, route: &RouteLabel, now: &RouteGauges) {
        self.board.route(route, now);
    }

    /// Events were made durable by a sink.
    pub fn published(&self, sink: &'static str, events: usize) {
        self.outcome_events.get_or_create(&SinkLabels { sink }).inc_by(events as u64);
    }

    /// Events that a sink took and nobody hears.
    pub fn unheard(&self, sink: &'static str, events: usize) {
        self.outcome_events_unheard.get_or_create(&SinkLabels { sink }).inc_by(events as u64);
    }

    /// Whether the whole is ready.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Estimated bytes of the jobs held, and how many may be.
    pub fn memory(&self, held: usize, limit: usize) {
        self.memory_held.set(gauge(held));
        self.memory_limit.set(gauge(limit));
    }

    /// What the spool holds: jobs, retries that are not due, dead letters, bytes.
    pub fn spool(&self, queued: u64, later: u64, dead: u64, used_bytes: u64) {
        let gauges = [&self.spool_jobs, &self.spool_later, &self.spool_dead, &self.spool_used];
        for (gauge, value) in gauges.into_iter().zip([queued, later, dead, used_bytes]) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    /// A reload of the configuration was taken on, or refused.
    pub fn reloaded(&self, taken: bool) {
        let result = if taken { "taken" } else { "refused" };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
        self.reload_failed.set((!taken).into());
    }

    /// All of it, as OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_as(Exposition::OpenMetrics)
    }

    /// All of it, as text of that kind.
    #[must_use]
    pub fn render_as(&self, exposition: Exposition) -> String {
        let mut page = String::new();
        let written = match exposition {
            Exposition::OpenMetrics => text::encode(&mut page, &self.registry),
            Exposition::Classic => prometheus_text::encode(&mut page, &self.registry),
        };
        written.expect("writing to a String does not fail");
        page
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::UnixMillis;
    use crate::telemetry::bounds::{MAX_APPS, MAX_REASONS};

    #[test]
    fn a_removed_route_leaves_its_counters_and_no_gauge() {
        let metrics = Metrics::default();
        let label = |app: &str| RouteLabel { app: app.into(), provider: Provider::Apns };
        let gauges =
            |expires| RouteGauges { in_flight: 3, rate_limit: 5.0, credential_expires: expires, ..Default::default() };
        for app in ["chat", "shop"] {
            metrics.route(&label(app), &gauges(Some(UnixMillis(9_000))));
            Lane::ALL.into_iter().for_each(|lane| metrics.waiting(&label(app), lane, 7, Duration::from_secs(1)));
            let (provider, lane, took) = (Provider::Apns, Lane::High, Duration::ZERO);
            metrics.ended(&PushEnd {
                app: &app.into(),
                provider,
                lane,
                outcome: "delivered",
                reason: "",
                took,
                traceparent: None,
            });
        }
        let of = |app: &str| {
            let text = metrics.render();
            text.lines().filter(|line| line.contains(&format!("app=\"{app}\""))).count()
        };
        assert_eq!((of("chat"), of("shop")), (13, 13));
        metrics.nothing_waits(&label("chat"));
        metrics.route_removed(&label("chat"));
        assert_eq!((of("chat"), of("shop")), (1, 13));
        metrics.route(&label("shop"), &gauges(None));
        assert_eq!(of("shop"), 12, "a credential that does not end has no end");
    }

    #[test]
    fn names_are_those_of_the_contract_and_reasons_are_bounded() {
        let metrics = Metrics::default();
        let app = Arc::from("chat");
        let end = |reason: &str| {
            let (provider, lane, took) = (Provider::Apns, Lane::High, Duration::from_millis(20));
            metrics.ended(&PushEnd { app: &app, provider, lane, outcome: "rejected", reason, took, traceparent: None });
        };
        for nth in 0..1_000 {
            end(&format!("{}é{nth}", "x".repeat(60)));
            end(&format!("Reason{nth}"));
        }
        metrics.jobs(SourceName::Amqp, Lane::Low, JobResult::Accepted, 3);
        metrics.retry(Provider::Fcm, "timeout");
        let text = metrics.render();
        assert!(text.contains("tidegate_jobs_total{source=\"amqp\",lane=\"low\",result=\"accepted\"} 3"), "{text}");
        assert!(text.contains("tidegate_retries_total{provider=\"fcm\",reason=\"other\"} 1"));
        assert!(text.contains("tidegate_push_seconds_bucket{le=\"0.025\",provider=\"apns\",lane=\"high\"} 2000"));
        assert!(text.lines().filter(|line| line.starts_with("tidegate_pushes_total")).count() <= MAX_REASONS + 1);
        assert!(text.contains("reason=\"other\""));
    }

    #[test]
    fn apps_beyond_the_bound_share_a_label_and_their_gauges_are_added_up() {
        let metrics = Metrics::default();
        let apps: Vec<Arc<str>> = (0..50).map(|nth| format!("app-{nth:02}").into()).collect();
        for (nth, app) in (1_u32..).zip(&apps) {
            let label = RouteLabel { app: Arc::clone(app), provider: Provider::Fcm };
            let expires = Some(UnixMillis(u64::from(100 - nth) * 1_000));
            let (rate_limit, breaker) = (f64::from(nth), u8::from(nth == 50) * 2);
            let gauges =
                RouteGauges { in_flight: 1, rate_limit, breaker, credential_expires: expires, ..Default::default() };
            metrics.route(&label, &gauges);
            metrics.waiting(&label, Lane::Low, 2, Duration::from_secs(nth.into()));
            let (provider, lane, took) = (Provider::Fcm, Lane::Low, Duration::ZERO);
            metrics.ended(&PushEnd { app, provider, lane, outcome: "delivered", reason: "", took, traceparent: None });
        }
        let text = metrics.render();
        let of = |name: &str, app: &str| {
            let begin = format!("tidegate_{name}{{app=\"{app}\",");
            let line = text.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_default();
            line.split(' ').nth(1).map(|value| value.parse::<f64>().unwrap())
        };
        assert_eq!(of("pushes_total", "other"), Some((apps.len() - MAX_APPS) as f64));
        assert_eq!((of("pushes_total", "app-19"), of("pushes_total", "app-20")), (Some(1.0), None));
        assert_eq!(of("in_flight", "other"), Some(30.0));
        assert_eq!(of("rate_limit", "other"), Some((21..=50).sum::<u32>().into()));
        assert_eq!((of("breaker_state", "other"), of("breaker_state", "app-03")), (Some(2.0), Some(0.0)));
        assert_eq!(of("credential_expiry_timestamp_seconds", "other"), Some(50.0));
        assert_eq!((of("waiting", "other"), of("oldest_waiting_seconds", "other")), (Some(60.0), Some(50.0)));
        assert_eq!(of("waiting", "app-49"), None);
    }

    #[test]
    fn a_recorded_trace_is_an_exemplar_in_openmetrics_alone() {
        let metrics = Metrics::default();
        let app = Arc::from("chat");
        let end = |traceparent| PushEnd {
            app: &app,
            provider: Provider::Apns,
            lane: Lane::High,
            outcome: "delivered",
            reason: "",
            took: Duration::from_millis(20),
            traceparent,
        };
        metrics.ended(&end(None));
        assert!(!metrics.render().contains("trace_id"));
        metrics.ended(&end(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
        let exemplar = "# {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.02";
        assert!(metrics.render().contains(exemplar), "{}", metrics.render());
        let classic = metrics.render_as(Exposition::Classic);
        assert!(!classic.contains("trace_id") && !classic.contains("# EOF"), "{classic}");
        assert!(classic.contains("# TYPE tidegate_pushes_total counter"), "{classic}");
    }
}
