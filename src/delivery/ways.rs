//! By what a route sends: connections to one endpoint, or to many origins.

use super::origins::{Origins, Way, WayId};
use super::{Gate, RouteSettings};
use crate::provider::http2::{Pool, PoolStatus};
use crate::provider::{Client, Reach};

/// By what a route sends.
pub(super) enum Ways {
    /// One endpoint.
    One(Pool),
    /// As many origins as its targets name.
    Many(Origins),
}

impl Ways {
    pub(super) fn new(client: &Client, settings: &RouteSettings) -> Self {
        match client.reach() {
            Reach::One(door) => Ways::One(door.pool(settings.connections, settings.request_timeout)),
            Reach::Origins(dialler) => Ways::Many(Origins::new(dialler.clone(), settings)),
        }
    }

    /// What the route's own gate goes by. Where each origin finds its concurrency, the sum is only bounded.
    pub(super) fn shared(&self, settings: &RouteSettings) -> RouteSettings {
        match self {
            Ways::One(_) => settings.clone(),
            Ways::Many(_) => RouteSettings { min_concurrency: settings.max_concurrency, ..settings.clone() },
        }
    }

    pub(super) fn set_limits(&mut self, settings: &RouteSettings, now: std::time::Instant) {
        match self {
            Ways::One(pool) => pool.set_limits(settings.connections as usize, settings.request_timeout),
            Ways::Many(origins) => origins.set_limits(settings, now),
        }
    }

    /// The way with that number; `None`: there is only one endpoint, or the origin is gone.
    pub(super) fn way(&mut self, id: Option<WayId>) -> Option<&mut Way> {
        match self {
            Ways::One(_) => None,
            Ways::Many(origins) => origins.way(id?),
        }
    }

    pub(super) fn origins(&self) -> Option<&Origins> {
        match self {
            Ways::One(_) => None,
            Ways::Many(origins) => Some(origins),
        }
    }

    pub(super) fn origins_mut(&mut self) -> Option<&mut Origins> {
        match self {
            Ways::One(_) => None,
            Ways::Many(origins) => Some(origins),
        }
    }

    /// The pool that the way `id` goes by.
    pub(super) fn pool(&mut self, id: Option<WayId>) -> Option<&mut Pool> {
        match self {
            Ways::One(pool) => Some(pool),
            Ways::Many(origins) => origins.way(id?).map(|way| &mut way.pool),
        }
    }

    /// The gate of the way `id`, where it has one of its own; else the route's.
    pub(super) fn gate<'a>(&'a mut self, id: Option<WayId>, route: &'a mut Gate) -> &'a mut Gate {
        match self.way(id) {
            Some(way) => &mut way.gate,
            None => route,
        }
    }

    /// Requests that could be sent now, whatever the gates say.
    pub(super) fn room(&self) -> usize {
        match self {
            Ways::One(pool) => pool.room(),
            Ways::Many(origins) => origins.iter().map(|way| way.pool.room()).sum(),
        }
    }

    /// Connections in a row that could not be made to the one endpoint; of origins, each looks by itself.
    pub(super) fn unreachable(&self) -> u32 {
        match self {
            Ways::One(pool) => pool.unreachable(),
            Ways::Many(_) => 0,
        }
    }

    pub(super) fn status(&self) -> PoolStatus {
        match self {
            Ways::One(pool) => pool.status(),
            Ways::Many(origins) => origins.status(),
        }
    }

    /// Waits until connections have changed. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        match self {
            Ways::One(pool) => pool.changed().await,
            Ways::Many(origins) => origins.changed().await,
        }
    }
}
