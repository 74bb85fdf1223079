//! Which bursts there are.

use std::time::Duration;

use crate::jobs::{Aim, Shape};
use crate::run::{DEFAULT, Feed, Scenario, Source};

/// How large they are.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Pushes of the bursts of one target a job.
    pub pushes: u64,
    /// How long the overload lasts.
    pub overload: Duration,
}

/// Simulators that accept everything unread.
const FAST: &str = "fast = true";
/// What the provider of the overload takes in a second.
pub const OVERLOAD_LIMIT: u32 = 2_000;
/// Times that limit come in.
pub const OVERLOAD: u32 = 10;
/// Targets of a job that fans out.
const FAN: u64 = 100;

/// All, in the order in which they are played. The half load is not among them: it follows from what was measured.
pub fn all(size: Size) -> Vec<Scenario> {
    let pushes = size.pushes;
    let fan = Shape { targets: FAN, ..DEFAULT };
    let fcm = Shape { aim: Aim::Fcm, ..DEFAULT };
    let mut all = vec![
        of("spool", "spool, 1 target a job, backlog", Source::Spool, DEFAULT, pushes / 2),
        Scenario {
            feed: Feed::Meanwhile,
            ..of("spool-live", "spool, while jobs are posted", Source::Spool, DEFAULT, pushes / 2)
        },
        of("amqp", "RabbitMQ, 1 target a job, backlog", Source::Broker, DEFAULT, pushes),
        of("amqp-fcm", "the same to FCM", Source::Broker, fcm, pushes / 2),
        Scenario {
            feed: Feed::Meanwhile,
            ..of("amqp-live", "RabbitMQ, while publishing goes on", Source::Broker, DEFAULT, pushes / 2)
        },
        of("amqp-100", "RabbitMQ, 100 targets a job", Source::Broker, fan, pushes * 2),
        of("amqp-100-fcm", "the same to FCM", Source::Broker, Shape { aim: Aim::Fcm, ..fan }, pushes * 2),
    ];
    for millis in [0, 70, 500] {
        let (key, fcm_key) = match millis {
            0 => ("latency-0", "latency-0-fcm"),
            70 => ("latency-70", "latency-70-fcm"),
            _ => ("latency-500", "latency-500-fcm"),
        };
        all.push(late(of(key, "", Source::Broker, fan, pushes), millis));
        all.push(late(of(fcm_key, "", Source::Broker, Shape { aim: Aim::Fcm, ..fan }, pushes), millis));
    }
    all.push(overload(size.overload));
    all
}

fn of(key: &'static str, what: &str, source: Source, shape: Shape, pushes: u64) -> Scenario {
    Scenario {
        key,
        what: what.to_owned(),
        source,
        shape,
        pushes: pushes.next_multiple_of(shape.targets),
        feed: Feed::Backlog,
        simulator: FAST.to_owned(),
        pipeline: String::new(),
        over_after: None,
    }
}

/// A provider that reads what it gets, checks it, and answers that late; with its true stream limits.
fn late(scenario: Scenario, millis: u64) -> Scenario {
    let door = scenario.shape.aim.name();
    let fault = format!("threads = 2\n[{door}.faults]\nlatency = {{ kind = \"fixed\", value = \"{millis}ms\" }}");
    let what = format!("{}, {millis} ms, stream limits as theirs", door.to_uppercase());
    Scenario { simulator: if millis == 0 { "threads = 2".to_owned() } else { fault }, what, ..scenario }
}

/// Ten times of what the provider takes, and it says so: 429 with Retry-After.
fn overload(lasts: Duration) -> Scenario {
    let rate = OVERLOAD_LIMIT * OVERLOAD;
    let quota = format!("[fcm.faults]\nquota = {{ pushes = {OVERLOAD_LIMIT}, window = \"1s\", retry_after = true }}");
    let what = format!("overload: FCM takes {OVERLOAD_LIMIT}/s, {rate}/s come");
    let shape = Shape { aim: Aim::Fcm, ..DEFAULT };
    Scenario {
        feed: Feed::Paced(f64::from(rate)),
        simulator: quota,
        over_after: Some(lasts),
        what,
        ..of("overload", "", Source::Broker, shape, u64::from(rate) * lasts.as_secs())
    }
}

/// At so many pushes a second the latency is that of the pipeline, not of a backlog.
pub fn half_load(rate: f64, lasts: Duration) -> Scenario {
    Scenario {
        feed: Feed::Paced(rate),
        what: format!("RabbitMQ at half load, {rate:.0}/s"),
        ..of("half-load", "", Source::Broker, DEFAULT, crate::numbers::count(rate * lasts.as_secs_f64()))
    }
}
