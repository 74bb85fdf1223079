//! How much memory the jobs in hand take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a job is taken to cost before any was seen, in bytes.
const FIRST_GUESS: usize = 4 << 10;

/// A bound on the bytes of jobs held, from the moment the dispatch takes one in until it is settled.
///
/// It bounds by demand, not by refusal: whoever asks for jobs asks for no more than fit. What was asked for before is
/// still let in, so the bound can be passed by the jobs on their way.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    bytes: AtomicUsize,
    /// Bytes a job, smoothed.
    mean: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, bytes: AtomicUsize::new(0), mean: AtomicUsize::new(FIRST_GUESS) })
    }

    /// Charges a job of so many bytes until the returned charge is dropped. One task charges.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mean = self.mean.load(Ordering::Relaxed);
        // Falls slowly, rises at once: a turn to large jobs is felt with the first of them.
        self.mean.store(((mean * 15 + bytes) / 16).max(bytes / 2), Ordering::Relaxed);
        Charge { budget: Arc::clone(self), bytes }
    }

    /// `jobs`, or as many as fit, taking the jobs seen lately as the measure.
    #[must_use]
    pub fn cap(&self, jobs: usize) -> usize {
        jobs.min(self.limit.saturating_sub(self.bytes()) / self.mean.load(Ordering::Relaxed).max(1))
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bound, in bytes.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

/// A job's share of the budget; returned when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_is_cut_by_what_is_held_and_by_how_large_jobs_are() {
        let budget = MemoryBudget::new(1 << 20);
        assert_eq!(budget.cap(10_000), 256, "nothing is known of the jobs yet");
        let held: Vec<Charge> = (0..100).map(|_| budget.charge(1 << 10)).collect();
        assert_eq!(budget.bytes(), 100 << 10);
        assert!(budget.cap(10_000) > 800, "{}", budget.cap(10_000));
        let large = budget.charge(512 << 10);
        assert_eq!(budget.cap(10_000), 1, "a large job is felt at once");
        drop(large);
        drop(held);
        assert_eq!((budget.bytes(), budget.cap(2)), (0, 2));
    }
}
