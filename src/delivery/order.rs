//! One target's pushes one after the other, in the order in which they were accepted (FLOW.md, 2.7). Pure.
//!
//! ```text
//!   comes ─┬─ nobody is ahead ──────▶ leads: buffer, stream, shelf ──▶ leaves: the next one leads
//!          ├─ another one leads ────▶ behind it, here
//!          └─ an older one is away ─▶ is sent away after it, durably
//! ```
//!
//! A push is over when it has its outcome: a second one that is sent before that would overtake the first if that has to
//! be sent again. So a target gets one push a round trip; other targets don't notice. Who leads and is put off durably
//! takes those behind it along.
//!
//! It is bounded: so many may wait behind others; one more is sent away at once, and comes again in order.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::flow::{Away, Traveller};
use crate::job::{OrderKeys, Push};

/// Pushes of one route that wait behind others, at most: as many as on the shelf.
const CAPACITY: usize = 4_000;
/// How long those stay away that come when there is no room: what is worth a durable retry.
const NO_ROOM: Duration = Duration::from_secs(2);

/// What becomes of a push that comes.
pub(super) enum Arrival {
    /// It may go.
    Leads(Push),
    /// It waits here.
    Follows,
    /// It has to go away for so long.
    Away(Push, Duration),
}

/// The pushes of a route's targets, in order.
#[derive(Default)]
pub(super) struct Order {
    keys: OrderKeys,
    lines: HashMap<u64, Line>,
    behind: usize,
    away: Away,
}

struct Line {
    /// Its job's place in memory and its target: no two pushes that are here share it.
    leader: (usize, u16),
    behind: VecDeque<Push>,
}

fn name(push: &Push) -> (usize, u16) {
    (std::sync::Arc::as_ptr(&push.envelope).addr(), push.index)
}

fn traveller(keys: &OrderKeys, push: &Push) -> Traveller {
    Traveller { id: keys.of_push(push), accepted: push.envelope.origin.accepted_at.0 }
}

impl Order {
    fn key(&self, push: &Push) -> u64 {
        self.keys.of_target(push.target(), push.envelope.lane)
    }

    /// A push comes from its lane.
    pub(super) fn comes(&mut self, push: Push, now: Instant) -> Arrival {
        let key = self.key(&push);
        if !self.away.is_empty()
            && let Some(delay) = self.away.comes(key, traveller(&self.keys, &push), now)
        {
            return Arrival::Away(push, delay);
        }
        let Some(line) = self.lines.get_mut(&key) else {
            self.lines.insert(key, Line { leader: name(&push), behind: VecDeque::new() });
            return Arrival::Leads(push);
        };
        if self.behind >= CAPACITY {
            // The line's own are older: were the leader put off now, it would be remembered as before this one.
            self.away.goes(key, traveller(&self.keys, &push), now + NO_ROOM, now);
            return Arrival::Away(push, NO_ROOM);
        }
        line.behind.push_back(push);
        self.behind += 1;
        Arrival::Follows
    }

    /// A push has come to its end here. The one that may go next, if it led.
    pub(super) fn leaves(&mut self, push: &Push) -> Option<Push> {
        let key = self.key(push);
        let line = self.lines.get_mut(&key).filter(|line| line.leader == name(push))?;
        let Some(next) = line.behind.pop_front() else {
            self.lines.remove(&key);
            return None;
        };
        line.leader = name(&next);
        self.behind -= 1;
        Some(next)
    }

    /// A push goes away, to come again after `delay`. Those behind it, who must go away too and are remembered as after
    /// it.
    pub(super) fn goes_away(&mut self, push: &Push, delay: Duration, now: Instant) -> VecDeque<Push> {
        let key = self.key(push);
        let led = self.lines.get(&key).is_some_and(|line| line.leader == name(push));
        let behind = if led { self.lines.remove(&key).map(|line| line.behind) } else { None }.unwrap_or_default();
        self.behind -= behind.len();
        for gone in behind.iter().rev().chain([push]) {
            self.away.goes(key, traveller(&self.keys, gone), now + delay, now);
        }
        behind
    }

    /// Takes out those who wait behind others and whose time is `over`; and where one of a target's has been `held` for
    /// too long, all of them. Each target's youngest first, in which order they can [go away](Self::goes_away).
    pub(super) fn take_if(&mut self, over: impl Fn(&Push) -> bool, held: impl Fn(&Push) -> bool) -> Vec<Push> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut() {
            let all = line.behind.iter().any(&held);
            if all || line.behind.iter().any(&over) {
                let (gone, staying) = line.behind.drain(..).partition::<VecDeque<_>, _>(|push| all || over(push));
                line.behind = staying;
                taken.extend(gone.into_iter().rev());
            }
        }
        self.behind -= taken.len();
        taken
    }

    /// All who wait behind others, each target's in order.
    pub(super) fn clear(self) -> impl Iterator<Item = Push> {
        self.lines.into_values().flat_map(|line| line.behind)
    }
}
