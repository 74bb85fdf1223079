//! Who waits, by route and lane, and who goes next. Pure: time is an argument.
//!
//! Inside a route the lanes share by deficit round robin (Shreedhar and Varghese, 1995): in each round a lane may send
//! as many pushes as its weight, the most important lane first; what an empty lane leaves, the others use at once. So a
//! push that arrives in an empty `high` lane goes out with the next free slot, and `low` still moves. Inside a lane wide
//! jobs are [spread](super::line).
//!
//! Everything admitted leaves exactly once: by [`take`](Lanes::take), by an [`Exit`], or unseen if its source has taken
//! its job back (it comes again).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::drain::Drain;
use super::line::Line;
use super::run::{Run, goes_to, nth_index};
use super::shed::{Policy, Shedder};
use super::slots::Slots;
use super::{Exit, KEPT_AFTER_REMOVAL, LaneSettings, OnOverload, Why};
use crate::flow::Away;
use crate::job::{Envelope, Lane, MAX_HELD, OrderKeys, Provider, Push, RouteId};

mod live;
mod placed;

/// How many times as long as a line needs, at its best pace, a push's time to live must be too short for it to be turned
/// away at once: what is wrongly turned away is lost, what is wrongly let in only waits.
const SAFETY: f64 = 2.0;

/// How long a job stays away that was held too long.
const AFTER_HELD: Duration = Duration::from_secs(60);

/// All that waits.
pub struct Lanes {
    weights: [u32; 3],
    policies: [Policy; 3],
    routes: Vec<Route>,
    slots: Slots,
    keys: OrderKeys,
    /// Pushes waiting that came by each lane's queue (which is not always the lane they wait in).
    waiting_from: [usize; 3],
}

struct Route {
    /// Whether pushes may wait for it: it is configured.
    open: bool,
    default_ttl: Duration,
    lines: [Line; 3],
    drains: [Drain; 3],
    shedders: [Shedder; 3],
    /// What each lane may still send in this round.
    credit: [u32; 3],
    /// Pushes waiting, by the lane they came by.
    held: [usize; 3],
    /// Pushes that ever left for the provider.
    taken: u64,
    /// Who of its pushes is parked, where the order of its targets is kept.
    away: Option<Away>,
}

impl Route {
    fn new(default_ttl: Duration, credit: [u32; 3], now: Instant) -> Self {
        Self {
            open: true,
            default_ttl,
            lines: Default::default(),
            drains: [const { None::<Drain> }; 3].map(|_| Drain::new(now)),
            shedders: Default::default(),
            credit,
            held: [0; 3],
            taken: 0,
            away: None,
        }
    }

    /// The lane that goes next: the first with credit and something to send; if none has, a new round begins.
    fn next_lane(&mut self, weights: &[u32; 3]) -> Option<usize> {
        let with_credit = |route: &Self| (0..3).find(|&lane| route.credit[lane] > 0 && !route.lines[lane].is_empty());
        if let Some(lane) = with_credit(self) {
            return Some(lane);
        }
        self.credit = *weights;
        with_credit(self)
    }

    /// When the turn of a job of so many pushes, coming now, will surely not have come before.
    fn earliest(&self, lane: Lane, pushes: usize, now: Instant) -> Instant {
        let lane = lane.index();
        let ahead = self.lines[lane].ahead_of(pushes);
        match self.drains[lane].best() {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            Some(pace) if ahead > 0 => now + Duration::from_secs_f64((ahead as f64 / pace / SAFETY).min(1e6)),
            _ => now,
        }
    }
}

impl Lanes {
    /// Empty lanes with these settings, by [`Lane::index`], for routes 0, 1, 2, … with these default times to live.
    #[must_use]
    pub fn new(lanes: &[LaneSettings; 3], default_ttls: impl IntoIterator<Item = Duration>, now: Instant) -> Self {
        let weights = lanes.each_ref().map(|lane| lane.weight.max(1));
        let routes = default_ttls.into_iter().map(|ttl| Route::new(ttl, weights, now)).collect();
        let policies = lanes.each_ref().map(Policy::of);
        Self { weights, policies, routes, slots: Slots::default(), keys: OrderKeys::default(), waiting_from: [0; 3] }
    }

