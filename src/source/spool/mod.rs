//! The spool as a source: jobs from disk at the pace at which the pipeline asks for them.
//!
//! ```text
//! spool::Reader ──▶ shelf (a blocking thread: chooses, reads, decodes) ──▶ feed ──▶ outlets, one per lane
//! spool::Writer ◀── receipts (settled), keeper (again, dead) ◀── settlement
//! ```
//!
//! What RabbitMQ does by prefetch, the spool does by choice: jobs wait in strands (lane, app, providers), and only those
//! are read whose routes move (see `share`). So a blocked route's backlog stays on disk, and nobody stands behind it. A
//! job that goes to two providers of which one is blocked is the exception: what is in hand of it for that one is put off
//! (the dispatch parks it, as with RabbitMQ), so that the next can be read for the other's sake; what was put off waits in
//! the strand of its own provider.
//!
//! | file | what |
//! | --- | --- |
//! | `feed` | the task: demand in, jobs out; waits, drains |
//! | `shelf` | the blocking half: reads and decodes |
//! | `share` | how many jobs may be taken from which strand; pure |
//! | `probation` | how many jobs may be in hand after a crash; pure |
//! | `receipts`, `keeper` | what is settled, what comes again |
//! | `status` | what an operator sees |

mod feed;
mod keeper;
mod probation;
mod receipts;
mod share;
mod shelf;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::job::{Envelope, MemoryBudget, RouteTable};
use crate::source::Keeper;
use crate::spool::{Spool, Writer};
use crate::stage::Outlet;
use crate::telemetry::Metrics;
use feed::Feed;
pub use keeper::SpoolKeeper;
use receipts::Receipts;
use shelf::Shelf;
pub use status::{LaneStatus, SpoolSourceStatus};

/// The running source.
pub struct SpoolSource {
    writer: Writer,
    status: watch::Receiver<SpoolSourceStatus>,
    drain: CancellationToken,
    feed: JoinHandle<()>,
}

impl SpoolSource {
    /// Starts it.
    ///
    /// `outlets` are by [`Lane::index`](crate::job::Lane::index). `drain` stops it: nothing more is handed over, what is
    /// settled is written still, until [`close`](Self::close). No more is read than `memory` has room for. A job that was
    /// in hand more than `max_deliveries` times when the process died goes down as exhausted.
    ///
    /// Needs a tokio runtime.
    #[must_use]
    pub fn start(
        spool: Spool,
        max_deliveries: u32,
        routes: watch::Receiver<Arc<RouteTable>>,
        outlets: [Outlet<Arc<Envelope>>; 3],
        memory: Arc<MemoryBudget>,
        metrics: Arc<Metrics>,
        drain: CancellationToken,
    ) -> Self {
        let Spool { writer, reader } = spool;
        let drain = drain.child_token();
        let (report, status) = watch::channel(SpoolSourceStatus::default());
        let receipts = Arc::new(Receipts::new(writer.clone()));
        let shelf = Shelf::new(reader, Arc::clone(&receipts), max_deliveries, Arc::clone(&memory));
        let feed = Feed { shelf, receipts, writer: writer.clone(), routes, outlets, memory, metrics, report };
        Self { writer, status, feed: tokio::spawn(feed.run(drain.clone())), drain }
    }

    /// The source's state, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SpoolSourceStatus> {
        self.status.clone()
    }

    /// Who takes jobs in.
    #[must_use]
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Who keeps retries and dead letters.
    #[must_use]
    pub fn keeper(&self) -> Arc<dyn Keeper> {
        Arc::new(SpoolKeeper::new(self.writer()))
    }

    /// Waits for what must not happen before [`close`](Self::close): the end of its task, because of a bug. Cancel-safe.
    pub async fn broken(&mut self) -> String {
        match (&mut self.feed).await {
            Ok(()) if self.drain.is_cancelled() => std::future::pending().await,
            Ok(()) => "the spool's writer or feed ended by itself".to_owned(),
            Err(panic) => format!("the spool's feed panicked: {panic}"),
        }
    }

    /// Writes what was settled last, and closes the store.
    ///
    /// # Errors
    /// How much could not be written: those jobs come again.
    pub async fn close(self) -> Result<(), usize> {
        self.drain.cancel();
        // Its end has no news: a panic was told by `broken`, or comes too late to matter.
        let _ = self.feed.await;
        self.writer.close().await
    }
}
