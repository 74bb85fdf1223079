//! A broker's dead letters: each command is one walk through the queue.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::row::Row;
use super::{Exit, Listed, Signals, Told, fail, print, shown, tell};
use crate::cli::source::Source;
use crate::flow::{Pace, Rate};
use crate::source::amqp::{AmqpSettings, DeadError, DeadLetter, DeadLetters};

/// Letters taken before they are wanted where nothing makes the walk wait.
const FAST: u16 = u16::MAX;

/// Seconds that a letter may wait for its turn: RabbitMQ gives a consumer 30 minutes.
const TURN: f64 = 300.0;

pub(super) async fn list(settings: &AmqpSettings, filter: &Filter, limit: u64, scan: u64) -> Result<Listed, DeadError> {
    // Without a filter it is known how many will be listed, and no more are taken.
    let most = if filter.is_empty() { scan.min(limit) } else { scan };
    let mut walk = DeadLetters::open(settings, most, FAST).await?;
    let (mut rows, mut seen) = (Vec::new(), 0);
    while (rows.len() as u64) < limit
        && let Some(letter) = walk.next().await?
    {
        seen += 1;
        if takes(filter, &letter) {
            rows.push(row(&letter));
        }
        walk.keep(letter).await?;
    }
    let there = walk.found();
    walk.close().await?;
    let more = (seen < there).then(|| {
        let flag = if rows.len() as u64 == limit { "--limit" } else { "--scan" };
        format!("looked at {seen} of the broker's {there} dead letters; {flag} shows more")
    });
    Ok(Listed { rows, more })
}

pub(super) async fn show(settings: &AmqpSettings, id: &str, full: bool, scan: u64) -> Result<Vec<String>, DeadError> {
    let mut walk = DeadLetters::open(settings, scan, FAST).await?;
    let mut found = Vec::new();
    // A job can have several: its parts may have died for different reasons.
    while let Some(letter) = walk.next().await? {
        if letter.id.as_deref() == Some(id) {
            found.push(shown::letter(&told(&letter), &letter.headers(), &letter.body, full));
        }
        walk.keep(letter).await?;
    }
    walk.close().await?;
    Ok(found)
}

pub(super) async fn replay(
    settings: &AmqpSettings,
    filter: &Filter,
    rate: Option<Rate>,
    signals: Signals,
) -> Told<Exit> {
    let lost = |error| fail(Exit::Unavailable, error);
    let mut pace = Pace::new(rate, Rate::default_burst(rate), Instant::now());
    // Truncated on purpose, and kept in range.
    let ahead = rate.map_or(FAST, |rate| (rate.per_second() * TURN) as u16);
    let mut walk = DeadLetters::open(settings, u64::MAX, ahead).await.map_err(lost)?;
    let (bar, stop) = (progress(walk.found()), stop(signals));
    let walked = replay_all(&mut walk, filter, &mut pace, &bar, &stop).await;
    bar.finish_and_clear();
    let tally = match walked {
        Ok(()) => walk.close().await,
        Err(error) => Err(error),
    };
    let tally = tally.map_err(|error| {
        tell("what was not confirmed is dead still; some of what was is sent again by the next replay");
        lost(error)
    })?;
    let printed = print(format_args!("{} dead letters replayed", tally.replayed));
    if let Some(why) = tally.why {
        return Err(fail(Exit::Unavailable, format_args!("{} letters stay dead: {why}", tally.refused)));
    }
    Ok(ended(printed, &stop))
}

async fn replay_all(
    walk: &mut DeadLetters,
    filter: &Filter,
    pace: &mut Pace,
    bar: &ProgressBar,
    stop: &CancellationToken,
) -> Result<(), DeadError> {
    while !stop.is_cancelled() {
        let now = Instant::now();
        if pace.available(now) == 0 {
            tokio::select! {
                waited = walk.wait(pace.next_at(now)) => waited?,
                () = stop.cancelled() => {}
            }
            continue;
        }
        let Some(letter) = walk.next().await? else { break };
        if takes(filter, &letter) {
            pace.take_up_to(1, now);
            walk.replay(letter).await?;
        } else {
            walk.keep(letter).await?;
        }
        bar.inc(1);
        bar.set_message(format!("{} replayed", walk.tally().replayed));
    }
    Ok(())
}

pub(super) async fn drop(settings: &AmqpSettings, filter: &Filter, signals: Signals) -> Told<Exit> {
    let lost = |error| fail(Exit::Unavailable, error);
    let mut walk = DeadLetters::open(settings, u64::MAX, FAST).await.map_err(lost)?;
    let (bar, stop) = (progress(walk.found()), stop(signals));
    let mut dropped = 0_u64;
    while !stop.is_cancelled()
        && let Some(letter) = walk.next().await.map_err(lost)?
    {
        if takes(filter, &letter) {
            walk.drop(letter).await.map_err(lost)?;
            dropped += 1;
        } else {
            walk.keep(letter).await.map_err(lost)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    walk.close().await.map_err(lost)?;
    Ok(ended(print(format_args!("{dropped} dead letters dropped")), &stop))
}

/// Interrupted is not done.
fn ended(printed: Exit, stop: &CancellationToken) -> Exit {
    if stop.is_cancelled() {
        return fail(Exit::WorkLeft, "interrupted; the other letters are where they were");
    }
    printed
}

/// Cancelled with the first signal to stop.
fn stop(mut signals: Signals) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            signals.any().await;
            stop.cancel();
        }
    });
    stop
}

fn progress(letters: u64) -> ProgressBar {
    let terminal = std::io::stderr().is_terminal();
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} letters, {per_sec}, {eta} left; {msg}");
    let bar = ProgressBar::with_draw_target(Some(letters), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn takes(filter: &Filter, letter: &DeadLetter) -> bool {
    filter.takes(letter.id.as_deref(), letter.app.as_deref(), &letter.reason)
}

fn row(letter: &DeadLetter) -> Row {
    Row {
        source: Source::Amqp,
        n: None,
        id: letter.id.clone(),
        app: letter.app.clone(),
        reason: letter.reason.clone(),
        detail: letter.detail.clone(),
        at: letter.at.clone(),
        queue: letter.queue.clone(),
        targets: letter.targets,
        attempts: letter.attempts,
    }
}

fn told(letter: &DeadLetter) -> Vec<(&'static str, String)> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        ("source", "amqp".to_owned()),
        ("id", or_dash(&letter.id)),
        ("app", or_dash(&letter.app)),
        ("reason", letter.reason.clone()),
        ("detail", letter.detail.clone()),
        ("when", or_dash(&letter.at)),
        ("queue", letter.queue.clone()),
        ("targets", letter.targets.map_or_else(|| "-".to_owned(), |targets| targets.to_string())),
    ]
}
