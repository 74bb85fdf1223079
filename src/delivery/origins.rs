//! The origins of a route whose provider is many servers (Web Push): each has connections, limits and a breaker of its own.
//!
//! A push service that is slow, fails, or means ill must not hold the others up, and all of them are reached by one route,
//! which asks for pushes without knowing where the next one goes. So what comes is sorted:
//!
//! ```text
//!            ┌─▶ queue ─▶ Gate ─▶ Pool ─▶ https://fcm.googleapis.com
//!  pushes ───┼─▶ queue ─▶ Gate ─▶ Pool ─▶ https://updates.push.services.mozilla.com
//!            └─▶ queue ─▶ Gate ─▶ Pool ─▶ https://web.push.apple.com
//! ```
//!
//! - A queue that fills up lowers what the route asks for: back-pressure, as on every route.
//! - But an origin whose circuit is open, or that lets its queue stand while another one has nothing to do, goes *aside*:
//!   it is not waited for any more, and what comes for it beyond its queue is put off durably, for longer the more that
//!   is. It comes back when its queue has nearly drained, and is waited for less each time it goes aside again soon.
//! - No origin may have more attempts under way than are still free for all: however many are slow, there is always
//!   something left for one that is not.
//! - One that says nothing at all is given no more than a few: a job stays in hand until its last push has ended, so what
//!   is under way in vain holds up what its source may send to others.
//! - There are only so many origins at once. One that has nothing to do makes room for another, and so does one that never
//!   accepted anything and can't be reached: a stranger who makes up hosts crowds out nobody.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Gate, Halt, RouteSettings};
use crate::flow::CircuitState;
use crate::job::Push;
use crate::provider::Origin;
use crate::provider::http2::{FailureKind, Pool, PoolStatus};
use crate::provider::webpush::Dialler;

/// Origins at once, at most. There are five push services of browsers; the rest is what operators add.
const MAX_ORIGINS: usize = 64;
/// Pushes that wait for one origin, at most: some ten milliseconds' worth at full speed, so that a push of a higher lane
/// is not long behind them.
const QUEUE: usize = 128;
/// What may still wait for an origin that is aside: enough to probe it with, and to find it busy when it comes back.
const QUEUE_ASIDE: usize = 32;
/// A queue whose head is older than this is not drained at a pace that another origin should wait for.
const STALE: Duration = Duration::from_millis(500);
/// An origin that answered nothing for so long, with so many attempts under way, gets no more of them.
const SILENT: Duration = Duration::from_millis(200);
const MOST_IN_SILENCE: u32 = 64;
/// An origin that has accepted something within this time has traffic.
const LIVELY: Duration = Duration::from_secs(5);
/// Each time that an origin goes aside it is waited for half as long the next time, until it was not aside for so long.
const RELAPSE: Duration = Duration::from_secs(60);
/// The most that counts: 500 ms become 4 ms.
const MOST_RELAPSES: u32 = 7;
/// How long what comes for an origin that is aside is put off, and how much longer for each [`A_LOT`] that was put off.
const SHORTEST_ASIDE: Duration = Duration::from_secs(5);
const LONGEST_ASIDE: Duration = Duration::from_secs(300);
const A_LOT: u32 = 1_000;
/// For how long an origin whose addresses may not be dialled is not looked up again.
const FORBIDDEN_FOR: Duration = Duration::from_secs(60);
/// An origin that has accepted something within this time keeps its place.
const KEEPS_PLACE: Duration = Duration::from_secs(600);

/// An origin's number, unique within its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WayId(u32);

