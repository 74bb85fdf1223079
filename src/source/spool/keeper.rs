//! What can't be sent now, or not at all, kept by the spool.

use std::time::Duration;

use futures::future::BoxFuture;

use super::receipts::key;
use crate::job::UnixMillis;
use crate::source::{Dead, Keep, Keeper, Later};
use crate::spool::{self, Again, Providers, Writer};

/// Keeps retries until they are due, and dead letters until somebody drops them.
pub struct SpoolKeeper {
    writer: Writer,
}

impl SpoolKeeper {
    /// A keeper that writes by `writer`.
    #[must_use]
    pub const fn new(writer: Writer) -> Self {
        Self { writer }
    }
}

impl Keeper for SpoolKeeper {
    fn keep(&self, keep: Keep) -> BoxFuture<'static, ()> {
        let now = UnixMillis::now();
        match keep {
            Keep::Later(Later { envelope, targets, attempts, delay }) => {
                let of = key(envelope.origin.receipt.tag);
                let provider = |index: &u16| envelope.job.to[usize::from(*index)].provider();
                let providers = targets.iter().map(provider).fold(Providers::default(), Providers::with);
                self.writer.again(Again { of, targets, providers, attempts, due: later(now, delay) })
            }
            Keep::Dead(Dead { envelope, targets, attempts, reason, detail }) => {
                let of = key(envelope.origin.receipt.tag);
                self.writer.dead(spool::Dead { of, targets, attempts, reason, detail, at: now })
            }
        }
    }
}

fn later(now: UnixMillis, delay: Duration) -> UnixMillis {
    UnixMillis(now.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
}
