//! What pushes are told apart by where the order of a target's pushes is kept (FLOW.md, 2.7).

use std::hash::{BuildHasher, RandomState};

use super::{Lane, Push, RouteId, Target};

/// Numbers for pushes and for the targets they go to, in this process. Two targets may share a number: then they share an
/// order, which costs time and breaks nothing.
#[derive(Debug, Clone, Default)]
pub struct OrderKeys(RandomState);

impl OrderKeys {
    /// Whose order it is: one target's, within a lane. A more important push may overtake: that is what lanes are for.
    #[must_use]
    pub fn of_target(&self, target: &Target, lane: Lane) -> u64 {
        self.0.hash_one((target.address(), lane))
    }

    /// The same, within a route, where several have one owner.
    #[must_use]
    pub fn of_route(&self, target: &Target, route: RouteId, lane: Lane) -> u64 {
        self.0.hash_one((target.address(), route, lane))
    }

    /// The push itself, also when it comes again as another delivery of its job.
    #[must_use]
    pub fn of_push(&self, push: &Push) -> u64 {
        self.0.hash_one((&*push.envelope.job.id, push.index))
    }
}
