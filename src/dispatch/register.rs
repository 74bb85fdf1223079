//! Which jobs are in hand, for whoever asks what became of one.
//!
//! The dispatch sees every job when it comes, and nobody tells it when one is settled: so it holds jobs weakly, and drops
//! those that are gone whenever they are as many as those that are not. That costs a job some 50 ns.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use crate::job::Envelope;

/// Jobs that may be gone and are still in the register, beside as many as are not.
const SLACK: usize = 1_024;

/// Somebody asks for a job by its id. No answer: it is not in hand.
pub struct JobAsk {
    /// The job's id.
    pub id: Box<str>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Option<JobInHand>>,
}

/// A job that is not settled.
pub struct JobInHand {
    /// The job.
    pub job: Arc<Envelope>,
    /// How many of its pushes wait in a lane; the others are with their routes, or have ended.
    pub waiting: usize,
}

/// The jobs in hand, by the hash of their ids. Of two with one id the later is known.
#[derive(Default)]
pub(super) struct Register {
    jobs: HashMap<u64, Weak<Envelope>>,
    hasher: RandomState,
    /// How many there were after those that are gone were dropped last.
    alive: usize,
}

impl Register {
    /// A job came in.
    pub(super) fn note(&mut self, job: &Arc<Envelope>) {
        if self.jobs.len() >= 2 * self.alive + SLACK {
            self.jobs.retain(|_, job| job.strong_count() > 0);
            self.alive = self.jobs.len();
        }
        self.jobs.insert(self.hasher.hash_one(&*job.job.id), Arc::downgrade(job));
    }

    /// The job with this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Envelope>> {
        let job = self.jobs.get(&self.hasher.hash_one(id))?.upgrade()?;
        (*job.job.id == *id).then_some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::draft;

    #[test]
    fn a_job_is_found_while_it_is_in_hand_and_the_register_stays_small() {
        let mut register = Register::default();
        let held: Vec<_> = (0..100).map(|tag| draft(tag, 1).seal()).collect();
        held.iter().for_each(|job| register.note(job));
        for tag in 100..20_000 {
            register.note(&draft(tag, 1).seal());
        }
        assert!(register.jobs.len() <= 2 * held.len() + SLACK + 1, "{}", register.jobs.len());
        for job in &held {
            assert!(register.find(&job.job.id).is_some_and(|found| Arc::ptr_eq(&found, job)), "{}", job.job.id);
        }
        let id = held[7].job.id.clone();
        drop(held);
        assert!(register.find(&id).is_none());
    }
}
