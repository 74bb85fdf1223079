//! What changes about a route while it runs: its orders, and the client that it sends by.

use std::time::{Duration, Instant};

use super::{Route, now};
use crate::delivery::RouteOrders;
use crate::delivery::ways::Ways;
use crate::job::Push;
use crate::provider::Client;
use crate::verdict::{Fate, RouteEffect, Verdict};

/// When a push is put again for which the old client's answer does not count.
const BY_THE_NEW_ONE: Duration = Duration::from_millis(50);

impl Route {
    /// Takes on new orders at once, and shows them. No connection is dropped for them.
    pub(super) fn heed(&mut self, orders: RouteOrders) {
        let new = orders.settings;
        self.gate.set_limits(&self.ways.shared(&new), now());
        self.ways.set_limits(&new, now());
        self.keep_order(new.ordered);
        self.settings = new;
        if orders.paused != self.gate.is_paused() {
            let what = if orders.paused { "paused: its jobs wait" } else { "resumed" };
            tracing::info!(route = %self.label, "route {what}");
        }
        self.gate.pause(orders.paused);
        self.show();
    }

    /// Keeps the order of a target's pushes from now on, or no more. Of those that are under way nothing is known then.
    fn keep_order(&mut self, ordered: bool) {
        match self.order.take() {
            Some(order) if !ordered => self.buffer.extend(order.clear()),
            order => self.order = order.or_else(|| ordered.then(Default::default)),
        }
    }

    /// Sends by another client from now on. What is in flight ends on the connections it is on: they are given nothing
    /// new and close when they carry nothing. What waits here keeps its place. Whatever had halted the route is over.
    pub(super) fn renew(&mut self, client: &Client) {
        let now = now();
        self.generation = self.generation.wrapping_add(1);
        let mut old = std::mem::replace(&mut self.ways, Ways::new(client, &self.settings));
        if let Some(origins) = old.origins_mut() {
            self.buffer.extend(origins.clear());
        }
        self.protocol = client.protocol();
        (self.unreachable, self.streams_free) = (0, true);
        (self.trouble, self.credential_expires) = (None, None);
        self.gate.renew(now);
        tracing::info!(route = %self.label, in_flight = self.in_flight.len(), "another credential, endpoint or topic: new connections; what is in flight ends on the old ones");
        self.report_halts(now);
    }

    /// An answer to what a client sent that was replaced meanwhile. It counts for its push, not for the route. Where it
    /// speaks of the credential, the topic or the project (a token is dead for one of those), the push is put again by the
    /// new client: nobody has seen it, so that doubles nothing, and no attempt is counted.
    pub(super) fn answered_late(&mut self, mut push: Push, verdict: &Verdict, now: Instant) {
        let of_the_client = matches!(verdict.fate, Fate::Unregistered { .. } | Fate::Resign | Fate::Keep)
            || verdict.route == RouteEffect::Misaddressed;
        if of_the_client {
            push.attempts = push.attempts.saturating_sub(1);
            self.put_off(push, BY_THE_NEW_ONE, "client_replaced", now);
        } else {
            self.dispose(push, verdict, None, true, now);
        }
    }
}
