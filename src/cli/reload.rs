//! Takes on a changed configuration while the pipeline runs.
//!
//! Limits, lanes, apps, routes and credentials hold at once. What can't be changed in a running pipeline is named and left
//! as it is; a bad file changes nothing. The file is looked at every few seconds, and so are those that it names (keys,
//! certificates, secrets), besides SIGHUP; a change counts once they have been the same at two looks in a row, so that a
//! half-written one is not taken for meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::config::{self, Loaded, Problems};
use crate::pipeline::{NotReloaded, Pipeline, Reloaded};
use crate::telemetry::RouteLabel;

/// How often the files are looked at: soon enough for a person who waits, and nothing beside what else is done.
const LOOK: Duration = Duration::from_secs(5);

/// Loads the configuration again.
pub(super) struct Reloader {
    path: PathBuf,
    /// What the pipeline was built from.
    started: Loaded,
    drain_timeout: Duration,
    /// The files that the configuration in force names.
    named: Vec<PathBuf>,
    look: Interval,
    /// What the files held when they were loaded last, for good or ill; `None`: that shall be done again.
    loaded: Option<Contents>,
    /// What they held at the last look.
    seen: Option<Contents>,
    reminder: Reminder,
}

/// When it is said again what is doubtful about the configuration in force: a certificate that was far from its end when the
/// process started comes near it while nobody looks.
struct Reminder(Instant);

impl Reminder {
    const EVERY: Duration = Duration::from_secs(24 * 3_600);

    fn is_due(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.0) >= Self::EVERY;
        if due {
            self.0 = now;
        }
        due
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Contents(Vec<u8>);

impl Reloader {
    /// For a pipeline that was built from `started`, which was read from `path`.
    pub(super) fn new(path: PathBuf, started: Loaded) -> Self {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain_timeout = started.settings.limits.drain_timeout;
        let named = files(&started);
        let loaded = contents(&path, &named);
        Self {
            path,
            started,
            drain_timeout,
            named,
            look,
            seen: loaded.clone(),
            loaded,
            reminder: Reminder(Instant::now()),
        }
    }

    /// How long a drain may take, as last configured.
    pub(super) const fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// Waits until the files hold something else than when they were loaded last, and are no longer being written.
    /// Cancel-safe.
    pub(super) async fn file_changed(&mut self) {
        loop {
            self.look.tick().await;
            if self.reminder.is_due(Instant::now()) {
                self.remind();
            }
            let now = contents(&self.path, &self.named);
            let settled = now == self.seen;
            self.seen = now;
            if settled && self.seen.is_some() && self.seen != self.loaded {
                return;
            }
        }
    }

    /// Says what is doubtful now, if what is in force is what is in the files.
    fn remind(&self) {
        if contents(&self.path, &self.named) != self.loaded {
            return;
        }
        for warning in config::load(&self.path, std::env::vars()).into_iter().flat_map(|loaded| loaded.warnings) {
            tracing::warn!(%warning, "the configuration in force; said once a day");
        }
    }

    /// Reads the configuration. What it and the files it names hold is noted before they are read: if one changes meanwhile,
    /// that is seen at the next look.
    fn load(&mut self) -> Result<Loaded, Problems> {
        self.loaded = contents(&self.path, &self.named);
        let mut new = config::load(&self.path, std::env::vars())?;
        if files(&new) != self.named {
            let named = files(&new);
            self.loaded = contents(&self.path, &named);
            new = config::load(&self.path, std::env::vars())?;
            self.named = named;
        }
        Ok(new)
    }

    /// Loads the configuration again, and gives the pipeline what it can take on.
    pub(super) fn reload(&mut self, pipeline: &mut Pipeline, why: &str) {
        let new = match self.load() {
            Ok(new) => new,
            Err(problems) => {
                tracing::error!(why, %problems, "the configuration was not reloaded: it is bad; the old one stays");
                pipeline.view().metrics.reloaded(false);
                return;
            }
        };
        for warning in &new.warnings {
            tracing::warn!(%warning, "the reloaded configuration");
        }
        let reloaded = match pipeline.reload(&new.settings) {
            Ok(reloaded) => reloaded,
            Err(error) => {
                tracing::error!(why, %error, "the configuration was not reloaded; the old one stays");
                pipeline.view().metrics.reloaded(false);
                if error == NotReloaded::Busy {
                    self.loaded = None;
                }
                return;
            }
        };
        self.drain_timeout = new.settings.limits.drain_timeout;
        pipeline.view().metrics.reloaded(true);
        let Reloaded { added, removed, renewed } = &reloaded;
        let (added, removed, renewed) = (list(added), list(removed), list(renewed));
        tracing::info!(
            why,
            added,
            removed,
            renewed,
            "the configuration was reloaded: its limits, lanes, apps and credentials hold, patches and pauses are over"
        );
        let keys = config::needs_restart(&self.started, &new);
        if !keys.is_empty() {
            tracing::warn!("needs a restart: {}; left as it was until then", keys.join(", "));
        }
    }
}

fn files(loaded: &Loaded) -> Vec<PathBuf> {
    loaded.files().map(Path::to_owned).collect()
}

fn list(routes: &[RouteLabel]) -> Option<String> {
    let routes: Vec<String> = routes.iter().map(ToString::to_string).collect();
    (!routes.is_empty()).then(|| routes.join(", "))
}

/// Of the configuration and of the files that it names, those included that are not there. `None`: there is no such
/// configuration, or it is no file.
fn contents(path: &Path, named: &[PathBuf]) -> Option<Contents> {
    let mut all = Context::new(&SHA256);
    all.update(&read(path)?);
    for file in named {
        let text = read(file).unwrap_or_default();
        all.update(&(text.len() as u64).to_le_bytes());
        all.update(&text);
    }
    Some(Contents(all.finish().as_ref().to_vec()))
}

/// A file, whole; `None` where there is none.
fn read(path: &Path) -> Option<Vec<u8>> {
    // Asked before it is opened: opening a named pipe would wait for its writer.
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    std::fs::read(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_comes_once_a_day() {
        let begin = Instant::now();
        let mut reminder = Reminder(begin);
        let hour = Duration::from_secs(3_600);
        let due = (1..=72).filter(|hours| reminder.is_due(begin + hour * *hours));
        assert_eq!(due.collect::<Vec<_>>(), [24, 48, 72]);
    }

    #[test]
    fn what_is_doubtful_of_the_files_in_force_is_said_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tidegate.toml");
        std::fs::write(&path, "[source.spool]\npath = \"spool\"\n").expect("it can be written");
        let loaded = config::load(&path, std::iter::empty()).expect("it is good");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let said = runtime.block_on(async {
            let mut reloader = Reloader::new(path.clone(), loaded);
            reloader.reminder.0 -= Reminder::EVERY;
            let log = crate::telemetry::captured::Log::default();
            let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
            let _guard = tracing::subscriber::set_default(subscriber);
            // It waits for a change that does not come; the reminder is at the first look.
            let waited = tokio::time::timeout(Duration::from_millis(200), reloader.file_changed()).await;
            assert!(waited.is_err());
            log.text()
        });
        assert_eq!(said.matches("said once a day").count(), 1, "{said}");
        assert!(said.contains("no app is configured"), "{said}");
    }
}
