//! The configuration, understood value by value: a tree with the shape of the [table](super::table) of keys.
//!
//! A value that was refused is reported already; in its place stands the default, so that reading can go on and find
//! what else is wrong. Getters return `None` for what is not set, and for what was refused and has no default.

use std::time::Duration;

use super::table::{Absent, Table};
use super::tree::Span;
use super::value::Value;

/// A table.
#[derive(Clone)]
pub(super) struct Section {
    /// Its keys' common path; empty for the root.
    pub path: String,
    /// Its own name.
    pub name: String,
    /// Its keys, in the table's order.
    pub children: Vec<(&'static str, Child)>,
}

/// What stands under a key.
#[derive(Clone)]
pub(super) enum Child {
    /// A value.
    Value(Entry),
    /// A table; `None`: not there, and nothing holds in its stead.
    Section(Option<Section>),
    /// Tables with names of the operator's choice.
    Named(Vec<Section>),
    /// Rows.
    Rows(Vec<Section>),
}

/// A key's value.
#[derive(Clone)]
pub(super) struct Entry {
    /// The key's whole path; that of the inherited key where the value is inherited.
    pub path: String,
    /// What holds if nothing is written.
    pub default: Absent,
    /// The value, if there is one.
    pub value: Option<Value>,
    /// Where it was written; `None`: the default.
    pub span: Option<Span>,
    /// Whether what was written is no value; the default stands in its place.
    pub refused: bool,
}

impl Section {
    fn child(&self, name: &str) -> &Child {
        let child = self.children.iter().find(|(key, _)| *key == name);
        &child.unwrap_or_else(|| panic!("the table of keys has no {}.{name}", self.path)).1
    }

    /// The key `name`.
    pub(super) fn entry(&self, name: &str) -> &Entry {
        match self.child(name) {
            Child::Value(entry) => entry,
            _ => panic!("{}.{name} is no value", self.path),
        }
    }

    /// The table `name`, if it is there.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        match self.child(name) {
            Child::Section(section) => section.as_ref(),
            _ => panic!("{}.{name} is no table", self.path),
        }
    }

    /// The table `name`, which is always there.
    pub(super) fn always(&self, name: &str) -> &Section {
        self.section(name).unwrap_or_else(|| panic!("the table of keys says that {name} is always there"))
    }

    /// The tables under `name`.
    pub(super) fn sections(&self, name: &str) -> &[Section] {
        match self.child(name) {
            Child::Named(sections) | Child::Rows(sections) => sections,
            _ => panic!("{}.{name} has no tables", self.path),
        }
    }

    /// Whether the value is this table's own, written here.
    pub(super) fn owns(&self, entry: &Entry) -> bool {
        entry.path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }

    fn get<T>(&self, name: &str, pick: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.entry(name).value.as_ref()?;
        Some(pick(value).unwrap_or_else(|| panic!("{}.{name} is of another kind", self.path)))
    }

    /// The flag `name`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name, |value| if let Value::Flag(flag) = value { Some(*flag) } else { None })
    }

    /// The number `name`; the table of keys sees to it that it fits.
    pub(super) fn whole<T: TryFrom<u64>>(&self, name: &str) -> Option<T> {
        self.get(name, |value| if let Value::Whole(number) = value { T::try_from(*number).ok() } else { None })
    }

    /// The duration `name`.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.get(name, |value| if let Value::Size(bytes) = value { Some(*bytes) } else { None })
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        self.get(name, |value| if let Value::Duration(duration) = value { Some(*duration) } else { None })
    }

    /// The list of words `name`.
    pub(super) fn words(&self, name: &str) -> Option<Vec<String>> {
        self.get(name, |value| if let Value::Words(words) = value { Some(words.clone()) } else { None })
    }

    /// The text or file's name `name`.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name, |value| if let Value::Text(text) = value { Some(text.clone()) } else { None })
    }
}

/// A table's path and one of its keys' names.
pub(super) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let name = if plain { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Where else in `table` a key `name` stands; its path.
pub(super) fn elsewhere(table: &'static Table, path: &str, name: &str) -> Option<String> {
    use super::table::Shape;
    table.all().find_map(|key| {
        let here = join(path, key.name);
        match &key.shape {
            Shape::Later => None,
            _ if key.name == name => Some(here),
            Shape::Value(..) => None,
            Shape::Table(inner) | Shape::Rows(inner) => elsewhere(inner, &here, name),
            Shape::Named(inner) => elsewhere(inner, &format!("{here}.<app>"), name),
        }
    })
}
