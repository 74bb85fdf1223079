//! A job's part that waits for one route: its envelope and a range of its targets, expanded one by one as they leave. So
//! a job of 1,000 targets costs a line one entry.
//!
//! Only a job with a collapse key is expanded when it comes, and one whose route keeps its targets' order: a newer job may
//! take the place of one of its pushes, or an older push leave by it, so each has a [slot](super::slots) of its own.

use std::sync::Arc;

use super::slots::Slots;
use crate::job::{Envelope, Lane, Provider, Push, Target};

/// What waits of one job for one route.
pub(super) struct Run {
    envelope: Arc<Envelope>,
    provider: Provider,
    /// Of the job's pushes, the first that may not have left yet.
    next: u16,
    /// Pushes that have not left, places without one included.
    left: u16,
    /// The places of its pushes, the next one last, where they may be taken by newer ones.
    slots: Option<Vec<u32>>,
}

/// A line's entry, whether its job has one target or 1,000.
const _: () = assert!(size_of::<Run>() <= 40);

impl Run {
    /// The `left` (at least 1) pushes of a job that go to `provider`.
    pub(super) fn lazy(envelope: Arc<Envelope>, provider: Provider, left: u16) -> Self {
        debug_assert!(left > 0);
        Self { envelope, provider, next: 0, left, slots: None }
    }

    /// Pushes in places of their own, in order; at least one.
    pub(super) fn placed(envelope: Arc<Envelope>, provider: Provider, mut slots: Vec<u32>) -> Self {
        slots.reverse();
        let left = u16::try_from(slots.len()).expect("a job has at most 1,000 targets");
        Self { envelope, provider, next: 0, left, slots: Some(slots) }
    }

    /// How many pushes are left, places without one included.
    pub(super) const fn left(&self) -> usize {
        self.left as usize
    }

    /// The job it is part of. In places of their own there may stand pushes of newer jobs.
    pub(super) const fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// Whom its pushes are sent to.
    pub(super) const fn provider(&self) -> Provider {
        self.provider
    }

    /// By which lane's queue its job came.
    pub(super) fn came_by(&self) -> Lane {
        self.envelope.origin.lane
    }

    /// Whether its pushes stand in places of their own.
    pub(super) const fn is_placed(&self) -> bool {
        self.slots.is_some()
    }

    /// Whether any of its places holds a push of which this can be said.
    pub(super) fn any(&self, slots: &Slots, is: impl Fn(&Push) -> bool) -> bool {
        let places = self.slots.iter().flat_map(|places| places.iter());
        places.filter_map(|place| slots.get(*place)).any(is)
    }

    /// How many pushes of `job` stand in it.
    pub(super) fn pushes_of(&self, job: &Arc<Envelope>, slots: &Slots) -> usize {
        match &self.slots {
            None if Arc::ptr_eq(&self.envelope, job) => self.left(),
            None => 0,
            Some(places) => {
                let pushes = places.iter().filter_map(|place| slots.get(*place));
                pushes.filter(|push| Arc::ptr_eq(&push.envelope, job)).count()
            }
        }
    }

    /// Takes the next push out, and gives what is left of the run. No push: its place was empty.
    pub(super) fn split(mut self, slots: &mut Slots) -> (Option<Push>, Option<Self>) {
        self.left -= 1;
        if let Some(places) = &mut self.slots {
            let place = places.pop().expect("as many places as are left");
            return (slots.take_first(place), (self.left > 0).then_some(self));
        }
        let index = self.advance();
        if self.left == 0 {
            let attempts = self.envelope.origin.attempts;
            return (Some(Push { envelope: self.envelope, index, attempts, resigned: false }), None);
        }
        let push = self.envelope.push(index.into());
        (Some(push), Some(self))
    }

    /// Gives all that is left to `out`, or what is younger and may leave by its places.
    pub(super) fn empty(&mut self, slots: &mut Slots, out: &mut impl FnMut(Push)) {
        if let Some(places) = &mut self.slots {
            self.left = 0;
            places.drain(..).rev().filter_map(|place| slots.take_last(place)).for_each(out);
            return;
        }
        while self.left > 0 {
            self.left -= 1;
            let index = self.advance();
            out(self.envelope.push(index.into()));
        }
    }

    /// Empties those places whose push `leaves` names; the run is over if none is left.
    pub(super) fn empty_places(
        &mut self,
        slots: &mut Slots,
        leaves: &impl Fn(&Push) -> bool,
        out: &mut impl FnMut(Push),
    ) {
        let Some(places) = &mut self.slots else { return };
        places.retain(|&place| match slots.get(place) {
            Some(push) if !leaves(push) => true,
            _ => {
                slots.take(place).into_iter().for_each(&mut *out);
                false
            }
        });
        self.left = u16::try_from(places.len()).expect("a job has at most 1,000 targets");
    }

    /// The index of the next push's target.
    fn advance(&mut self) -> u16 {
        loop {
            let index = nth_index(&self.envelope, self.next.into());
            self.next += 1;
            if goes_to(&self.envelope.job.to[usize::from(index)]) == Some(self.provider) {
                return index;
            }
        }
    }
}

/// The target's index of a job's nth push.
pub(super) fn nth_index(envelope: &Envelope, nth: usize) -> u16 {
    match &envelope.origin.selected {
        Some(selected) => selected[nth],
        None => u16::try_from(nth).expect("a job has at most 1,000 targets"),
    }
}

/// Whom a push to this target would be sent to; `None`: it can't be.
pub(super) const fn goes_to(target: &Target) -> Option<Provider> {
    match target {
        Target::Bad(_) => None,
        good => Some(good.provider()),
    }
}
