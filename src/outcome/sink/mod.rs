//! Sinks: who is told how pushes ended.

mod amqp;
mod file;
mod webhook;

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

/// A sink's trouble: waits between tries, and says so, the first time and whenever it has lasted a minute more.
struct Trouble {
    sink: &'static str,
    backoff: Backoff,
    tries: u8,
    said: Option<tokio::time::Instant>,
}

impl Trouble {
    const SAY_EVERY: Duration = Duration::from_secs(60);

    const fn new(sink: &'static str, cap: Duration) -> Self {
        Self { sink, backoff: Backoff { base: Duration::from_millis(200), cap }, tries: 0, said: None }
    }

    async fn wait(&mut self, error: &str) {
        self.tries = self.tries.saturating_add(1);
        let now = tokio::time::Instant::now();
        if self.said.is_none_or(|at| now - at >= Self::SAY_EVERY) {
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