    /// Takes a job in. Those of its pushes that can't wait go to `exits` at once: expired or bound to expire, exhausted,
    /// not an address, without a route; and those that it takes the place of.
    pub fn admit(&mut self, job: &Arc<Envelope>, now: Instant, exits: &mut Vec<Exit>) {
        let mut by_provider = [0_u16; 3];
        for nth in 0..job.push_count() {
            let index = nth_index(job, nth);
            let refused = match goes_to(&job.job.to[usize::from(index)]) {
                None => Why::BadTarget,
                Some(provider) if job.routes[provider.index()].is_none() => Why::NoRoute,
                Some(_) if job.origin.exhausted => Why::Exhausted,
                Some(provider) => {
                    by_provider[provider.index()] += 1;
                    continue;
                }
            };
            exits.push(Exit { push: job.push(index.into()), why: refused });
        }
        for provider in Provider::ALL {
            let pushes = by_provider[provider.index()];
            if let Some(id) = job.routes[provider.index()].filter(|_| pushes > 0) {
                self.enter(job, provider, id, pushes, now, exits);
            }
        }
    }

    /// Puts those `pushes` of a job in line that go by one route.
    fn enter(
        &mut self,
        job: &Arc<Envelope>,
        provider: Provider,
        id: RouteId,
        pushes: u16,
        now: Instant,
        exits: &mut Vec<Exit>,
    ) {
        let route = &mut self.routes[id.0 as usize];
        let mut run = Run::lazy(Arc::clone(job), provider, pushes);
        let deadline = job.deadline(route.default_ttl);
        let late = match () {
            () if !route.open => Some(Why::Parked { delay: KEPT_AFTER_REMOVAL }),
            () if now >= deadline => Some(Why::Expired),
            () if route.earliest(job.lane, pushes.into(), now) >= deadline => Some(Why::WouldExpire),
            () => None,
        };
        if let Some(why) = late {
            let Self { slots, keys, .. } = self;
            run.empty(slots, &mut |push| {
                if let Some(away) = &mut route.away {
                    placed::passes(away, keys, &push, why, now);
                }
                exits.push(Exit { push, why });
            });
        } else if job.job.collapse_key.is_some() || route.away.is_some() {
            self.enter_placed(job, run, id, now, exits);
        } else {
            route.lines[job.lane.index()].push(run);
            route.held[job.origin.lane.index()] += usize::from(pushes);
            self.waiting_from[job.origin.lane.index()] += usize::from(pushes);
        }
    }

    fn came(&mut self, id: RouteId, job: &Envelope) {
        self.routes[id.0 as usize].held[job.origin.lane.index()] += 1;
        self.waiting_from[job.origin.lane.index()] += 1;
    }

    fn gone(&mut self, id: RouteId, push: &Push) {
        let lane = push.envelope.origin.lane.index();
        self.routes[id.0 as usize].held[lane] -= 1;
        self.waiting_from[lane] -= 1;
    }

    /// Takes up to `count` pushes of `route` out, in the order in which they shall go. Those whose time passed go to
    /// `exits` and don't count, and so do those whose source has taken their job back: they come again.
    pub fn take(&mut self, id: RouteId, count: usize, now: Instant, exits: &mut Vec<Exit>) -> Vec<Push> {
        let route = &mut self.routes[id.0 as usize];
        let mut taken = Vec::with_capacity(count.min(route.lines.iter().map(Line::len).sum()));
        let mut by_lane = [0; 3];
        while taken.len() < count {
            let Some(lane) = route.next_lane(&self.weights) else { break };
            let popped = route.lines[lane].pop(&mut self.slots).expect("the lane that goes next is not empty");
            let Some(push) = popped else { continue };
            let origin = push.envelope.origin.lane.index();
            route.held[origin] -= 1;
            self.waiting_from[origin] -= 1;
            if !push.envelope.is_live() {
                exits.push(Exit { push, why: Why::Returned });
                continue;
            }
            if now >= push.envelope.deadline(route.default_ttl) {
                exits.push(Exit { push, why: Why::Expired });
                continue;
            }
            route.credit[lane] -= 1;
            by_lane[lane] += 1;
            taken.push(push);
        }
        for ((drain, line), count) in route.drains.iter_mut().zip(&route.lines).zip(by_lane) {
            drain.note(count, taken.len(), line.len());
        }
        route.taken += taken.len() as u64;
        taken
    }

