//! What an operator can say of a route: `[providers.<provider>]`, overridden by `[apps.<app>.<provider>]`, and while it
//! runs, by a [patch](RoutePatch).

use std::time::Duration;

use crate::flow::Rate;

/// The limits of one route (app × provider), defaults and overrides already merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// Pushes per time; `None`: unlimited.
    pub rate: Option<Rate>,
    /// How many pushes may go at once after a quiet time; at least 1. Default: what the rate passes in 100 ms.
    pub burst: u32,
    /// Attempts in flight, at least.
    pub min_concurrency: u32,
    /// Attempts in flight, at most; the server's stream limits bound it too.
    pub max_concurrency: u32,
    /// Connections, at most; they are opened one at a time as demand asks for them.
    pub connections: u32,
    /// From sending a request to its whole answer.
    pub request_timeout: Duration,
    /// Attempts for one push, the first included; 1 to 100.
    pub max_attempts: u8,
    /// Dead tokens among a minute's answers, in percent, beyond which they are not believed; 1 to 100 (all are).
    pub max_dead_percent: u8,
    /// A push's time to live where its job names none.
    pub default_ttl: Duration,
    /// Whether pushes to one target leave in the order in which they were accepted, within a lane, one after the other.
    pub ordered: bool,
}

impl RouteSettings {
    /// The largest burst.
    pub const MAX_BURST: u32 = 10_000_000;
    /// The most attempts in flight that can be allowed.
    pub const MAX_CONCURRENCY: u32 = 100_000;
}

/// What a running route goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOrders {
    /// Its limits.
    pub settings: RouteSettings,
    /// Whether the operator wants nothing sent. What is in flight ends, what waits keeps its place.
    pub paused: bool,
}

impl RouteOrders {
    /// These limits, not paused.
    #[must_use]
    pub const fn new(settings: RouteSettings) -> Self {
        Self { settings, paused: false }
    }
}

/// A change of a route's orders; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutePatch {
    /// `Some(None)`: unlimited.
    pub rate: Option<Option<Rate>>,
    /// Where only the rate is given: a burst that was what the old rate passes in 100 ms follows it, another one stays.
    pub burst: Option<u32>,
    /// Attempts in flight, at least.
    pub min_concurrency: Option<u32>,
    /// Attempts in flight, at most.
    pub max_concurrency: Option<u32>,
    /// Pause or resume.
    pub paused: Option<bool>,
}

/// The floor of a route's concurrency would be above its ceiling; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloorAboveCeiling {
    /// Attempts in flight, at least.
    pub min: u32,
    /// Attempts in flight, at most.
    pub max: u32,
}

impl RoutePatch {
    /// The orders after the change.
    ///
    /// # Errors
    /// If the concurrency's `min` would be above its `max`, one of which may be as it was before.
    pub fn apply(&self, orders: &RouteOrders) -> Result<RouteOrders, FloorAboveCeiling> {
        let mut changed = orders.clone();
        let old = &orders.settings;
        let new = &mut changed.settings;
        new.rate = self.rate.unwrap_or(old.rate);
        let follows = old.burst == Rate::default_burst(old.rate);
        new.burst = self.burst.unwrap_or(if follows { Rate::default_burst(new.rate) } else { old.burst });
        new.min_concurrency = self.min_concurrency.unwrap_or(old.min_concurrency);
        new.max_concurrency = self.max_concurrency.unwrap_or(old.max_concurrency);
        if new.min_concurrency > new.max_concurrency {
            return Err(FloorAboveCeiling { min: new.min_concurrency, max: new.max_concurrency });
        }
        changed.paused = self.paused.unwrap_or(orders.paused);
        Ok(changed)
    }
}
