//! One line: what waits for one route in one lane.
//!
//! Jobs of few pushes stand in a queue, first come, first served. Jobs of many stand in a ring of their own and take
//! turns by deficit round robin (Shreedhar and Varghese, 1995) with a quantum of [`QUANTUM`] pushes. Queue and ring
//! take turns by the same quantum. So a job of 1,000 targets is spread and not a wall: whoever comes after it waits for
//! a quantum, not for a thousand, and it moves at half the line's pace at least. Within a job the order is kept.
//!
//! ```text
//! queue  ◀ a · b · c · d                  ┐  16 : 16
//! ring   ◀ A(16 of 984) · B(16 of 700) ⟲  ┘
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use super::run::Run;
use super::slots::Slots;
use crate::job::{Envelope, Push};

/// Pushes that a wide job, or a side, sends in its turn; a job of no more than these is not wide.
pub(super) const QUANTUM: u16 = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Queue,
    Ring,
}

/// What waits for one route in one lane.
pub(super) struct Line {
    queue: VecDeque<Run>,
    ring: VecDeque<Run>,
    /// Pushes in the queue, in the ring; empty places included.
    waiting: [usize; 2],
    turn: Side,
    /// What the side whose turn it is may still send.
    side_left: u16,
    /// What the first job of the ring may still send.
    job_left: u16,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            ring: VecDeque::new(),
            waiting: [0; 2],
            turn: Side::Queue,
            side_left: QUANTUM,
            job_left: QUANTUM,
        }
    }
}

impl Line {
    /// Puts a run at the end.
    pub(super) fn push(&mut self, run: Run) {
        let wide = run.left() > QUANTUM.into();
        self.waiting[usize::from(wide)] += run.left();
        if wide { self.ring.push_back(run) } else { self.queue.push_back(run) }
    }

    /// Takes the next push out; no push in it: a place was empty. `None`: nobody waits.
    pub(super) fn pop(&mut self, slots: &mut Slots) -> Option<Option<Push>> {
        let side = self.next_side()?;
        self.waiting[side as usize] -= 1;
        let runs = if side == Side::Queue { &mut self.queue } else { &mut self.ring };
        let (push, rest) = runs.pop_front().expect("the side whose turn it is has one").split(slots);
        if side == Side::Ring {
            self.job_left -= 1;
            match rest {
                Some(rest) if self.job_left > 0 => self.ring.push_front(rest),
                Some(rest) => self.ring.push_back(rest),
                None => self.job_left = 0,
            }
            if self.job_left == 0 {
                self.job_left = QUANTUM;
            }
        } else if let Some(rest) = rest {
            self.queue.push_front(rest);
        }
        Some(push)
    }

    /// The side that goes next. Whoever was alone yields as soon as the other side has one.
    fn next_side(&mut self) -> Option<Side> {
        let side = match (self.queue.is_empty(), self.ring.is_empty()) {
            (true, true) => return None,
            (false, true) => Side::Queue,
            (true, false) => Side::Ring,
            (false, false) => {
                if self.side_left == 0 {
                    (self.turn, self.side_left) = (self.turn.other(), QUANTUM);
                }
                self.side_left -= 1;
                return Some(self.turn);
            }
        };
        (self.turn, self.side_left) = (side.other(), QUANTUM);
        Some(side)
    }

    /// Pushes waiting, empty places included.
    pub(super) const fn len(&self) -> usize {
        self.waiting[0] + self.waiting[1]
    }

    /// Whether nobody waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pushes that surely leave before a job of so many pushes that comes now.
    pub(super) fn ahead_of(&self, pushes: usize) -> usize {
        if pushes > QUANTUM.into() { 0 } else { self.waiting[0] }
    }

    /// When the oldest job in line was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        // Nearly ordered, but for what came again from a retry queue or a slow clock: the queue's first is near enough.
        let first = self.queue.front().map(|run| run.envelope().origin.accepted);
        self.ring.iter().map(|run| run.envelope().origin.accepted).chain(first).min()
    }

    /// Whether this can be said of any job of whose pushes one waits.
    pub(super) fn any(&self, slots: &Slots, is: impl Fn(&Envelope) -> bool) -> bool {
        let touched =
            |run: &Run| if run.is_placed() { run.any(slots, |push| is(&push.envelope)) } else { is(run.envelope()) };
        self.queue.iter().chain(&self.ring).any(touched)
    }

    /// What stands in it, in no order.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.queue.iter().chain(&self.ring)
    }

    /// Takes out all pushes of jobs that `leaves` names.
    pub(super) fn take_where(
        &mut self,
        slots: &mut Slots,
        leaves: impl Fn(&Envelope) -> bool,
        mut out: impl FnMut(Push),
    ) {
        let push_leaves = |push: &Push| leaves(&push.envelope);
        for (side, runs) in [&mut self.queue, &mut self.ring].into_iter().enumerate() {
            let touched = |run: &Run, slots: &Slots| {
                if run.is_placed() { run.any(slots, push_leaves) } else { leaves(run.envelope()) }
            };
            if !runs.iter().any(|run| touched(run, slots)) {
                continue;
            }
            runs.retain_mut(|run| {
                if run.is_placed() {
                    run.empty_places(slots, &push_leaves, &mut out);
                } else if leaves(run.envelope()) {
                    run.empty(slots, &mut out);
                }
                run.left() > 0
            });
            self.waiting[side] = runs.iter().map(Run::left).sum();
        }
        self.job_left = QUANTUM;
    }

    /// Takes out jobs whole, the newest first, until `count` pushes are out or no more may go.
    pub(super) fn take_newest(
        &mut self,
        slots: &mut Slots,
        count: usize,
        may_go: impl Fn(&Run) -> bool,
        mut out: impl FnMut(Push),
    ) {
        let mut taken = 0;
        for (side, runs) in [&mut self.queue, &mut self.ring].into_iter().enumerate() {
            let mut first = runs.len();
            let mut found = taken;
            while first > 0 && found < count {
                first -= 1;
                found += if may_go(&runs[first]) { runs[first].left() } else { 0 };
            }
            if found == taken {
                continue;
            }
            taken = found;
            let mut nth = 0;
            runs.retain_mut(|run| {
                nth += 1;
                let stays = nth <= first || !may_go(run);
                if !stays {
                    run.empty(slots, &mut out);
                }
                stays
            });
            self.waiting[side] = runs.iter().map(Run::left).sum();
        }
        self.job_left = QUANTUM;
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self, slots: &mut Slots, mut out: impl FnMut(Push)) {
        for mut run in self.queue.drain(..).chain(self.ring.drain(..)) {
            run.empty(slots, &mut out);
        }
        self.waiting = [0; 2];
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Side::Queue => Side::Ring,
            Side::Ring => Side::Queue,
        }
    }
}