/// What became of a push that was to be sorted in.
pub(super) enum Placed {
    /// It waits for its turn.
    Queued,
    /// It shall wait elsewhere, for so long and for this reason.
    PutOff(Push, Duration, &'static str),
    /// Its origin's addresses may not be dialled.
    Forbidden(Push),
}

/// One origin.
pub(super) struct Way {
    pub(super) id: WayId,
    pub(super) origin: Origin,
    pub(super) pool: Pool,
    pub(super) gate: Gate,
    pub(super) in_flight: u32,
    /// Whether the connections had a stream free when all had gone that may.
    pub(super) streams_free: bool,
    /// Why the gate was closed when it was last looked at.
    pub(super) halt: Option<Halt>,
    /// Connections in a row that could not be made, as last told to the gate.
    unreachable: u32,
    queue: VecDeque<(Instant, Push)>,
    /// When it last had something to do.
    used: Instant,
    accepted: Option<Instant>,
    /// When it last answered, or was asked first.
    heard: Instant,
    /// Since when it is not waited for.
    aside: Option<Instant>,
    /// When it last came back.
    back: Option<Instant>,
    /// How often it went aside of late.
    relapses: u32,
    /// Pushes put off since it first did.
    put_off: u32,
    forbidden_until: Option<Instant>,
}

/// All origins of a route.
pub(super) struct Origins {
    dialler: Dialler,
    settings: RouteSettings,
    ways: Vec<Way>,
    /// What waited for an origin that lost its place.
    evicted: Vec<Push>,
    last_id: u32,
    turn: usize,
}

impl Origins {
    pub(super) fn new(dialler: Dialler, settings: &RouteSettings) -> Self {
        Self { dialler, settings: of_one(settings), ways: Vec::new(), evicted: Vec::new(), last_id: 0, turn: 0 }
    }

    /// Takes on the limits of the route.
    pub(super) fn set_limits(&mut self, settings: &RouteSettings, now: Instant) {
        self.settings = of_one(settings);
        for way in &mut self.ways {
            way.gate.set_limits(&self.settings, now);
            way.pool.set_limits(self.settings.connections as usize, self.settings.request_timeout);
        }
    }

    /// Sorts a push in. `sample` is uniform in `0.0..1.0`.
    pub(super) fn place(&mut self, push: Push, origin: &Origin, sample: f64, now: Instant) -> Placed {
        let Some(nth) = self.find(origin).or_else(|| self.make(origin, now)) else {
            return Placed::PutOff(push, SHORTEST_ASIDE.mul_f64(1.0 + sample), "too_many_origins");
        };
        let way = &mut self.ways[nth];
        if way.forbidden_until.is_some_and(|until| now < until) {
            return Placed::Forbidden(push);
        }
        let room = if way.aside.is_some() { QUEUE_ASIDE } else { QUEUE };
        if way.queue.len() < room {
            way.queue.push_back((now, push));
            way.used = now;
            return Placed::Queued;
        }
        way.put_off = way.put_off.saturating_add(1);
        let delay = (SHORTEST_ASIDE * (1 + way.put_off / A_LOT)).min(LONGEST_ASIDE);
        Placed::PutOff(push, delay.mul_f64(1.0 + 0.5 * sample), "origin_unavailable")
    }

    fn find(&self, origin: &Origin) -> Option<usize> {
        self.ways.iter().position(|way| way.origin == *origin)
    }

    /// A way to a new origin, in place of one without work if there are as many as may be.
    fn make(&mut self, origin: &Origin, now: Instant) -> Option<usize> {
        // It can fail only for a host that is none, which no endpoint has.
        let pool = self.dialler.pool(origin, self.settings.connections, self.settings.request_timeout).ok()?;
        if self.ways.len() >= MAX_ORIGINS {
            let dispensable = self.ways.iter().enumerate().filter(|(_, way)| way.is_dispensable(now));
            let (nth, _) = dispensable.min_by_key(|(_, way)| (way.accepted.is_some(), way.used))?;
            let gone = self.ways.swap_remove(nth);
            self.evicted.extend(gone.queue.into_iter().map(|(_, push)| push));
        }
        self.last_id += 1;
        let mut gate = Gate::new(&self.settings, now);
        gate.credential(true, now);
        self.ways.push(Way {
            id: WayId(self.last_id),
            origin: origin.clone(),
            pool,
            gate,
            in_flight: 0,
            streams_free: true,
            halt: None,
            unreachable: 0,
            queue: VecDeque::new(),
            used: now,
            accepted: None,
            heard: now,
            aside: None,
            back: None,
            relapses: 0,
            put_off: 0,
            forbidden_until: None,
        });
        Some(self.ways.len() - 1)
    }

    /// What waited for origins that lost their place.
    pub(super) fn take_evicted(&mut self) -> Vec<Push> {
        std::mem::take(&mut self.evicted)
    }

