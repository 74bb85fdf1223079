//! The link between two stages: chunks and markers down, demand up, and a way back for what was not finished.
//!
//! Invariants:
//! - `sent` never passes `limit` as the producer last read it: never more than asked. Markers use up no demand.
//! - The channel holds at most `CHUNKS` parcels; a producer that cuts its events into smaller ones waits.
//! - What is in the channel was asked for, so memory is bounded by the largest demand ever given.
//! - A consumer that leaves by [`Inlet::give_back`] sends the receiving end of the channel home with its unfinished
//!   events. The producer, the only one who sends, empties it: no event can fall between the two.
//!
//! Lowering the limit can cross with a chunk that is on its way; the consumer sees at most what it had asked for before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc, oneshot};

use super::Marker;

/// Parcels that may be on their way at once.
const CHUNKS: usize = 256;

struct Shared {
    /// The count of events up to which the producer may send.
    limit: AtomicU64,
    /// Whether the producer's end went by a panic.
    crashed: AtomicBool,
    /// Rung when the limit changes, when a full channel has room again, and when the consumer leaves.
    doorbell: Arc<Notify>,
    /// Whether the producer can't give more before something of what it gave is done with.
    exhausted: AtomicBool,
}

enum Parcel<T> {
    Events(Vec<T>),
    Marker(Marker),
}

/// What a consumer that leaves sends home.
struct Leaving<T> {
    unfinished: Vec<T>,
    parcels: mpsc::Receiver<Parcel<T>>,
}

impl<T> Leaving<T> {
    /// All events, oldest first. Markers that the consumer had not seen leave with it.
    fn events(self) -> Vec<T> {
        let Self { mut unfinished, mut parcels } = self;
        while let Ok(parcel) = parcels.try_recv() {
            if let Parcel::Events(events) = parcel {
                unfinished.extend(events);
            }
        }
        unfinished
    }
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// What comes down a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival<T> {
    /// Events, in order; never none.
    Events(Vec<T>),
    /// A marker: all events sent before it have come.
    Marker(Marker),
}

/// The producer's end: sees demand, sends chunks.
pub struct Outlet<T> {
    shared: Arc<Shared>,
    parcels: mpsc::Sender<Parcel<T>>,
    returns: oneshot::Receiver<Leaving<T>>,
    sent: u64,
    /// The limit as last read. What was read may be used, even if the consumer withdrew it meanwhile.
    seen: u64,
    /// Markers for which the channel had no room. Nothing is sent before them, so one of each kind is enough.
    owed: Vec<Marker>,
}

/// Rings when it is dropped.
struct LastRing(Arc<Shared>);

impl Drop for LastRing {
    fn drop(&mut self) {
        self.0.doorbell.notify_one();
    }
}

/// The consumer's end: gives demand, gets chunks.
///
/// Dropped, it drops what is on its way; see [`give_back`](Self::give_back) for the other manner.
pub struct Inlet<T> {
    // Dropped in this order: the producer that hears the ring finds everything closed.
    parcels: mpsc::Receiver<Parcel<T>>,
    returns: oneshot::Sender<Leaving<T>>,
    shared: Arc<Shared>,
    received: u64,
    _last_ring: LastRing,
}

