//! What routes show now: kept as they told it last, summed up by label when somebody scrapes.
//!
//! Gauges of apps that share the label `other` are added up (a rate limit, too: together they may send so much); of ages
//! and breakers the worst counts, of credentials the one that ends first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::bounds::Apps;
use super::labels::{RouteLabel, RouteLabels, WaitingLabels};
use crate::job::{Lane, UnixMillis};

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

/// A line of pushes: how many, and how old the first is.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    waiting: usize,
    oldest: Duration,
}

#[derive(Debug, Default)]
struct Row {
    gauges: Option<RouteGauges>,
    lines: [Option<Line>; 3],
}

/// The routes' rows.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Mutex<HashMap<RouteLabel, Row>>,
    pub(super) apps: Arc<Apps>,
}

impl Board {
    pub(super) fn route(&self, route: &RouteLabel, now: &RouteGauges) {
        self.change(route, |row| row.gauges = Some(*now));
    }

    pub(super) fn route_removed(&self, route: &RouteLabel) {
        self.change(route, |row| row.gauges = None);
    }

    pub(super) fn waiting(&self, route: &RouteLabel, lane: Lane, waiting: usize, oldest: Duration) {
        self.change(route, |row| row.lines[lane.index()] = Some(Line { waiting, oldest }));
    }

    pub(super) fn nothing_waits(&self, route: &RouteLabel) {
        self.change(route, |row| row.lines = [None; 3]);
    }

    fn change(&self, route: &RouteLabel, change: impl FnOnce(&mut Row)) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if !rows.contains_key(route) {
            rows.insert(route.clone(), Row::default());
        }
        let row = rows.get_mut(route).expect("it is there now");
        change(row);
        if row.gauges.is_none() && row.lines.iter().all(Option::is_none) {
            rows.remove(route);
        }
    }

    /// The sums by label.
    fn sums(&self) -> Sums {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let label = self.apps.labels(rows.keys().map(|route| &route.app));
        let mut sums = Sums::default();
        for (route, row) in rows.iter() {
            let (app, provider) = (label(&route.app), route.provider);
            if let Some(gauges) = &row.gauges {
                add(sums.routes.entry(RouteLabels { app: Arc::clone(&app), provider }).or_default(), gauges);
            }
            for (line, lane) in row.lines.iter().zip(Lane::ALL) {
                let Some(line) = line else { continue };
                let sum = sums.lines.entry(WaitingLabels { app: Arc::clone(&app), provider, lane }).or_default();
                sum.waiting += line.waiting;
                sum.oldest = sum.oldest.max(line.oldest);
            }
        }
        sums
    }
}

#[derive(Default)]
struct Sums {
    routes: HashMap<RouteLabels, RouteGauges>,
    lines: HashMap<WaitingLabels, Line>,
}

fn add(sum: &mut RouteGauges, one: &RouteGauges) {
    sum.in_flight = sum.in_flight.saturating_add(one.in_flight);
    sum.concurrency_limit = sum.concurrency_limit.saturating_add(one.concurrency_limit);
    sum.rate_limit += one.rate_limit;
    sum.breaker = sum.breaker.max(one.breaker);
    sum.connections = sum.connections.saturating_add(one.connections);
    sum.credential_expires = [sum.credential_expires, one.credential_expires].into_iter().flatten().min();
}

/// A scrape's encoder, with what every family here does.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        (name, help, unit): (&str, &str, Option<Unit>),
        values: impl Iterator<Item = (L, V)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Board {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Sums { routes, lines } = self.sums();
        let mut page = Page(encoder);
        // Counts are written as whole numbers.
        let whole = |value: fn(&RouteGauges) -> u32| {
            routes.iter().map(move |(labels, sum)| (labels.clone(), i64::from(value(sum))))
        };
        let waiting = lines.iter();
        let waiting = waiting.map(|(labels, line)| (labels.clone(), i64::try_from(line.waiting).unwrap_or(i64::MAX)));
        page.family(("waiting", "Pushes waiting in memory", None), waiting)?;
        let oldest = lines.iter().map(|(labels, line)| (labels.clone(), line.oldest.as_secs_f64()));
        let help = "Time since the acceptance of the push that waits at the head of the line";
        page.family(("oldest_waiting", help, Some(Unit::Seconds)), oldest)?;
        page.family(("in_flight", "Attempts under way", None), whole(|sum| sum.in_flight))?;
        let limit = whole(|sum| sum.concurrency_limit);
        page.family(("concurrency_limit", "Attempts that may be under way", None), limit)?;
        let rate = routes.iter().map(|(labels, sum)| (labels.clone(), sum.rate_limit));
        page.family(("rate_limit", "Pushes a second that the operator allows", None), rate)?;
        let breaker = whole(|sum| sum.breaker.into());
        page.family(("breaker_state", "0 closed, 1 half open, 2 open", None), breaker)?;
        page.family(("connections", "Connections open", None), whole(|sum| sum.connections))?;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit in 53 bits")]
        let expiry =
            routes.iter().filter_map(|(labels, sum)| Some((labels.clone(), sum.credential_expires?.seconds() as f64)));
        let help = "When the route's certificate or access token ends; access tokens are renewed well before";
        page.family(("credential_expiry_timestamp", help, Some(Unit::Seconds)), expiry)
    }
}
