//! Changes a running pipeline: a route's limits and pauses, the lanes, by a patch or by a new configuration.
//!
//! Each route and the dispatch has a `watch` of its own that it obeys at once; nothing is restarted, no connection
//! dropped. What a patch changed holds until the next reload: the configuration is then the truth again.

use std::sync::Arc;

use tokio::sync::watch;

use super::Settings;
use crate::delivery::{FloorAboveCeiling, RouteOrders, RoutePatch};
use crate::dispatch::LaneSettings;
use crate::telemetry::RouteLabel;

/// The way to change a running pipeline. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Steering {
    routes: Arc<[(RouteLabel, watch::Sender<RouteOrders>)]>,
    lanes: Arc<watch::Sender<[LaneSettings; 3]>>,
}

/// Why a route was not patched. It goes on as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPatched {
    /// There is no such route.
    NoRoute,
    /// The bounds of its concurrency would contradict each other.
    Concurrency(FloorAboveCeiling),
}

impl Steering {
    pub(super) fn new(
        routes: Vec<(RouteLabel, watch::Sender<RouteOrders>)>,
        lanes: watch::Sender<[LaneSettings; 3]>,
    ) -> Self {
        Self { routes: routes.into(), lanes: Arc::new(lanes) }
    }

    /// Changes one route until the next reload or restart, and says what it goes by from now on.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn patch(&self, app: &str, provider: &str, patch: &RoutePatch) -> Result<RouteOrders, NotPatched> {
        let is_meant = |label: &RouteLabel| &*label.app == app && label.provider.as_str() == provider;
        let (_, orders) = self.routes.iter().find(|(label, _)| is_meant(label)).ok_or(NotPatched::NoRoute)?;
        let mut patched = Err(NotPatched::NoRoute);
        orders.send_if_modified(|orders| {
            patched = patch.apply(orders).map_err(NotPatched::Concurrency);
            let Ok(new) = &patched else { return false };
            std::mem::replace(orders, new.clone()) != *new
        });
        patched
    }

    /// Gives every route and the lanes what `settings` says; patches are forgotten, and a pause ends. Routes that it does
    /// not name, or names for the first time, are passed over: to add or to remove one needs a restart.
    pub fn reload(&self, settings: &Settings) {
        for app in &settings.apps {
            for (provider, _, limits) in &app.routes {
                let is_meant = |label: &RouteLabel| *label.app == *app.name && label.provider == *provider;
                let route = self.routes.iter().find(|(label, _)| is_meant(label));
                route.inspect(|(_, orders)| replace(orders, RouteOrders::new(limits.clone())));
            }
        }
        replace(&self.lanes, settings.lanes.clone());
    }
}

fn replace<T: PartialEq>(watched: &watch::Sender<T>, new: T) {
    watched.send_if_modified(|old| {
        let modified = *old != new;
        *old = new;
        modified
    });
}
