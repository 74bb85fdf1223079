//! The ways from the dispatch to the routes' deliveries, and how they come and go.
//!
//! They are kept by number. A number belongs to one app and provider for as long as the process lives: a route that is
//! removed leaves its place empty, and gets it again if it comes back. So what was numbered before is never another's.

use std::time::Duration;

use crate::job::{Push, RouteId};
use crate::stage::Outlet;
use crate::telemetry::RouteLabel;

/// For how long that is kept durably which waited for a route that was removed: an operator who removes one by mistake
/// notices it by then. When it comes again the route is back, or it ends as a new job would (`unknown_app`, `no_route`).
/// No attempt is counted.
pub const KEPT_AFTER_REMOVAL: Duration = Duration::from_secs(60);

/// The way to one route's delivery.
pub struct RouteDoor {
    /// Whose it is, for metrics.
    pub label: RouteLabel,
    /// Where its pushes go. Made with the dispatch's doorbell.
    pub outlet: Outlet<Push>,
    /// A push's time to live where its job names none.
    pub default_ttl: Duration,
    /// Whether a target's pushes leave in the order in which they were accepted, within a lane.
    pub ordered: bool,
}

/// What changes about the routes while the dispatch runs.
pub enum DoorChange {
    /// A route is there, for the first time or again. Said before any job names its number.
    Open(RouteId, RouteDoor),
    /// An open route's default time to live is another.
    DefaultTtl(RouteId, Duration),
    /// An open route keeps its targets' order from now on, or no more.
    Ordered(RouteId, bool),
    /// A route is there no more. Jobs that name its number may still come.
    Close(RouteId),
}

/// By number; empty where a route was removed.
#[derive(Default)]
pub(super) struct Doors(Vec<Option<RouteDoor>>);

impl Doors {
    pub(super) fn open(&mut self, id: RouteId, door: RouteDoor) {
        let index = id.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(door);
    }

    /// The door, to be dropped: its delivery then finishes what it has and ends.
    pub(super) fn close(&mut self, id: RouteId) -> Option<RouteDoor> {
        self.0.get_mut(id.0 as usize)?.take()
    }

    pub(super) fn get_mut(&mut self, id: RouteId) -> Option<&mut RouteDoor> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    /// Those that are open.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RouteId, &RouteDoor)> {
        (0..).map(RouteId).zip(&self.0).filter_map(|(id, door)| Some((id, door.as_ref()?)))
    }

    /// By number, whether pushes are asked for there.
    pub(super) fn asking(&mut self) -> impl Iterator<Item = bool> {
        self.0.iter_mut().map(|door| door.as_mut().is_some_and(|door| door.outlet.demand() > 0))
    }
}
