//! Who waits, for those who look on.

use std::time::Instant;

/// What waits for one route in one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Pushes in memory.
    pub pushes: usize,
    /// When the first in line was accepted; `None`: nobody waits.
    pub oldest: Option<Instant>,
}

/// By [`RouteId`](crate::job::RouteId) and [`Lane::index`](crate::job::Lane::index); for what is missing nothing waits.
/// Brought up to date once a second.
pub type Waiting = Vec<[Waits; 3]>;
