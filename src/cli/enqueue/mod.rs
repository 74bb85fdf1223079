//! `tidegate enqueue`: sends jobs to the spool's door or to the broker, one a line.
//!
//! Lines are read, checked, sent and confirmed as they come; no more of them are held than wait for their confirm, so a
//! file may be as long as it likes, and a pipe may stay open.

mod amqp;
mod answer;
mod batch;
mod http;
mod lines;
mod place;

use clap::Args;

use self::place::{Place, To};
pub(super) use self::place::{listening, url};
use super::{Exit, fail, print, runtime, tell};
use crate::job::Lane;

/// Send jobs to the spool's door or to the broker, one JSON object a line. Each is read as `serve` would read it before
/// it is sent.
///
/// To a door a job without an id is sent with a new one, so that a request whose answer was lost can be sent again and
/// nothing is pushed twice. A door that is full is waited for; one that can't be reached, for ten seconds.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate enqueue jobs.ndjson\n  tidegate enqueue --url http://127.0.0.1:8080 jobs.ndjson\n  tidegate enqueue --amqp-uri amqp://guest:guest@127.0.0.1:5672/%2f jobs.ndjson\n  echo '{\"app\":\"chat\",\"to\":[{\"fcm\":\"…\"}],\"notification\":{\"title\":\"Mina\",\"body\":\"hi\"}}' | tidegate enqueue -"
)]
pub(super) struct Enqueue {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: String,
    #[command(flatten)]
    place: Place,
    /// The lane of jobs that name no priority.
    #[arg(long, default_value = "normal", value_parser = lane)]
    lane: Lane,
}

fn lane(name: &str) -> Result<Lane, String> {
    Lane::ALL.into_iter().find(|lane| lane.as_str() == name).ok_or_else(|| "high, normal or low".to_owned())
}

impl Enqueue {
    pub(super) fn run(self) -> Exit {
        let to = match self.place.find() {
            Ok(to) => to,
            Err(exit) => return exit,
        };
        let lines = match lines::read(&self.file, self.lane) {
            Ok(lines) => lines,
            Err(error) => return fail(Exit::Io, format_args!("{}: {error}", self.file)),
        };
        let sent = runtime().block_on(async {
            match to {
                To::Broker(settings) => amqp::enqueue(settings, lines).await,
                To::Door(door) => http::enqueue(door, lines).await,
            }
        });
        match sent {
            Ok(sent) => sent.told(),
            Err(error) => fail(Exit::Unavailable, error),
        }
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Sent {
    enqueued: usize,
    /// Of those, how many a door had already.
    known: usize,
    bad: usize,
    end: End,
}

/// Why no more was sent.
#[derive(Debug, Default)]
enum End {
    #[default]
    All,
    /// Something was taken no longer; the last line that was tried.
    Lost(usize),
    Broken(std::io::Error),
}

impl Sent {
    fn told(self) -> Exit {
        let known = if self.known > 0 { format!(" ({} of them before)", self.known) } else { String::new() };
        let told = print(format_args!("{} jobs enqueued{known}, {} refused", self.enqueued, self.bad));
        match self.end {
            End::Lost(line) => fail(
                Exit::Unavailable,
                format_args!("the lines above are not known to be enqueued; those after line {line} are not"),
            ),
            End::Broken(error) => fail(Exit::Io, format_args!("the input can't be read on: {error}")),
            End::All if self.bad > 0 => Exit::Data,
            End::All => told,
        }
    }
}

fn refuse(sent: &mut Sent, line: usize, why: impl std::fmt::Display) {
    tell(format_args!("error: line {line}: {why}"));
    sent.bad += 1;
}
