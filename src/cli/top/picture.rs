//! The picture: a head, the sums, a row for each route, lanes, outcomes.

use super::line::{Frame, Line, Paint};
use super::shown::{Reason, Route, RouteSecond, Second, Shown, Status};
use crate::cli::numbers::{bytes, count, span, spark};

/// The picture's lines.
pub(super) fn picture(shown: &Shown, frame: Frame) -> Vec<String> {
    let Some(status) = &shown.status else { return vec![" waiting for the first word …".to_owned()] };
    let second = shown.second.clone().unwrap_or_default();
    let mut lines = vec![head(status, &second)];
    lines.extend(
        status
            .reasons
            .iter()
            .filter(|reason| !reason.starts_with("route "))
            .map(|reason| Line::default().paint(Paint::Bad, &format!(" ! {reason}"))),
    );
    lines.push(Line::default());
    lines.extend(sums(shown, status, &second, frame));
    lines.push(Line::default());
    lines.extend(routes(status, &second));
    lines.push(Line::default());
    lines.extend(lanes(&second));
    lines.push(Line::default());
    lines.extend(ends(status));
    let hidden = (lines.len() + 1).saturating_sub(frame.height);
    if hidden > 0 && lines.len() > hidden {
        lines.truncate(lines.len() - hidden);
        lines.push(Line::default().paint(Paint::Dim, &format!(" … {hidden} more lines; the window is small")));
    }
    lines.into_iter().map(|line| line.end(frame)).collect()
}

fn head(status: &Status, second: &Second) -> Line {
    let troubled = status.routes.iter().filter(|route| !matches!(paint(route), Paint::Good)).count();
    let all = status.routes.len();
    let (paint, verdict) = match troubled {
        _ if !status.ready => (Paint::Bad, "not ready".to_owned()),
        0 if all == 0 => (Paint::Warn, "no route is configured".to_owned()),
        0 => (Paint::Good, format!("all {all} routes flow")),
        held => (Paint::Warn, format!("{held} of {all} routes held back")),
    };
    let time = crate::job::UnixMillis(second.at).to_string();
    let time = if second.at > 0 { time.get(11..19).unwrap_or_default().to_owned() } else { String::new() };
    Line::default()
        .paint(Paint::Bold, " Tidegate")
        .paint(Paint::Dim, &format!(" {}   up {}   {time} UTC   ", status.version, span(status.uptime_seconds as f64)))
        .paint(paint, &format!("{} {verdict}", mark(paint)))
}

fn sums(shown: &Shown, status: &Status, second: &Second, frame: Frame) -> Vec<Line> {
    let delivered: f64 = second.delivered.iter().sum();
    let latency = second.latency_ms[0].map_or_else(
        || "–".to_owned(),
        |[p50, p90, p99]| format!("{} / {} / {}", span(p50 / 1e3), span(p90 / 1e3), span(p99 / 1e3)),
    );
    let queued = second.queued.map(|queued| format!(", {} jobs on disk", count(queued as f64))).unwrap_or_default();
    let oldest = second.oldest_s.iter().copied().fold(0.0, f64::max);
    let of = |name: &str, value: &str, rest: &str| {
        Line::default().paint(Paint::Dim, &format!(" {name:<11}")).paint(Paint::Bold, value).paint(Paint::Dim, rest)
    };
    let wide = frame.width.saturating_sub(36).min(shown.past.len());
    let past: Vec<f64> = shown.past.range(shown.past.len() - wide..).copied().collect();
    let rate = format!("{:<9}", format!("{}/s", count(delivered)));
    vec![
        of("delivered", &rate, "  ").paint(Paint::Good, &spark(&past)),
        of(
            "waiting",
            &count(second.waiting.iter().sum::<u64>() as f64),
            &format!(" in memory{queued}, oldest {}", span(oldest)),
        ),
        of("in flight", &count(second.in_flight as f64), &format!(" of {}", count(second.concurrency_limit as f64))),
        of(
            "attempts",
            &format!("{}/s", count(second.attempts)),
            &format!(", {}/s tried again, {}/s put off", count(second.retries), count(second.put_off)),
        ),
        of("latency", &latency, "  p50 / p90 / p99, acceptance to delivery"),
        of("memory", &bytes(second.held_bytes), &format!(" held of {}", bytes(status.memory.limit_bytes))),
    ]
}

