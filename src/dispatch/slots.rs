//! The places of pushes that may be collapsed: a newer push with the same route, target and collapse key takes the place
//! of the one that waits. And of those whose order is kept: whichever place of a target comes up, its oldest push goes.
//!
//! A place belongs to the line's entry that was made with it and is free again when that entry is taken out. Which push
//! stands in it may change meanwhile, and it may stand empty.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::order::Order;
use crate::job::{Lane, OrderKeys, Push, RouteId};

/// All places.
#[derive(Default)]
pub(super) struct Slots {
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    /// By the hash of route, target and key. Two that only share a hash are told apart by looking; the later is
    /// then not indexed, and so not collapsed, which is allowed.
    index: HashMap<u64, u32>,
    hasher: RandomState,
    order: Order,
    keys: OrderKeys,
}

struct Place {
    push: Push,
    /// The lane whose line it stands in.
    lane: Lane,
    hash: u64,
}

/// What became of a push that may be collapsed.
pub(super) enum Placed {
    /// It stands in a new place, which must be put in line.
    New(u32),
    /// It stands where this older one stood.
    Instead(Push),
    /// It stands in a new place of a more important lane; this older one has left a place empty.
    Overtook(u32, Push),
    /// One that is newer waits already.
    Outdated(Push),
}

impl Slots {
    /// Finds a place for a push of a job with a collapse key, or of a route that keeps its targets' `order`.
    pub(super) fn place(&mut self, push: Push, route: RouteId, lane: Lane, order: bool) -> Placed {
        let key = order.then(|| self.keys.of_route(push.target(), route, lane));
        let placed = match push.envelope.job.collapse_key {
            None => Placed::New(self.new_place(Place { push, lane, hash: 0 })),
            Some(_) => self.collapse(push, route, lane),
        };
        if let (Some(key), Placed::New(place) | Placed::Overtook(place, _)) = (key, &placed) {
            self.line_up(*place, key, route);
        }
        placed
    }

    /// Puts what stands in a place behind those that wait for the same target.
    fn line_up(&mut self, place: u32, key: u64, route: RouteId) {
        let oldest = self
            .order
            .oldest(key)
            .map(|oldest| self.places[oldest as usize].as_ref().map(|place| (place.lane, place.push.route())));
        let lane = self.places[place as usize].as_ref().map(|place| (place.lane, Some(route)));
        // Of two routes, or two lanes, that only share a key, the later keeps no order: it must not leave by the other's place.
        if oldest.is_none_or(|oldest| oldest == lane) {
            self.order.joins(place, key);
        }
    }

    fn collapse(&mut self, push: Push, route: RouteId, lane: Lane) -> Placed {
        let hash = self.hash(&push, route);
        let Some(&found) = self.index.get(&hash) else { return Placed::New(self.fresh(push, lane, hash)) };
        let place = self.places[found as usize].as_mut().expect("an indexed place is not empty");
        if place.push.route() != Some(route)
            || place.push.target() != push.target()
            || place.push.envelope.job.collapse_key != push.envelope.job.collapse_key
        {
            return Placed::New(self.new_place(Place { push, lane, hash }));
        }
        if push.envelope.origin.accepted_at < place.push.envelope.origin.accepted_at {
            // An older one that comes again, from a retry queue.
            return Placed::Outdated(push);
        }
        if lane >= place.lane {
            return Placed::Instead(std::mem::replace(&mut place.push, push));
        }
        let older = self.take_out(found).expect("it is not empty");
        Placed::Overtook(self.fresh(push, lane, hash), older)
    }

    /// The push in a place.
    pub(super) fn get(&self, place: u32) -> Option<&Push> {
        self.places[place as usize].as_ref().map(|place| &place.push)
    }

    /// Takes out whose turn it is when a place comes up, and frees the place: who stands there, or an older push to the
    /// same target, whose place the younger one then has.
    pub(super) fn take_first(&mut self, place: u32) -> Option<Push> {
        self.take_instead(self.order.ends(place).0, place)
    }

    /// Takes out who shall rather wait elsewhere when a place is given up, and frees the place: who stands there, or a
    /// younger push to the same target, whose place the older one then has.
    pub(super) fn take_last(&mut self, place: u32) -> Option<Push> {
        self.take_instead(self.order.ends(place).1, place)
    }

    fn take_instead(&mut self, other: u32, place: u32) -> Option<Push> {
        if other != place {
            self.exchange(other, place);
        }
        self.take(place)
    }

    fn exchange(&mut self, first: u32, place: u32) {
        self.places.swap(first as usize, place as usize);
        for (at, was) in [(first, place), (place, first)] {
            let hash = self.places[at as usize]
                .as_ref()
                .filter(|it| it.push.envelope.job.collapse_key.is_some())
                .map(|it| it.hash);
            if let Some(indexed) = hash.and_then(|hash| self.index.get_mut(&hash)).filter(|indexed| **indexed == was) {
                *indexed = at;
            }
        }
        self.order.exchange(first, place);
    }

    /// Takes the push out of a place, if there is one, and frees the place.
    pub(super) fn take(&mut self, place: u32) -> Option<Push> {
        let push = self.take_out(place);
        self.free.push(place);
        push
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take_out(&mut self, place: u32) -> Option<Push> {
        let Place { push, hash, .. } = self.places[place as usize].take()?;
        self.order.leaves(place);
        if push.envelope.job.collapse_key.is_some() && self.index.get(&hash) == Some(&place) {
            self.index.remove(&hash);
        }
        Some(push)
    }

    fn fresh(&mut self, push: Push, lane: Lane, hash: u64) -> u32 {
        let place = self.new_place(Place { push, lane, hash });
        self.index.insert(hash, place);
        place
    }

    fn new_place(&mut self, place: Place) -> u32 {
        if let Some(free) = self.free.pop() {
            self.places[free as usize] = Some(place);
            return free;
        }
        self.places.push(Some(place));
        u32::try_from(self.places.len() - 1).expect("far fewer pushes wait in memory")
    }

    fn hash(&self, push: &Push, route: RouteId) -> u64 {
        self.hasher.hash_one((route, &push.envelope.job.collapse_key, push.target().address()))
    }
}
