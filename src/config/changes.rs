//! In what two configurations differ that a running pipeline can't take on.
//!
//! Every key's value is kept as a digest, what a secret or a file of credentials holds included. So a renewed
//! certificate under the same name is a change, and no secret is kept a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};

use super::Loaded;
use super::files::Files;
use super::section::{Child, Entry, Section, join};
use super::value::Value;

/// All keys and tables, by their whole paths; and the files that they name.
#[derive(Clone, Default)]
pub(super) struct Keys {
    held: BTreeMap<String, Held>,
    files: BTreeSet<PathBuf>,
}

#[derive(Clone)]
struct Held {
    /// Its path, or that of the key from which it is inherited.
    place: String,
    /// Of its value; a table has none.
    digest: Vec<u8>,
    /// Whether a running pipeline takes on a change.
    live: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.held.len())
    }
}

impl Keys {
    /// The files that were read beside the configuration's own.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    pub(super) fn of(root: &Section, files: &Files<'_>) -> Self {
        let mut keys = Self::default();
        keys.table(root, files);
        keys
    }

    fn table(&mut self, section: &Section, files: &Files<'_>) {
        let table = Held { place: section.path.clone(), digest: Vec::new(), live: is_live_table(section) };
        self.held.insert(section.path.clone(), table);
        for (name, child) in &section.children {
            match child {
                Child::Value(entry) => {
                    let held = Held {
                        place: entry.path.clone(),
                        digest: fingerprint(name, entry, files),
                        live: is_live(section, name),
                    };
                    self.held.insert(join(&section.path, name), held);
                    self.files.extend(named_files(name, entry).map(|file| files.resolve(file)));
                }
                Child::Section(inner) => inner.iter().for_each(|inner| self.table(inner, files)),
                Child::Named(inner) | Child::Rows(inner) => inner.iter().for_each(|inner| self.table(inner, files)),
            }
        }
    }
}

/// The files that a key names: one that is read, or a secret's.
fn named_files<'a>(name: &str, entry: &'a Entry) -> impl Iterator<Item = &'a str> {
    let secret = |written: &'a SecretString| written.expose_secret().strip_prefix("file:");
    let files: Vec<&str> = match &entry.value {
        Some(Value::Secret(written)) => secret(written).into_iter().collect(),
        Some(Value::Secrets(written)) => written.iter().filter_map(|(written, _)| secret(written)).collect(),
        Some(Value::Text(file)) if name.ends_with("_file") => vec![file],
        _ => Vec::new(),
    };
    files.into_iter()
}

fn fingerprint(name: &str, entry: &Entry, files: &Files<'_>) -> Vec<u8> {
    let secret =
        |written| files.secret(written).map(|(secret, _)| secret.expose_secret().to_owned()).unwrap_or_default();
    let text = match &entry.value {
        None => return Vec::new(),
        Some(Value::Secret(written)) => secret(written),
        Some(Value::Secrets(written)) => written.iter().map(|(written, _)| secret(written) + "\n").collect(),
        Some(Value::Text(file)) if name.ends_with("_file") => {
            files.read(file).map(|file| file.text).unwrap_or_default()
        }
        Some(value) => value.toml(),
    };
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// The keys in which `new` differs from `running` and that only a restart brings into force, each table that came or
/// went as one. What else differs a running pipeline takes on.
#[must_use]
pub fn needs_restart(running: &Loaded, new: &Loaded) -> Vec<String> {
    let (running, new) = (&running.keys.held, &new.keys.held);
    let paths: BTreeSet<&String> = running.keys().chain(new.keys()).collect();
    let mut changed = BTreeSet::new();
    for path in paths {
        let (before, after) = (running.get(path), new.get(path));
        let same = before.map(|held| &held.digest) == after.map(|held| &held.digest);
        if same || before.or(after).is_some_and(|held| held.live) {
            continue;
        }
        let inherited = before.zip(after).filter(|(old, new)| old.place == new.place).map(|(old, _)| &old.place);
        changed.insert(inherited.unwrap_or(path).clone());
    }
    let inside = |path: &String| path.match_indices('.').any(|(dot, _)| changed.contains(&path[..dot]));
    changed.iter().filter(|path| !inside(path)).cloned().collect()
}

/// Whether a running pipeline takes on a change of the key `name` of this table.
fn is_live(section: &Section, name: &str) -> bool {
    (section.path == "limits" && name == "drain_timeout") || is_live_table(section)
}

/// Whether all of a table, its coming and going included, is taken on: lanes, apps, and what apps inherit.
fn is_live_table(section: &Section) -> bool {
    let tops = ["lanes", "apps", "providers"];
    section.path.split('.').next().is_some_and(|top| tops.contains(&top))
}