fn routes(status: &Status, second: &Second) -> Vec<Line> {
    let widest = status.routes.iter().map(|route| route.name().chars().count()).max().unwrap_or(0).clamp(5, 32);
    let head = format!(
        " {:<widest$}  {:>11}  {:>10}  {:>13}  {:>9}  {:>7}  {:>8}  STATE",
        "ROUTE", "DELIVERED", "RATE LIMIT", "IN FLIGHT", "WAITING", "OLDEST", "RETRIES"
    );
    let mut lines = vec![Line::default().paint(Paint::Dim, &head)];
    for route in &status.routes {
        let none = RouteSecond::default();
        let RouteSecond { delivered, .. } = second.routes.get(&route.name()).unwrap_or(&none);
        let numbers = format!(
            "  {:>11}  {:>10}  {:>13}  {:>9}  {:>7}  {:>8}  ",
            format!("{}/s", count(*delivered)),
            route.rate.map_or_else(|| "none".to_owned(), |rate| format!("{}/s", count(rate))),
            format!("{} of {}", count(route.in_flight as f64), count(route.concurrency_limit as f64)),
            count(route.waits() as f64),
            if route.waits() > 0 { span(route.oldest()) } else { "–".to_owned() },
            count(route.retries as f64),
        );
        let paint = paint(route);
        let until = route.until.as_deref().and_then(|until| until.get(11..19));
        let until = match until {
            Some(until) if paint == Paint::Bad => format!(", next try at {until} UTC"),
            Some(until) => format!(", until {until} UTC"),
            None if paint == Paint::Bad => ", being tried now".to_owned(),
            None => String::new(),
        };
        lines.push(
            Line::default()
                .paint(Paint::Bold, &format!(" {:<widest$}", route.name()))
                .plain(&numbers)
                .paint(paint, &format!("{} {}{until}", mark(paint), route.says)),
        );
        if let Some(reason) = route.reason.as_ref().filter(|reason| *reason != "paused by the operator") {
            lines.push(Line::default().paint(Paint::Dim, &format!(" {:widest$}  {reason}", "")));
        }
    }
    lines
}

fn lanes(second: &Second) -> Vec<Line> {
    let head =
        format!(" {:<8}  {:>11}  {:>9}  {:>7}  {:>24}", "LANE", "DELIVERED", "WAITING", "OLDEST", "P50 / P90 / P99");
    let mut lines = vec![Line::default().paint(Paint::Dim, &head)];
    for (nth, lane) in ["high", "normal", "low"].into_iter().enumerate() {
        let latency = second.latency_ms[nth + 1].map_or_else(
            || "–".to_owned(),
            |[p50, p90, p99]| format!("{} / {} / {}", span(p50 / 1e3), span(p90 / 1e3), span(p99 / 1e3)),
        );
        let text = format!(
            "  {:>11}  {:>9}  {:>7}  {latency:>24}",
            format!("{}/s", count(second.delivered[nth])),
            count(second.waiting[nth] as f64),
            span(second.oldest_s[nth]),
        );
        lines.push(Line::default().paint(Paint::Bold, &format!(" {lane:<8}")).plain(&text));
    }
    lines
}

fn ends(status: &Status) -> Vec<Line> {
    let mut lines = vec![Line::default().paint(Paint::Dim, &format!(" {:<14}  {:>12}  REASONS", "OUTCOME", "PUSHES"))];
    for (outcome, number) in status.outcomes.iter().filter(|(_, number)| **number > 0) {
        let of = status.outcome_reasons.iter().filter(|reason| reason.outcome == *outcome).take(6);
        let reasons: Vec<_> =
            of.map(|Reason { reason, count: of, .. }| format!("{reason} {}", count(*of as f64))).collect();
        lines.push(
            Line::default()
                .paint(Paint::Bold, &format!(" {outcome:<14}"))
                .plain(&format!("  {:>12}  ", count(*number as f64)))
                .paint(Paint::Dim, &reasons.join(", ")),
        );
    }
    if lines.len() == 1 {
        lines.push(Line::default().paint(Paint::Dim, " no push has ended yet"));
    }
    let dead: u64 = status.sources.iter().filter(|source| source.source == "spool").map(|source| source.dead).sum();
    if dead > 0 {
        let text = format!(" {} dead letters in the spool: tidegate dead list", count(dead as f64));
        lines.push(Line::default().paint(Paint::Warn, &text));
    }
    lines
}

fn paint(route: &Route) -> Paint {
    match route.state.as_str() {
        "ready" => Paint::Good,
        "parked" | "unavailable" => Paint::Bad,
        _ => Paint::Warn,
    }
}

/// Tells the state where there is no colour.
const fn mark(paint: Paint) -> char {
    match paint {
        Paint::Good => '●',
        Paint::Bad => '■',
        _ => '◆',
    }
}
