//! `tidegate demo`: everything on this machine, a burst, a table.
//!
//! It starts a private RabbitMQ (or uses the one it is given), both provider simulators and a pipeline of two apps with
//! two routes each, publishes the burst as a backend would, and waits until every push has an outcome. Then it compares
//! three books that know nothing of each other: what was published, what the pipeline counted, what the simulators
//! saw. It ends with 0 only if they agree.

mod books;
mod load;
mod settings;
mod stage;
mod table;
mod usage;

use clap::{Args, ValueEnum};

use super::{Exit, fail, print, runtime};
use crate::telemetry;

/// Show it all on this machine: broker, provider simulators, pipeline, a burst, a table.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate demo\n  tidegate demo --pushes 1000000 --targets-per-job 100\n  tidegate demo --source amqp --amqp-uri amqp://guest:guest@127.0.0.1:5672/%2f"
)]
pub(super) struct Demo {
    /// Pushes in the burst.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pushes: u64,
    /// Targets of each job, 1 to 1,000.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    targets_per_job: u16,
    /// Where the jobs wait.
    #[arg(long, value_enum, default_value_t = Source::Amqp)]
    source: Source,
    /// A broker to use instead of a private one. The demo's queues get a prefix of their own there and are deleted at the end.
    #[arg(long, value_name = "URI")]
    amqp_uri: Option<String>,
    /// No dead tokens, no resets, no throttling.
    #[arg(long)]
    calm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// RabbitMQ.
    Amqp,
}

impl Demo {
    pub(super) fn run(self) -> Exit {
        telemetry::start_logging("off");
        let Source::Amqp = self.source;
        match runtime().block_on(stage::run(&self)) {
            Ok(books) => {
                let printed = print(table::render(&books));
                if books.balance() { printed } else { Exit::Bug }
            }
            Err(error) => fail(Exit::Unavailable, error),
        }
    }
}