    /// One of them. An origin with something in flight is there until that has ended.
    pub(super) fn way(&mut self, id: WayId) -> Option<&mut Way> {
        self.ways.iter_mut().find(|way| way.id == id)
    }

    /// Looks which of them can be reached. What waited for one that may not be dialled is returned.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Push> {
        let dialler = &self.dialler;
        let looked = self.ways.iter_mut().map(|way| way.look(dialler.is_known(&way.origin), fastrand::f64(), now));
        looked.flatten().collect()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Way> {
        self.ways.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter()
    }

    /// All of them, each time beginning with another one: whoever is first has the first pick of the route's rate.
    pub(super) fn in_turn(&mut self) -> Vec<WayId> {
        self.turn = self.turn.wrapping_add(1);
        let (late, early) = self.ways.split_at(self.turn % self.ways.len().max(1));
        early.iter().chain(late).filter(|way| !way.queue.is_empty()).map(|way| way.id).collect()
    }

    /// How many pushes may come without overrunning the queue of an origin that is waited for.
    pub(super) fn wanted(&self) -> usize {
        let longest = self.ways.iter().filter(|way| way.aside.is_none()).map(|way| way.queue.len()).max();
        QUEUE.saturating_sub(longest.unwrap_or(0))
    }

    /// Looks which origins are not waited for any more, and which are again.
    pub(super) fn step(&mut self, now: Instant) {
        let lively = |way: &Way| {
            way.queue.is_empty() && way.accepted.is_some_and(|at| now.saturating_duration_since(at) < LIVELY)
        };
        let others_are_lively = self.ways.iter().any(lively);
        for way in &mut self.ways {
            way.gate.step(now);
            let closed = way.gate.circuit(now) != CircuitState::Closed || way.gate.paused_until(now).is_some();
            let waited = way.queue.front().map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since));
            match way.aside {
                None if closed => way.go_aside(now),
                None if waited > way.patience() && others_are_lively => way.go_aside(now),
                Some(_) if !closed && way.queue.len() < QUEUE_ASIDE / 2 && waited < STALE => {
                    (way.aside, way.back) = (None, Some(now));
                }
                None if way.back.is_some_and(|back| now.saturating_duration_since(back) > RELAPSE) => {
                    (way.back, way.relapses, way.put_off) = (None, 0, 0);
                }
                _ => {}
            }
        }
    }

    /// When time alone has something for one of them to do.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let waiting = self.ways.iter().filter(|way| !way.queue.is_empty());
        waiting.filter_map(|way| way.gate.next_at(now)).filter(|at| *at > now).min()
    }

    /// Takes out of the queues what `leaves`.
    pub(super) fn take_if(&mut self, leaves: impl Fn(&Push) -> bool) -> Vec<Push> {
        let mut gone = Vec::new();
        for way in self.ways.iter_mut().filter(|way| way.queue.iter().any(|(_, push)| leaves(push))) {
            let (over, staying): (VecDeque<_>, VecDeque<_>) = way.queue.drain(..).partition(|(_, push)| leaves(push));
            way.queue = staying;
            gone.extend(over.into_iter().map(|(_, push)| push));
        }
        gone
    }

    /// Takes all out of the queues.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Push> {
        let waiting = self.ways.iter_mut().flat_map(|way| way.queue.drain(..)).map(|(_, push)| push);
        self.evicted.drain(..).chain(waiting)
    }

    /// Waits until the connections of one of them have changed. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.ways.is_empty() {
            return std::future::pending().await;
        }
        let pools = self.ways.iter_mut().map(|way| Box::pin(way.pool.changed()));
        futures::future::select_all(pools).await;
    }

    /// How all connections stand.
    pub(super) fn status(&self) -> PoolStatus {
        let mut all = PoolStatus::default();
        for status in self.ways.iter().map(|way| way.pool.status()) {
            all.open += status.open;
            all.proven += status.proven;
            all.connecting |= status.connecting;
            all.draining += status.draining;
            all.in_flight += status.in_flight;
            all.stream_limit += status.stream_limit;
        }
        all
    }

    /// Why nothing goes to any of them; `None`: something may.
    pub(super) fn halt(&self, now: Instant) -> Option<Halt> {
        let halts = self.ways.iter().map(|way| way.gate.halt(now)).collect::<Option<Vec<_>>>()?;
        halts.last().copied()
    }

    /// What is wrong with which of them, for people; `None`: nothing.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        let troubled: Vec<String> = self.ways.iter().filter_map(|way| way.trouble(now)).take(3).collect();
        (!troubled.is_empty()).then(|| troubled.join("; "))
    }
}

