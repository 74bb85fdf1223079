//! What an operator can say of a route: `[providers.<provider>]`, overridden by `[apps.<app>.<provider>]`.

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
}
