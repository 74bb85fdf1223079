//! When a lane sheds. Pure.
//!
//! As CoDel (RFC 8289) does, it looks at how long the first in line has waited, not at how many wait: a queue is bad if
//! it *stands*. A line is overloaded when its first has been older than `max_age` for half as long again; a burst that
//! drains before that loses nothing. From then on a little is shed at each look, as much as comes in beyond what
//! leaves, until nothing had to be shed for that same time: no sawtooth (ENGINEERING.md, 5 (ii)).

use std::time::{Duration, Instant};

use super::{LaneSettings, OnOverload};

/// The shortest and the longest time for which a line must stand.
const STANDING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// By [`RouteId`](crate::job::RouteId) and [`Lane::index`](crate::job::Lane::index), whether it sheds; what is missing does
/// not.
pub type Shedding = Vec<[bool; 3]>;

/// What a lane's settings say of shedding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    on_overload: OnOverload,
    max_age: Option<Duration>,
}

impl Policy {
    /// Of these settings.
    pub(super) fn of(lane: &LaneSettings) -> Self {
        Self { on_overload: lane.on_overload, max_age: lane.max_age.filter(|_| lane.on_overload != OnOverload::Wait) }
    }

    /// The age beyond which a push may be shed; `None`: never.
    pub(super) const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Which are shed.
    pub(super) const fn on_overload(&self) -> OnOverload {
        self.on_overload
    }
}

/// One line's state.
#[derive(Debug, Clone, Default)]
pub(super) struct Shedder {
    /// Since when its first has been too old.
    old_since: Option<Instant>,
    /// When it last shed, or had a reason to, while it is overloaded.
    shedding: Option<Instant>,
}

impl Shedder {
    /// Whether a line whose first was accepted at `oldest` is overloaded.
    pub(super) fn look(&mut self, policy: &Policy, oldest: Option<Instant>, now: Instant) -> bool {
        let Some(max_age) = policy.max_age() else { return false };
        let standing = (max_age / 2).clamp(STANDING.0, STANDING.1);
        let old = oldest.is_some_and(|accepted| now.saturating_duration_since(accepted) > max_age);
        self.old_since = old.then(|| self.old_since.unwrap_or(now));
        if self.old_since.is_some_and(|since| now.saturating_duration_since(since) >= standing) {
            self.shedding = Some(now);
        }
        if self.shedding.is_some_and(|last| now.saturating_duration_since(last) >= standing) {
            self.shedding = None;
        }
        self.shedding.is_some()
    }

    /// Whether it was overloaded at the last look.
    pub(super) const fn is_shedding(&self) -> bool {
        self.shedding.is_some()
    }

    /// Notes that something was shed.
    pub(super) fn shed(&mut self, now: Instant) {
        if self.shedding.is_some() {
            self.shedding = Some(now);
        }
    }
}
