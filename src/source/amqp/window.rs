//! The demand window: which prefetch a queue's consumer should have. Pure, time is an argument.
//!
//! The prefetch follows what the pipeline holds unsettled plus what it would take now, in powers of two. A consumer's
//! prefetch is fixed when it starts (quorum queues take no global one), so a change costs a cancel and a new
//! consume; hence hysteresis:
//!
//! - up at once, but only when at most an eighth of the old consumer's deliveries is still out. The new consumer's
//!   prefetch does not count those, so what the broker counts as ours is at most new + old/8, and while the change
//!   is fresh at most new + old.
//! - down when a quarter would do for [`SHRINK_AFTER`];
//! - off when there was no demand at all for [`IDLE_AFTER`]: the backlog stays in the broker. On again with demand.
//!   What was prefetched until then is kept for a while, because each return counts as a delivery (RabbitMQ before
//!   4.3); but not for ever, because the broker closes a channel that holds a message for 30 minutes
//!   (`consumer_timeout`), and with it all that the pipeline holds would come again.
//! - cut at once, by way of off, when memory has room for half of it only (large jobs came): what is out counts, so
//!   nothing more comes until enough of it is settled. What was asked for before can't be withdrawn: after a sudden
//!   turn from small jobs to large ones, one old window of large ones can come, whatever the memory.
//!
//! Probation: a new channel starts with [`PROBATION`] and may double with each window that was settled. A process
//! that a job kills at once redelivers 32 jobs each time, not 2,000, so a crash loop does not carry innocent jobs over
//! the delivery limit (ENGINEERING.md, D8). And nothing is known of the jobs' size yet, so the first window is no larger
//! than the memory holds of the largest jobs there can be.

use std::time::{Duration, Instant};

/// The first window of a channel.
pub(super) const PROBATION: u16 = 32;

/// How long a much smaller window must do before it is set.
const SHRINK_AFTER: Duration = Duration::from_secs(2);

/// How long nothing must be wanted before the consumer is cancelled. Longer than any pause between two chunks.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// How long prefetched jobs wait for demand after that. A sixth of the broker's patience.
const RETURN_AFTER: Duration = Duration::from_mins(5);

/// What the consumer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Keep,
    /// A new consumer with this prefetch, at least 1; the old one, if any, is cancelled.
    Consume(u16),
    /// No consumer.
    Cancel,
    /// No consumer, and what waits goes back to the broker.
    GiveBack,
}

/// What the machine looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Jobs the pipeline would take now.
    pub(super) demand: usize,
    /// Jobs it has, unsettled.
    pub(super) held: usize,
    /// Jobs that were prefetched and wait here for demand.
    pub(super) waiting: usize,
    /// Deliveries of consumers before the present one that are still out.
    pub(super) older: usize,
    /// Deliveries that may be out at all, by what memory there is.
    pub(super) fit: usize,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Window {
    max: u16,
    ceiling: u16,
    settled: usize,
    current: u16,
    low_since: Option<Instant>,
    idle_since: Option<Instant>,
    off_since: Option<Instant>,
}

impl Window {
    /// A new channel's window, without a consumer: at most `max`, and `first` to begin with.
    pub(super) fn new(max: u16, first: u16) -> Self {
        let max = max.max(1);
        Self {
            max,
            ceiling: PROBATION.min(first).clamp(1, max),
            settled: 0,
            current: 0,
            low_since: None,
            idle_since: None,
            off_since: None,
        }
    }

    /// The present consumer's prefetch; 0: there is none.
    pub(super) fn current(&self) -> u16 {
        self.current
    }

    /// Jobs were settled: proof that this process survives its jobs.
    pub(super) fn settled(&mut self, jobs: usize) {
        self.settled += jobs;
        while self.settled >= usize::from(self.ceiling) && self.ceiling < self.max {
            self.settled -= usize::from(self.ceiling);
            self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        }
    }

    /// The consumer is gone, by the broker's doing or because of a drain.
    pub(super) fn gone(&mut self) {
        (self.current, self.low_since, self.idle_since, self.off_since) = (0, None, None, None);
    }

