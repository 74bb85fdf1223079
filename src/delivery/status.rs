//! What a route shows of itself.

use std::time::Instant;

use serde::Serialize;

/// Whether a route sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// Pushes go out as they come.
    Ready,
    /// The provider said to send nothing for a while (`Retry-After`, quota).
    Paused,
    /// The operator said to send nothing: pushes wait, nothing is asked for.
    PausedByOperator,
    /// The credential is not there yet.
    NoCredential,
    /// The credential or the configuration is broken, or too many tokens died at once: pushes are kept, and one is
    /// tried now and then.
    Parked,
    /// The provider fails or can't be reached: pushes wait, and one is tried now and then.
    Unavailable,
}

/// A route at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStatus {
    /// Whether it sends.
    pub state: RouteState,
    /// Why not, where it does not.
    pub reason: Option<String>,
    /// When it sends again, or tries one push, as far as that is known.
    #[serde(skip)]
    pub until: Option<Instant>,
    /// Attempts under way.
    pub in_flight: u32,
    /// Retries that come again within two seconds.
    pub on_shelf: usize,
    /// How many attempts may be under way.
    pub concurrency_limit: u32,
    /// Pushes a second that the operator allows now, a ramp considered; absent: unlimited.
    pub rate: Option<f64>,
    /// Connections open.
    pub connections: usize,
    /// Streams that the connections have free.
    pub free_streams: usize,
    /// Attempts made since the start.
    pub attempts: u64,
    /// Retries since the start, short and long.
    pub retries: u64,
    /// Pushes put off since the start: their device was throttled, the retry budget was spent, their verdict was held.
    pub put_off: u64,
    /// Retries that the budget has left.
    pub retry_budget: u32,
}

impl Default for RouteStatus {
    fn default() -> Self {
        Self {
            state: RouteState::NoCredential,
            reason: None,
            until: None,
            in_flight: 0,
            on_shelf: 0,
            concurrency_limit: 0,
            rate: None,
            connections: 0,
            free_streams: 0,
            attempts: 0,
            retries: 0,
            put_off: 0,
            retry_budget: 0,
        }
    }
}
