//! Starting attempts where each push has an origin: sorted first, then origin by origin, each in its turn.

use std::time::{Duration, Instant};

use super::{Begun, Route};
use crate::delivery::origins::{Placed, WayId};
use crate::job::Push;
use crate::verdict::{Fate, Verdict};

/// Attempts that one origin may start before the next one has its turn.
const A_TURN: usize = 32;

/// How long a push stays away that waited for an origin which lost its place.
const AFTER_EVICTION: Duration = Duration::from_secs(60);

impl Route {
    /// Starts as many attempts as may go.
    pub(super) fn start_by_origin(&mut self, now: Instant) {
        self.sort(now);
        let mut room = self.gate.room(self.under_way(), now) as usize;
        loop {
            let mut started = 0;
            let in_turn = self.ways.origins_mut().map(|origins| origins.in_turn()).unwrap_or_default();
            for id in in_turn {
                let count = self.start_one(id, room.min(A_TURN), now);
                (room, started) = (room - count, started + count);
            }
            if started == 0 || room == 0 {
                break;
            }
        }
        let free = self.gate.slots(self.under_way(), now);
        for way in self.ways.origins_mut().into_iter().flat_map(|origins| origins.iter_mut()) {
            way.grow(free, now);
        }
    }

    /// Starts up to so many attempts at one origin.
    fn start_one(&mut self, id: WayId, most: usize, now: Instant) -> usize {
        let mut started = 0;
        while started < most {
            let free = self.gate.slots(self.under_way(), now);
            let next = self.ways.way(Some(id)).filter(|way| way.room(free, now) > 0).and_then(|way| way.pop());
            let Some(push) = next else { break };
            match self.attempt(push, Some(id), now) {
                Begun::Sent => started += 1,
                Begun::Ended => {}
                Begun::NoRoom => break,
            }
        }
        started
    }

    /// Puts what has come to its origins.
    fn sort(&mut self, now: Instant) {
        if let Some(origins) = self.ways.origins_mut() {
            origins.step(now);
        }
        while let Some(push) = self.shelf.take(now).or_else(|| self.buffer.pop_front()) {
            let Some(push) = self.still_good(push, now) else { continue };
            match self.protocol.origin(&push) {
                Ok(Some(origin)) => {
                    let Some(origins) = self.ways.origins_mut() else { return };
                    match origins.place(push, &origin, fastrand::f64(), now) {
                        Placed::Queued => {}
                        Placed::PutOff(push, delay, reason) => self.put_off(push, delay, reason, now),
                        Placed::Forbidden(push) => self.forbidden(push, now),
                    }
                }
                Ok(None) => self.dispose(push, &Verdict::of(Fate::Rejected).because("bad_target"), None, false, now),
                Err(verdict) => self.dispose(push, &verdict, None, false, now),
            }
        }
        let evicted = self.ways.origins_mut().map(|origins| origins.take_evicted()).unwrap_or_default();
        for push in evicted {
            self.put_off(push, AFTER_EVICTION, "origin_unavailable", now);
        }
    }

    /// Looks which origins can be reached at all.
    pub(super) fn origins_changed(&mut self, now: Instant) {
        let Some(origins) = self.ways.origins_mut() else { return };
        for push in origins.look(now) {
            self.forbidden(push, now);
        }
    }

    fn forbidden(&mut self, push: Push, now: Instant) {
        let verdict = Verdict::of(Fate::Rejected).because("endpoint_address_not_allowed");
        self.dispose(push, &verdict, None, false, now);
    }
}