    /// What to do. The caller does it.
    pub(super) fn adjust(&mut self, load: Load, now: Instant) -> Change {
        let change = if self.current == 0 { self.start(load, now) } else { self.follow(load, now) };
        match change {
            Change::Keep => {}
            Change::Consume(prefetch) => {
                self.gone();
                self.current = prefetch;
            }
            Change::Cancel => {
                self.gone();
                self.off_since = Some(now);
            }
            Change::GiveBack => self.off_since = None,
        }
        change
    }

    /// Whether more is wanted than the window lets through, until something is settled.
    pub(super) fn is_full(&self, load: Load) -> bool {
        let size = if self.current == 0 { self.ceiling } else { self.current };
        load.demand > load.waiting && load.held + load.waiting >= usize::from(size)
    }

    /// When [`adjust`](Self::adjust) may decide otherwise without anything happening.
    pub(super) fn due(&self) -> Option<Instant> {
        let shrink = self.low_since.map(|since| since + SHRINK_AFTER);
        let idle = self.idle_since.map(|since| since + IDLE_AFTER);
        let back = self.off_since.map(|since| since + RETURN_AFTER);
        [shrink, idle, back].into_iter().flatten().min()
    }

    fn target(&self, load: Load) -> u16 {
        let wanted = (load.held + load.demand).max(1).next_power_of_two();
        u16::try_from(wanted).unwrap_or(u16::MAX).min(self.ceiling).min(fitting(load))
    }

    fn start(&mut self, load: Load, now: Instant) -> Change {
        if load.waiting == 0 || load.demand > 0 {
            // Nothing to return, or it is on its way to the pipeline.
            self.off_since = self.off_since.map(|since| since.max(now));
        }
        if self.off_since.is_some_and(|since| now >= since + RETURN_AFTER) {
            return Change::GiveBack;
        }
        if load.demand <= load.waiting {
            return Change::Keep;
        }
        // What is out from former consumers counts as if it were this one's.
        let room = usize::from(self.target(load)).saturating_sub(load.older);
        match u16::try_from(room) {
            Ok(0) | Err(_) => Change::Keep,
            Ok(prefetch) => Change::Consume(prefetch),
        }
    }

    fn follow(&mut self, load: Load, now: Instant) -> Change {
        self.idle_since = (load.demand == 0).then(|| self.idle_since.unwrap_or(now));
        if self.idle_since.is_some_and(|since| now >= since + IDLE_AFTER) {
            return Change::Cancel;
        }
        if fitting(load) <= self.current / 2 {
            return Change::Cancel;
        }
        let target = self.target(load);
        let few_older = load.older <= usize::from(self.current / 8);
        let low = target <= self.current / 4 && few_older;
        self.low_since = low.then(|| self.low_since.unwrap_or(now));
        let grow = target > self.current && few_older && load.demand > load.waiting;
        let shrink = self.low_since.is_some_and(|since| now >= since + SHRINK_AFTER);
        if grow || shrink { Change::Consume(target) } else { Change::Keep }
    }
}

