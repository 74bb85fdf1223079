//! In what two configurations differ, route by route. Pure.

use std::collections::BTreeMap;

use super::Settings;
use crate::delivery::RouteSettings;
use crate::job::Provider;
use crate::provider::Fingerprint;

/// A route's name: an app's, and by [`Provider::index`] one of its providers. In this order routes are gone through.
pub(super) type Name = (Box<str>, usize);

/// What a route is configured to be: a digest of what it sends by, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) provider: Provider,
    pub(super) client: Fingerprint,
    pub(super) limits: RouteSettings,
}

/// All routes of a configuration.
pub(super) type Plans = BTreeMap<Name, Plan>;

/// What has become of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Same,
    /// Its limits are others; connections stay.
    LimitsOnly,
    /// Its credential, endpoint, topic or trust is another, be it that only a file's content is: it needs another client.
    /// Its limits may be others too.
    Rebuild,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// What `settings` wants.
pub(super) fn plans(settings: &Settings) -> Plans {
    let routes = settings.apps.iter().flat_map(|app| app.routes.iter().map(move |route| (app, route)));
    let planned = routes.map(|(app, (provider, client, limits))| {
        let plan = Plan { provider: *provider, client: client.fingerprint(), limits: limits.clone() };
        ((app.name.as_str().into(), provider.index()), plan)
    });
    planned.collect()
}

/// What must be done about each route of either configuration.
pub(super) fn changes(old: &Plans, new: &Plans) -> BTreeMap<Name, Change> {
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Change::Removed));
    let there = new.iter().map(|(name, plan)| (name.clone(), change(old.get(name), plan)));
    gone.chain(there).collect()
}

fn change(old: Option<&Plan>, new: &Plan) -> Change {
    match old {
        None => Change::Added,
        Some(old) if old.client != new.client => Change::Rebuild,
        Some(old) if old.limits != new.limits => Change::LimitsOnly,
        Some(_) => Change::Same,
    }
}

#[cfg(test)]
mod tests;
