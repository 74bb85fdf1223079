//! Whether values that are each good are good together: limits that can never be reached, rates beyond a provider's quota,
//! times that cut each other off. All of it works, and not as it was meant: these are warnings.
//!
//! What a provider documents is held only against the provider's own address; simulators and proxies have limits of their
//! own. A default is not doubted unless what was written beside it makes it doubtful.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Meaning;
use crate::config::section::{Entry, Section};
use crate::config::table::{Absent, Literal};
use crate::config::value::Value;
use crate::dispatch::OnOverload;
use crate::flow::Rate;
use crate::job::{Lane, Provider};
use crate::pipeline::Settings;
use crate::provider::ProviderSettings;
use crate::source::amqp::AmqpSettings;

/// Messages a second of one Firebase project, by default: 600,000 a minute (Firebase, "Throttling and quotas").
const FCM_QUOTA: f64 = 10_000.0;

/// A round trip to a provider that does well. Shorter than most: what can't be reached with it can't be reached.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A route: its table, and what it means.
struct Route<'a> {
    section: &'a Section,
    provider: &'a ProviderSettings,
    limits: &'a crate::delivery::RouteSettings,
}

impl Route<'_> {
    /// Whether it goes to the provider itself.
    fn is_real(&self) -> bool {
        match self.provider {
            ProviderSettings::Apns(apns) => apns.endpoint.host.ends_with(".push.apple.com"),
            ProviderSettings::Fcm(fcm) => fcm.endpoint.host == "fcm.googleapis.com",
            // Many servers, each with limits of its own that none of them documents.
            ProviderSettings::Webpush(_) => false,
        }
    }

    /// The streams that the provider lets one connection have (Apple 1,000, Google and most push services 100).
    const fn streams(&self) -> u32 {
        match self.provider {
            ProviderSettings::Apns(_) => 1_000,
            ProviderSettings::Fcm(_) | ProviderSettings::Webpush(_) => 100,
        }
    }

    /// Pushes a second; infinite where there is no limit.
    fn rate(&self) -> f64 {
        self.limits.rate.map_or(f64::INFINITY, |rate| rate.per_second())
    }

    fn project(&self) -> Option<&str> {
        match self.provider {
            ProviderSettings::Fcm(fcm) if self.is_real() => Some(&fcm.account.project_id),
            _ => None,
        }
    }
}

fn routes<'a>(root: &'a Section, settings: &'a Settings) -> Vec<Route<'a>> {
    let mut found = Vec::new();
    for app in &settings.apps {
        let section = root.sections("apps").iter().find(|section| section.name == app.name);
        for (provider, client, limits) in &app.routes {
            let route = section.and_then(|section| match provider {
                Provider::Apns => section.section("apns"),
                Provider::Fcm => section.section("fcm"),
                Provider::Webpush => None,
            });
            found.extend(route.map(|section| Route { section, provider: client, limits }));
        }
    }
    found
}

/// Whether somebody chose the value: it is written, and not what holds anyway.
fn is_written(entry: &Entry) -> bool {
    let default = match (entry.default, &entry.value) {
        (Absent::Is(Literal::Whole(default)), Some(Value::Whole(value))) => default == *value,
        (Absent::Is(Literal::Text(default)), Some(value)) => value.toml().trim_matches('"') == default,
        _ => false,
    };
    entry.span.is_some() && !default
}

