//! The acknowledger of one channel: where the pipeline says which jobs are settled.
//!
//! `settle` must not wait, so it leaves its tags in an inbox and rings. The inbox needs no further bound: it holds at
//! most one tag for each unsettled job of the channel, and those are bounded by the window.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::job::Acknowledger;

/// One channel's inbox.
#[derive(Default)]
pub(super) struct Receipts {
    lost: AtomicBool,
    inbox: Mutex<Inbox>,
    bell: Notify,
}

/// What came in since it was last looked at.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) settled: Vec<u64>,
    pub(super) returned: Vec<u64>,
}

impl Receipts {
    /// Takes what is there.
    pub(super) fn take(&self) -> Inbox {
        std::mem::take(&mut self.inbox())
    }

    /// Waits until something comes.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// The channel is gone: what comes now is ignored, and what waits must not be sent.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.take();
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, into: impl FnOnce(&mut Inbox)) {
        if self.is_live() {
            into(&mut self.inbox());
            self.bell.notify_one();
        }
    }
}

impl Acknowledger for Receipts {
    fn settle(&self, tags: Vec<u64>) {
        self.put(|inbox| inbox.settled.extend(tags));
    }

    fn give_back(&self, tags: Vec<u64>) {
        self.put(|inbox| inbox.returned.extend(tags));
    }

    fn is_live(&self) -> bool {
        !self.lost.load(Ordering::Acquire)
    }
}
