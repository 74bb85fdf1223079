//! One stalled route must not stop another that shares its queue (SPEC.md, promise 5). Pure.
//!
//! A source has a window: so many jobs may be out unsettled, so many pushes may wait. A route that does not move keeps
//! what it has of that window, takes a part of whatever comes, and at last has all of it: the other routes' jobs stand in
//! the same queue behind, and nobody asks for them. Then, and only then, what it holds beyond a small share is *parked*: kept
//! durably by the source (for RabbitMQ: in a retry queue), no attempt counted, its window given back. All of this must
//! hold:
//!
//! - the route is blocked: for [`BLOCKED`] somebody has waited for it throughout, and at its pace those who wait would
//!   wait for [`HOPELESS`] and longer (a route that is only slow is not blocked);
//! - another route is starved: for [`STARVED`] it has asked for pushes and nothing waited for it;
//! - the lane is full: its source says that it may have no more out, or the lane's window or the memory budget is spent.
//!
//! Parked pushes come back by time, not by demand: the broker's retry queue returns them after 15 s, after 70 s when the
//! route has been blocked for longer than that. So a route that is mended has its own share at once, and all within 70 s.

use std::time::{Duration, Instant};

use super::Lanes;
use crate::job::{Lane, RouteId};

/// For how long somebody must have waited for a route throughout. Longer than a credential takes at start, and than most
/// pauses a provider asks for.
const BLOCKED: Duration = Duration::from_secs(2);
/// The wait, in seconds at the route's pace, from which on it counts as blocked.
const HOPELESS: f64 = 30.0;
/// For how long a route must have asked in vain. A look or two: what it lacks is on its way otherwise.
const STARVED: Duration = Duration::from_millis(50);
/// What a blocked route keeps is this part of an even share: enough to begin with when it is mended, and so little that
/// a source which counts what is out before it opens its window (see the AMQP source's `window`) is not held back by it.
const KEPT: usize = 8;
/// How long the freed window has to fill again before more is parked, if nothing comes by that lane.
const REFILL: Duration = Duration::from_secs(2);
/// The shortest and longest time for which pushes are parked: two of the broker's retry levels.
const PARKED: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(70));
/// The time constant of a route's pace, in seconds.
const MEMORY: f64 = 2.0;

/// What shall be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parking {
    /// The blocked route.
    pub route: RouteId,
    /// The lane whose window is full.
    pub from: Lane,
    /// How many pushes, at most.
    pub count: usize,
    /// For how long.
    pub delay: Duration,
}

/// Watches routes and lanes.
#[derive(Debug)]
pub struct Isolation {
    routes: Vec<Watch>,
    /// When something was parked last, by lane, as long as nothing has come by it since.
    emptied: [Option<Instant>; 3],
    looked: Instant,
}

#[derive(Debug, Clone, Default)]
struct Watch {
    waiting_since: Option<Instant>,
    starved_since: Option<Instant>,
    taken: u64,
    /// Pushes a second.
    pace: f64,
}

impl Isolation {
    /// Watches so many routes.
    #[must_use]
    pub fn new(routes: usize, now: Instant) -> Self {
        Self { routes: vec![Watch::default(); routes], emptied: [None; 3], looked: now }
    }

    /// Watches a route that is new or came back, from the beginning.
    pub fn open(&mut self, route: RouteId) {
        let index = route.0 as usize;
        self.routes.resize(self.routes.len().max(index + 1), Watch::default());
        self.routes[index] = Watch::default();
    }

    /// Jobs came by this lane.
    pub const fn refilled(&mut self, lane: Lane) {
        self.emptied[lane.index()] = None;
    }

    /// Looks at what waits, at what each route asks for, and at which lanes can't get more; and says what shall be parked.
    /// To be called several times a second.
    pub fn look(
        &mut self,
        lanes: &Lanes,
        asks: impl Fn(RouteId) -> bool,
        full: [bool; 3],
        now: Instant,
    ) -> Vec<Parking> {
        self.watch(lanes, asks, now);
        let starved = self.routes.iter().any(|watch| lasts(watch.starved_since, STARVED, now));
        let mut parkings = Vec::new();
        if !starved {
            return parkings;
        }
        for from in Lane::ALL.into_iter().filter(|lane| full[lane.index()]) {
            if self.emptied[from.index()].is_some_and(|at| now.saturating_duration_since(at) < REFILL) {
                continue;
            }
            let before = parkings.len();
            let share = lanes.waiting_from(from) / (KEPT * self.contenders(lanes, from, now).max(1));
            for route in lanes.ids().filter(|id| self.is_blocked(lanes, *id, now)) {
                let count = lanes.held(route, from).saturating_sub(share.max(1));
                let blocked = self.routes[route.0 as usize].waiting_since.map_or(now, |since| since);
                let delay = now.saturating_duration_since(blocked).clamp(PARKED.0, PARKED.1);
                if count > 0 {
                    parkings.push(Parking { route, from, count, delay });
                }
            }
            if parkings.len() > before {
                self.emptied[from.index()] = Some(now);
            }
        }
        parkings
    }

    fn watch(&mut self, lanes: &Lanes, asks: impl Fn(RouteId) -> bool, now: Instant) {
        let passed = now.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = now;
        for (id, watch) in lanes.ids().zip(&mut self.routes) {
            let waits = lanes.waits_for(id);
            watch.waiting_since = waits.then(|| watch.waiting_since.unwrap_or(now));
            watch.starved_since = (!waits && asks(id)).then(|| watch.starved_since.unwrap_or(now));
            let taken = lanes.taken(id);
            if passed > 0.0 {
                #[expect(clippy::cast_precision_loss, reason = "what left since the last look")]
                let pace = (taken - watch.taken) as f64 / passed;
                watch.pace += (pace - watch.pace) * (passed / MEMORY).min(1.0);
            }
            watch.taken = taken;
        }
    }

    fn is_blocked(&self, lanes: &Lanes, route: RouteId, now: Instant) -> bool {
        let watch = &self.routes[route.0 as usize];
        let waiting: usize = Lane::ALL.into_iter().map(|from| lanes.held(route, from)).sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let hopeless = waiting as f64 > watch.pace * HOPELESS;
        hopeless && lasts(watch.waiting_since, BLOCKED, now)
    }

    /// Who shares a lane's window: those who have something of it and those who lack it.
    fn contenders(&self, lanes: &Lanes, from: Lane, now: Instant) -> usize {
        let takes_part =
            |(id, watch): &(RouteId, &Watch)| lanes.held(*id, from) > 0 || lasts(watch.starved_since, STARVED, now);
        lanes.ids().zip(&self.routes).filter(takes_part).count()
    }
}

fn lasts(since: Option<Instant>, time: Duration, now: Instant) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) >= time)
}
