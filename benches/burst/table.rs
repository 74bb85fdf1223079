//! The results: one table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::numbers::{count, float, grouped};
use crate::peers::PeerFigures;
use crate::run::{Figures, Sample};
use crate::yardstick::Sends;

/// Everything that was measured in one run.
#[derive(Debug, Default)]
pub struct Results {
    pub h2load: Option<Sends>,
    /// The broker's microseconds for a message that a bare consumer takes.
    pub bare_consumer: Option<f64>,
    pub played: Vec<Figures>,
    /// What programs in other languages took for the same.
    pub peers: Vec<PeerFigures>,
    /// What is not installed, in words.
    pub missing: Vec<String>,
    /// What should have been played and was not.
    pub failed: Vec<String>,
}

impl Results {
    /// Pushes a second of a scenario.
    pub fn rate_of(&self, key: &str) -> Option<f64> {
        self.played.iter().find(|figures| figures.scenario.key == key).map(Figures::rate)
    }

    /// Whether everything that could be played was, and pipeline and provider agree.
    pub fn is_sound(&self) -> bool {
        self.failed.is_empty() && self.played.iter().all(|figures| figures.disagreement().is_none())
    }
}

/// The table.
pub fn render(results: &Results) -> String {
    let mut out = format!("{}\n\n", machine());
    burst_table(&mut out, results);
    peer_rows(&mut out, results);
    lane_table(&mut out, results);
    remarks(&mut out, results);
    out
}

fn burst_table(out: &mut String, results: &Results) {
    let _ = writeln!(
        out,
        "{:<42} {:>10} {:>9} {:>11} | {:^33} | {:>7} {:>6} {:>5}",
        "", "", "", "", "CPU, us a push", "of", "peak", "conn-"
    );
    let _ = writeln!(
        out,
        "{:<42} {:>10} {:>9} {:>11} | {:>8} {:>8} {:>7} {:>7} | {:>7} {:>6} {:>5}",
        "burst", "pushes", "a second", "a minute", "tidegate", "provider", "broker", "bench", "h2load", "MiB", "ect."
    );
    if let Some(Sends { micros, rate }) = results.h2load {
        let (second, minute) = (grouped(count(rate)), grouped(count(rate * 60.0)));
        let _ = writeln!(
            out,
            "{:<42} {:>10} {second:>9} {minute:>11} | {micros:>8.2} {:>8} {:>7} {:>7} | {:>7}",
            "h2load, sends only (the yardstick)", "", "", "", "", "1.00x"
        );
    }
    for figures in &results.played {
        let (rate, micros) = (figures.rate(), figures.micros(figures.cpu.pipeline));
        let ratio = results.h2load.map_or_else(|| "-".to_owned(), |sends| format!("{:.2}x", micros / sends.micros));
        let _ = writeln!(
            out,
            "{:<42} {:>10} {:>9} {:>11} | {micros:>8.2} {:>8.2} {:>7.2} {:>7.2} | {ratio:>7} {:>6} {:>5}",
            figures.scenario.what,
            grouped(figures.ended),
            grouped(count(rate)),
            grouped(count(rate * 60.0)),
            figures.micros(figures.cpu.simulators),
            figures.micros(figures.cpu.broker),
            figures.micros(figures.cpu.publisher),
            figures.peak >> 20,
            figures.connections,
        );
    }
}

fn peer_rows(out: &mut String, results: &Results) {
    for PeerFigures { name, pushes, seconds, micros, broker } in &results.peers {
        let rate = float(*pushes) / seconds;
        let ratio = results.h2load.map_or_else(|| "-".to_owned(), |sends| format!("{:.1}x", micros / sends.micros));
        let _ = writeln!(
            out,
            "{:<42} {:>10} {:>9} {:>11} | {micros:>8.2} {:>8} {broker:>7.2} {:>7} | {ratio:>7}",
            name,
            grouped(*pushes),
            grouped(count(rate)),
            grouped(count(rate * 60.0)),
            "",
            "",
        );
    }
}

fn lane_table(out: &mut String, results: &Results) {
    let _ =
        writeln!(out, "\n{:<42} {:>6} {:>26} {:>26} {:>26}", "acceptance to answer, ms", "", "high", "normal", "low");
    let head = "p50      p99    p99.9";
    let _ = writeln!(out, "{:<42} {:>6} {head:>26} {head:>26} {head:>26}", "", "");
    for figures in &results.played {
        let _ = write!(out, "{:<42} {:>6}", figures.scenario.what, "");
        for lane in &figures.lanes {
            let quantiles =
                lane.quantiles.map(|millis| millis.map_or_else(|| "-".to_owned(), |millis| millis.to_string()));
            let _ = write!(out, " {:>8} {:>8} {:>8}", quantiles[0], quantiles[1], quantiles[2]);
        }
        out.push('\n');
    }
    out.push_str(
        "(a backlog's pushes have waited since they were published: their latency is the length of the burst)\n",
    );
}

