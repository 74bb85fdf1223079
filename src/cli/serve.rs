//! `tidegate serve`: runs the pipeline until a signal ends it; takes on a changed configuration meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::notify::Notifier;
use super::reload::Reloader;
use super::{Exit, Signalled, Signals, fail, runtime, tell};
use crate::admin::{self, AdminError};
use crate::config::{self, Loaded};
use crate::pipeline::{Drained, Pipeline, StartError};
use crate::spool::OpenError;
use crate::telemetry;

/// Where the configuration is looked for.
pub(super) const DEFAULT_CONFIG: &str = "config/tidegate.toml";

/// How much longer than the drain the end may take: retries, outcomes and acks of what had ended by then.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Run the pipeline. SIGTERM and SIGINT drain it; a second one ends it at once, losing nothing. SIGHUP, or a change of
/// the file or of a file that it names, loads the configuration again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate serve --config /etc/tidegate/tidegate.toml")]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

impl Serve {
    pub(super) fn run(self) -> Exit {
        telemetry::start_logging("info");
        let loaded = match config::load(&self.config, std::env::vars()) {
            Ok(loaded) => loaded,
            Err(problems) => {
                tell(problems);
                return Exit::Config;
            }
        };
        for warning in &loaded.warnings {
            tell(warning);
        }
        runtime().block_on(serve(self.config, loaded))
    }
}

async fn serve(path: PathBuf, loaded: Loaded) -> Exit {
    let settings = &loaded.settings;
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(Exit::Unavailable, error),
    };
    let pipeline = match Pipeline::start(settings) {
        Ok(pipeline) => pipeline,
        // The machine's want, not the configuration's.
        Err(error @ (StartError::Threads(_) | StartError::Spool(OpenError::InUse(_) | OpenError::Store(..)))) => {
            return fail(Exit::Unavailable, error);
        }
        Err(error) => return fail(Exit::Config, error),
    };
    let stop = CancellationToken::new();
    let mut notifier = Notifier::from_env();
    let door = match admin::serve(&settings.http, pipeline.view(), pipeline.steering(), pipeline.intake(), stop.clone())
        .await
    {
        Ok((address, door)) => {
            tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "tidegate is up; the dashboard is at /, see also /v1/status and /metrics");
            notifier.ready(&format!("up, its door at {address}"));
            door
        }
        Err(error) => {
            pipeline.drain(Duration::ZERO).await;
            let exit = match error {
                AdminError::Unguarded(_) => Exit::Config,
                AdminError::Bind(..) => Exit::Unavailable,
            };
            return fail(exit, error);
        }
    };
    let reloader = Reloader::new(path, loaded);
    let ended = run(pipeline, reloader, &mut signals, &mut notifier).await;
    stop.cancel();
    // Answers on their way still arrive, by a deadline of the door's own; unless somebody is in a hurry.
    if matches!(ended, Exit::Done) {
        let _ = door.await;
    } else {
        door.abort();
    }
    ended
}

async fn run(mut pipeline: Pipeline, mut reloader: Reloader, signals: &mut Signals, notifier: &mut Notifier) -> Exit {
    loop {
        let why = tokio::select! {
            signalled = signals.next() => match signalled {
                Signalled::Stop => break,
                Signalled::Reload => "SIGHUP",
            },
            () = reloader.file_changed() => "the file has changed",
            () = notifier.alive() => continue,
            bug = pipeline.broken() => {
                tracing::error!(bug, "ending: this is a bug; unsettled jobs come again");
                return Exit::Bug;
            }
        };
        notifier.reloading();
        reloader.reload(&mut pipeline, why);
        notifier.ready("up");
    }
    let deadline = reloader.drain_timeout();
    notifier.stopping(deadline + LAST_WORDS);
    tracing::info!(
        ?deadline,
        "draining: finishing what is in flight, returning the rest; a second signal ends it at once"
    );
    let drained = tokio::select! {
        drained = pipeline.drain(deadline) => drained,
        () = signals.stop(not_reloaded) => Drained::WorkLeft,
        () = notifier.alive() => unreachable!("it never ends"),
    };
    match drained {
        Drained::Clean => {
            tracing::info!("drained");
            Exit::Done
        }
        Drained::Broken => {
            tracing::error!("a stage panicked in the drain: this is a bug; unsettled jobs come again");
            Exit::Bug
        }
        Drained::WorkLeft => {
            tracing::warn!("ended with work left; it was returned to its source and comes again");
            Exit::WorkLeft
        }
    }
}

fn not_reloaded() {
    tracing::warn!("SIGHUP: not reloaded, for it is draining");
}
