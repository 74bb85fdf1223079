//! What an operator can say of a lane.

use std::time::Duration;

/// `[lanes.high]`, `[lanes.normal]`, `[lanes.low]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSettings {
    /// The lane's share under contention, beside the other lanes' weights; at least 1. Default 16, 4, 1.
    pub weight: u32,
    /// Pushes that may wait in memory; at least 1,000, so that the largest job fits. Default 20,000.
    pub max_waiting: u32,
    /// Since its acceptance, how old a push may get before it is shed, where [`on_overload`](Self::on_overload) says that
    /// the lane sheds; `None`, the default: it never does.
    pub max_age: Option<Duration>,
    /// What is done under overload. Default: wait.
    pub on_overload: OnOverload,
}

impl LaneSettings {
    /// A lane of this weight, everything else at its default.
    #[must_use]
    pub const fn weighing(weight: u32) -> Self {
        Self { weight, max_waiting: 20_000, max_age: None, on_overload: OnOverload::Wait }
    }
}

/// What a lane does when more comes for it than leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnOverload {
    /// Back-pressure: what can't wait in memory waits in the broker. Nothing is dropped.
    #[default]
    Wait,
    /// Those that have waited longer than `max_age` are dropped: what is new matters more.
    ShedOldest,
    /// Those are dropped that came last and would wait longer than `max_age`: who waits keeps its place.
    ShedNewest,
}

impl OnOverload {
    /// All, in the order of their words.
    pub const ALL: [OnOverload; 3] = [OnOverload::Wait, OnOverload::ShedOldest, OnOverload::ShedNewest];

    /// The word that stands for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OnOverload::Wait => "wait",
            OnOverload::ShedOldest => "shed_oldest",
            OnOverload::ShedNewest => "shed_newest",
        }
    }
}
