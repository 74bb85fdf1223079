//! `tidegate demo`: everything on this machine, a burst, a table.
//!
//! It starts both provider simulators and a pipeline of two apps with two routes each on a spool of its own (or on RabbitMQ:
//! a private one, or one it is given), brings the burst as a backend would, and waits until every push has an outcome. Then it compares
//! three books that know nothing of each other: what was published, what the pipeline counted, what the simulators
//! saw. It ends with 0 only if they agree.

mod books;
mod load;
mod place;
mod settings;
mod stage;
mod table;
mod usage;

use clap::{Args, ValueEnum};

use super::{Exit, fail, print, runtime};
use crate::telemetry;

/// Show it all on this machine: spool or broker, provider simulators, pipeline, a burst, a table.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate demo\n  tidegate demo --pushes 1000000 --targets-per-job 100\n  tidegate demo --source amqp\n  tidegate demo --amqp-uri amqp://guest:guest@127.0.0.1:5672/%2f"
)]
pub(super) struct Demo {
    /// Pushes in the burst.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pushes: u64,
    /// Targets of each job, 1 to 1,000.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    targets_per_job: u16,
    /// Where the jobs wait; the spool, unless a broker is named.
    #[arg(long, value_enum)]
    source: Option<Source>,
    /// A broker to use. The demo's queues get a prefix of their own there and are deleted at the end.
    #[arg(long, value_name = "URI")]
    amqp_uri: Option<String>,
    /// No dead tokens, no resets, no throttling, no connection that falls silent.
    #[arg(long)]
    calm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The embedded durable queue, behind the HTTP door.
    Spool,
    /// RabbitMQ: a private one, or the one that is named.
    Amqp,
}

impl Demo {
    fn source(&self) -> Source {
        self.source.unwrap_or(if self.amqp_uri.is_some() { Source::Amqp } else { Source::Spool })
    }

    pub(super) fn run(self) -> Exit {
        telemetry::start_logging("off");
        if self.source == Some(Source::Spool) && self.amqp_uri.is_some() {
            return fail(
                Exit::Usage,
                "--amqp-uri names a broker, and --source spool wants none; leave one of them out",
            );
        }
        match runtime().block_on(stage::run(&self)) {
            Ok(books) => {
                let printed = print(table::render(&books));
                if books.balance() { printed } else { Exit::Bug }
            }
            Err(error) => fail(Exit::Unavailable, error),
        }
    }
}
