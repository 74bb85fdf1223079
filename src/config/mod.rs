//! The configuration file: from text to [`Settings`], or to everything that is wrong with it.
//!
//! ```text
//!  file ──tree──▶ values with places ──overlay──▶ the same, environment included
//!                                                    │ walk, along the table of keys
//!  Settings ◀──meaning── values with types and units ◀┘
//! ```
//!
//! - One table (`keys.rs`) says which keys there are. The reader, the suggestions for mistyped names, the JSON
//!   [`schema`] and the printed defaults all follow it, so they can't tell different stories.
//! - Every problem is found, not just the first, and each says where it is and what to do. That is why the tree is
//!   walked by hand: a derived deserialiser stops at the first error.
//! - The environment wins over the file, the file over the default; a route's own table wins over its provider's.
//! - Credentials' files are read and checked here, so that a bad one is found before the pipeline starts. Nothing
//!   touches the network.
//! - A new configuration for what runs already is compared [key by key](needs_restart): what can't be taken on is named.
//! - Secrets are neither printed nor quoted: not in a problem, not in the [effective](print_effective) configuration.

mod changes;
mod credentials;
mod effective;
mod files;
mod keys;
mod mask;
mod meaning;
mod nearest;
mod overlay;
mod problem;
mod report;
mod rules;
mod schema;
mod section;
mod table;
mod text;
mod tree;
mod units;
mod value;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use crate::pipeline::Settings;
pub use changes::needs_restart;
use files::Files;
use meaning::Meaning;
pub use problem::{Place, Problem, Problems, Severity, Written};
use report::Report;
pub use schema::schema;
use tree::{Source, SyntaxError};

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it means.
    pub settings: Settings,
    /// What is probably not as it was meant.
    pub warnings: Vec<Problem>,
    /// See [`print_effective`].
    effective: String,
    /// See [`needs_restart`].
    keys: changes::Keys,
}

impl Loaded {
    /// The files that were read beside the configuration's own: credentials, roots of trust, secrets.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.keys.files()
    }
}

/// Reads the file at `path`, lays `env` over it (`TIDEGATE__…`; its other variables serve `env:NAME`) and checks it,
/// credentials' files included.
///
/// # Errors
/// All problems, if one of them is an error.
pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let base_dir = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let variables = BTreeMap::new();
    match (Files { base_dir: Path::new(""), variables: &variables }.read(path)) {
        Ok(file) => parse(&file.text, &name, &base_dir, env),
        Err((message, _)) => {
            let mut report = Report::default();
            report.error("", None, message, "name the configuration with --config FILE");
            Err(Problems(report.finish(&[], &[])))
        }
    }
}

/// Like [`load`], of a `text` that is called `name` in problems; relative names in it count from `base_dir`.
///
/// # Errors
/// All problems, if one of them is an error.
pub fn parse(
    text: &str,
    name: &str,
    base_dir: &Path,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Problems> {
    let variables: BTreeMap<String, String> = env.collect();
    let mut sources = vec![Source::File { name: name.to_owned(), text: text.to_owned() }];
    let mut report = Report::default();
    let (mut root, errors) = tree::document(text);
    // A key that stands twice leaves a tree to go on with; after other errors of syntax all would be guesses.
    let readable = errors.iter().all(is_duplicate);
    let mut covered = Vec::new();
    for error in errors {
        covered.push(mask::of_bad_line(text, error.span.range.start, is_harmless));
        let remedy = syntax_remedy(&error);
        report.error("", Some(&error.span), error.message, remedy);
    }
    if !readable {
        return Err(Problems(report.finish(&sources, &covered)));
    }
    covered.extend(overlay::lay(&mut root, variables.iter(), &mut sources, &mut report));
    covered.extend(mask::covered(&root, &keys::ROOT));
    let root = walk::walk(&root, &mut report, &covered);
    let files = Files { base_dir, variables: &variables };
    let settings = Meaning { files, report: &mut report, now: SystemTime::now() }.settings(&root);
    let mut problems = Problems(report.finish(&sources, &covered));
    match settings {
        Some(settings) if problems.errors() == 0 => {
            let effective = effective::print(&root, &sources);
            let keys = changes::Keys::of(&root, &Files { base_dir, variables: &variables });
            Ok(Loaded { settings, warnings: problems.0, effective, keys })
        }
        _ => {
            // A warning that something is absent altogether is of use only where the rest is right.
            problems.0.retain(|problem| problem.severity == Severity::Error || problem.place.is_some());
            Err(problems)
        }
    }
}

/// The configuration in force as TOML: every key with its value and, as a comment, where that comes from. Secrets are
/// masked.
#[must_use]
pub fn print_effective(loaded: &Loaded) -> String {
    loaded.effective.clone()
}

fn is_duplicate(error: &SyntaxError) -> bool {
    error.message.starts_with("duplicate key")
}

/// What to do about an error of TOML's own.
fn syntax_remedy(error: &SyntaxError) -> &'static str {
    match error.message.as_str() {
        _ if is_duplicate(error) => "keep one of them",
        message if message.starts_with("string values must be quoted") => "put the value in quotes: \"…\"",
        _ => "see https://toml.io for how TOML is written",
    }
}

/// Whether keys of that name are never a secret; `None`: there is none.
fn is_harmless(name: &str) -> Option<bool> {
    let last = name.rsplit('.').next().unwrap_or_default().trim_matches(['"', '\'', ' ']);
    keys::is_harmless(&keys::ROOT, last)
}
