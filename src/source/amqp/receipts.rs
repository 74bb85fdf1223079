//! The acknowledger of one channel: where the pipeline says which jobs are settled.
//!
//! `settle` must not wait, so it leaves its tags in an inbox and rings. The inbox needs no further bound: it holds at
//! most one tag for each unsettled job of the channel, and those are bounded by the window.
//!
//! When the channel is lost the inbox goes on: its tags can settle nothing any more, but they say which jobs must not be
//! sent again (`hands`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::job::Acknowledger;

/// One channel's inbox.
pub(super) struct Receipts {
    lost: AtomicBool,
    inbox: Mutex<Inbox>,
    bell: Arc<Notify>,
}

/// What came in since it was last looked at.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) settled: Vec<u64>,
    /// All but these targets.
    pub(super) partly: Vec<(u64, Vec<u16>)>,
    pub(super) returned: Vec<u64>,
}

impl Receipts {
    /// A new channel's, to ring this bell.
    pub(super) fn new(bell: Arc<Notify>) -> Self {
        Self { lost: AtomicBool::new(false), inbox: Mutex::default(), bell }
    }

    /// Takes what is there.
    pub(super) fn take(&self) -> Inbox {
        std::mem::take(&mut self.inbox())
    }

    /// Waits until something comes.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// The channel is gone: what waits of its jobs must not be sent.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, into: impl FnOnce(&mut Inbox)) {
        into(&mut self.inbox());
        self.bell.notify_one();
    }
}

impl Acknowledger for Receipts {
    fn settle(&self, tags: Vec<u64>) {
        self.put(|inbox| inbox.settled.extend(tags));
    }

    fn give_back(&self, tags: Vec<u64>) {
        self.put(|inbox| inbox.returned.extend(tags));
    }

    fn settle_except(&self, tag: u64, targets: Vec<u16>) {
        self.put(|inbox| inbox.partly.push((tag, targets)));
    }

    fn is_live(&self) -> bool {
        !self.lost.load(Ordering::Acquire)
    }
}
