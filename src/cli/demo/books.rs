//! Three books that know nothing of each other, and whether they agree.

use std::time::Duration;

use super::usage::Cpu;

/// A lane's line.
#[derive(Debug)]
pub(super) struct LaneLine {
    pub(super) lane: &'static str,
    pub(super) delivered: u64,
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
}

/// A route's line.
#[derive(Debug)]
pub(super) struct RouteLine {
    pub(super) route: String,
    pub(super) delivered: u64,
    pub(super) unregistered: u64,
    pub(super) other: u64,
    pub(super) attempts: u64,
    pub(super) retries: u64,
    pub(super) connections: usize,
}

/// What was published, what the pipeline counted, what the simulators saw.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) published: u64,
    pub(super) took: Duration,
    /// Until 99% had ended; the rest may wait for the delay that a provider asked for.
    pub(super) most: Duration,
    pub(super) cpu: Option<Cpu>,
    pub(super) peak_memory: Option<u64>,
    pub(super) lanes: Vec<LaneLine>,
    pub(super) routes: Vec<RouteLine>,
    pub(super) outcomes: Vec<(&'static str, u64)>,
    pub(super) put_off: u64,
    /// Accepted by the simulators.
    pub(super) accepted: u64,
    /// Accepted by the simulators more than once.
    pub(super) duplicates: u64,
    /// What the simulators found wrong with our HTTP/2.
    pub(super) violations: u64,
    /// Whether the drain ended clean.
    pub(super) drained: bool,
}

impl Books {
    /// Pushes that have an outcome.
    pub(super) fn ended(&self) -> u64 {
        self.outcomes.iter().map(|(_, count)| count).sum()
    }

    fn delivered(&self) -> u64 {
        self.routes.iter().map(|route| route.delivered).sum()
    }

    /// What does not agree, in words.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |good: bool, text: String| {
            if !good {
                wrong.push(text);
            }
        };
        check(
            self.ended() == self.published,
            format!("{} pushes were published, {} have an outcome", self.published, self.ended()),
        );
        check(
            self.accepted == self.delivered() + self.duplicates,
            format!(
                "the providers accepted {}, {} are delivered, {} doubled",
                self.accepted,
                self.delivered(),
                self.duplicates
            ),
        );
        check(self.duplicates == 0, format!("{} pushes were accepted twice", self.duplicates));
        check(self.violations == 0, format!("{} violations of HTTP/2", self.violations));
        check(self.drained, "the drain did not end clean".to_owned());
        wrong
    }

    /// Whether all agree.
    pub(super) fn balance(&self) -> bool {
        self.differences().is_empty()
    }
}
