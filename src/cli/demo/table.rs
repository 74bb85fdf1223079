//! The table that a manager understands and an engineer respects.

use std::fmt::Write as _;
use std::time::Duration;

use super::books::Books;
use crate::cli::numbers::grouped;

/// The table.
pub(super) fn render(books: &Books) -> String {
    let mut out = String::new();
    let (seconds, most) = (books.took.as_secs_f64(), books.most.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (pushes, ended) = (books.published as f64, books.ended() as f64);
    line(
        &mut out,
        "pushes",
        &format!("{} published, {} with an outcome", grouped(books.published), grouped(books.ended())),
    );
    line(
        &mut out,
        "burst",
        &format!(
            "99% within {most:.1} s: {} pushes a second, {} a minute; the last after {seconds:.1} s",
            rounded(ended * 0.99 / most),
            rounded(ended * 0.99 / most * 60.0)
        ),
    );
    if let Some(cpu) = books.cpu {
        let per_push = |used: Duration| used.as_secs_f64() * 1e6 / pushes;
        let text = format!(
            "{:.1} us a push (publisher and pipeline; the simulators took {:.1} us more)",
            per_push(cpu.pipeline),
            per_push(cpu.simulators)
        );
        line(&mut out, "CPU", &text);
    }
    if let Some(peak) = books.peak_memory {
        line(&mut out, "peak memory", &format!("{} MiB (simulators and their ledger included)", peak >> 20));
    }
    out.push('\n');
    let _ = writeln!(out, "  {:<12} {:>12} {:>10} {:>10}", "lane", "delivered", "p50", "p99");
    for lane in &books.lanes {
        let _ = writeln!(
            out,
            "  {:<12} {:>12} {:>10} {:>10}",
            lane.lane,
            grouped(lane.delivered),
            millis(lane.p50),
            millis(lane.p99)
        );
    }
    out.push_str("  (from acceptance, as the job's timestamp tells it, to the provider's answer; a burst waits in the spool or the broker)\n\n");
    let head = ["delivered", "unregistered", "other", "attempts", "retries", "connections"];
    let _ = write!(out, "  {:<12}", "route");
    for head in head {
        let _ = write!(out, " {head:>12}");
    }
    out.push('\n');
    for route in &books.routes {
        let _ = write!(out, "  {:<12}", route.route);
        for count in
            [route.delivered, route.unregistered, route.other, route.attempts, route.retries, route.connections as u64]
        {
            let _ = write!(out, " {:>12}", grouped(count));
        }
        out.push('\n');
    }
    out.push('\n');
    let outcomes: Vec<String> = books
        .outcomes
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{kind} {}", grouped(*count)))
        .collect();
    line(&mut out, "outcomes", &outcomes.join(", "));
    line(
        &mut out,
        "providers",
        &format!(
            "accepted {}, twice {}, protocol violations {}",
            grouped(books.accepted),
            books.duplicates,
            books.violations
        ),
    );
    line(&mut out, "put off", &format!("{} times, durably", grouped(books.put_off)));
    let differences = books.differences();
    if differences.is_empty() {
        line(&mut out, "books", "balance: every push has exactly one outcome");
    } else {
        line(&mut out, "books", &format!("DO NOT BALANCE: {}", differences.join("; ")));
    }
    out
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "  {name:<12} {text}");
}

fn millis(took: Option<Duration>) -> String {
    took.map_or_else(|| "-".to_owned(), |took| format!("{:.0} ms", took.as_secs_f64() * 1e3))
}

fn rounded(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate: positive and far below 2^64")]
    grouped(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        let pairs = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (value, text) in pairs {
            assert_eq!(grouped(value), text);
        }
    }
}