fn remarks(out: &mut String, results: &Results) {
    out.push('\n');
    if let Some(bare) = results.bare_consumer {
        let _ = write!(out, "broker, bare consumer that acks by the hundred: {bare:.2} us a message");
        let amqp = results.played.iter().find(|figures| figures.scenario.key == "amqp");
        if let Some(figures) = amqp {
            let ours = figures.micros(figures.cpu.broker);
            let _ = write!(out, "; with Tidegate {ours:.2} ({:.2}x)", ours / bare);
        }
        out.push('\n');
    }
    for (late, prompt) in [
        ("latency-70", "latency-0"),
        ("latency-500", "latency-0"),
        ("latency-70-fcm", "latency-0-fcm"),
        ("latency-500-fcm", "latency-0-fcm"),
    ] {
        if let (Some(late_rate), Some(rate)) = (results.rate_of(late), results.rate_of(prompt)) {
            let _ = writeln!(out, "{late} keeps {:.0}% of the rate of {prompt}", 100.0 * late_rate / rate);
        }
    }
    for figures in results.played.iter().filter(|figures| figures.refused > 0) {
        let (accepted, refused) = (grouped(figures.accepted), grouped(figures.refused));
        let _ = writeln!(out, "{}: the provider accepted {accepted} and refused {refused}", figures.scenario.key);
    }
    for figures in &results.played {
        if let Some(difference) = figures.disagreement() {
            let _ = writeln!(out, "THE BOOKS DISAGREE, {}: {difference}", figures.scenario.key);
        }
    }
    for missing in &results.missing {
        let _ = writeln!(out, "not measured: {missing}");
    }
    for failed in &results.failed {
        let _ = writeln!(out, "FAILED: {failed}");
    }
}

/// Which machine this is.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unnamed CPU");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{}, {cores} cores, Linux {}; load at the end {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        load.split(' ').next().unwrap_or("?")
    )
}

/// Everything, for programs.
pub fn json(results: &Results) -> String {
    let document = json!({
        "machine": machine(),
        "h2load": results.h2load.map(|sends| json!({"cpu_us": sends.micros, "per_second": sends.rate})),
        "bare_consumer_broker_cpu_us": results.bare_consumer,
        "bursts": results.played.iter().map(burst).collect::<Vec<Value>>(),
        "peers": results.peers.iter().map(peer).collect::<Vec<Value>>(),
        "missing": results.missing,
        "failed": results.failed,
    });
    serde_json::to_string_pretty(&document).expect("JSON values can be written")
}

fn burst(figures: &Figures) -> Value {
    let cpu = figures.cpu;
    let lanes = figures.lanes.iter().map(|lane| {
        let [p50, p99, p999] = lane.quantiles;
        json!({"lane": lane.lane, "delivered": lane.delivered, "p50_ms": p50, "p99_ms": p99, "p999_ms": p999})
    });
    json!({
        "key": figures.scenario.key,
        "what": figures.scenario.what,
        "pushes": figures.ended,
        "seconds": figures.took,
        "per_second": figures.rate(),
        "per_minute": figures.rate() * 60.0,
        "cpu_us": {
            "tidegate": figures.micros(cpu.pipeline),
            "provider": figures.micros(cpu.simulators),
            "broker": figures.micros(cpu.broker),
            "bench": figures.micros(cpu.publisher),
            "broker_for_publishing": figures.micros(figures.broker_publish),
        },
        "lanes": lanes.collect::<Vec<Value>>(),
        "peak_bytes": figures.peak,
        "connections": figures.connections,
        "provider_accepted": figures.accepted,
        "provider_refused": figures.refused,
        "series": figures.series.iter().map(sample).collect::<Vec<Value>>(),
    })
}

fn peer(figures: &PeerFigures) -> Value {
    let PeerFigures { name, pushes, seconds, micros, broker } = figures;
    json!({"name": name, "pushes": pushes, "seconds": seconds, "cpu_us": micros, "broker_cpu_us": broker})
}

fn sample(sample: &Sample) -> Value {
    json!({"at": sample.at, "published": sample.published, "ended": sample.ended, "in_flight": sample.in_flight})
}
