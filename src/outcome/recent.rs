//! What became of pushes of late, for whoever asks: the last that were delivered, and the last that were not, each a ring of
//! its own, since a burst of good news must not wash away the one failure that somebody asks about.
//!
//! An id is kept as a hash with a secret of this process's: 64 bits, so that two of the ids in here are one in 2^33.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Outcome, OutcomeKind};
use crate::job::{Lane, Provider, Push, SourceName, UnixMillis};

/// Pushes in each of the two rings. With what a provider calls a push, at most 4 MB each.
pub const REMEMBERED: usize = 16_384;

/// Answers hold no more pushes than a job can have.
const MOST: usize = 1_000;

/// Somebody asks what became of the pushes of a job.
pub struct PastAsk {
    /// The job's id.
    pub id: Box<str>,
    /// Where the answer goes: the oldest first, empty if nothing is known.
    pub answer: oneshot::Sender<Vec<Past>>,
}

/// How a push left this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It has its outcome.
    Ended(Outcome),
    /// It is kept durably, and comes again.
    Later {
        /// Since when.
        at: UnixMillis,
        /// Not before so long.
        delay: Duration,
        /// Attempts made so far.
        attempts: u8,
    },
}

impl Left {
    /// When it left.
    #[must_use]
    pub const fn at(&self) -> UnixMillis {
        match self {
            Left::Ended(outcome) => outcome.at,
            Left::Later { at, .. } => *at,
        }
    }
}

/// What became of one push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    job: u64,
    /// Whose it was.
    pub app: Arc<str>,
    /// By whom it was sent, or would have been.
    pub provider: Provider,
    /// The lane it waited in.
    pub lane: Lane,
    /// Where its job came from.
    pub source: SourceName,
    /// Which of its job's targets it went to.
    pub index: u16,
    /// When its job was accepted.
    pub accepted_at: UnixMillis,
    /// How it left.
    pub left: Left,
}

/// The rings.
#[derive(Debug, Default)]
pub(super) struct Recent {
    delivered: VecDeque<Past>,
    others: VecDeque<Past>,
    hasher: RandomState,
}

impl Recent {
    /// Notes what became of a push of `app`'s.
    pub(super) fn note(&mut self, push: &Push, app: Arc<str>, left: Left) {
        let delivered = matches!(&left, Left::Ended(outcome) if outcome.kind == OutcomeKind::Delivered);
        let envelope = &push.envelope;
        let past = Past {
            job: self.hasher.hash_one(&*envelope.job.id),
            app,
            provider: push.target().provider(),
            lane: envelope.lane,
            source: envelope.origin.source,
            index: push.index,
            accepted_at: envelope.origin.accepted_at,
            left,
        };
        let ring = if delivered { &mut self.delivered } else { &mut self.others };
        if ring.len() >= REMEMBERED {
            ring.pop_front();
        }
        ring.push_back(past);
    }

    /// What is known of a job's pushes, the oldest first. Looks at all there is.
    pub(super) fn of(&self, id: &str) -> Vec<Past> {
        let job = self.hasher.hash_one(id);
        let all = self.delivered.iter().chain(&self.others);
        let mut found: Vec<Past> = all.filter(|past| past.job == job).take(MOST).cloned().collect();
        found.sort_by_key(|past| past.left.at());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::draft;

    fn ended(kind: OutcomeKind) -> Left {
        let at = UnixMillis(1);
        Left::Ended(Outcome { kind, reason: None, status: None, attempts: 1, provider_id: None, since: None, at })
    }

    #[test]
    fn a_flood_of_good_news_does_not_wash_a_failure_away_and_memory_is_bounded() {
        let mut recent = Recent::default();
        let failed = draft(7, 2).seal();
        recent.note(&failed.push(1), "chat".into(), ended(OutcomeKind::Failed));
        let app: Arc<str> = "chat".into();
        for tag in 10..10 + 2 * REMEMBERED as u64 {
            recent.note(&draft(tag, 1).seal().push(0), Arc::clone(&app), ended(OutcomeKind::Delivered));
        }
        assert_eq!((recent.delivered.len(), recent.others.len()), (REMEMBERED, 1));
        let found = recent.of(&failed.job.id);
        assert_eq!(found.iter().map(|past| past.index).collect::<Vec<_>>(), [1]);
        assert!(recent.of(&draft(10, 1).seal().job.id).is_empty(), "washed away");
        assert_eq!(recent.of(&draft(9 + 2 * REMEMBERED as u64, 1).seal().job.id).len(), 1);
        assert!(size_of::<Past>() <= 160, "{}", size_of::<Past>());
    }
}
