//! What an operator sees of the source.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;

use super::PublisherState;
use crate::job::{Lane, UnixMillis};

/// How often counts are brought up to date; changes of state are seen at once.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What the consuming connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Connecting, or waiting to try again; `error` says why.
    Connecting,
    /// Connected: looking for, or declaring, exchanges and queues.
    Declaring,
    /// Jobs come when there is demand.
    Consuming,
    /// No new jobs; what is unsettled is settled still.
    Draining,
    /// Ended.
    Closed,
}

/// The source's state.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// The consuming connection's.
    pub state: SourceState,
    /// Since when.
    pub since: UnixMillis,
    /// The last error of the consuming connection: what happened, where, and the remedy. Gone with the next success.
    pub error: Option<String>,
    /// Connections made so far; the unsettled jobs of an earlier one come again.
    pub generation: u64,
    /// The publishing connection's state (retries, dead letters, outcomes).
    pub publisher: PublisherState,
    /// One for each queue.
    pub queues: Vec<QueueStatus>,
}

/// One queue's state.
#[derive(Debug, Clone, Serialize)]
pub struct QueueStatus {
    /// The queue's name.
    pub name: String,
    /// The lane of its jobs.
    pub lane: Lane,
    /// The consumer's prefetch; 0: there is no consumer now.
    pub prefetch: u16,
    /// What the pipeline would take from this queue now.
    pub demand: usize,
    /// Jobs that the pipeline has and did not settle yet, or whose acks wait to be sent.
    pub unsettled: usize,
    /// Jobs that were prefetched and wait for demand.
    pub waiting: usize,
    /// Why it is not consumed from, if it should be. Gone with the next success.
    pub error: Option<String>,
}

impl std::fmt::Display for SourceStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            SourceState::Connecting => "connecting",
            SourceState::Declaring => "declaring its topology",
            SourceState::Consuming => "consuming",
            SourceState::Draining => "draining",
            SourceState::Closed => "closed",
        };
        f.write_str(state)?;
        let queues = self.queues.iter().filter_map(|queue| queue.error.as_ref());
        self.error.iter().chain(queues).try_for_each(|error| write!(f, "; {error}"))
    }
}

impl SourceStatus {
    /// Whether jobs come from every queue, as far as there is demand.
    #[must_use]
    pub fn is_consuming(&self) -> bool {
        self.state == SourceState::Consuming && self.queues.iter().all(|queue| queue.error.is_none())
    }

    /// Jobs the pipeline would take by this lane.
    #[must_use]
    pub fn demand(&self, lane: Lane) -> usize {
        self.lane(lane).map(|queue| queue.demand).sum()
    }

    /// Unsettled jobs of this lane.
    #[must_use]
    pub fn unsettled(&self, lane: Lane) -> usize {
        self.lane(lane).map(|queue| queue.unsettled).sum()
    }

    fn lane(&self, lane: Lane) -> impl Iterator<Item = &QueueStatus> {
        self.queues.iter().filter(move |queue| queue.lane == lane)
    }
}

/// Where the source's tasks write down their state.
#[derive(Clone)]
pub(super) struct Board(watch::Sender<SourceStatus>);

impl Board {
    pub(super) fn new(queues: Vec<QueueStatus>) -> Self {
        let status = SourceStatus {
            state: SourceState::Connecting,
            since: UnixMillis::now(),
            error: None,
            generation: 0,
            publisher: PublisherState::Connecting { error: None },
            queues,
        };
        Self(watch::channel(status).0)
    }

    pub(super) fn watch(&self) -> watch::Receiver<SourceStatus> {
        self.0.subscribe()
    }

    pub(super) fn enter(&self, state: SourceState, error: Option<String>) {
        self.0.send_modify(|status| {
            if status.state != state {
                (status.state, status.since) = (state, UnixMillis::now());
            }
            status.error = error;
        });
    }

    /// A connection was made; its number.
    pub(super) fn connected(&self) -> u64 {
        self.0.send_modify(|status| status.generation += 1);
        self.0.borrow().generation
    }

    pub(super) fn publisher(&self, state: PublisherState) {
        self.0.send_modify(|status| status.publisher = state);
    }

    pub(super) fn queue(&self, index: usize, change: impl FnOnce(&mut QueueStatus)) {
        self.0.send_modify(|status| change(&mut status.queues[index]));
    }

    pub(super) fn read(&self) -> SourceStatus {
        self.0.borrow().clone()
    }
}

/// Lets something through at most every [`REPORT_EVERY`].
pub(super) struct Seldom(Option<Instant>);

impl Seldom {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn now(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now >= last + REPORT_EVERY);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
