//! Logs: one JSON object a line where nobody watches, text on a terminal. What repeats is [limited](super::repeats).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::fmt::writer::MakeWriter;

use super::repeats::Sparing;

/// The variable that sets the filter, as `tracing` spells it: `debug`, `tidegate::delivery=trace`, …
const FILTER: &str = "TIDEGATE_LOG";

/// Libraries that print what passes through them, bodies and headers, at their most verbose: never below this, whatever
/// the filter says. lapin is silent: it calls an error what we handle, and we say it ourselves.
const DISCREET: [&str; 7] =
    ["lapin=off", "amq_protocol=info", "h2=info", "hyper=info", "hyper_util=info", "rustls=info", "reqwest=info"];

fn discreet(filter: EnvFilter) -> EnvFilter {
    let directive = |text: &str| text.parse().expect("it is a directive");
    DISCREET.into_iter().fold(filter, |filter, text| filter.add_directive(directive(text)))
}

/// Starts logging to standard error. Called once, by the binary. `quiet` is the filter where the variable is not set.
pub fn start_logging(quiet: &str) {
    let wanted = std::env::var(FILTER).unwrap_or_default();
    let filter = EnvFilter::try_new(directives(&wanted, quiet)).unwrap_or_else(|_| EnvFilter::new(quiet));
    let filter = discreet(filter);
    let terminal = std::io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // Where nobody reads the log any more, that can't be told on standard error: the attempt would panic.
    let log = log.log_internal_errors(false);
    // A second start (tests in one process) keeps the first.
    let _ = if terminal {
        log.event_format(Sparing::new(Format::default().with_ansi(colour), false)).try_init()
    } else {
        log.json().event_format(Sparing::new(Format::default().json().flatten_event(true), true)).try_init()
    };
}

/// What is logged. A bare `debug` is ours alone: the libraries would add a line for every HTTP/2 frame. `trace` is all.
fn directives(wanted: &str, quiet: &str) -> String {
    match wanted {
        "" => quiet.to_owned(),
        "debug" => "info,tidegate=debug".to_owned(),
        other => other.to_owned(),
    }
}

/// The same, to a writer of the caller's: tests read it back.
pub fn start_logging_to<W>(filter: &str, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_env_filter(discreet(EnvFilter::new(filter))).with_writer(writer);
    let _ = log.json().event_format(Sparing::new(Format::default().json().flatten_event(true), true)).try_init();
}

#[cfg(test)]
mod tests {
    use super::directives;

    #[test]
    fn libraries_are_quiet_unless_they_are_asked() {
        assert_eq!(directives("", "info"), "info");
        assert_eq!(directives("debug", "info"), "info,tidegate=debug");
        for asked in ["trace", "warn", "h2=debug", "debug,lapin=off"] {
            assert_eq!(directives(asked, "info"), asked);
        }
    }
}
