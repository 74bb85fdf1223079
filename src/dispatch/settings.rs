//! What an operator can say of a lane.

/// `[lanes.high]`, `[lanes.normal]`, `[lanes.low]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSettings {
    /// The lane's share under contention, beside the other lanes' weights; at least 1. Default 16, 4, 1.
    pub weight: u32,
    /// Pushes that may wait in memory; at least 1,000, so that the largest job fits. Default 20,000.
    pub max_waiting: u32,
}
