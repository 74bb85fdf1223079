//! What can't be sent now, or not at all, kept by the broker.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::letters;
use super::names::Names;
use super::publish::Publisher;
use crate::source::clocks::Clocks;
use crate::source::{Keep, Keeper};

/// Keeps retries in the retry queues and dead letters in the dead queue. Ready when the broker has confirmed it.
///
/// A delay is rounded up to the next [level](super::RetryLevel), and cut to the last one: a job that waits longer
/// comes back early for that, and is kept again by whoever finds that it is not due yet.
#[derive(Clone)]
pub struct AmqpKeeper {
    publisher: Publisher,
    names: Names,
}

impl AmqpKeeper {
    /// A keeper that publishes by `publisher`, under the names of `prefix`.
    #[must_use]
    pub fn new(publisher: Publisher, names: Names) -> Self {
        Self { publisher, names }
    }
}

impl Keeper for AmqpKeeper {
    fn keep(&self, keep: Keep) -> BoxFuture<'static, ()> {
        let now = Clocks::now();
        let letter = match keep {
            Keep::Later(later) => letters::retry(&self.names, &later, now),
            Keep::Dead(dead) => letters::dead(&self.names, &dead, now),
        };
        let publisher = self.publisher.clone();
        async move { publisher.publish_durably(letter).await }.boxed()
    }
}
