//! `tidegate check`: validates a configuration, offline unless it is told to ask the broker.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, print, runtime, tell};
use crate::config::{self, Loaded, Problem, Severity};
use crate::source::amqp::{self, TopologyError};

/// Validate a configuration, offline: all problems at once, credentials' files included, and what is good by itself but
/// not together.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate check --config config/production.toml --print\n  tidegate check --config /etc/tidegate/tidegate.toml --strict --online"
)]
pub(super) struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = super::serve::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Show the effective configuration, secrets masked.
    #[arg(long)]
    print: bool,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// Ask the broker, too, whether its exchanges and queues are as they must be. Nothing is made there.
    #[arg(long)]
    online: bool,
}

impl Check {
    pub(super) fn run(self) -> Exit {
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
        if self.strict && !loaded.warnings.is_empty() {
            return Exit::Config;
        }
        match self.online.then(|| runtime().block_on(ask(&loaded))) {
            Some(end) if end != Exit::Done => return end,
            _ => {}
        }
        if self.print {
            print(config::print_effective(&loaded))
        } else {
            print(format_args!("{}: good", self.config.display()))
        }
    }
}

/// Asks the broker; tells what is amiss there.
async fn ask(loaded: &Loaded) -> Exit {
    let Some(settings) = &loaded.settings.amqp else {
        tell("there is no [source.amqp]: nobody to ask");
        return Exit::Done;
    };
    match amqp::inspect(settings).await {
        Ok(amiss) if amiss.is_empty() => Exit::Done,
        Ok(amiss) => {
            amiss.iter().for_each(|error| tell(problem(error)));
            Exit::Config
        }
        Err(error) => {
            tell(problem(&error));
            Exit::Unavailable
        }
    }
}

fn problem(error: &TopologyError) -> Problem {
    let (message, remedy) = error.parts();
    let remedy = if remedy.is_empty() { "is the broker up, and source.amqp.uri right?".to_owned() } else { remedy };
    Problem { severity: Severity::Error, key: "source.amqp".to_owned(), value: None, message, remedy, place: None }
}
