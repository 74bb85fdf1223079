//! Who waits, by route and lane, and who goes next. Pure: time is an argument.
//!
//! Inside a route the lanes share by deficit round robin (Shreedhar and Varghese, 1995): in each round a lane may send
//! as many pushes as its weight, the most important lane first; what an empty lane leaves, the others use at once. So a
//! push that arrives in an empty `high` lane goes out with the next free slot, and `low` still moves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Exit, Why};
use crate::job::{Lane, Push, RouteId};

/// All that waits.
pub struct Lanes {
    weights: [u32; 3],
    routes: Vec<Route>,
    /// Pushes waiting that came by each lane's queue (which is not always the lane they wait in).
    waiting_by_origin: [usize; 3],
}

struct Route {
    default_ttl: Duration,
    lines: [VecDeque<Push>; 3],
    /// What each lane may still send in this round.
    credit: [u32; 3],
}

impl Route {
    fn is_empty(&self) -> bool {
        self.lines.iter().all(VecDeque::is_empty)
    }

    /// The lane that goes next: the first with credit and something to send; if none has, a new round begins.
    fn next_lane(&mut self, weights: &[u32; 3]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let with_credit = |route: &Self| (0..3).find(|&lane| route.credit[lane] > 0 && !route.lines[lane].is_empty());
        if let Some(lane) = with_credit(self) {
            return Some(lane);
        }
        self.credit = *weights;
        with_credit(self)
    }
}

impl Lanes {
    /// Empty lanes with these weights (at least 1 each, by [`Lane::index`]) for routes 0, 1, 2, … with these default
    /// times to live.
    #[must_use]
    pub fn new(weights: [u32; 3], default_ttls: impl IntoIterator<Item = Duration>) -> Self {
        let weights = weights.map(|weight| weight.max(1));
        let routes = default_ttls
            .into_iter()
            .map(|default_ttl| Route { default_ttl, lines: Default::default(), credit: weights })
            .collect();
        Self { weights, routes, waiting_by_origin: [0; 3] }
    }

    /// Takes a push in.
    ///
    /// # Errors
    /// The [`Exit`] it leaves by at once: expired, exhausted, not an address, or without a route.
    pub fn admit(&mut self, push: Push, now: Instant) -> Result<RouteId, Exit> {
        let refuse = |push, why| Err(Exit { push, why });
        if matches!(push.target(), crate::job::Target::Bad(_)) {
            return refuse(push, Why::BadTarget);
        }
        let Some(id) = push.route() else { return refuse(push, Why::NoRoute) };
        if push.envelope.origin.exhausted {
            return refuse(push, Why::Exhausted);
        }
        let route = &mut self.routes[id.0 as usize];
        if now >= push.envelope.deadline(route.default_ttl) {
            return refuse(push, Why::Expired);
        }
        self.waiting_by_origin[push.envelope.origin.lane.index()] += 1;
        route.lines[push.envelope.lane.index()].push_back(push);
        Ok(id)
    }

    /// Takes up to `count` pushes of `route` out, in the order in which they shall go. Those whose time passed go to
    /// `exits` and don't count, and so do those whose source has taken their job back: they come again.
    pub fn take(&mut self, route: RouteId, count: usize, now: Instant, exits: &mut Vec<Exit>) -> Vec<Push> {
        let route = &mut self.routes[route.0 as usize];
        let mut taken = Vec::with_capacity(count.min(route.lines.iter().map(VecDeque::len).sum()));
        while taken.len() < count {
            let Some(lane) = route.next_lane(&self.weights) else { break };
            let push = route.lines[lane].pop_front().expect("the lane that goes next is not empty");
            self.waiting_by_origin[push.envelope.origin.lane.index()] -= 1;
            if !push.envelope.is_live() {
                exits.push(Exit { push, why: Why::Returned });
                continue;
            }
            if now >= push.envelope.deadline(route.default_ttl) {
                exits.push(Exit { push, why: Why::Expired });
                continue;
            }
            route.credit[lane] -= 1;
            taken.push(push);
        }
        taken
    }

    /// Takes out all whose time has passed, wherever they stand, and those whose source has taken their job back.
    pub fn sweep(&mut self, now: Instant, exits: &mut Vec<Exit>) {
        for route in &mut self.routes {
            let ttl = route.default_ttl;
            for line in &mut route.lines {
                let stays = |push: &Push| push.envelope.is_live() && now < push.envelope.deadline(ttl);
                if line.iter().all(stays) {
                    continue;
                }
                for push in std::mem::take(line) {
                    if stays(&push) {
                        line.push_back(push);
                        continue;
                    }
                    self.waiting_by_origin[push.envelope.origin.lane.index()] -= 1;
                    let why = if push.envelope.is_live() { Why::Expired } else { Why::Returned };
                    exits.push(Exit { push, why });
                }
            }
        }
    }

    /// Takes everything out, to be returned to where it came from.
    pub fn clear(&mut self, exits: &mut Vec<Exit>) {
        self.waiting_by_origin = [0; 3];
        for line in self.routes.iter_mut().flat_map(|route| &mut route.lines) {
            exits.extend(line.drain(..).map(|push| Exit { push, why: Why::Returned }));
        }
    }

    /// The routes for which something waits.
    pub fn active(&self) -> impl Iterator<Item = RouteId> {
        let ids = (0..).map(RouteId).zip(&self.routes);
        ids.filter(|(_, route)| !route.is_empty()).map(|(id, _)| id)
    }

    /// Pushes waiting that came by this lane's queue: what the queue's window is measured by.
    #[must_use]
    pub fn waiting_from(&self, lane: Lane) -> usize {
        self.waiting_by_origin[lane.index()]
    }

    /// Pushes waiting for `route` in `lane`, and when the oldest of them was accepted.
    #[must_use]
    pub fn line(&self, route: RouteId, lane: Lane) -> (usize, Option<Instant>) {
        let line = &self.routes[route.0 as usize].lines[lane.index()];
        (line.len(), line.front().map(|push| push.envelope.origin.accepted))
    }

    /// How many routes there are.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }
}
