//! `tidegate schema job|outcome|config`.

use clap::{Args, ValueEnum};

use super::{Exit, print};

/// Print JSON Schema.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate schema job > job.schema.json")]
pub(super) struct Schema {
    /// Of what.
    #[arg(value_enum)]
    of: Of,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// What callers enqueue.
    Job,
    /// What is said of each push.
    Outcome,
    /// The configuration file.
    Config,
}

impl Schema {
    pub(super) fn run(self) -> Exit {
        let schema = match self.of {
            Of::Job => crate::job::schema(),
            Of::Outcome => crate::outcome::schema(),
            Of::Config => crate::config::schema(),
        };
        print(format_args!("{schema:#}"))
    }
}
