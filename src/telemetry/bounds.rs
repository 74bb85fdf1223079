//! What keeps label sets bounded: the first so many apps and reasons are told apart, all others are `other`.
//!
//! A scrape then costs the same whether five apps are configured or five thousand. An app has its name in counters from its
//! first push on, in the order of traffic, and keeps it for as long as the process lives: a counter that wandered between
//! `other` and a name would fall, and what falls is read as a restart.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

/// Apps that are told apart. With 3 providers, 3 lanes and some ten outcomes and reasons that is about 2,000 series.
pub(super) const MAX_APPS: usize = 20;

/// Reasons are the provider's own words: an open set. So many of them are told apart, so that a provider gone mad can't
/// fill our memory and everybody's scrapes.
pub(super) const MAX_REASONS: usize = 128;

/// A reason's label is cut here, in bytes.
const MAX_REASON_BYTES: usize = 64;

/// What all the others are called.
pub(super) const OTHER: &str = "other";

static OTHER_APP: LazyLock<Arc<str>> = LazyLock::new(|| OTHER.into());

/// The apps that have a name of their own in counters.
#[derive(Debug, Default)]
pub(super) struct Apps(RwLock<Vec<Arc<str>>>);

impl Apps {
    /// The label of an app that has traffic.
    pub(super) fn label(&self, app: &Arc<str>) -> Arc<str> {
        if let Some(label) = self.known(app) {
            return label;
        }
        let mut named = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if named.len() < MAX_APPS && !named.iter().any(|known| same(known, app)) {
            named.push(Arc::clone(app));
        }
        named.iter().find(|known| same(known, app)).unwrap_or(&OTHER_APP).clone()
    }

    /// The app's label, if it is settled: it has one, or there are none left.
    fn known(&self, app: &Arc<str>) -> Option<Arc<str>> {
        let named = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = named.iter().find(|known| same(known, app)).cloned();
        known.or_else(|| (named.len() >= MAX_APPS).then(|| OTHER_APP.clone()))
    }

    /// The labels of all of `apps`, traffic or not, for what is no counter: their own names if there are few enough of
    /// them, else those that counters give.
    pub(super) fn labels<'a>(&self, apps: impl Iterator<Item = &'a Arc<str>>) -> impl Fn(&Arc<str>) -> Arc<str> {
        let named = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let known: HashSet<&Arc<str>> = apps.collect();
        let few = known.len() <= MAX_APPS;
        move |app| {
            if few || named.contains(app) { Arc::clone(app) } else { OTHER_APP.clone() }
        }
    }
}

/// Nearly always it is the same text in the same place.
fn same(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// The reasons that were seen.
#[derive(Debug, Default)]
pub(super) struct Reasons(Mutex<HashSet<String>>);

impl Reasons {
    /// A reason as a label: cut, and `other` once there are too many.
    pub(super) fn label(&self, reason: &str) -> String {
        if reason.is_empty() {
            return String::new();
        }
        let reason = cut(reason);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(reason) {
            if known.len() >= MAX_REASONS {
                return OTHER.to_owned();
            }
            known.insert(reason.to_owned());
        }
        reason.to_owned()
    }
}

/// Cut at a character's end.
fn cut(reason: &str) -> &str {
    let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
    &reason[..ends.take_while(|&end| end <= MAX_REASON_BYTES).last().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(nth: usize) -> Arc<str> {
        format!("app-{nth}").into()
    }

    #[test]
    fn the_first_apps_with_traffic_keep_their_names() {
        let apps = Apps::default();
        for nth in (0..MAX_APPS + 5).rev() {
            let own = nth >= 5;
            assert_eq!(*apps.label(&app(nth)), *if own { app(nth) } else { OTHER.into() });
        }
        assert_eq!(&*apps.label(&app(MAX_APPS)), "app-20", "and later, too");
    }

    #[test]
    fn a_gauge_has_its_apps_name_where_there_are_few_or_it_has_traffic() {
        let apps = Apps::default();
        apps.label(&app(30));
        let few: Vec<_> = (0..MAX_APPS).map(app).collect();
        assert_eq!(*apps.labels(few.iter())(&app(7)), *app(7));
        let many: Vec<_> = (0..50).map(app).collect();
        let label = apps.labels(many.iter());
        assert_eq!((&*label(&app(7)), &*label(&app(30))), (OTHER, "app-30"));
    }
}