impl Way {
    /// Whether another origin may have its place.
    fn is_dispensable(&self, now: Instant) -> bool {
        let accepts = self.accepted.is_some_and(|at| now.saturating_duration_since(at) < KEEPS_PLACE);
        let hopeless =
            self.accepted.is_none() && (self.unreachable > 0 || self.gate.circuit(now) != CircuitState::Closed);
        self.in_flight == 0 && !accepts && (self.queue.is_empty() || hopeless)
    }

    fn patience(&self) -> Duration {
        STALE / 2_u32.pow(self.relapses.min(MOST_RELAPSES))
    }

    fn go_aside(&mut self, now: Instant) {
        self.aside = Some(now);
        self.relapses = self.relapses.saturating_add(1);
    }

    /// The next push that waits.
    pub(super) fn pop(&mut self) -> Option<Push> {
        self.queue.pop_front().map(|(_, push)| push)
    }

    /// Puts one back that could not go after all.
    pub(super) fn push_front(&mut self, push: Push, now: Instant) {
        self.queue.push_front((now, push));
    }

    /// How many may be started now, with `free` of the route's concurrency left.
    pub(super) fn room(&self, free: u32, now: Instant) -> usize {
        if self.in_flight >= MOST_IN_SILENCE && now.saturating_duration_since(self.heard) > SILENT {
            return 0;
        }
        let share = free.saturating_sub(self.in_flight);
        (self.gate.room(self.in_flight, now).min(share) as usize).min(self.pool.room())
    }

    /// Opens one more connection if that is what is missing.
    pub(super) fn grow(&mut self, free: u32, now: Instant) {
        let waiting = self.queue.len();
        if waiting > 0 && self.pool.room() == 0 && self.gate.slots(self.in_flight, now) > 0 {
            self.pool.grow(waiting);
        }
        // What the share holds back says nothing of the origin, as with streams.
        self.streams_free = self.pool.room() > 0 && self.in_flight < free;
    }

    /// An attempt is under way.
    pub(super) fn begun(&mut self, now: Instant) {
        if self.in_flight == 0 {
            self.heard = now;
        }
        self.in_flight += 1;
    }

    /// An attempt has ended, with an answer or without, and was accepted or not.
    pub(super) fn ended(&mut self, answered: bool, accepted: bool, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.used = now;
        if answered {
            self.heard = now;
        }
        if accepted {
            self.accepted = Some(now);
        }
    }

    /// Looks whether it can be reached at all. What waited for an origin that may not be dialled is returned.
    /// Where a name leads that no stranger has made is the operator's own affair: then it can't be reached, no more.
    fn look(&mut self, is_known: bool, sample: f64, now: Instant) -> Vec<Push> {
        let failures = self.pool.unreachable();
        let grew = failures > self.unreachable;
        self.unreachable = failures;
        if !grew {
            return Vec::new();
        }
        let refused = self.pool.last_failure().is_some_and(|failure| failure.kind == FailureKind::AddressNotAllowed);
        if refused && !is_known {
            self.forbidden_until = Some(now + FORBIDDEN_FOR);
            return self.queue.drain(..).map(|(_, push)| push).collect();
        }
        self.gate.unreachable(failures, sample, now);
        Vec::new()
    }

    fn trouble(&self, now: Instant) -> Option<String> {
        let what = match self.gate.halt(now)? {
            Halt::Refused => "it refuses our VAPID key or token".to_owned(),
            Halt::MassDeath => "too many of its subscriptions died at once to be believed".to_owned(),
            Halt::Failing => {
                self.pool.last_failure().map_or("it fails".to_owned(), |failure| failure.kind.as_str().to_owned())
            }
        };
        Some(format!("{}: {what}", self.origin))
    }
}

/// What one origin may have of a route's limits. Its rate is the route's affair, and so is what all may have at once.
fn of_one(settings: &RouteSettings) -> RouteSettings {
    RouteSettings { rate: None, ..settings.clone() }
}

#[cfg(test)]
mod tests;
