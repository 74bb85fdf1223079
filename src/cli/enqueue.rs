//! `tidegate enqueue`: sends jobs to the broker, one a line.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{Exit, fail, runtime};
use crate::config;
use crate::job::{self, Defaults, Lane};
use crate::source::amqp::{self, AmqpSettings, Names, Publisher};

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

/// One job that can be sent.
struct Letter {
    line: usize,
    id: String,
    lane: Lane,
    body: Bytes,
}

impl Enqueue {
    pub(super) fn run(self) -> Exit {
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(exit) => return exit,
        };
        let (letters, bad) = match self.read() {
            Ok(read) => read,
            Err(error) => return fail(Exit::Io, format!("{}: {error}", self.file)),
        };
        for problem in &bad {
            eprintln!("error: {problem}");
        }
        match runtime().block_on(send(settings, letters)) {
            Ok(sent) => {
                println!("{sent} jobs enqueued, {} refused", bad.len());
                if bad.is_empty() { Exit::Done } else { Exit::Data }
            }
            Err(error) => fail(Exit::Unavailable, error),
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
        let loaded = config::load(&self.config, std::env::vars()).map_err(|problems| fail(Exit::Config, problems))?;
        let none = "the configuration has no [source.amqp]; name a broker with --amqp-uri";
        loaded.settings.amqp.ok_or_else(|| fail(Exit::Config, none))
    }

    /// The jobs that can be sent, and what is wrong with the others.
    fn read(&self) -> std::io::Result<(Vec<Letter>, Vec<String>)> {
        let input: Box<dyn BufRead> = match self.file.as_str() {
            "-" => Box::new(std::io::stdin().lock()),
            path => Box::new(BufReader::new(std::fs::File::open(path)?)),
        };
        let (mut letters, mut bad) = (Vec::new(), Vec::new());
        for (nth, line) in input.split(b'\n').enumerate() {
            let (line, body) = (nth + 1, line?);
            if body.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match job::decode(&body, Defaults::default()) {
                Ok(job) => letters.push(Letter {
                    line,
                    id: job.id.into(),
                    lane: job.priority.unwrap_or(self.lane),
                    body: body.into(),
                }),
                Err(error) => bad.push(format!("line {line}: {}: {} ({})", error.path, error.detail, error.reason)),
            }
        }
        Ok((letters, bad))
    }
}

async fn send(settings: AmqpSettings, letters: Vec<Letter>) -> Result<usize, String> {
    if letters.is_empty() {
        return Ok(0);
    }
    amqp::declare(&settings).await.map_err(|error| error.to_string())?;
    let names = Names::new(settings.prefix.as_str());
    let close = CancellationToken::new();
    let publisher = Publisher::start(Arc::new(settings), close.clone());
    publisher.connected().await.map_err(|error| error.to_string())?;
    let sends = letters.into_iter().map(|letter| {
        let (publisher, names) = (publisher.clone(), names.clone());
        async move {
            let sent = amqp::enqueue(&publisher, &names, letter.lane, &letter.id, letter.body).await;
            sent.map_err(|error| format!("line {}: {error}", letter.line))
        }
    });
    let mut results = stream::iter(sends).buffer_unordered(WINDOW);
    let (mut sent, mut first_error) = (0, None);
    while let Some(result) = results.next().await {
        match result {
            Ok(()) => sent += 1,
            Err(error) => {
                eprintln!("error: {error}");
                first_error.get_or_insert(error);
            }
        }
    }
    close.cancel();
    match first_error {
        None => Ok(sent),
        Some(error) => Err(format!("{sent} jobs enqueued; {error}")),
    }
}
