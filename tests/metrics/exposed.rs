//! A page of OpenMetrics text, taken apart: families, their kinds, units and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate::job::{Lane, Provider, SourceName, UnixMillis};
use tidegate::telemetry::{JobResult, Metrics, PushEnd, RouteGauges, RouteLabel};

/// One family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) labels: BTreeSet<String>,
}

/// What is exposed, by the names that queries use (counters with `_total`).
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    pub(crate) families: BTreeMap<String, Family>,
}

impl Exposed {
    pub(crate) fn parse(page: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (what, name) = (words.next().unwrap(), words.next().unwrap_or_default().to_owned());
                let text = words.next().unwrap_or_default().to_owned();
                match what {
                    "HELP" => families.entry(name).or_default().help = text,
                    "TYPE" => families.entry(name).or_default().kind = text,
                    "UNIT" => families.entry(name).or_default().unit = Some(text),
                    "EOF" => {}
                    other => panic!("{other} in {line}"),
                }
                continue;
            }
            let (name, labels) = sample(line);
            let stem = ["_total", "_bucket", "_count", "_sum"].into_iter().find_map(|end| {
                let stem = name.strip_suffix(end)?;
                families.contains_key(stem).then(|| stem.to_owned())
            });
            let family = families.get_mut(&stem.unwrap_or(name)).unwrap_or_else(|| panic!("no family: {line}"));
            family.labels.extend(labels.into_iter().filter(|label| label != "le"));
        }
        let named = |(name, family): (String, Family)| match family.kind.as_str() {
            "counter" => (format!("{name}_total"), family),
            _ => (name, family),
        };
        Self { families: families.into_iter().map(named).collect() }
    }

    /// The family that a name in a query belongs to.
    pub(crate) fn family_of(&self, name: &str) -> Option<&str> {
        let ends = ["", "_bucket", "_count", "_sum"];
        let found = ends.into_iter().find_map(|end| {
            let (stem, family) = self.families.get_key_value(name.strip_suffix(end)?)?;
            (end.is_empty() != (family.kind == "histogram")).then_some(stem)
        });
        found.map(String::as_str)
    }

    /// A rule makes a further one.
    pub(crate) fn recorded(&mut self, name: String, labels: BTreeSet<String>) {
        self.families.insert(name, Family { kind: "recorded".to_owned(), labels, ..Family::default() });
    }
}

/// The name and labels of a sample's line.
fn sample(line: &str) -> (String, Vec<String>) {
    let Some((name, rest)) = line.split_once('{').filter(|(name, _)| !name.contains(' ')) else {
        return (line.split(' ').next().unwrap().to_owned(), Vec::new());
    };
    let (mut labels, mut label, mut quoted) = (Vec::new(), String::new(), false);
    for c in rest.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '=' => labels.push(std::mem::take(&mut label)),
            '}' => break,
            ',' => {}
            c => label.push(c),
        }
    }
    (name.to_owned(), labels)
}

/// A page on which every family has a sample.
pub(crate) fn everything() -> String {
    let metrics = Metrics::default();
    let (app, provider, lane): (Arc<str>, _, _) = ("chat".into(), Provider::Apns, Lane::High);
    let route = RouteLabel { app: Arc::clone(&app), provider };
    metrics.jobs(SourceName::Amqp, lane, JobResult::Accepted, 1);
    metrics.demand(SourceName::Amqp, lane, 1);
    metrics.unsettled(SourceName::Amqp, lane, 1);
    let (took, traceparent) = (Duration::from_millis(5), None);
    metrics.ended(&PushEnd { app: &app, provider, lane, outcome: "rejected", reason: "BadTopic", took, traceparent });
    metrics.attempt(provider, took);
    metrics.retry(provider, "timeout");
    metrics.waiting(&route, lane, 1, took);
    metrics.route(&route, &RouteGauges { credential_expires: Some(UnixMillis(1_000)), ..RouteGauges::default() });
    metrics.published("amqp", 1);
    metrics.unheard("amqp", 1);
    metrics.memory(1, 2);
    metrics.spool(1, 2, 3, 4);
    metrics.reloaded(true);
    metrics.ready(true);
    metrics.render()
}
