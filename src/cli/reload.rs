//! Takes on a changed configuration while the pipeline runs.
//!
//! Limits and lanes hold at once. What can't be changed in a running pipeline is named and left as it is; a bad file
//! changes nothing. The file is looked at every few seconds, besides SIGHUP; a change counts once the file has been the
//! same at two looks in a row, so that a half-written one is not taken for meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Digest, SHA256, digest};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::{self, Loaded};
use crate::pipeline::Steering;

/// How often the file is looked at: soon enough for a person who waits, and nothing beside what else is done.
const LOOK: Duration = Duration::from_secs(5);

/// Loads the configuration again.
pub(super) struct Reloader {
    path: PathBuf,
    /// What the pipeline was built from.
    started: Loaded,
    drain_timeout: Duration,
    steering: Steering,
    look: Interval,
    /// What the file held when it was loaded last, for good or ill.
    loaded: Option<Contents>,
    /// What it held at the last look.
    seen: Option<Contents>,
}

#[derive(Clone, PartialEq, Eq)]
struct Contents(Vec<u8>);

impl Reloader {
    /// For a pipeline that was built from `started`, which was read from `path`.
    pub(super) fn new(path: PathBuf, started: Loaded, steering: Steering) -> Self {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain_timeout = started.settings.limits.drain_timeout;
        let loaded = contents(&path);
        Self { path, started, drain_timeout, steering, look, seen: loaded.clone(), loaded }
    }

    /// How long a drain may take, as last configured.
    pub(super) const fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// Waits until the file holds something else than when it was loaded last, and is no longer being written.
    /// Cancel-safe.
    pub(super) async fn file_changed(&mut self) {
        loop {
            self.look.tick().await;
            let now = contents(&self.path);
            let settled = now == self.seen;
            self.seen = now;
            if settled && self.seen.is_some() && self.seen != self.loaded {
                return;
            }
        }
    }

    /// Loads the configuration again, and gives the pipeline what it can take on.
    pub(super) fn reload(&mut self, why: &str) {
        self.loaded = contents(&self.path);
        let new = match config::load(&self.path, std::env::vars()) {
            Ok(new) => new,
            Err(problems) => {
                tracing::error!(why, %problems, "the configuration was not reloaded: it is bad; the old one stays");
                return;
            }
        };
        for warning in &new.warnings {
            tracing::warn!(%warning, "the reloaded configuration");
        }
        self.steering.reload(&new.settings);
        self.drain_timeout = new.settings.limits.drain_timeout;
        tracing::info!(why, "the configuration was reloaded: its limits and lanes hold, patches and pauses are over");
        let keys = config::needs_restart(&self.started, &new);
        if !keys.is_empty() {
            tracing::warn!("needs a restart: {}; left as it was until then", keys.join(", "));
        }
    }
}

/// `None`: there is no such file, or it is none.
fn contents(path: &Path) -> Option<Contents> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let digest: Digest = digest(&SHA256, &std::fs::read(path).ok()?);
    Some(Contents(digest.as_ref().to_vec()))
}
