//! Patches of a running pipeline's routes: their limits, a pause.
//!
//! Each route has a `watch` of its own that it obeys at once; nothing is restarted, no connection dropped. What a patch
//! changed holds until the next [reload](super::Pipeline::reload): the configuration is then the truth again.

use std::sync::Arc;

use tokio::sync::watch;

use super::routes::OpenRoute;
use crate::delivery::{FloorAboveCeiling, RouteOrders, RoutePatch};

/// The way to patch a running pipeline. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Steering {
    routes: watch::Receiver<Arc<[OpenRoute]>>,
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
    pub(super) const fn new(routes: watch::Receiver<Arc<[OpenRoute]>>) -> Self {
        Self { routes }
    }

    /// Changes one route until the next reload or restart, and says what it goes by from now on.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn patch(&self, app: &str, provider: &str, patch: &RoutePatch) -> Result<RouteOrders, NotPatched> {
        let routes = Arc::clone(&self.routes.borrow());
        let is_meant = |route: &&OpenRoute| &*route.label.app == app && route.label.provider.as_str() == provider;
        let route = routes.iter().find(is_meant).ok_or(NotPatched::NoRoute)?;
        let mut patched = Err(NotPatched::NoRoute);
        route.orders.send_if_modified(|orders| {
            patched = patch.apply(orders).map_err(NotPatched::Concurrency);
            let Ok(new) = &patched else { return false };
            std::mem::replace(orders, new.clone()) != *new
        });
        patched
    }
}