    /// Takes out all whose time has passed, wherever they stand, those whose source has taken their job back, and those
    /// that have been held for too long ([`MAX_HELD`]): they are put off durably;
    /// and measures how fast the lines move. To be called about once a second.
    pub fn sweep(&mut self, now: Instant, exits: &mut Vec<Exit>) {
        for id in self.ids() {
            let ttl = self.routes[id.0 as usize].default_ttl;
            for lane in Lane::ALL {
                self.remove(id, lane, Why::Expired, exits, |job| !job.is_live() || now >= job.deadline(ttl));
                let held_too_long = |job: &Envelope| now.saturating_duration_since(job.taken) >= MAX_HELD;
                self.remove_held(id, lane, exits, held_too_long, now);
                let route = &mut self.routes[id.0 as usize];
                let waiting = route.lines[lane.index()].len();
                route.drains[lane.index()].measure(waiting, now);
            }
        }
    }

    /// Sheds where that is allowed and there is overload. To be called several times a second.
    pub fn shed(&mut self, now: Instant, exits: &mut Vec<Exit>) {
        if self.policies.iter().all(|policy| policy.max_age().is_none()) {
            return;
        }
        for id in self.ids() {
            let mut overloaded = [false; 3];
            for lane in Lane::ALL {
                let route = &mut self.routes[id.0 as usize];
                let oldest = route.lines[lane.index()].oldest();
                overloaded[lane.index()] = route.shedders[lane.index()].look(&self.policies[lane.index()], oldest, now);
            }
            // The lowest first; and where a higher one must shed, a lower one does not wait until its own line has stood
            // for long enough.
            for lane in Lane::ALL.into_iter().rev() {
                if overloaded[..=lane.index()].contains(&true) && self.shed_line(id, lane, now, exits) {
                    self.routes[id.0 as usize].shedders[lane.index()].shed(now);
                }
            }
        }
    }

    /// Sheds of one line what its policy says; whether anything went.
    fn shed_line(&mut self, id: RouteId, lane: Lane, now: Instant, exits: &mut Vec<Exit>) -> bool {
        let policy = self.policies[lane.index()];
        let Some(max_age) = policy.max_age() else { return false };
        let before = exits.len();
        if policy.on_overload() == OnOverload::ShedOldest {
            let too_old = |job: &Envelope| now.saturating_duration_since(job.origin.accepted) > max_age;
            self.remove(id, lane, Why::TooOld, exits, too_old);
            return exits.len() > before;
        }
        let route = &self.routes[id.0 as usize];
        let line = &route.lines[lane.index()];
        let Some(pace) = route.drains[lane.index()].mean() else { return false };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
        let keep = (pace * max_age.as_secs_f64()) as usize;
        let surplus = line.len().saturating_sub(keep.max(1));
        self.remove_newest(id, lane, surplus, Why::WouldWait, exits, |_| true) > 0
    }

    /// Parks up to `count` pushes that came by `from` and wait for a route: jobs whole, of the least important lane and
    /// the newest first. Those stay that would expire before `delay` is over. Returns how many were parked.
    pub fn park(
        &mut self,
        id: RouteId,
        from: Lane,
        count: usize,
        delay: Duration,
        now: Instant,
        exits: &mut Vec<Exit>,
    ) -> usize {
        let ttl = self.routes[id.0 as usize].default_ttl;
        let (mut parked, before) = (0, exits.len());
        for lane in Lane::ALL.into_iter().rev() {
            let may_go = |run: &Run| run.came_by() == from && now + delay < run.envelope().deadline(ttl);
            parked += self.remove_newest(id, lane, count - parked.min(count), Why::Parked { delay }, exits, may_go);
        }
        self.note_parked(&exits[before..], now);
        parked
    }

