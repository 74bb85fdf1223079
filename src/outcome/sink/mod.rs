//! Sinks: who is told how pushes ended.

mod amqp;
mod file;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::OutcomeKind;
use crate::flow::Backoff;
use crate::job::Provider;

pub use amqp::AmqpSink;
pub use file::FileSink;
pub use webhook::WebhookSink;

/// An outcome, written down.
#[derive(Debug, Clone)]
pub struct Event {
    /// The app; with `provider` and `kind` the routing key.
    pub app: Box<str>,
    /// The provider.
    pub provider: Provider,
    /// How it ended.
    pub kind: OutcomeKind,
    /// The JSON object of SPEC.md, section 6.
    pub json: Bytes,
}

/// Who is told.
pub trait Sink: Send + Sync {
    /// The sink's name, for logs and metrics.
    fn name(&self) -> &'static str;

    /// Tells it. Ready when the events are durable there (confirmed, synced, answered 2xx), and not before; trouble on
    /// the way is waited out with backoff. Batches of one sink are published in order.
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()>;
}

/// The events as one JSON array.
fn json_array(events: &[Event]) -> Bytes {
    let mut array = Vec::with_capacity(events.iter().map(|event| event.json.len() + 1).sum::<usize>() + 2);
    array.push(b'[');
    for (nth, event) in events.iter().enumerate() {
        if nth > 0 {
            array.push(b',');
        }
        array.extend_from_slice(&event.json);
    }
    array.push(b']');
    array.into()
}

/// How often a lasting trouble is told.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What the sinks suffer from now, for whoever asks whether all is well. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    now: BTreeMap<&'static str, String>,
    /// When it was last said that nobody listens.
    unheard: Option<tokio::time::Instant>,
}

impl Troubles {
    /// Each sink that can't be told anything now, and why.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, String> {
        self.locked().now.clone()
    }

    fn note(&self, sink: &'static str, error: &str) {
        self.locked().now.insert(sink, error.to_owned());
    }

    /// True if there was any.
    fn over(&self, sink: &'static str) -> bool {
        self.locked().now.remove(sink).is_some()
    }

    /// Events went to an exchange from which no queue takes them.
    fn unheard(&self, exchange: &str, key: &str) {
        let now = tokio::time::Instant::now();
        let mut noted = self.locked();
        if noted.unheard.is_none_or(|at| now - at >= SAY_EVERY) {
            noted.unheard = Some(now);
            tracing::warn!(
                exchange,
                key,
                "outcomes are told to nobody: bind a queue to the exchange, or set outcomes.amqp = false"
            );
        }
    }

    fn locked(&self) -> MutexGuard<'_, Noted> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One batch's trouble with its sink: waits between tries, and says so, the first time, whenever it has lasted a minute
/// more, and when it is over.
struct Trouble {
    sink: &'static str,
    all: Troubles,
    backoff: Backoff,
    tries: u8,
    said: Option<tokio::time::Instant>,
}

impl Trouble {
    fn new(sink: &'static str, all: &Troubles, cap: Duration) -> Self {
        let backoff = Backoff { base: Duration::from_millis(200), cap };
        Self { sink, all: all.clone(), backoff, tries: 0, said: None }
    }

    /// The batch is told.
    fn over(self) {
        if self.all.over(self.sink) {
            tracing::info!(sink = self.sink, tries = self.tries, "outcomes are told again");
        }
    }

    async fn wait(&mut self, error: &str) {
        self.tries = self.tries.saturating_add(1);
        self.all.note(self.sink, error);
        let now = tokio::time::Instant::now();
        if self.said.is_none_or(|at| now - at >= SAY_EVERY) {
            self.said = Some(now);
            tracing::error!(
                sink = self.sink,
                error,
                tries = self.tries,
                "outcomes can't be told; jobs stay unsettled until they are"
            );
        }
        tokio::time::sleep(self.backoff.delay(self.tries, Duration::from_millis(50), fastrand::f64())).await;
    }
}
