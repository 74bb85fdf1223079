//! A lane's way into the pipeline, shared by the queues of that lane.
//!
//! An outlet has one owner and a doorbell wakes one listener, but a lane may have several queues (one per app, say),
//! each consumed by its own task. The gate lets these take turns: `try_send` never waits, so the lock around the
//! outlet is held for the moving of a few pointers. The [`Bell`] passes every ring on to all of them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::job::Envelope;
use crate::stage::{Closed, Outlet};

/// Where the jobs of one lane's queues enter.
pub(super) struct Gate {
    outlet: Mutex<Outlet<Arc<Envelope>>>,
    queues: usize,
    /// How many of the queues have their window full.
    exhausted: AtomicUsize,
}

impl Gate {
    /// A gate for so many queues.
    pub(super) fn new(outlet: Outlet<Arc<Envelope>>, queues: usize) -> Self {
        Self { outlet: Mutex::new(outlet), queues: queues.max(1), exhausted: AtomicUsize::new(0) }
    }

    /// One queue's share of what is wanted.
    pub(super) fn demand(&self) -> usize {
        self.outlet().demand().div_ceil(self.queues)
    }

    /// Whether the pipeline is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.outlet().is_closed()
    }

    /// See [`Outlet::try_send`].
    pub(super) fn try_send(&self, jobs: &mut Vec<Arc<Envelope>>) -> Result<usize, Closed<()>> {
        self.outlet().try_send(jobs)
    }

    /// One queue's window has become full, or has room again. To be called when that changes.
    pub(super) fn exhausted(&self, is: bool) {
        let others = if is { self.exhausted.fetch_add(1, Relaxed) } else { self.exhausted.fetch_sub(1, Relaxed) - 1 };
        self.outlet().exhausted(is || others > 0);
    }

    fn outlet(&self) -> std::sync::MutexGuard<'_, Outlet<Arc<Envelope>>> {
        // Nothing in here panics half-way through a change of the outlet.
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rings for every queue whenever the demand of any lane changes.
#[derive(Clone)]
pub(super) struct Bell(watch::Receiver<()>);

impl Bell {
    /// Listens to these outlets' doorbells until `close`.
    pub(super) fn of(outlets: &[Outlet<Arc<Envelope>>], close: &CancellationToken) -> Self {
        let mut doorbells: Vec<Arc<Notify>> = Vec::new();
        for outlet in outlets {
            let doorbell = outlet.doorbell();
            // Outlets may share one, and it wakes one listener only.
            if !doorbells.iter().any(|known| Arc::ptr_eq(known, &doorbell)) {
                doorbells.push(doorbell);
            }
        }
        let (ring, rung) = watch::channel(());
        for doorbell in doorbells {
            let (ring, close) = (ring.clone(), close.clone());
            tokio::spawn(async move {
                while close.run_until_cancelled(doorbell.notified()).await.is_some() {
                    ring.send_replace(());
                }
            });
        }
        Self(rung)
    }

    /// Waits for the next ring; never, once nobody rings any more.
    pub(super) async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
