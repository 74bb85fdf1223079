//! The one file that knows metric names (SPEC.md, section 8).
//!
//! Code says what happened by calling a method; what it is called, and which labels it has, is decided here.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::job::{Lane, Provider, SourceName, UnixMillis};

/// What became of a job at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobResult {
    /// Taken in.
    Accepted,
    /// A dead letter at once: it can't be read, or was delivered too often.
    Dead,
    /// Came again: from RabbitMQ, though all of it had ended, as its connection was lost before the ack arrived; at the door,
    /// with an id that was seen within the dedupe window. Acked or accepted, not sent.
    Duplicate,
}

impl JobResult {
    const fn as_str(self) -> &'static str {
        match self {
            JobResult::Accepted => "accepted",
            JobResult::Dead => "dead",
            JobResult::Duplicate => "duplicate",
        }
    }
}

/// A route's labels. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteLabel {
    /// The app.
    pub app: Arc<str>,
    /// The provider.
    pub provider: Provider,
}

impl std::fmt::Display for RouteLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.provider)
    }
}

macro_rules! label_value {
    ($($type:ty),*) => {$(
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    )*};
}

label_value!(Lane, Provider, SourceName, JobResult);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    source: SourceName,
    lane: Lane,
    result: JobResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: SourceName,
    lane: Lane,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    app: Arc<str>,
    provider: Provider,
    lane: Lane,
    outcome: &'static str,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    app: Arc<str>,
    provider: Provider,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitingLabels {
    app: Arc<str>,
    provider: Provider,
    lane: Lane,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: Provider,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LatencyLabels {
    provider: Provider,
    lane: Lane,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    provider: Provider,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

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
}

/// What a route is doing now, for gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RouteGauges {
    /// Attempts under way.
    pub in_flight: u32,
    /// How many may be under way.
    pub concurrency_limit: u32,
    /// Pushes a second; infinity where there is no limit.
    pub rate_limit: f64,
    /// 0 closed, 1 half open, 2 open.
    pub breaker: u8,
    /// Connections open.
    pub connections: u32,
    /// When the credential ends, if that is known.
    pub credential_expires: Option<UnixMillis>,
}

/// Reasons are the provider's own words: an open set. So many of them are told apart, the rest is `other`, so that a
/// provider gone mad can't fill our memory and everybody's scrapes.
const MAX_REASONS: usize = 128;
/// A reason's label is cut here.
const MAX_REASON_BYTES: usize = 64;
const FAST: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const SLOW: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 14400.0];

fn fast() -> Histogram {
    Histogram::new(FAST)
}

fn slow() -> Histogram {
    Histogram::new(SLOW)
}

type Latency<L> = Family<L, Histogram, fn() -> Histogram>;
type FloatGauge = Gauge<f64, AtomicU64>;

