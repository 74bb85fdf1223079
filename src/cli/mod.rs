//! The commands, one file each.

mod check;
mod dead;
mod demo;
mod enqueue;
mod exit;
mod job;
mod live;
mod manual;
mod notify;
mod numbers;
mod print;
mod reach;
mod reload;
mod schema;
mod serve;
mod signals;
mod simulate;
mod source;
mod tap;
mod top;
mod vapid_keys;

use clap::{Parser, Subcommand};

pub use exit::Exit;
use print::{fail, print, tell};
use signals::{Signalled, Signals};

/// Push delivery under pressure: takes push jobs in bursts and hands them to APNs, FCM and browsers at the pace these accept.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  tidegate demo\n  tidegate check --config config/production.toml\n  tidegate serve --config config/production.toml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline.
    Serve(serve::Serve),
    /// Show it all on this machine: broker, provider simulators, pipeline, a burst, a table.
    Demo(demo::Demo),
    /// Send jobs (NDJSON) to the spool's door or to the broker.
    Enqueue(enqueue::Enqueue),
    /// Watch a running instance: what it sends, what waits, what each route does and why not.
    Top(top::Top),
    /// Follow outcomes as they come.
    Tap(tap::Tap),
    /// Look after dead letters, of the spool and of the broker.
    Dead(dead::Dead),
    /// Say what became of a job.
    Job(job::Job),
    /// Run the provider simulators alone.
    Simulate(simulate::Simulate),
    /// Validate a configuration, offline.
    Check(check::Check),
    /// Print JSON Schema.
    Schema(schema::Schema),
    /// Make a VAPID key for Web Push.
    VapidKeys(vapid_keys::VapidKeys),
    /// Print a shell's completions.
    Completions(manual::Completions),
    /// Print the manual page, or write one for each command.
    Man(manual::Manual),
}

/// Reads the command line and carries it out. A panic on the way is told as what it is: [`Exit::Bug`].
#[must_use]
pub fn run() -> Exit {
    std::panic::catch_unwind(carry_out).unwrap_or(Exit::Bug)
}

fn carry_out() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    // The process's default, for libraries that ask for one; our own TLS names its provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Serve(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Enqueue(command) => command.run(),
        Command::Top(command) => command.run(),
        Command::Tap(command) => command.run(),
        Command::Dead(command) => command.run(),
        Command::Job(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::VapidKeys(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}

/// A runtime for a command.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime needs a few threads and no more")
}
