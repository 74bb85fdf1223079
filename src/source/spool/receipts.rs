//! The acknowledger of the spool: where the pipeline says which jobs are settled.
//!
//! What is settled goes to the writer at once, and into an inbox from which the feed counts what is in hand. The inbox
//! needs no further bound: it holds at most one key for each job in hand. Nothing is ever taken back by the spool itself,
//! so its jobs are live as long as the process is.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::job::Acknowledger;
use crate::spool::{Key, Writer};

/// The inbox, and the way to the writer.
pub(super) struct Receipts {
    writer: Writer,
    settled: Mutex<Vec<Key>>,
    bell: Notify,
}

impl Receipts {
    pub(super) fn new(writer: Writer) -> Self {
        Self { writer, settled: Mutex::default(), bell: Notify::new() }
    }

    /// What was settled since this was last asked.
    pub(super) fn take(&self) -> Vec<Key> {
        std::mem::take(&mut self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something is settled.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

/// A job's tag, as receipts carry it.
pub(super) const fn tag(key: Key) -> u64 {
    key.0.cast_unsigned()
}

/// The job of a tag.
pub(super) const fn key(tag: u64) -> Key {
    Key(tag.cast_signed())
}

impl Acknowledger for Receipts {
    fn settle(&self, tags: Vec<u64>) {
        let keys: Vec<Key> = tags.into_iter().map(key).collect();
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).extend(&keys);
        self.writer.settle(keys);
        self.bell.notify_one();
    }

    /// They are on disk still, and are read again by the next process; this one drains.
    fn give_back(&self, _tags: Vec<u64>) {}

    fn settle_except(&self, _tag: u64, _targets: Vec<u16>) {
        debug_assert!(false, "said only of jobs that their source has taken back");
    }

    fn is_live(&self) -> bool {
        true
    }
}