impl Meaning<'_> {
    /// Warns of what does not fit together.
    pub(super) fn fit(&mut self, root: &Section, settings: &Settings) {
        let routes = routes(root, settings);
        for route in &routes {
            self.streams_suffice(route);
            self.times_fit(root, settings, route);
        }
        self.quotas_are_kept(&routes);
        if let (Some(section), Some(amqp)) = (root.always("source").section("amqp"), &settings.amqp) {
            self.prefetch_suffices(section, amqp, &routes);
        }
        self.lanes_can_shed(root, settings, &routes);
    }

    fn misfit(&mut self, entry: &Entry, message: String, remedy: impl Into<String>) {
        let draft = self.report.warning(&entry.path, entry.span.as_ref(), message, remedy);
        if let Some(value) = &entry.value {
            draft.value(value.toml());
        }
    }

    /// Concurrency and rate within what the connections can carry.
    fn streams_suffice(&mut self, route: &Route<'_>) {
        if !route.is_real() {
            return;
        }
        let (connections, streams) = (route.limits.connections, route.streams());
        let reached = connections.saturating_mul(streams);
        let concurrency = route.section.always("concurrency");
        for (name, bound) in [("min", route.limits.min_concurrency), ("max", route.limits.max_concurrency)] {
            let entry = concurrency.entry(name);
            if bound > reached && is_written(entry) {
                let message =
                    format!("can't be reached: {connections} connections have {streams} streams each at most");
                let needed = bound.div_ceil(streams);
                self.misfit(entry, message, format!("set connections = {needed}, or {name} to at most {reached}"));
            }
        }
        let possible = f64::from(reached.min(route.limits.max_concurrency)) / ROUND_TRIP.as_secs_f64();
        let entry = route.section.entry("rate");
        if route.rate().is_finite() && route.rate() > possible && is_written(entry) {
            let message = format!(
                "can't be reached: {} in flight at once are some {possible} pushes a second at best",
                reached.min(route.limits.max_concurrency)
            );
            self.misfit(entry, message, "raise connections and concurrency.max, or lower the rate");
        }
    }

    /// Requests that may end before their push's time and the drain do.
    fn times_fit(&mut self, root: &Section, settings: &Settings, route: &Route<'_>) {
        let timeout = route.limits.request_timeout;
        let (request, drain) = (route.section.entry("request_timeout"), root.always("limits").entry("drain_timeout"));
        if settings.limits.drain_timeout < timeout && (is_written(request) || is_written(drain)) {
            let entry = if is_written(drain) { drain } else { request };
            let message = format!(
                "a drain of {:?} gives up requests that may take {timeout:?}: they are sent again after the restart",
                settings.limits.drain_timeout
            );
            self.misfit(entry, message, "let limits.drain_timeout be at least as long as request_timeout");
        }
        let (ttl, entry) = (route.limits.default_ttl, route.section.entry("default_ttl"));
        if ttl < timeout && !ttl.is_zero() && is_written(entry) {
            let message = format!("a push is over before its first request is given up, after {timeout:?}");
            self.misfit(entry, message, "shorten request_timeout, or let pushes live longer");
        }
    }

    /// All routes of a project share its quota.
    fn quotas_are_kept(&mut self, routes: &[Route<'_>]) {
        const REMEDY: &str = "set rate so that all routes of the project have at most 600000/min together; if Google has given it more, leave it as it is";
        let mut projects: BTreeMap<&str, Vec<&Route<'_>>> = BTreeMap::new();
        for route in routes {
            if let Some(project) = route.project() {
                projects.entry(project).or_default().push(route);
            }
        }
        for (project, routes) in projects {
            let quota = "Google's quota is 600000/min by default";
            let mut alone = false;
            for route in routes.iter().filter(|route| route.rate() > FCM_QUOTA) {
                alone = true;
                let message = format!("is more than the project {project:?} may send: {quota}");
                self.misfit(route.section.entry("rate"), message, REMEDY);
            }
            let together: f64 = routes.iter().map(|route| route.rate()).sum();
            // Rates are written in whole pushes a minute or coarser.
            if let (false, Some(last)) = (alone || together <= FCM_QUOTA + 0.01, routes.last()) {
                let paths: Vec<&str> = routes.iter().map(|route| route.section.path.as_str()).collect();
                let minute = together * 60.0;
                let message = format!(
                    "{} send to the project {project:?} and may send {minute:.0}/min together: {quota}",
                    paths.join(", ")
                );
                self.misfit(last.section.entry("rate"), message, REMEDY);
            }
        }
    }

    /// Jobs in hand are pushes in flight, one each if every job has one target.
    fn prefetch_suffices(&mut self, section: &Section, amqp: &AmqpSettings, routes: &[Route<'_>]) {
        let queues = if amqp.queues.is_empty() { Lane::ALL.len() } else { amqp.queues.len() };
        let prefetch = f64::from(u32::from(amqp.max_prefetch)) * f64::from(u32::try_from(queues).unwrap_or(u32::MAX));
        let entry = section.entry("max_prefetch");
        for route in routes {
            let path = &route.section.path;
            let most = route.section.always("concurrency").entry("max");
            let rate = route.limits.rate.map(|rate| (rate, rate.per_second() * ROUND_TRIP.as_secs_f64()));
            let (wanted, what) = match rate {
                _ if is_written(most) && f64::from(route.limits.max_concurrency) > prefetch => {
                    let max = route.limits.max_concurrency;
                    (f64::from(max), format!("{path}.concurrency.max = {max}"))
                }
                Some((rate, needed)) if is_written(entry) && needed > prefetch => (
                    needed,
                    format!("{path}.rate = \"{}\", which takes {needed:.0} in flight", Rate::write(Some(rate))),
                ),
                _ => continue,
            };
            let message = format!("{queues} queues of so many jobs, of one target each, can't feed {what}");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^53, positive")]
            let each = (wanted.ceil() as usize).div_ceil(queues);
            let remedy = if each > 2_000 {
                "a queue gives no more than 2000: name more queues in source.amqp.queues, or lower the other".to_owned()
            } else {
                format!("set max_prefetch = {each} or more, or put several targets into a job")
            };
            self.misfit(entry, message, remedy);
        }
    }

    /// What expires first is never shed.
    fn lanes_can_shed(&mut self, root: &Section, settings: &Settings, routes: &[Route<'_>]) {
        let Some(longest) = routes.iter().map(|route| route.limits.default_ttl).max() else { return };
        for (lane, name) in settings.lanes.iter().zip(Lane::ALL) {
            let Some(max_age) = lane.max_age.filter(|_| lane.on_overload != OnOverload::Wait) else { continue };
            if max_age >= longest {
                let message =
                    format!("pushes expire before they are so old: no default_ttl is longer than {longest:?}");
                let entry = root.always("lanes").always(name.as_str()).entry("max_age");
                self.misfit(entry, message, "shorten max_age, or leave it to expiry and set on_overload = \"wait\"");
            }
        }
    }
}