    /// Parks those of a line that were held too long; where a target's order is kept, all of the line: nobody shall
    /// overtake them.
    fn remove_held(
        &mut self,
        id: RouteId,
        lane: Lane,
        exits: &mut Vec<Exit>,
        held: impl Fn(&Envelope) -> bool,
        now: Instant,
    ) {
        let why = Why::Parked { delay: AFTER_HELD };
        let route = &self.routes[id.0 as usize];
        if route.away.is_none() {
            return self.remove(id, lane, why, exits, held);
        }
        if route.lines[lane.index()].any(&self.slots, held) {
            let before = exits.len();
            self.remove_newest(id, lane, usize::MAX, why, exits, |_| true);
            self.note_parked(&exits[before..], now);
        }
    }

    fn remove(&mut self, id: RouteId, lane: Lane, why: Why, exits: &mut Vec<Exit>, leaves: impl Fn(&Envelope) -> bool) {
        let Self { routes, slots, waiting_from, .. } = self;
        let Route { lines, held, .. } = &mut routes[id.0 as usize];
        lines[lane.index()].take_where(slots, leaves, |push| leave(push, why, held, waiting_from, exits));
    }

    fn remove_newest(
        &mut self,
        id: RouteId,
        lane: Lane,
        count: usize,
        why: Why,
        exits: &mut Vec<Exit>,
        may_go: impl Fn(&Run) -> bool,
    ) -> usize {
        let Self { routes, slots, waiting_from, .. } = self;
        let Route { lines, held, .. } = &mut routes[id.0 as usize];
        let before = held.iter().sum::<usize>();
        let out = |push| leave(push, why, held, waiting_from, exits);
        lines[lane.index()].take_newest(slots, count, may_go, out);
        before - held.iter().sum::<usize>()
    }

    /// Takes everything out, to be returned to where it came from.
    pub fn clear(&mut self, exits: &mut Vec<Exit>) {
        for route in &mut self.routes {
            for line in &mut route.lines {
                line.clear(&mut self.slots, |push| exits.push(Exit { push, why: Why::Returned }));
            }
            route.held = [0; 3];
        }
        self.waiting_from = [0; 3];
        self.slots.clear();
    }

    /// Whether anything waits for a route.
    #[must_use]
    pub fn waits_for(&self, route: RouteId) -> bool {
        self.routes[route.0 as usize].held.iter().any(|held| *held > 0)
    }

    /// Pushes waiting for a route that came by this lane's queue.
    #[must_use]
    pub fn held(&self, route: RouteId, from: Lane) -> usize {
        self.routes[route.0 as usize].held[from.index()]
    }

    /// Pushes of a route that ever left for the provider.
    #[must_use]
    pub fn taken(&self, route: RouteId) -> u64 {
        self.routes[route.0 as usize].taken
    }

    /// Pushes waiting that came by this lane's queue: what the queue's window is measured by.
    #[must_use]
    pub const fn waiting_from(&self, lane: Lane) -> usize {
        self.waiting_from[lane.index()]
    }

    /// Pushes waiting for `route` in `lane`, and when the oldest of them was accepted.
    #[must_use]
    pub fn line(&self, route: RouteId, lane: Lane) -> (usize, Option<Instant>) {
        let line = &self.routes[route.0 as usize].lines[lane.index()];
        (line.len(), line.oldest())
    }

    /// How many pushes of a job wait. Looks at everything that does: for people who ask, not for the way of a push.
    #[must_use]
    pub fn waiting_of(&self, job: &Arc<Envelope>) -> usize {
        let lines = self.routes.iter().flat_map(|route| &route.lines);
        lines.flat_map(Line::runs).map(|run| run.pushes_of(job, &self.slots)).sum()
    }

    /// All routes.
    pub fn ids(&self) -> impl Iterator<Item = RouteId> + use<> {
        let count = u32::try_from(self.routes.len()).expect("routes are numbered so");
        (0..count).map(RouteId)
    }
}

/// Notes that a push has left its line, and gives it its exit: `Returned`, if its source has taken its job back.
fn leave(push: Push, why: Why, held: &mut [usize; 3], waiting_from: &mut [usize; 3], exits: &mut Vec<Exit>) {
    let lane = push.envelope.origin.lane.index();
    held[lane] -= 1;
    waiting_from[lane] -= 1;
    let why = if push.envelope.is_live() { why } else { Why::Returned };
    exits.push(Exit { push, why });
}
