//! A second as lines of `name=value`, for scripts and logs: one of all routes, one of each.

use std::fmt::Write as _;

use super::shown::{RouteSecond, Second, Shown};
use crate::job::UnixMillis;

/// The lines, without a line feed at the end.
pub(super) fn lines(shown: &Shown) -> String {
    let mut text = String::new();
    let (Some(status), Some(second)) = (&shown.status, &shown.second) else { return text };
    let Second { delivered, waiting, oldest_s, latency_ms, attempts, retries, .. } = second;
    let at = UnixMillis(second.at);
    let oldest = oldest_s.iter().copied().fold(0.0, f64::max);
    let _ = write!(
        text,
        "{at} route=* ready={} delivered={:.1} attempts={attempts:.1} retries={retries:.1} waiting={} oldest_s={oldest:.1} in_flight={} limit={}",
        status.ready,
        delivered.iter().sum::<f64>(),
        waiting.iter().sum::<u64>(),
        second.in_flight,
        second.concurrency_limit,
    );
    if let Some([p50, p90, p99]) = latency_ms[0] {
        let _ = write!(text, " p50_ms={p50:.0} p90_ms={p90:.0} p99_ms={p99:.0}");
    }
    if let Some(queued) = second.queued {
        let _ = write!(text, " queued={queued}");
    }
    let _ = write!(text, " held_bytes={}", second.held_bytes);
    for route in &status.routes {
        let none = RouteSecond::default();
        let RouteSecond { delivered, attempts } = second.routes.get(&route.name()).unwrap_or(&none);
        let _ = write!(
            text,
            "\n{at} route={} state={} delivered={delivered:.1} attempts={attempts:.1} waiting={} oldest_s={:.1} in_flight={} limit={}",
            route.name(),
            route.state,
            route.waits(),
            route.oldest(),
            route.in_flight,
            route.concurrency_limit,
        );
    }
    text
}
