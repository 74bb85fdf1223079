//! What the writer's thread is asked for.
//!
//! Puts wait for one of [`PUTS`] places, and the door bounds their bytes. All else is counted from when it comes until it is
//! committed ([`Inbox::owed`]): whoever reads jobs stops when that is much, and what is owed can't be more than what was in
//! hand then. So nothing in here grows without bound, and only a put ever waits for room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::{Again, Dead, Key, NewJob, Put, Refused};

/// Puts that may wait at once.
const PUTS: usize = 1_024;
/// How long settled keys wait for something else to be committed with: their loss costs a push sent twice, not one lost.
const LINGER: Duration = Duration::from_millis(20);
/// Settled keys that are worth a commit of their own.
const MANY_SETTLED: usize = 4_096;

/// One thing to be written, and who waits for it.
pub(super) enum Order {
    Put(Vec<NewJob>, oneshot::Sender<Result<Put, Refused>>),
    Again(Again, oneshot::Sender<()>),
    Dead(Dead, oneshot::Sender<()>),
}

impl Order {
    /// Whether it is written in any case, however often that must be tried; a put may be refused.
    pub(super) const fn is_owed(&self) -> bool {
        !matches!(self, Self::Put(..))
    }
}

#[derive(Default)]
struct Waiting {
    orders: VecDeque<Order>,
    settled: Vec<Key>,
    settled_since: Option<Instant>,
    /// Nobody is left who could ask, or it shall be closed; by whom that is heard.
    end: Option<End>,
    /// Nothing is read any more: what comes is dropped, and whoever waits for it hears that.
    shut: bool,
}

/// How the writer ends.
pub(super) enum End {
    /// After all that waits; the sender hears how much could not be written.
    Close(oneshot::Sender<usize>),
    /// At once, as if the process had died: all handles are gone.
    Abandon,
}

/// The inbox.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    ring: Condvar,
    pub(super) places: Semaphore,
    owed: AtomicUsize,
    /// When the commit began that is under way, in milliseconds since `born`, and one; 0: none is.
    commit: AtomicU64,
    born: Instant,
}

/// What is to be done now.
pub(super) struct Work {
    pub(super) orders: VecDeque<Order>,
    pub(super) settled: Vec<Key>,
    pub(super) end: Option<End>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            ring: Condvar::new(),
            places: Semaphore::new(PUTS),
            owed: AtomicUsize::new(0),
            commit: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    /// Settled keys, retries and dead letters that are not committed.
    pub(super) fn owed(&self) -> usize {
        self.owed.load(Ordering::Relaxed)
    }

    /// So many of them are.
    pub(super) fn committed(&self, keys: usize, kept: usize) {
        self.owed.fetch_sub(keys + kept, Ordering::Relaxed);
    }

    /// A commit begins, or has ended.
    pub(super) fn commits(&self, is: bool) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.commit.store(if is { now + 1 } else { 0 }, Ordering::Relaxed);
    }

    /// For how long the commit under way has lasted.
    pub(super) fn commit_lasts(&self) -> Duration {
        match self.commit.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => self.born.elapsed().saturating_sub(Duration::from_millis(began - 1)),
        }
    }

    pub(super) fn order(&self, order: Order) {
        let mut waiting = self.lock();
        if !waiting.shut {
            if order.is_owed() {
                self.owed.fetch_add(1, Ordering::Relaxed);
            }
            waiting.orders.push_back(order);
            self.ring.notify_one();
        }
    }

    pub(super) fn settle(&self, keys: Vec<Key>) {
        let mut waiting = self.lock();
        if !waiting.shut {
            self.owed.fetch_add(keys.len(), Ordering::Relaxed);
            waiting.settled.extend(keys);
            waiting.settled_since.get_or_insert_with(Instant::now);
            self.ring.notify_one();
        }
    }

    pub(super) fn end(&self, end: End) {
        self.places.close();
        let mut waiting = self.lock();
        if !waiting.shut {
            waiting.end.get_or_insert(end);
            self.ring.notify_one();
        }
    }

    /// Nobody reads it any more.
    pub(super) fn shut(&self) {
        self.places.close();
        *self.lock() = Waiting { shut: true, ..Waiting::default() };
    }

    /// What is to be done; waits for it until `until` at most.
    pub(super) fn work(&self, until: Instant) -> Work {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            let lingered = waiting.settled_since.map(|since| since + LINGER);
            let ready = !waiting.orders.is_empty()
                || waiting.end.is_some()
                || waiting.settled.len() >= MANY_SETTLED
                || lingered.is_some_and(|at| at <= now);
            if ready || now >= until {
                waiting.settled_since = None;
                let settled = std::mem::take(&mut waiting.settled);
                return Work { orders: std::mem::take(&mut waiting.orders), settled, end: waiting.end.take() };
            }
            let wake = lingered.map_or(until, |at| at.min(until));
            let patience = wake.saturating_duration_since(now);
            waiting = self.ring.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
