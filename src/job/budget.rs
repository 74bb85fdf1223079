//! How much memory the jobs in hand take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a job is taken to cost before any was seen, in bytes.
const FIRST_GUESS: usize = 4 << 10;

/// A bound on the bytes of jobs held, from the moment a source has one until it is settled.
///
/// It bounds by demand, not by refusal: whoever asks for jobs asks for no more than fit. What was asked for before is
/// still let in, so the bound can be passed by the jobs on their way.
///
/// Two ask: the dispatch asks its sources ([`cap`](Self::cap)), a source asks its broker ([`room`](Self::room)). What
/// waits in a source counts for its broker only: counted against the dispatch's demand it could never leave.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    /// Of jobs handed down.
    taken: AtomicUsize,
    /// Of jobs that wait in their source.
    ahead: AtomicUsize,
    /// Bytes a job, smoothed.
    mean: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            mean: AtomicUsize::new(FIRST_GUESS),
        })
    }

    /// Charges a job of so many bytes until the returned charge is dropped.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes, false)
    }

    /// The same for a job that waits in its source.
    #[must_use]
    pub fn charge_ahead(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes, true)
    }

    fn add(self: &Arc<Self>, bytes: usize, ahead: bool) -> Charge {
        self.counter(ahead).fetch_add(bytes, Ordering::Relaxed);
        // Several tasks charge; if they cross, one job is left out of the mean.
        let mean = self.mean.load(Ordering::Relaxed);
        // Falls slowly, rises at once: a turn to large jobs is felt with the first of them.
        self.mean.store(((mean * 15 + bytes) / 16).max(bytes / 2), Ordering::Relaxed);
        Charge { budget: Arc::clone(self), bytes, ahead }
    }

    const fn counter(&self, ahead: bool) -> &AtomicUsize {
        if ahead { &self.ahead } else { &self.taken }
    }

    /// `jobs`, or as many as fit beside those handed down, taking the jobs seen lately as the measure. One always fits
    /// where there is none, however large.
    #[must_use]
    pub fn cap(&self, jobs: usize) -> usize {
        jobs.min(self.fit(self.taken.load(Ordering::Relaxed)))
    }

    /// How many more jobs a source may ask for: what fits beside all that are held, by the same measure.
    #[must_use]
    pub fn room(&self) -> usize {
        self.fit(self.bytes())
    }

    fn fit(&self, held: usize) -> usize {
        let fit = self.limit.saturating_sub(held) / self.mean.load(Ordering::Relaxed).max(1);
        if held == 0 { fit.max(1) } else { fit }
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.taken.load(Ordering::Relaxed) + self.ahead.load(Ordering::Relaxed)
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
    ahead: bool,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.counter(self.ahead).fetch_sub(self.bytes, Ordering::Relaxed);
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
        let ahead = budget.charge_ahead(512 << 10);
        assert_eq!((budget.cap(10_000), budget.room()), (1, 0), "what waits in a source must be able to leave it");
        drop(ahead);
        drop(large);
        drop(held);
        assert_eq!((budget.bytes(), budget.cap(2)), (0, 2));
        let tiny = MemoryBudget::new(1);
        assert_eq!((tiny.cap(5), tiny.room()), (1, 1), "one always fits");
    }
}
