//! `tidegate check`: validates a configuration offline.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, print, tell};
use crate::config;

/// Validate a configuration, offline: all problems at once, credentials' files included.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate check --config config/production.toml --print")]
pub(super) struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = super::serve::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Show the effective configuration, secrets masked.
    #[arg(long)]
    print: bool,
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
        if self.print {
            print(config::print_effective(&loaded))
        } else {
            print(format_args!("{}: good", self.config.display()))
        }
    }
}
