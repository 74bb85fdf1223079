//! `tidegate enqueue`: sends jobs to the broker, one a line.
//!
//! Lines are read, checked, sent and confirmed as they come; no more of them are held than wait for their confirm, so a
//! file may be as long as it likes, and a pipe may stay open.

mod lines;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::lines::{Letter, Line};
use super::{Exit, fail, print, runtime, tell};
use crate::config;
use crate::job::Lane;
use crate::source::amqp::{self, AmqpSettings, Names, PublishError, Publisher, PublisherState, QueueSettings};

/// Jobs whose confirms are waited for at once.
const WINDOW: usize = 500;

/// Send jobs to the broker, one JSON object a line. Each is read as `serve` would read it before it is sent.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate enqueue jobs.ndjson\n  echo '{\"app\":\"chat\",\"to\":[{\"fcm\":\"…\"}],\"notification\":{\"title\":\"Mina\",\"body\":\"hi\"}}' | tidegate enqueue -"
)]
pub(super) struct Enqueue {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: String,
    /// The broker; unless given, the configuration's.
    #[arg(long, value_name = "URI")]
    amqp_uri: Option<String>,
    /// The prefix of exchange names, with `--amqp-uri`.
    #[arg(long, default_value = "tidegate", requires = "amqp_uri")]
    prefix: String,
    /// The configuration file that names the broker.
    #[arg(long, value_name = "FILE", default_value = super::serve::DEFAULT_CONFIG)]
    config: PathBuf,
    /// The lane of jobs that name no priority.
    #[arg(long, default_value = "normal", value_parser = lane)]
    lane: Lane,
}

fn lane(name: &str) -> Result<Lane, String> {
    Lane::ALL.into_iter().find(|lane| lane.as_str() == name).ok_or_else(|| "high, normal or low".to_owned())
}

impl Enqueue {
    pub(super) fn run(self) -> Exit {
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(exit) => return exit,
        };
        match lines::read(&self.file, self.lane) {
            Ok(lines) => runtime().block_on(enqueue(settings, lines)),
            Err(error) => fail(Exit::Io, format_args!("{}: {error}", self.file)),
        }
    }

    fn settings(&self) -> Result<AmqpSettings, Exit> {
        if let Some(uri) = &self.amqp_uri {
            return Ok(AmqpSettings {
                uri: uri.as_str().into(),
                prefix: self.prefix.clone(),
                ..AmqpSettings::default()
            });
        }
        let loaded = config::load(&self.config, std::env::vars()).map_err(|problems| {
            tell(problems);
            tell("or name a broker with --amqp-uri");
            Exit::Config
        })?;
        let none = "the configuration has no [source.amqp]; name a broker with --amqp-uri";
        loaded.settings.amqp.ok_or_else(|| fail(Exit::Config, none))
    }
}

async fn enqueue(settings: AmqpSettings, lines: mpsc::Receiver<Line>) -> Exit {
    if let Err(error) = amqp::declare(&settings).await {
        return fail(Exit::Unavailable, error);
    }
    let (names, queues) = (Names::new(settings.prefix.as_str()), settings.queues.clone());
    let close = CancellationToken::new();
    let publisher = Publisher::start(Arc::new(settings), close.clone());
    if let Err(error) = publisher.connected().await {
        return fail(Exit::Unavailable, error);
    }
    let sent = Office { publisher, names, queues }.send(lines).await;
    close.cancel();
    let told = print(format_args!("{} jobs enqueued, {} refused", sent.enqueued, sent.bad));
    match sent.end {
        End::Lost(line) => fail(
            Exit::Unavailable,
            format_args!("the lines above are not known to be enqueued; those after line {line} are not"),
        ),
        End::Broken(error) => fail(Exit::Io, format_args!("the input can't be read on: {error}")),
        End::All if sent.bad > 0 => Exit::Data,
        End::All => told,
    }
}

/// What became of the lines.
struct Sent {
    enqueued: usize,
    bad: usize,
    end: End,
}

/// Why no more was sent.
enum End {
    All,
    /// The broker took something no longer; the last line that was tried.
    Lost(usize),
    Broken(std::io::Error),
}

/// A letter's line, and whether the broker has it.
type Confirm = BoxFuture<'static, (usize, Result<(), PublishError>)>;

struct Office {
    publisher: Publisher,
    names: Names,
    /// Queues of somebody else's making; empty: ours, behind the exchange.
    queues: Vec<QueueSettings>,
}

impl Office {
    /// Sends until the lines end, or the broker does not take one: what is on its way is waited for then.
    async fn send(&self, mut lines: mpsc::Receiver<Line>) -> Sent {
        let mut sent = Sent { enqueued: 0, bad: 0, end: End::All };
        let mut confirms: FuturesUnordered<Confirm> = FuturesUnordered::new();
        let mut state = self.publisher.state();
        let (mut open, mut last) = (true, 0);
        while open || !confirms.is_empty() {
            tokio::select! {
                line = lines.recv(), if open && confirms.len() < WINDOW => match line {
                    None => open = false,
                    Some(Line::Job(letter)) => {
                        last = letter.line;
                        match self.post(letter) {
                            Ok(confirm) => confirms.push(confirm),
                            Err(why) => refuse(&mut sent, last, why),
                        }
                    }
                    Some(Line::Bad(line, bad)) => refuse(&mut sent, line, bad),
                    Some(Line::Broken(error)) => (open, sent.end) = (false, End::Broken(error)),
                },
                Some((line, confirmed)) = confirms.next(), if !confirms.is_empty() => match confirmed {
                    Ok(()) => sent.enqueued += 1,
                    Err(error) => {
                        tell(format_args!("error: line {line}: {error}"));
                        (open, sent.end) = (false, End::Lost(last));
                    }
                },
                Ok(()) = state.changed() => if let PublisherState::Blocked { reason } = &*state.borrow_and_update() {
                    tell(format_args!("waiting: the broker takes no messages now ({reason})"));
                },
            }
        }
        sent
    }

    /// To the exchange, or straight to the queue of somebody else's making that is meant for it.
    fn post(&self, letter: Letter) -> Result<Confirm, String> {
        let Letter { line, id, app, lane, body } = letter;
        if self.queues.is_empty() {
            let confirm = amqp::enqueue(&self.publisher, &self.names, lane, &id, body);
            return Ok(confirm.map(move |confirmed| (line, confirmed)).boxed());
        }
        let fits =
            |queue: &&QueueSettings| queue.lane == lane && queue.app.as_ref().is_none_or(|theirs| *theirs == app);
        let queue = self.queues.iter().find(fits);
        let queue = queue.ok_or_else(|| format!("no queue of source.amqp.queues is of lane {lane} and app {app}"))?;
        let confirm = amqp::enqueue_to(&self.publisher, &queue.name, &id, body);
        Ok(confirm.map(move |confirmed| (line, confirmed)).boxed())
    }
}

fn refuse(sent: &mut Sent, line: usize, why: impl std::fmt::Display) {
    tell(format_args!("error: line {line}: {why}"));
    sent.bad += 1;
}
