//! The spool's two ends: whoever writes, and whoever reads.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{Again, Dead, Key, NewJob, OpenError, Put, Refused, SpoolSettings, SpoolStatus, Stored, Strand, StrandId};

/// An open spool.
pub struct Spool {
    /// Writes; to be cloned.
    pub writer: Writer,
    /// Reads; there is one.
    pub reader: Reader,
}

impl Spool {
    /// Opens the spool, or makes it. Blocks: recovery reads what a crash left.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(settings: &SpoolSettings) -> Result<Self, OpenError> {
        Err(OpenError::Store(settings.path.clone(), "not there yet".to_owned()))
    }
}

/// The writing end. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    arrivals: watch::Receiver<u64>,
    status: watch::Receiver<SpoolStatus>,
}

impl Writer {
    /// Queues all of `jobs`, or none. Ready when they are on disk (fsync), together with whatever else was to be written
    /// at that moment.
    ///
    /// # Errors
    /// [`Refused`]: none of them is queued.
    pub async fn put(&self, _jobs: Vec<NewJob>) -> Result<Put, Refused> {
        Err(Refused::Closed)
    }

    /// These jobs are done with. Never waits and never fails: what the store does not take is tried again.
    pub fn settle(&self, _keys: Vec<Key>) {}

    /// Queues a part of a job again. Ready when it is on disk; trouble on the way is waited out. The job itself stays
    /// until it is settled.
    pub fn again(&self, _again: Again) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }

    /// Keeps a dead letter. Ready as [`again`](Self::again) is.
    pub fn dead(&self, _dead: Dead) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }

    /// Changes whenever there may be more to read than before.
    #[must_use]
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.clone()
    }

    /// What it shows; written after each commit, at most ten times a second, and at once when `refusing` or `failing`
    /// changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SpoolStatus> {
        self.status.clone()
    }

    /// Writes what is still to be written, and closes the store. The other clones refuse from now on.
    pub async fn close(self) {}
}

/// The reading end: a connection of its own, so that reading does not wait for anybody's fsync. Its calls block for as
/// long as a read from disk takes; it belongs on a thread that may.
pub struct Reader {}

impl Reader {
    /// The strands that have more than was read.
    ///
    /// # Errors
    /// If the store can't be read; in words.
    pub fn strands(&mut self) -> Result<Vec<Strand>, String> {
        Ok(Vec::new())
    }

    /// The next jobs of a strand, each once: at most `jobs` of them and, beyond the first, at most `bytes` of bodies.
    /// A record whose checksum is wrong is made a dead letter (`corrupt_record`) and passed over.
    ///
    /// # Errors
    /// If the store can't be read; in words. Nothing was passed over.
    pub fn next(&mut self, _strand: StrandId, _jobs: usize, _bytes: usize) -> Result<Vec<Stored>, String> {
        Ok(Vec::new())
    }
}
