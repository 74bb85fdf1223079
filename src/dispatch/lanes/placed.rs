//! How those pushes come in that have places of their own: of a job with a collapse key, or of a route that keeps its
//! targets' order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Lanes;
use crate::dispatch::run::Run;
use crate::dispatch::slots::Placed;
use crate::dispatch::{Exit, Why};
use crate::flow::{Away, Traveller};
use crate::job::{Envelope, OrderKeys, Push, RouteId};

impl Lanes {
    /// Gives each push of a job with a collapse key its place, and each of a route that keeps its targets' order: but
    /// whoever comes before one that is parked is parked as well.
    pub(super) fn enter_placed(
        &mut self,
        job: &Arc<Envelope>,
        mut run: Run,
        id: RouteId,
        now: Instant,
        exits: &mut Vec<Exit>,
    ) {
        let provider = run.provider();
        let mut pushes = Vec::with_capacity(run.left());
        run.empty(&mut self.slots, &mut |push| pushes.push(push));
        let mut places = Vec::with_capacity(pushes.len());
        for push in pushes {
            let away = &mut self.routes[id.0 as usize].away;
            let ordered = away.is_some();
            if let Some(delay) = away.as_mut().and_then(|away| comes(away, &self.keys, &push, now)) {
                exits.push(Exit { push, why: Why::Parked { delay } });
                continue;
            }
            let older = match self.slots.place(push, id, job.lane, ordered) {
                Placed::Outdated(push) => {
                    exits.push(Exit { push, why: Why::Collapsed });
                    continue;
                }
                Placed::New(place) => {
                    places.push(place);
                    None
                }
                Placed::Overtook(place, older) => {
                    places.push(place);
                    Some(older)
                }
                Placed::Instead(older) => Some(older),
            };
            self.came(id, job);
            if let Some(push) = older {
                self.gone(id, &push);
                let why = if push.envelope.is_live() { Why::Collapsed } else { Why::Returned };
                exits.push(Exit { push, why });
            }
        }
        if !places.is_empty() {
            self.routes[id.0 as usize].lines[job.lane.index()].push(Run::placed(Arc::clone(job), provider, places));
        }
    }
}

/// Whether a push that comes has to wait, away, for one to the same target.
fn comes(away: &mut Away, keys: &OrderKeys, push: &Push, now: Instant) -> Option<Duration> {
    if away.is_empty() {
        return None;
    }
    away.comes(keys.of_target(push.target(), push.envelope.lane), traveller(keys, push), now)
}

/// Notes that a push comes and does not wait here: it has come to an end, or is parked itself.
pub(super) fn passes(away: &mut Away, keys: &OrderKeys, push: &Push, why: Why, now: Instant) {
    let wait = comes(away, keys, push, now);
    if let (None, Why::Parked { delay }) = (wait, why) {
        away.goes(keys.of_target(push.target(), push.envelope.lane), traveller(keys, push), now + delay, now);
    }
}

pub(super) fn traveller(keys: &OrderKeys, push: &Push) -> Traveller {
    Traveller { id: keys.of_push(push), accepted: push.envelope.origin.accepted_at.0 }
}
