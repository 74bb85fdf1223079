//! Old connections are replaced (FLOW.md, 3.4): a provider that moves is found at its new addresses, and after an
//! outage or a deployment of theirs, when everybody connects at once to what is there, the load spreads again.
//!
//! ```text
//!   old  ───── requests ─────────────╮ finishes what it carries
//!   new            TCP, TLS, SETTINGS ╰──── requests ─────
//! ```
//!
//! One at a time, the successor first; each at an age of its own, so that those opened together don't end together. One
//! that carries nothing needs no successor. While none can be opened, the old one serves on.

use std::time::Duration;

use tokio::time::Instant;

use super::{Connection, ConnectionId, Pool};

/// The least part of the greatest age at which a connection is old.
const YOUNGEST: f64 = 0.75;

/// Until when a connection opened now is not old. `sample` in `0.0..1.0`.
pub(super) fn old_at(now: Instant, max_age: Duration, sample: f64) -> Instant {
    now + max_age.mul_f64(YOUNGEST + (1.0 - YOUNGEST) * sample)
}

impl Pool {
    fn oldest(&self) -> Option<&Connection> {
        self.connections.iter().filter(|connection| connection.is_in_use()).min_by_key(|connection| connection.old_at)
    }

    /// When a connection has to be looked after because of its age, and something could be done.
    pub(super) fn ages_at(&self, now: Instant) -> Option<Instant> {
        let old_at = self.oldest()?.old_at;
        if self.connecting.is_some() {
            return None;
        }
        // What keeps a successor from being opened changes by time, or by an event that wakes us anyway.
        Some(old_at.max(self.backoff.closed_until(now).unwrap_or(now)).max(self.on_probation_until(now).unwrap_or(now)))
            .filter(|at| *at > now || self.connections.len() < 2 * self.options.max_connections)
    }

    /// Begins to replace the oldest connection, if it is old.
    pub(super) fn replace_old(&mut self, now: Instant) {
        let Some(oldest) = self.oldest().filter(|oldest| now >= oldest.old_at) else { return };
        let (id, idle) = (oldest.line.id, oldest.line.in_flight() == 0);
        if idle {
            self.retire(id);
        } else if self.may_open(now) {
            self.replaces = Some(id);
            self.open();
        }
    }

    /// A successor is there: the old connection is given nothing new.
    pub(super) fn replaced(&mut self) {
        if let Some(id) = self.replaces.take() {
            self.retire(id);
        }
    }

    fn retire(&mut self, id: ConnectionId) {
        self.connections.iter_mut().filter(|connection| connection.line.id == id).for_each(Connection::retire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_3_4_those_opened_together_do_not_age_together() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3_600));
        assert_eq!(old_at(now, hour, 0.0), now + hour * 3 / 4);
        assert_eq!(old_at(now, hour, 0.5), now + hour * 7 / 8);
        assert_eq!(old_at(now, hour, 1.0), now + hour);
    }
}
