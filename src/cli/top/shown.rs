//! What is known of the instance. Fields that another version does not send are empty here, no error.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::{Value, json};

/// Seconds of the past that are shown, at most.
const PAST: usize = 120;

/// The first event.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    status: Value,
    history: Vec<Value>,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) status: Option<Status>,
    pub(super) second: Option<Second>,
    /// Delivered a second, the latest last.
    pub(super) past: VecDeque<f64>,
    raw: [Value; 2],
}

/// Of `/v1/status`, what is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) ready: bool,
    pub(super) reasons: Vec<String>,
    pub(super) routes: Vec<Route>,
    pub(super) outcomes: BTreeMap<String, u64>,
    pub(super) outcome_reasons: Vec<Reason>,
    pub(super) sources: Vec<Source>,
    pub(super) memory: Memory,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Route {
    pub(super) app: String,
    pub(super) provider: String,
    pub(super) state: String,
    pub(super) says: String,
    pub(super) reason: Option<String>,
    pub(super) until: Option<String>,
    pub(super) rate: Option<f64>,
    pub(super) in_flight: u64,
    pub(super) concurrency_limit: u64,
    pub(super) retries: u64,
    pub(super) waiting: Vec<Waiting>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) pushes: u64,
    pub(super) oldest_seconds: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    pub(super) outcome: String,
    pub(super) reason: String,
    pub(super) count: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Source {
    pub(super) source: String,
    pub(super) dead: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) limit_bytes: u64,
}

/// Of one second's numbers, what is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Second {
    pub(super) at: u64,
    pub(super) delivered: [f64; 3],
    pub(super) waiting: [u64; 3],
    pub(super) oldest_s: [f64; 3],
    pub(super) latency_ms: [Option<[f64; 3]>; 4],
    pub(super) attempts: f64,
    pub(super) retries: f64,
    pub(super) put_off: f64,
    pub(super) in_flight: u64,
    pub(super) concurrency_limit: u64,
    pub(super) queued: Option<u64>,
    pub(super) held_bytes: u64,
    pub(super) routes: BTreeMap<String, RouteSecond>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RouteSecond {
    pub(super) delivered: f64,
    pub(super) attempts: f64,
}

impl Route {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.app, self.provider)
    }

    pub(super) fn waits(&self) -> u64 {
        self.waiting.iter().map(|lane| lane.pushes).sum()
    }

    pub(super) fn oldest(&self) -> f64 {
        self.waiting.iter().map(|lane| lane.oldest_seconds).fold(0.0, f64::max)
    }
}

impl Shown {
    pub(super) fn greet(&mut self, hello: Hello) {
        self.past.clear();
        self.status(hello.status);
        hello.history.into_iter().for_each(|second| self.second(second));
    }

    pub(super) fn status(&mut self, status: Value) {
        self.status = Some(Status::deserialize(&status).unwrap_or_default());
        self.raw[0] = status;
    }

    pub(super) fn second(&mut self, second: Value) {
        let read = Second::deserialize(&second).unwrap_or_default();
        self.past.push_back(read.delivered.iter().sum());
        if self.past.len() > PAST {
            self.past.pop_front();
        }
        self.second = Some(read);
        self.raw[1] = second;
    }

    /// As it came.
    pub(super) fn json(&self) -> Value {
        json!({"status": self.raw[0], "second": self.raw[1]})
    }
}
