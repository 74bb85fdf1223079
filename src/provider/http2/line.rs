//! What a connection's task, its stream, its attempts and the pool know in common: a few atomic numbers and a bell.
//!
//! Each number has one writer, or is a counter; nothing is decided here. The two texts that come with an end are
//! behind a lock that is taken when a connection ends, never on the way of a request.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::frames::{GoAway, Seen};

/// A connection's first flow-control window, in bytes (RFC 9113, section 6.9.2). APNs never enlarges it.
const FIRST_WINDOW: i64 = 65_535;

/// A connection's number, unique within its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One connection, as everybody sees it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: ConnectionId,
    /// Rung when room may have grown or the connection has ended; shared by the pool's connections.
    bell: Arc<Notify>,
    epoch: Instant,
    /// Since the epoch, in nanoseconds; written by the stream.
    last_read: AtomicU64,
    /// Since the epoch, in nanoseconds; written when an attempt ends.
    last_used: AtomicU64,
    /// The server's stream limit; written by the connection's task.
    limit: AtomicUsize,
    in_flight: AtomicUsize,
    /// What is left of the connection's window, in bytes; written by the stream as frames pass.
    window: AtomicI64,
    /// Bytes given to h2 since it was last driven. Driving it writes all that the window takes, so what is older is
    /// either in `window` already or the window is used up.
    handed: AtomicUsize,
    settings_seen: AtomicBool,
    going_away: AtomicBool,
    proven: AtomicBool,
    served: AtomicBool,
    released: AtomicBool,
    closed: AtomicBool,
    last_words: Mutex<LastWords>,
}

#[derive(Debug, Default)]
struct LastWords {
    goaway: Option<GoAway>,
    end: Option<Box<str>>,
}

impl Line {
    pub(super) fn new(id: ConnectionId, first_streams: usize, bell: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            id,
            bell,
            epoch: Instant::now(),
            last_read: AtomicU64::new(0),
            last_used: AtomicU64::new(0),
            limit: AtomicUsize::new(first_streams),
            in_flight: AtomicUsize::new(0),
            window: AtomicI64::new(FIRST_WINDOW),
            handed: AtomicUsize::new(0),
            settings_seen: AtomicBool::new(false),
            going_away: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            served: AtomicBool::new(false),
            released: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            last_words: Mutex::default(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn opened_at(&self) -> Instant {
        self.epoch
    }

    pub(super) fn last_read(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.last_read.load(Ordering::Relaxed))
    }

    pub(super) fn last_used(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.last_used.load(Ordering::Relaxed))
    }

    /// Bytes came.
    pub(super) fn heard(&self) {
        self.last_read.store(self.now(), Ordering::Relaxed);
    }

    /// What the server said.
    pub(super) fn hears(&self, seen: Seen) {
        match seen {
            Seen::Data(_) => {}
            Seen::Window(bytes) => {
                self.window.fetch_add(bytes.into(), Ordering::AcqRel);
            }
            Seen::Settings => self.settings_seen.store(true, Ordering::Release),
            Seen::GoAway(goaway) => {
                let mut words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
                // A second GOAWAY may say less than the first.
                let word = goaway.word.clone().or_else(|| words.goaway.take().and_then(|earlier| earlier.word));
                tracing::debug!(connection = self.id.0, code = goaway.code, last = goaway.last_stream, ?word, "goaway");
                words.goaway = Some(GoAway { word, ..goaway });
                drop(words);
                self.going_away.store(true, Ordering::Release);
            }
        }
    }

    /// What we said.
    pub(super) fn says(&self, seen: Seen) {
        if let Seen::Data(bytes) = seen {
            self.window.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::AcqRel);
        }
    }

    /// A body was given to h2.
    pub(super) fn hand(&self, bytes: usize) {
        self.handed.fetch_add(bytes, Ordering::AcqRel);
    }

    /// h2 is about to be driven.
    pub(super) fn drive(&self) {
        self.handed.store(0, Ordering::Release);
    }

    /// Bytes that could leave now.
    pub(super) fn window(&self) -> usize {
        let left = usize::try_from(self.window.load(Ordering::Acquire)).unwrap_or(0);
        left.saturating_sub(self.handed.load(Ordering::Acquire))
    }

    pub(super) fn has_settings(&self) -> bool {
        self.settings_seen.load(Ordering::Acquire)
    }

    pub(super) fn is_going_away(&self) -> bool {
        self.going_away.load(Ordering::Acquire)
    }

    /// The word the server gave with its GOAWAY.
    pub(super) fn goaway_word(&self) -> Option<Box<str>> {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.goaway.as_ref().and_then(|goaway| goaway.word.clone())
    }

    /// Why it ended, for logs.
    pub(super) fn end(&self) -> Option<Box<str>> {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).end.clone()
    }

    /// Notes the server's limit; true if it is another than before.
    pub(super) fn limited_to(&self, limit: usize) -> bool {
        self.limit.swap(limit, Ordering::AcqRel) != limit
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// It has answered.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Release);
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// It has answered with something else than a server's error.
    pub(super) fn serve(&self) {
        self.served.store(true, Ordering::Release);
    }

    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Acquire)
    }

    /// The pool uses it for nothing new.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    pub(super) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// It has ended; said before its streams learn of it.
    pub(super) fn close(&self, end: &str) {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).end = Some(end.into());
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }
}

/// The right to one stream of a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Line>);

impl Slot {
    pub(super) fn take(line: &Arc<Line>) -> Self {
        line.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(line))
    }

    pub(super) fn line(&self) -> &Line {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.last_used.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
