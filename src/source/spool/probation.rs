//! How many jobs may be in hand while the process is young. Pure.
//!
//! If a job brought the process down it will again, and every job that is in hand with it is counted as a suspect too
//! (the spool notes how far it was read). So at first few jobs are out at once, and more the longer the process lives: an
//! innocent one shares a crash with some others at most, and the poisonous one is given up after `max_deliveries` of them.

use std::time::{Duration, Instant};

/// Jobs in hand at first.
const FEW: usize = 32;
/// In what time the bound doubles: from [`FEW`] to none within 2.5 s.
const DOUBLING: Duration = Duration::from_millis(250);
/// After so many doublings there is no bound any more.
const DOUBLINGS: u32 = 10;

/// The bound.
#[derive(Debug)]
pub(super) struct Probation {
    since: Instant,
}

impl Probation {
    /// The bound of a process that begins now.
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now }
    }

    /// How many more may be taken while so many are in hand.
    pub(super) fn room(&self, in_hand: usize, now: Instant) -> usize {
        let age = now.saturating_duration_since(self.since);
        let doublings = u32::try_from(age.as_millis() / DOUBLING.as_millis()).unwrap_or(u32::MAX);
        if doublings >= DOUBLINGS { usize::MAX } else { (FEW << doublings).saturating_sub(in_hand) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_age_and_goes() {
        let start = Instant::now();
        let probation = Probation::new(start);
        assert_eq!((probation.room(0, start), probation.room(32, start)), (32, 0));
        assert_eq!(probation.room(32, start + DOUBLING), 32);
        assert_eq!(probation.room(0, start + 9 * DOUBLING), 16_384);
        assert_eq!(probation.room(1 << 40, start + 10 * DOUBLING), usize::MAX);
    }
}
