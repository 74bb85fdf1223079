//! One second of the pipeline, in numbers: what charts are drawn of.
//!
//! Counters become rates here, once for all who look on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::job::{Lane, RouteId, UnixMillis};
use crate::outcome::OutcomeKind;
use crate::pipeline::View;
use crate::telemetry::{LatencyCounts, RouteLabel};

/// Routes that have numbers of their own in a second, at most: the first by name. The sums are always of all.
const ROUTES: usize = 24;
/// A second that was measured over less than this says nothing.
const LEAST: Duration = Duration::from_millis(50);

/// The numbers. Rates are per second, ages and latencies in seconds and milliseconds as their names say; arrays of three are
/// high, normal, low.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Second {
    /// When it ended; milliseconds since the epoch.
    pub(super) at: u64,
    /// Accepted by a provider, by lane.
    pub(super) delivered: [f64; 3],
    /// In memory, by lane.
    waiting: [usize; 3],
    oldest_s: [f64; 3],
    /// p50, p90, p99 from acceptance to `delivered`: of all lanes, then by lane; absent where nothing was delivered.
    latency_ms: [Option<[f64; 3]>; 4],
    /// By kind, in the order of SPEC.md, section 6.
    outcomes: [f64; 7],
    attempts: f64,
    retries: f64,
    put_off: f64,
    in_flight: u64,
    concurrency_limit: u64,
    /// Absent if any route has none.
    rate_limit: Option<f64>,
    connections: u64,
    /// Jobs asked of the sources.
    demand: usize,
    /// Jobs in hand.
    unsettled: usize,
    /// In the spool; absent without one.
    queued: Option<u64>,
    held_bytes: usize,
    /// Of the whole process, where the system tells.
    resident_bytes: Option<u64>,
    routes: BTreeMap<String, RouteSecond>,
}

/// One route's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct RouteSecond {
    delivered: f64,
    attempts: f64,
    retries: f64,
    in_flight: u32,
    concurrency_limit: u32,
    rate_limit: Option<f64>,
    waiting: [usize; 3],
    oldest_s: f64,
}

/// Counters of one route.
#[derive(Debug, Clone, Copy, Default)]
struct RouteCounters {
    attempts: u64,
    retries: u64,
    delivered: u64,
}

/// Turns counters into rates. Owned by the one task that measures.
pub(super) struct Meter {
    at: Instant,
    outcomes: [u64; 7],
    put_off: u64,
    latency: [LatencyCounts; 3],
    delivered: [u64; 3],
    routes: BTreeMap<RouteId, RouteCounters>,
}

impl Meter {
    pub(super) fn start(view: &View, now: Instant) -> Self {
        let mut meter = Self {
            at: now,
            outcomes: [0; 7],
            put_off: 0,
            latency: Default::default(),
            delivered: [0; 3],
            routes: BTreeMap::new(),
        };
        // What was before the first look is in no second.
        meter.read(view, now + LEAST);
        meter.at = now;
        meter
    }

    /// What happened since the last time; `None` if that was just now.
    pub(super) fn read(&mut self, view: &View, now: Instant) -> Option<Second> {
        let span = now.saturating_duration_since(self.at);
        if span < LEAST {
            return None;
        }
        self.at = now;
        let per = Per(span.as_secs_f64());
        let latency = Lane::ALL.map(|lane| view.tally.latency(lane).counts());
        let recent = Lane::ALL.map(|lane| latency[lane.index()].since(&self.latency[lane.index()]));
        self.latency = latency;
        let all = recent.iter().fold(LatencyCounts::default(), |all, lane| all.and(lane));
        let (demand, unsettled) = view.appetite();
        let mut second = Second {
            at: UnixMillis::now().0,
            delivered: Lane::ALL.map(|lane| {
                let count = view.tally.latency(lane).count();
                per.second(count, &mut self.delivered[lane.index()])
            }),
            waiting: [0; 3],
            oldest_s: [0.0; 3],
            latency_ms: [&all, &recent[0], &recent[1], &recent[2]].map(percentiles),
            outcomes: OutcomeKind::ALL.map(|kind| per.second(view.tally.total(kind), &mut self.outcomes[kind.index()])),
            attempts: 0.0,
            retries: 0.0,
            put_off: per.second(view.tally.put_off(), &mut self.put_off),
            in_flight: 0,
            concurrency_limit: 0,
            rate_limit: Some(0.0),
            connections: 0,
            demand,
            unsettled,
            queued: view.queued(),
            held_bytes: view.memory.bytes(),
            resident_bytes: crate::telemetry::process::memory("VmRSS:"),
            routes: BTreeMap::new(),
        };
        self.read_routes(view, now, per, &mut second);
        Some(second)
    }

    fn read_routes(&mut self, view: &View, now: Instant, per: Per, second: &mut Second) {
        let mut seen = BTreeMap::new();
        for (id, label, status) in view.routes() {
            let mut before = self.routes.remove(&id).unwrap_or_default();
            let waits = view.waits(id);
            let ages = waits.map(|line| line.oldest.map_or(0.0, |at| tenth(now.saturating_duration_since(at))));
            let delivered = view.tally.route(id, OutcomeKind::Delivered);
            let route = RouteSecond {
                delivered: per.second(delivered, &mut before.delivered),
                attempts: per.second(status.attempts, &mut before.attempts),
                retries: per.second(status.retries, &mut before.retries),
                in_flight: status.in_flight,
                concurrency_limit: status.concurrency_limit,
                rate_limit: status.rate,
                waiting: waits.map(|line| line.pushes),
                oldest_s: ages.into_iter().fold(0.0, f64::max),
            };
            seen.insert(id, before);
            second.add(&route, ages, status.connections);
            if second.routes.len() < ROUTES {
                second.routes.insert(name(&label), route);
            }
        }
        if seen.is_empty() {
            second.rate_limit = None;
        }
        self.routes = seen;
    }
}

impl Second {
    fn add(&mut self, route: &RouteSecond, ages: [f64; 3], connections: usize) {
        self.attempts += route.attempts;
        self.retries += route.retries;
        self.in_flight += u64::from(route.in_flight);
        self.concurrency_limit += u64::from(route.concurrency_limit);
        self.rate_limit = self.rate_limit.zip(route.rate_limit).map(|(sum, rate)| sum + rate);
        self.connections += connections as u64;
        self.waiting.iter_mut().zip(route.waiting).for_each(|(sum, pushes)| *sum += pushes);
        self.oldest_s.iter_mut().zip(ages).for_each(|(oldest, age)| *oldest = oldest.max(age));
    }
}

/// Over how many seconds something was counted.
#[derive(Clone, Copy)]
struct Per(f64);

impl Per {
    /// How many more there are than `before`, a second; `before` is what there is from now on.
    #[expect(clippy::cast_precision_loss, reason = "a rate among fewer than 2^52")]
    fn second(self, now: u64, before: &mut u64) -> f64 {
        let more = now.saturating_sub(std::mem::replace(before, now));
        (more as f64 / self.0 * 10.0).round() / 10.0
    }
}

fn name(label: &RouteLabel) -> String {
    label.to_string()
}

fn tenth(age: Duration) -> f64 {
    (age.as_secs_f64() * 10.0).round() / 10.0
}

fn percentiles(counts: &LatencyCounts) -> Option<[f64; 3]> {
    let millis = |quantile| counts.quantile(quantile).map(|took| (took.as_secs_f64() * 1e4).round() / 10.0);
    Some([millis(0.5)?, millis(0.9)?, millis(0.99)?])
}
