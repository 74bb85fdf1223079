//! Sinks: who is told how pushes ended.

mod amqp;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::OutcomeKind;
use crate::job::Provider;

pub use amqp::AmqpSink;

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
