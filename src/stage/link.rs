//! The link between two stages: chunks down, demand up.
//!
//! Invariants:
//! - `sent` never passes `limit` as the producer last read it: never more than asked.
//! - The channel holds at most `CHUNKS` chunks; a producer that cuts its events into smaller ones waits.
//! - What is in the channel was asked for, so memory is bounded by the largest demand ever given.
//!
//! Lowering the limit can cross with a chunk that is on its way; the consumer sees at most what it had asked for before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc};

/// Chunks that may be on their way at once.
const CHUNKS: usize = 256;

struct Shared {
    /// The count of events up to which the producer may send.
    limit: AtomicU64,
    /// Rung when the limit changes or the consumer leaves.
    doorbell: Arc<Notify>,
    /// Whether the producer can't give more before something of what it gave is done with.
    exhausted: AtomicBool,
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// The producer's end: sees demand, sends chunks.
pub struct Outlet<T> {
    shared: Arc<Shared>,
    chunks: mpsc::Sender<Vec<T>>,
    sent: u64,
    /// The limit as last read. What was read may be used, even if the consumer withdrew it meanwhile.
    seen: u64,
}

/// The consumer's end: gives demand, gets chunks.
pub struct Inlet<T> {
    shared: Arc<Shared>,
    chunks: mpsc::Receiver<Vec<T>>,
    received: u64,
}

/// Joins two stages. `doorbell` is rung whenever demand changes; a producer with many outlets may give all of them the
/// same one and wait on it once. Demand starts at 0.
#[must_use]
pub fn link<T>(doorbell: Arc<Notify>) -> (Outlet<T>, Inlet<T>) {
    let shared = Arc::new(Shared { limit: AtomicU64::new(0), doorbell, exhausted: AtomicBool::new(false) });
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let outlet = Outlet { shared: Arc::clone(&shared), chunks: sender, sent: 0, seen: 0 };
    let inlet = Inlet { shared, chunks: receiver, received: 0 };
    (outlet, inlet)
}

impl<T> Outlet<T> {
    /// How many events may be sent now. What it says holds until it is asked again.
    #[must_use]
    pub fn demand(&mut self) -> usize {
        self.seen = self.shared.limit.load(Ordering::Acquire);
        self.promised()
    }

    /// What is left of the demand as last read.
    fn promised(&self) -> usize {
        usize::try_from(self.seen.saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }

    /// Whether the consumer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.chunks.is_closed()
    }

    /// The bell that rings when demand changes.
    #[must_use]
    pub fn doorbell(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.doorbell)
    }

    /// Says whether, in spite of demand, nothing more can come before something of what was sent is done with: a bound
    /// of the producer's own is reached. Nobody is woken by it.
    pub fn exhausted(&self, exhausted: bool) {
        self.shared.exhausted.store(exhausted, Ordering::Relaxed);
    }

    /// Whether a chunk could be sent now without waiting.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.chunks.capacity() > 0
    }

    /// Waits until at least one event is wanted, and says how many. Only for an outlet that has its doorbell to itself.
    ///
    /// # Errors
    /// [`Closed`] if the consumer is gone.
    pub async fn wanted(&mut self) -> Result<usize, Closed<()>> {
        let doorbell = self.doorbell();
        loop {
            let rung = doorbell.notified();
            if self.is_closed() {
                return Err(Closed(()));
            }
            match self.demand() {
                0 => rung.await,
                demand => return Ok(demand),
            }
        }
    }

    /// Sends a chunk.
    ///
    /// # Errors
    /// [`Closed`] with the events if the consumer is gone.
    ///
    /// # Panics
    /// If the chunk is larger than the demand as last read: a bug of the producer's.
    pub async fn send(&mut self, chunk: Vec<T>) -> Result<(), Closed<Vec<T>>> {
        if chunk.is_empty() {
            return Ok(());
        }
        assert!(chunk.len() <= self.promised(), "a producer may never send more than was asked for");
        let events = chunk.len() as u64;
        self.chunks.send(chunk).await.map_err(|returned| Closed(returned.0))?;
        self.sent += events;
        Ok(())
    }

    /// Sends at most as many of `events`, from the front, as were wanted when last read and fit now; what is left stays in `events`.
    /// Returns how many were sent. Never waits.
    ///
    /// # Errors
    /// [`Closed`] if the consumer is gone; the events are untouched.
    pub fn try_send(&mut self, events: &mut Vec<T>) -> Result<usize, Closed<()>> {
        let count = self.promised().min(events.len());
        if self.is_closed() {
            return Err(Closed(()));
        }
        if count == 0 {
            return Ok(0);
        }
        let slot = match self.chunks.try_reserve() {
            Ok(slot) => slot,
            Err(mpsc::error::TrySendError::Full(())) => return Ok(0),
            Err(mpsc::error::TrySendError::Closed(())) => return Err(Closed(())),
        };
        let rest = events.split_off(count);
        slot.send(std::mem::replace(events, rest));
        self.sent += count as u64;
        Ok(count)
    }
}

impl<T> Inlet<T> {
    /// Says how many events are wanted from now on, those on their way included. Replaces what was said before:
    /// a smaller number withdraws demand.
    pub fn want(&self, events: usize) {
        let limit = self.received + events as u64;
        if self.shared.limit.swap(limit, Ordering::AcqRel) != limit {
            self.shared.doorbell.notify_one();
        }
    }

    /// The demand given and not met yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let limit = self.shared.limit.load(Ordering::Acquire);
        usize::try_from(limit.saturating_sub(self.received)).unwrap_or(usize::MAX)
    }

    /// Whether the producer says that nothing more can come before something of what it sent is done with.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.shared.exhausted.load(Ordering::Relaxed)
    }

    /// The next chunk; `None` when the producer is gone and everything it sent was received. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Vec<T>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for whoever waits on several links at once.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        self.chunks.poll_recv(cx).map(|chunk| {
            let chunk = chunk?;
            self.received += chunk.len() as u64;
            Some(chunk)
        })
    }

    /// A chunk that is already here.
    pub fn try_recv(&mut self) -> Option<Vec<T>> {
        let chunk = self.chunks.try_recv().ok()?;
        self.received += chunk.len() as u64;
        Some(chunk)
    }

    /// Takes nothing more; what is on its way can still be received.
    pub fn close(&mut self) {
        self.chunks.close();
        self.shared.doorbell.notify_one();
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        self.close();
    }
}
