//! `[source.spool]`.

use std::path::PathBuf;

use super::Meaning;
use crate::config::section::{Entry, Section};
use crate::config::value::Value;
use crate::spool::SpoolSettings;

impl Meaning<'_> {
    pub(super) fn spool(&mut self, section: &Section) -> Option<SpoolSettings> {
        let path = self.directory(section.entry("path"));
        Some(SpoolSettings {
            path: path?,
            max_bytes: section.size("max_bytes")?,
            min_free: section.size("min_free")?,
            dedupe: section.duration("dedupe")?,
            max_deliveries: section.whole("max_deliveries")?,
        })
    }

    /// A directory, or what may become one.
    fn directory(&mut self, entry: &Entry) -> Option<PathBuf> {
        let Some(Value::Text(name)) = &entry.value else { return None };
        let path = self.files.resolve(name);
        if path.exists() && !path.is_dir() {
            let trouble = format!("{} is not a directory", path.display());
            self.wrong(entry, (trouble, "name a directory, or what may become one".to_owned()));
            return None;
        }
        Some(path)
    }
}
