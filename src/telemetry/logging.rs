//! Logs: one JSON object a line where nobody watches, text on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriter;

/// The variable that sets the filter, as `tracing` spells it: `debug`, `tidegate::delivery=trace`, …
const FILTER: &str = "TIDEGATE_LOG";

/// Starts logging to standard error. Called once, by the binary. `quiet` is the filter where the variable is not set.
pub fn start_logging(quiet: &str) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(quiet));
    let terminal = std::io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // Where nobody reads the log any more, that can't be told on standard error: the attempt would panic.
    let log = log.log_internal_errors(false);
    // A second start (tests in one process) keeps the first.
    let _ = if terminal { log.try_init() } else { log.json().flatten_event(true).try_init() };
}

/// The same, to a writer of the caller's: tests read it back.
pub fn start_logging_to<W>(filter: &str, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(writer);
    let _ = log.json().flatten_event(true).try_init();
}
