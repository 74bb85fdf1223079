//! What changes while pushes wait: the lanes' settings, which of them shed, and which routes there are.

use std::time::{Duration, Instant};

use super::placed::traveller;
use super::{Lanes, Policy, Route, Shedder};
use crate::dispatch::{Exit, KEPT_AFTER_REMOVAL, LaneSettings, Shedding, Why};
use crate::flow::Away;
use crate::job::{Lane, RouteId};

impl Lanes {
    /// Takes on other weights and other policies of shedding at once. What waits keeps its place; the round that is under
    /// way ends by no more than the new weights.
    pub fn set_lanes(&mut self, lanes: &[LaneSettings; 3]) {
        self.weights = lanes.each_ref().map(|lane| lane.weight.max(1));
        self.policies = lanes.each_ref().map(Policy::of);
        for route in &mut self.routes {
            for (credit, weight) in route.credit.iter_mut().zip(self.weights) {
                *credit = (*credit).min(weight);
            }
            route.shedders = Default::default();
        }
    }

    /// Which routes' lanes shed now, by [`RouteId`] and lane; empty where none does.
    #[must_use]
    pub fn shedding(&self) -> Shedding {
        let is_shedding = |route: &Route| route.shedders.each_ref().map(Shedder::is_shedding);
        if self.routes.iter().all(|route| is_shedding(route) == [false; 3]) {
            return Shedding::new();
        }
        self.routes.iter().map(is_shedding).collect()
    }

    /// Opens a route that is new, or was closed. Numbers that were passed over are closed routes.
    pub fn open(&mut self, id: RouteId, default_ttl: Duration, now: Instant) {
        let index = id.0 as usize;
        while self.routes.len() <= index {
            self.routes.push(Route { open: false, ..Route::new(default_ttl, self.weights, now) });
        }
        // Nothing waits for a route that is closed: there is nothing to keep of it.
        debug_assert!(!self.waits_for(id), "a route is opened once");
        let away = self.routes[index].away.take();
        self.routes[index] = Route { away, ..Route::new(default_ttl, self.weights, now) };
    }

    /// Changes the time to live that a route's pushes have where their job names none, of those that wait too.
    pub fn set_default_ttl(&mut self, id: RouteId, default_ttl: Duration) {
        self.routes[id.0 as usize].default_ttl = default_ttl;
    }

    /// Keeps the order of a route's targets from now on, or no more. Of those that wait already nothing is known then.
    pub fn keep_order(&mut self, id: RouteId, ordered: bool) {
        let route = &mut self.routes[id.0 as usize];
        route.away = if ordered { route.away.take().or_else(|| Some(Away::default())) } else { None };
    }

    /// Notes of those that left to be kept durably, the youngest first, that their targets' younger ones must not go before
    /// them.
    pub(super) fn note_parked(&mut self, exits: &[Exit], now: Instant) {
        if self.routes.iter().all(|route| route.away.is_none()) {
            return;
        }
        for Exit { push, why } in exits {
            let away = push.route().and_then(|id| self.routes.get_mut(id.0 as usize)?.away.as_mut());
            if let (Some(away), Why::Parked { delay }) = (away, why) {
                away.goes(
                    self.keys.of_target(push.target(), push.envelope.lane),
                    traveller(&self.keys, push),
                    now + *delay,
                    now,
                );
            }
        }
    }

    /// Closes a route that was removed. What waits for it, and what still comes for it, is parked for
    /// [`KEPT_AFTER_REMOVAL`], unless its source has taken it back.
    pub fn close(&mut self, id: RouteId, now: Instant, exits: &mut Vec<Exit>) {
        let before = exits.len();
        for lane in Lane::ALL {
            self.remove_newest(id, lane, usize::MAX, Why::Parked { delay: KEPT_AFTER_REMOVAL }, exits, |_| true);
        }
        self.note_parked(&exits[before..], now);
        let route = &mut self.routes[id.0 as usize];
        route.shedders = Default::default();
        route.open = false;
    }
}
