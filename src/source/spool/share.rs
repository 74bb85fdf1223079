//! How many jobs may be taken from which strand. Pure.
//!
//! A window is shared by all that wait for the same lane, and whoever does not move would fill it. So each strand may have
//! in hand an eighth of what the lane has room for besides: one that is blocked stops at a ninth of the window, the next at
//! a ninth of what is left, and after fifty there is still room (a *dynamic threshold*, Choudhury and Hahne 1998). Because
//! what moves needs more than that, it may have twice what it settled in a second on top. And each may have one.
//!
//! Strands of a lane take turns. A strand is a lane, an app and a set of providers, so an app that mixes its jobs has up
//! to seven; what they share beyond this is divided fairly among routes by the dispatch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::job::Lane;
use crate::spool::StrandId;

/// Jobs read at once from one strand: enough to make a read cheap (some microseconds), few enough to take turns.
const CHUNK: usize = 512;
/// The part of a lane's room that a strand may have in hand though it does not move.
const PART: usize = 8;
/// Over which time what is settled is counted.
const PERIOD: Duration = Duration::from_secs(1);

/// What each strand has in hand, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Shares {
    strands: HashMap<StrandId, Share>,
    turns: [usize; 3],
}

/// What may be taken from where.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allotted {
    /// Jobs of each strand; each has some.
    pub(super) jobs: Vec<(StrandId, usize)>,
    /// Strands that have more and may have no more in hand, though their lane has room.
    pub(super) held_back: Vec<StrandId>,
}

#[derive(Debug, Default)]
struct Share {
    in_hand: usize,
    since: Option<Instant>,
    settled: usize,
    before: usize,
}

impl Shares {
    /// How many jobs to read from which of the strands that have more, where the lane wants `demand`. Every strand that
    /// may take something gets a turn before another has a second one.
    pub(super) fn allot(&mut self, lane: Lane, demand: usize, more: &[StrandId], now: Instant) -> Allotted {
        let mut allotted = Allotted::default();
        if demand == 0 || more.is_empty() {
            return allotted;
        }
        let part = demand.div_ceil(more.len()).min(CHUNK);
        let first = self.turns[lane.index()];
        let mut left = demand;
        for nth in 0..more.len() {
            if left == 0 {
                break;
            }
            let turn = (first + nth) % more.len();
            self.turns[lane.index()] = turn + 1;
            match part.min(left).min(self.allowance(more[turn], demand, now)) {
                0 => allotted.held_back.push(more[turn]),
                jobs => {
                    allotted.jobs.push((more[turn], jobs));
                    left -= jobs;
                }
            }
        }
        allotted
    }

    /// How many more jobs a strand may have in hand while its lane has room for `free`.
    fn allowance(&mut self, strand: StrandId, free: usize, now: Instant) -> usize {
        let share = self.strands.entry(strand).or_default();
        share.advance(now);
        let allowed = free / PART + 2 * share.settled.max(share.before);
        allowed.max(1).saturating_sub(share.in_hand)
    }

    /// These many jobs were taken from the strand.
    pub(super) fn taken(&mut self, strand: StrandId, jobs: usize) {
        self.strands.entry(strand).or_default().in_hand += jobs;
    }

    /// A job of the strand is settled.
    pub(super) fn settled(&mut self, strand: StrandId, now: Instant) {
        let share = self.strands.entry(strand).or_default();
        share.advance(now);
        share.in_hand = share.in_hand.saturating_sub(1);
        share.settled += 1;
    }
}

impl Share {
    fn advance(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= PERIOD {
            self.before = if passed < 2 * PERIOD { self.settled } else { 0 };
            self.settled = 0;
            self.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: StrandId = StrandId(1);
    const STUCK: StrandId = StrandId(2);

    /// Takes what is allotted until nothing is, in a lane with so much room that nobody empties.
    fn fill(shares: &mut Shares, room: &mut usize, more: &[StrandId], now: Instant) {
        loop {
            let allotted = shares.allot(Lane::Normal, *room, more, now);
            if allotted.jobs.is_empty() {
                assert_eq!(allotted.held_back.len(), if *room == 0 { 0 } else { more.len() });
                return;
            }
            for (strand, jobs) in allotted.jobs {
                shares.taken(strand, jobs);
                *room -= jobs;
            }
        }
    }

    #[test]
    fn flow_2_2_a_strand_that_does_not_move_leaves_room_for_the_others() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        let mut room = 18_000;
        fill(&mut shares, &mut room, &[STUCK], now);
        assert!(room.abs_diff(16_000) <= CHUNK, "one that is stuck leaves {room} of 18,000");
        let mut stuck = vec![STUCK];
        for nth in 10..60 {
            stuck.push(StrandId(nth));
            fill(&mut shares, &mut room, &stuck, now);
        }
        assert!(room > 20, "51 that are stuck leave {room} of 18,000");
    }

    #[test]
    fn one_that_moves_may_have_what_it_settles_besides() {
        let (mut shares, mut now) = (Shares::default(), Instant::now());
        let mut room = 400;
        fill(&mut shares, &mut room, &[STUCK], now);
        for _ in 0..5 {
            // All that was taken is on its way, none of it waits: the lane's room is free again.
            let mut room = 400;
            fill(&mut shares, &mut room, &[FAST], now);
            now += Duration::from_millis(100);
            (0..50).for_each(|_| shares.settled(FAST, now));
        }
        assert!(shares.allowance(FAST, 20, now) > 100, "{}", shares.allowance(FAST, 20, now));
        assert_eq!(shares.allowance(STUCK, 20, now), 0);
        now += Duration::from_secs(5);
        assert!(shares.allowance(FAST, 0, now) <= 1, "a pace is forgotten");
    }

    #[test]
    fn strands_take_turns() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        let more: Vec<StrandId> = (0..10).map(StrandId).collect();
        let mut taken = [0usize; 10];
        for _ in 0..20 {
            for (strand, jobs) in shares.allot(Lane::High, 3, &more, now).jobs {
                taken[strand.0 as usize] += jobs;
                shares.taken(strand, jobs);
                (0..jobs).for_each(|_| shares.settled(strand, now));
            }
        }
        assert_eq!(taken, [6; 10]);
    }
}