/// What memory allows, in powers of two, so that each job that comes or goes does not change it.
fn fitting(load: Load) -> u16 {
    let fit = u16::try_from(load.fit).unwrap_or(u16::MAX);
    if fit == 0 { 0 } else { 1 << fit.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(demand: usize, held: usize) -> Load {
        Load { demand, held, waiting: 0, older: 0, fit: 50_000 }
    }

    #[test]
    fn without_demand_there_is_no_consumer() {
        assert_eq!(Window::new(2000, 2000).adjust(load(0, 0), Instant::now()), Change::Keep);
    }

    #[test]
    fn a_new_channel_is_on_probation_and_doubles_with_each_settled_window() {
        let now = Instant::now();
        let mut window = Window::new(2000, 2000);
        assert_eq!(window.adjust(load(10_000, 0), now), Change::Consume(32));
        assert_eq!(window.adjust(load(10_000, 32), now), Change::Keep);
        window.settled(31);
        assert_eq!(window.adjust(load(10_000, 1), now), Change::Keep);
        window.settled(1);
        assert_eq!(window.adjust(load(10_000, 0), now), Change::Consume(64));
        for expected in [128, 256, 512, 1024, 2000] {
            let half = usize::from(window.current());
            window.settled(half);
            assert_eq!(window.adjust(load(10_000, 0), now), Change::Consume(expected));
        }
        window.settled(100_000);
        assert_eq!(window.adjust(load(10_000, 0), now), Change::Keep, "quorum queues' ceiling");
    }

    #[test]
    fn it_grows_only_when_the_former_consumers_deliveries_are_nearly_settled() {
        let now = Instant::now();
        let mut window = Window::new(2000, 2000);
        window.settled(10_000);
        window.adjust(load(40, 0), now);
        assert_eq!(window.current(), 64);
        let busy = Load { demand: 100, held: 9, waiting: 0, older: 9, fit: 50_000 };
        assert_eq!(window.adjust(busy, now), Change::Keep);
        assert_eq!(window.adjust(Load { older: 8, ..busy }, now), Change::Consume(128));
    }

    #[test]
    fn it_is_full_when_more_is_wanted_than_it_lets_through() {
        let mut window = Window::new(2000, 2000);
        window.adjust(load(100, 0), Instant::now());
        assert!(!window.is_full(load(100, 31)));
        assert!(window.is_full(load(100, 32)));
        assert!(!window.is_full(load(0, 32)), "nothing more is wanted");
    }

    #[test]
    fn it_shrinks_late_and_stops_when_nothing_is_wanted() {
        let start = Instant::now();
        let later = |secs| start + Duration::from_millis(secs);
        let mut window = Window::new(2000, 2000);
        window.settled(100_000);
        window.adjust(load(1000, 0), start);
        assert_eq!(window.current(), 1024);
        assert_eq!(window.adjust(load(100, 0), later(0)), Change::Keep);
        assert_eq!(window.due(), Some(later(2000)));
        assert_eq!(window.adjust(load(600, 0), later(1999)), Change::Keep, "a short low is no low");
        assert_eq!(window.adjust(load(100, 0), later(2000)), Change::Keep);
        assert_eq!(window.adjust(load(100, 0), later(4000)), Change::Consume(128));
        assert_eq!(window.adjust(load(0, 100), later(4000)), Change::Keep);
        assert_eq!(window.adjust(load(0, 100), later(5000)), Change::Cancel);
        assert_eq!(window.adjust(load(0, 100), later(6000)), Change::Keep);
        let held = Load { demand: 0, held: 100, waiting: 5, older: 105, fit: 50_000 };
        assert_eq!(window.adjust(held, later(6000)), Change::Keep);
        assert_eq!(window.due(), Some(later(306_000)));
        assert_eq!(window.adjust(held, later(305_999)), Change::Keep);
        assert_eq!(window.adjust(held, later(306_000)), Change::GiveBack);
        assert_eq!((window.due(), window.adjust(held, later(400_000))), (None, Change::Keep));
        let stuck = Load { demand: 5, held: 100, waiting: 5, older: 105, fit: 50_000 };
        assert_eq!(window.adjust(stuck, later(400_000)), Change::Keep, "what is wanted is here already");
        assert_eq!(window.adjust(Load { demand: 6, ..stuck }, later(400_000)), Change::Consume(23));
    }

    #[test]
    fn memory_cuts_it_at_once_and_lets_it_grow_again() {
        let now = Instant::now();
        let mut window = Window::new(2000, 10);
        let wide = load(5_000, 0);
        assert_eq!(window.adjust(wide, now), Change::Consume(10), "the largest jobs would fit");
        window.settled(100_000);
        assert_eq!(window.adjust(wide, now), Change::Consume(2000));
        assert_eq!(window.adjust(Load { fit: 1_100, ..wide }, now), Change::Keep);
        let large = Load { demand: 30, held: 60, waiting: 20, older: 80, fit: 100 };
        assert_eq!(window.adjust(large, now), Change::Cancel);
        assert_eq!(window.adjust(large, now), Change::Keep, "64 may be out, and 80 are");
        assert_eq!(window.adjust(Load { held: 10, older: 30, ..large }, now), Change::Consume(34));
        assert_eq!(window.adjust(load(300, 0), now), Change::Consume(512), "small jobs again");
        assert_eq!(window.adjust(Load { fit: 0, ..large }, now), Change::Cancel);
        assert_eq!(window.adjust(Load { fit: 0, older: 0, ..large }, now), Change::Keep);
        assert_eq!(window.adjust(Load { fit: 1, older: 0, ..large }, now), Change::Consume(1));
        assert_eq!(window.adjust(Load { fit: 1, ..large }, now), Change::Keep, "one is never cut");
    }
}
