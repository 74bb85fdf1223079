//! The tap: every outcome as it comes, for whoever listens just now (`tidegate tap`).
//!
//! ```text
//! settlement ──chunks──▶ ring of 64 ──▶ listener, each at its own pace
//!                                       a slow one finds a gap, and knows how wide it is
//! ```
//!
//! The settlement waits for nobody here. While nobody listens it looks at one number for each push and does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Ended, OutcomeKind};
use crate::job::{Lane, Provider, TargetHash, UnixMillis};
use crate::verdict::Reason;

/// Outcomes in one chunk, at most.
const CHUNK: usize = 256;
/// Chunks that a listener may be behind; a few megabytes, while somebody listens.
const RING: usize = 64;

/// What is heard of one outcome. The target is there as its hash only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The job's id.
    pub job: Box<str>,
    /// The app.
    pub app: Arc<str>,
    /// The provider.
    pub provider: Provider,
    /// The lane it waited in.
    pub lane: Lane,
    /// Stands for the device's address.
    pub target: TargetHash,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Why; absent when delivered.
    pub reason: Option<Reason>,
    /// The HTTP status of the provider's last answer.
    pub status: Option<u16>,
    /// How often it was tried.
    pub attempts: u8,
    /// From acceptance to outcome.
    pub took: Duration,
    /// When it ended.
    pub at: UnixMillis,
}

impl Heard {
    pub(super) fn of(Ended { push, outcome }: &Ended, app: &Arc<str>, took: Duration) -> Self {
        Self {
            job: push.envelope.job.id.as_ref().into(),
            app: Arc::clone(app),
            provider: push.target().provider(),
            lane: push.envelope.lane,
            target: push.target().hash(),
            outcome: outcome.kind,
            reason: outcome.reason.clone(),
            status: outcome.status,
            attempts: outcome.attempts,
            took,
            at: outcome.at,
        }
    }
}

#[derive(Debug)]
struct Chunk {
    /// The number of its first outcome, of all that were said.
    first: u64,
    outcomes: Box<[Heard]>,
}

/// Where outcomes can be listened to.
#[derive(Debug)]
pub struct Tap {
    listeners: AtomicUsize,
    said: AtomicU64,
    chunks: broadcast::Sender<Arc<Chunk>>,
}

impl Default for Tap {
    fn default() -> Self {
        Self { listeners: AtomicUsize::new(0), said: AtomicU64::new(0), chunks: broadcast::Sender::new(RING) }
    }
}

impl Tap {
    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Says these; nothing is left of them. Called by the settlement alone.
    pub(super) fn say(&self, outcomes: &mut Vec<Heard>) {
        while !outcomes.is_empty() {
            let part: Box<[Heard]> = outcomes.drain(..outcomes.len().min(CHUNK)).collect();
            let first = self.said.fetch_add(part.len() as u64, Ordering::Relaxed);
            // If the last listener has gone meanwhile nobody minds.
            let _ = self.chunks.send(Arc::new(Chunk { first, outcomes: part }));
        }
    }

    /// Hears all outcomes from now on.
    #[must_use]
    pub fn listen(self: &Arc<Self>) -> Listener {
        let chunks = self.chunks.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener { tap: Arc::clone(self), chunks, next: None }
    }
}

/// One who listens.
#[derive(Debug)]
pub struct Listener {
    tap: Arc<Tap>,
    chunks: broadcast::Receiver<Arc<Chunk>>,
    /// The number of the outcome that should come next.
    next: Option<u64>,
}

/// What came next.
#[derive(Debug, Clone)]
pub struct Overheard {
    /// Outcomes that went by before these, because the listener was too slow.
    pub lost: u64,
    chunk: Arc<Chunk>,
}

impl Overheard {
    /// The outcomes.
    #[must_use]
    pub fn outcomes(&self) -> &[Heard] {
        &self.chunk.outcomes
    }
}

impl Listener {
    /// The next ones; `None` when nothing more can come. Cancel-safe.
    pub async fn next(&mut self) -> Option<Overheard> {
        let chunk = loop {
            match self.chunks.recv().await {
                Ok(chunk) => break chunk,
                // The numbers tell how many were missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        };
        let lost = chunk.first - self.next.unwrap_or(chunk.first);
        self.next = Some(chunk.first + chunk.outcomes.len() as u64);
        Some(Overheard { lost, chunk })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tap.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{FcmTarget, Target};

    fn heard(nth: u64) -> Heard {
        let target = Target::Fcm(FcmTarget::Token("a-token".into()));
        Heard {
            job: nth.to_string().into(),
            app: "chat".into(),
            provider: Provider::Fcm,
            lane: Lane::High,
            target: target.hash(),
            outcome: OutcomeKind::Delivered,
            reason: None,
            status: Some(200),
            attempts: 1,
            took: Duration::ZERO,
            at: UnixMillis(0),
        }
    }

    fn say(tap: &Tap, numbers: std::ops::Range<u64>) {
        tap.say(&mut numbers.map(heard).collect());
    }

    #[tokio::test]
    async fn who_listens_hears_all_in_order_and_who_has_gone_costs_nothing() {
        let tap = Arc::new(Tap::default());
        assert!(!tap.is_heard());
        let mut listener = tap.listen();
        assert!(tap.is_heard());
        say(&tap, 0..600);
        let mut jobs = Vec::new();
        while jobs.len() < 600 {
            let overheard = listener.next().await.expect("there is more");
            assert_eq!(overheard.lost, 0);
            jobs.extend(overheard.outcomes().iter().map(|heard| heard.job.parse::<u64>().expect("a number")));
        }
        assert_eq!(jobs, (0..600).collect::<Vec<_>>());
        drop(listener);
        assert!(!tap.is_heard());
    }

    #[tokio::test]
    async fn a_slow_one_knows_exactly_how_many_it_has_missed() {
        let tap = Arc::new(Tap::default());
        let mut listener = tap.listen();
        let chunk = CHUNK as u64;
        say(&tap, 0..chunk);
        listener.next().await.expect("the first");
        let more = 40 * RING as u64;
        (0..more).for_each(|nth| say(&tap, chunk + nth..chunk + nth + 1));
        let overheard = listener.next().await.expect("what is still there");
        assert_eq!(overheard.lost, more - RING as u64);
        assert_eq!(*overheard.outcomes()[0].job, *(chunk + overheard.lost).to_string());
    }
}
