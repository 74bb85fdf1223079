//! What our exchanges, queues, headers and retry levels are called, in one place (SPEC.md, section 4).

use std::time::Duration;

use crate::job::Lane;

/// Why a message is a dead letter, for machines.
pub(super) const REASON: &str = "x-tidegate-reason";
/// Why a message is a dead letter, for people; the path of the offending field comes first.
pub(super) const DETAIL: &str = "x-tidegate-detail";
/// When it became one, RFC 3339.
pub(super) const AT: &str = "x-tidegate-at";
/// The queue it came by.
pub(super) const QUEUE: &str = "x-tidegate-queue";
/// Which of the job's targets are meant: `0,3-7,12`.
pub(super) const TARGETS: &str = "x-tidegate-targets";
/// Attempts made before.
pub(super) const ATTEMPTS: &str = "x-tidegate-attempts";
/// When the job was first accepted, in milliseconds since the epoch: a retry is no younger than its job.
pub(super) const ACCEPTED_AT: &str = "x-tidegate-accepted-at";
/// The caller's deadline, in milliseconds since the epoch.
pub(super) const DEADLINE: &str = "x-deadline";
/// How often the broker has delivered the message before (quorum queues).
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";
/// How often it was handed to a consumer before (quorum queues of RabbitMQ 4.3 and later).
pub(super) const ACQUIRED_COUNT: &str = "x-acquired-count";
/// Where a message died before, by the broker's own hand; the last death first.
pub(super) const DEATHS: &str = "x-death";
/// W3C trace context.
pub(super) const TRACEPARENT: &str = "traceparent";

/// One delay that the broker can keep a job for: a queue whose messages all live equally long, because a message's
/// time to live only acts at a queue's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLevel {
    /// The last part of its name.
    pub name: &'static str,
    /// How long a message stays.
    pub delay: Duration,
}

/// The delays there are, ascending: just above what providers ask for most often (FCM: 10 s after a failure, 60 s after a
/// quota without `Retry-After`; APNs: 15 minutes after a lasting 5xx), backoff's jitter included.
pub const RETRY_LEVELS: [RetryLevel; 6] = [
    RetryLevel { name: "5s", delay: Duration::from_secs(5) },
    RetryLevel { name: "15s", delay: Duration::from_secs(15) },
    RetryLevel { name: "70s", delay: Duration::from_secs(70) },
    RetryLevel { name: "5m", delay: Duration::from_mins(5) },
    RetryLevel { name: "20m", delay: Duration::from_mins(20) },
    RetryLevel { name: "1h", delay: Duration::from_hours(1) },
];

impl RetryLevel {
    /// The level for a delay: the smallest that is not below it, so that nothing comes early; else the largest.
    #[must_use]
    pub fn of(delay: Duration) -> Self {
        let [.., largest] = RETRY_LEVELS;
        RETRY_LEVELS.into_iter().find(|level| level.delay >= delay).unwrap_or(largest)
    }
}

/// The names of our exchanges and queues.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// The names under a prefix.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The topic exchange callers publish to.
    #[must_use]
    pub fn jobs(&self) -> String {
        format!("{}.jobs", self.prefix)
    }

    /// The queue of a lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> String {
        format!("{}.jobs.{lane}", self.prefix)
    }

    /// The exchange and the queue of dead letters.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The topic exchange of outcomes.
    #[must_use]
    pub fn outcomes(&self) -> String {
        format!("{}.outcomes", self.prefix)
    }

    /// The exchange and the queue of a retry level.
    #[must_use]
    pub fn retry(&self, level: RetryLevel) -> String {
        format!("{}.retry.{}", self.prefix, level.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_never_comes_early() {
        let secs = |n| RetryLevel::of(Duration::from_secs(n)).name;
        assert_eq!((secs(0), secs(5), secs(6), secs(15), secs(16)), ("5s", "5s", "15s", "15s", "70s"));
        assert_eq!((secs(61), secs(300), secs(1201), secs(1_000_000)), ("70s", "5m", "1h", "1h"));
        assert_eq!(RetryLevel::of(Duration::from_millis(5001)).name, "15s");
    }
}