/// Joins two stages. `doorbell` is rung whenever demand changes; a producer with many outlets may give all of them the
/// same one and wait on it once. Demand starts at 0.
#[must_use]
pub fn link<T>(doorbell: Arc<Notify>) -> (Outlet<T>, Inlet<T>) {
    let (crashed, exhausted) = (AtomicBool::new(false), AtomicBool::new(false));
    let shared = Arc::new(Shared { limit: AtomicU64::new(0), crashed, doorbell, exhausted });
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let (home, returns) = oneshot::channel();
    let outlet = Outlet { shared: Arc::clone(&shared), parcels: sender, returns, sent: 0, seen: 0, owed: Vec::new() };
    let last_ring = LastRing(Arc::clone(&shared));
    let inlet = Inlet { parcels: receiver, returns: home, shared, received: 0, _last_ring: last_ring };
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

    /// How many events [`try_send`](Self::try_send) would take now: the demand, or 0 where the channel is full or the
    /// consumer gone. Sends markers that are still owed first.
    #[must_use]
    pub fn room(&mut self) -> usize {
        let takes = self.pay() && self.parcels.capacity() > 0 && !self.is_closed();
        if takes { self.demand() } else { 0 }
    }

    /// Whether the consumer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.parcels.is_closed()
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
            self.pay();
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
        while let Some(&marker) = self.owed.first() {
            if self.parcels.send(Parcel::Marker(marker)).await.is_err() {
                return Err(Closed(chunk));
            }
            self.owed.remove(0);
        }
        let events = chunk.len() as u64;
        match self.parcels.reserve().await {
            Ok(slot) => slot.send(Parcel::Events(chunk)),
            Err(_) => return Err(Closed(chunk)),
        }
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
        if count == 0 || !self.pay() {
            return Ok(0);
        }
        let slot = match self.parcels.try_reserve() {
            Ok(slot) => slot,
            Err(mpsc::error::TrySendError::Full(())) => return Ok(0),
            Err(mpsc::error::TrySendError::Closed(())) => return Err(Closed(())),
        };
        let rest = events.split_off(count);
        slot.send(Parcel::Events(std::mem::replace(events, rest)));
        self.sent += count as u64;
        Ok(count)
    }

    /// Sends a marker: the consumer sees it after all events sent before. Never waits and uses up no demand; where the
    /// channel is full, the marker goes ahead of whatever is sent next.
    pub fn mark(&mut self, marker: Marker) {
        if !self.owed.contains(&marker) {
            self.owed.push(marker);
        }
        self.pay();
    }

    /// Sends the markers that are owed, as far as there is room; says whether none is left.
    fn pay(&mut self) -> bool {
        while let Some(&marker) = self.owed.first() {
            if self.parcels.try_send(Parcel::Marker(marker)).is_err() {
                return false;
            }
            self.owed.remove(0);
        }
        true
    }

    /// Once the consumer has left: what it gave back, oldest first, what it had not received yet included. `None` while
    /// it is there; the doorbell rings when it has gone. A second call gives nothing.
    #[must_use]
    pub fn take_back(&mut self) -> Option<Vec<T>> {
        match self.returns.try_recv() {
            Ok(leaving) => Some(leaving.events()),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Vec::new()),
        }
    }

    /// Ends the link as a crash does: the consumer learns by [`Inlet::crashed`] that this was not a regular end.
    pub fn crash(self) {
        self.shared.crashed.store(true, Ordering::Release);
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.crashed.store(true, Ordering::Release);
        }
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

    /// The next chunk; `None` when the producer is gone and everything it sent was received. Passes over markers.
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<Vec<T>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for whoever waits on several links at once.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        loop {
            return match self.poll_next(cx) {
                Poll::Ready(Some(Arrival::Events(events))) => Poll::Ready(Some(events)),
                Poll::Ready(Some(Arrival::Marker(_))) => continue,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }

    /// The next chunk or marker; `None` as for [`recv`](Self::recv). Cancel-safe.
    pub async fn next(&mut self) -> Option<Arrival<T>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for whoever waits on several links at once.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival<T>>> {
        self.parcels.poll_recv(cx).map(|parcel| parcel.map(|parcel| self.note(parcel)))
    }

    /// A chunk that is already here. Passes over markers.
    pub fn try_recv(&mut self) -> Option<Vec<T>> {
        loop {
            let parcel = self.parcels.try_recv().ok()?;
            if let Arrival::Events(events) = self.note(parcel) {
                return Some(events);
            }
        }
    }

    fn note(&mut self, parcel: Parcel<T>) -> Arrival<T> {
        if self.parcels.capacity() <= 1 {
            // It was full: a producer that found it so waits for this ring.
            self.shared.doorbell.notify_one();
        }
        match parcel {
            Parcel::Events(events) => {
                self.received += events.len() as u64;
                Arrival::Events(events)
            }
            Parcel::Marker(marker) => Arrival::Marker(marker),
        }
    }

    /// Takes nothing more; what is on its way can still be received.
    pub fn close(&mut self) {
        self.parcels.close();
        self.shared.doorbell.notify_one();
    }

    /// Leaves, and gives back `unfinished` (what was received and not worked off, oldest first) together with all that is
    /// still on its way. If the producer is gone too, they are dropped.
    pub fn give_back(self, unfinished: Vec<T>) {
        let Self { mut parcels, returns, _last_ring, .. } = self;
        parcels.close();
        drop(returns.send(Leaving { unfinished, parcels }));
    }

    /// Whether the producer went by a crash. Says something once [`recv`](Self::recv) has said `None`.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.shared.crashed.load(Ordering::Acquire)
    }
}