/// Every metric there is.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    jobs: Family<JobLabels, Counter>,
    pushes: Family<PushLabels, Counter>,
    push_seconds: Latency<LatencyLabels>,
    attempt_seconds: Latency<ProviderLabels>,
    retries: Family<RetryLabels, Counter>,
    waiting: Family<WaitingLabels, Gauge>,
    oldest_waiting: Family<WaitingLabels, FloatGauge>,
    in_flight: Family<RouteLabels, Gauge>,
    concurrency_limit: Family<RouteLabels, Gauge>,
    rate_limit: Family<RouteLabels, FloatGauge>,
    breaker_state: Family<RouteLabels, Gauge>,
    connections: Family<RouteLabels, Gauge>,
    credential_expiry: Family<RouteLabels, FloatGauge>,
    demand: Family<SourceLabels, Gauge>,
    unsettled: Family<SourceLabels, Gauge>,
    outcome_events: Family<SinkLabels, Counter>,
    outcome_events_unheard: Family<SinkLabels, Counter>,
    memory_held: Gauge,
    reasons: Mutex<HashSet<String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tidegate"),
            jobs: Family::default(),
            pushes: Family::default(),
            push_seconds: Family::new_with_constructor(slow),
            attempt_seconds: Family::new_with_constructor(fast),
            retries: Family::default(),
            waiting: Family::default(),
            oldest_waiting: Family::default(),
            in_flight: Family::default(),
            concurrency_limit: Family::default(),
            rate_limit: Family::default(),
            breaker_state: Family::default(),
            connections: Family::default(),
            credential_expiry: Family::default(),
            demand: Family::default(),
            unsettled: Family::default(),
            outcome_events: Family::default(),
            outcome_events_unheard: Family::default(),
            memory_held: Gauge::default(),
            reasons: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// The only place where a name stands. Counters get `_total` from the encoder.
    fn register(&mut self) {
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let to = &mut self.registry;
        to.register("build_info", "The version that runs", build);
        to.register("jobs", "Jobs by what became of them at the source", self.jobs.clone());
        to.register("pushes", "Pushes by how they ended", self.pushes.clone());
        to.register("push_seconds", "From acceptance to outcome", self.push_seconds.clone());
        to.register("attempt_seconds", "One provider round trip", self.attempt_seconds.clone());
        to.register("retries", "Attempts that will be made again", self.retries.clone());
        to.register("waiting", "Pushes waiting in memory", self.waiting.clone());
        to.register("oldest_waiting_seconds", "Age of the push at the head of the line", self.oldest_waiting.clone());
        to.register("in_flight", "Attempts under way", self.in_flight.clone());
        to.register("concurrency_limit", "Attempts that may be under way", self.concurrency_limit.clone());
        to.register("rate_limit", "Pushes a second that the operator allows", self.rate_limit.clone());
        to.register("breaker_state", "0 closed, 1 half open, 2 open", self.breaker_state.clone());
        to.register("connections", "Connections open", self.connections.clone());
        let expiry = self.credential_expiry.clone();
        to.register("credential_expiry_timestamp_seconds", "When the route's credential ends", expiry);
        to.register("demand", "Jobs wanted from the source now", self.demand.clone());
        to.register("unsettled", "Jobs taken from the source and not settled", self.unsettled.clone());
        to.register("outcome_events", "Outcome events made durable, by sink", self.outcome_events.clone());
        let unheard = self.outcome_events_unheard.clone();
        to.register("outcome_events_unheard", "Outcome events that no queue took", unheard);
        to.register("memory_held_bytes", "Estimated bytes of the jobs held", self.memory_held.clone());
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
            app: Arc::clone(end.app),
            provider: end.provider,
            lane: end.lane,
            outcome: end.outcome,
            reason: self.reason(end.reason),
        };
        self.pushes.get_or_create(&labels).inc();
        let latency = LatencyLabels { provider: end.provider, lane: end.lane };
        self.push_seconds.get_or_create(&latency).observe(end.took.as_secs_f64());
    }

    /// An attempt was answered, or given up.
    pub fn attempt(&self, provider: Provider, round_trip: Duration) {
        self.attempt_seconds.get_or_create(&ProviderLabels { provider }).observe(round_trip.as_secs_f64());
    }

    /// A push will be tried again.
    pub fn retry(&self, provider: Provider, reason: &str) {
        self.retries.get_or_create(&RetryLabels { provider, reason: self.reason(reason) }).inc();
    }

    /// Pushes waiting for a route in a lane.
    pub fn waiting(&self, route: &RouteLabel, lane: Lane, pushes: usize, oldest: Duration) {
        let labels = WaitingLabels { app: Arc::clone(&route.app), provider: route.provider, lane };
        self.waiting.get_or_create(&labels).set(gauge(pushes));
        self.oldest_waiting.get_or_create(&labels).set(oldest.as_secs_f64());
    }

    /// A route was removed, and nothing waits for it any more: its gauges of that are gone.
    pub fn nothing_waits(&self, route: &RouteLabel) {
        for lane in Lane::ALL {
            let labels = WaitingLabels { app: Arc::clone(&route.app), provider: route.provider, lane };
            self.waiting.remove(&labels);
            self.oldest_waiting.remove(&labels);
        }
    }

    /// A route was removed: its other gauges are gone. Its counters stay.
    pub fn route_removed(&self, route: &RouteLabel) {
        let labels = RouteLabels { app: Arc::clone(&route.app), provider: route.provider };
        for gauge in [&self.in_flight, &self.concurrency_limit, &self.breaker_state, &self.connections] {
            gauge.remove(&labels);
        }
        self.rate_limit.remove(&labels);
        self.credential_expiry.remove(&labels);
    }

    /// What a route is doing.
    pub fn route(&self, route: &RouteLabel, now: &RouteGauges) {
        let labels = RouteLabels { app: Arc::clone(&route.app), provider: route.provider };
        self.in_flight.get_or_create(&labels).set(now.in_flight.into());
        self.concurrency_limit.get_or_create(&labels).set(now.concurrency_limit.into());
        self.rate_limit.get_or_create(&labels).set(now.rate_limit);
        self.breaker_state.get_or_create(&labels).set(now.breaker.into());
        self.connections.get_or_create(&labels).set(now.connections.into());
        match now.credential_expires {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit in 53 bits")]
            Some(expires) => {
                self.credential_expiry.get_or_create(&labels).set(expires.seconds() as f64);
            }
            None => {
                self.credential_expiry.remove(&labels);
            }
        }
    }

    /// Events were made durable by a sink.
    pub fn published(&self, sink: &'static str, events: usize) {
        self.outcome_events.get_or_create(&SinkLabels { sink }).inc_by(events as u64);
    }

    /// Events that a sink took and nobody hears.
    pub fn unheard(&self, sink: &'static str, events: usize) {
        self.outcome_events_unheard.get_or_create(&SinkLabels { sink }).inc_by(events as u64);
    }

    /// Estimated bytes of the jobs held.
    pub fn memory_held(&self, bytes: usize) {
        self.memory_held.set(gauge(bytes));
    }

    /// A reason as a label: cut, and `other` once there are too many.
    fn reason(&self, reason: &str) -> String {
        if reason.is_empty() {
            return String::new();
        }
        let reason = cut(reason);
        let mut known = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(reason) {
            if known.len() >= MAX_REASONS {
                return "other".to_owned();
            }
            known.insert(reason.to_owned());
        }
        reason.to_owned()
    }

    /// All of it, as OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

/// Cut at a character's end.
fn cut(reason: &str) -> &str {
    let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
    &reason[..ends.take_while(|&end| end <= MAX_REASON_BYTES).last().unwrap_or(0)]
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            metrics.ended(&PushEnd { app: &app.into(), provider, lane, outcome: "delivered", reason: "", took });
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
            metrics.ended(&PushEnd { app: &app, provider, lane, outcome: "rejected", reason, took });
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
}
