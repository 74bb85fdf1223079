//! How many jobs may be in hand while the process is young. Pure.
//!
//! If a job brought the process down it will again, and every job that is in hand with it is counted as a suspect too
//! (the spool notes how far it was read). So at first few jobs are out at once, and more only as jobs are settled: an
//! innocent one shares a crash with some others at most, and the poisonous one is given up after `max_deliveries` of them.

/// Jobs in hand at first.
const FEW: usize = 32;
/// Jobs in hand from which on there is no bound any more.
const MANY: usize = 16_384;

/// The bound.
#[derive(Debug)]
pub(super) struct Probation {
    bound: usize,
    settled: usize,
}

impl Probation {
    /// The bound of a process that has settled nothing yet.
    pub(super) const fn new() -> Self {
        Self { bound: FEW, settled: 0 }
    }

    /// How many more may be taken while so many are in hand.
    pub(super) const fn room(&self, in_hand: usize) -> usize {
        if self.bound > MANY { usize::MAX } else { self.bound.saturating_sub(in_hand) }
    }

    /// So many more were settled: each time as many as the bound are, it is doubled.
    pub(super) const fn settled(&mut self, jobs: usize) {
        self.settled = self.settled.saturating_add(jobs);
        while self.bound <= MANY && self.settled >= self.bound {
            self.settled -= self.bound;
            self.bound *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_what_is_settled_and_goes() {
        let mut probation = Probation::new();
        assert_eq!((probation.room(0), probation.room(32)), (32, 0));
        probation.settled(31);
        assert_eq!(probation.room(0), 32);
        probation.settled(1);
        assert_eq!(probation.room(32), 32);
        probation.settled(64 + 128 + 256 + 512 + 1024 + 2048 + 4096 + 8192);
        assert_eq!(probation.room(0), 16_384);
        probation.settled(16_384);
        assert_eq!(probation.room(1 << 40), usize::MAX);
    }
}
