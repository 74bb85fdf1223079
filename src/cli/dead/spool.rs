//! A spool's dead letters: its store is asked, whether a process serves it or not.

use std::collections::BTreeSet;
use std::path::Path;

use super::filter::Filter;
use super::row::Row;
use super::{Exit, Listed, Told, fail, shown};
use crate::cli::source::Source;
use crate::flow::Rate;
use crate::spool::{self, DeadLetters, Letter, OpenLetter, Which};

fn open(path: &Path) -> Told<DeadLetters> {
    DeadLetters::open(path).map_err(|error| fail(Exit::Unavailable, error))
}

fn broken(error: impl std::fmt::Display) -> Exit {
    fail(Exit::Io, error)
}

/// The store is asked for one id at a time.
fn asked(filter: &Filter, limit: Option<usize>) -> Vec<spool::Filter> {
    let one = |id: Option<&String>| spool::Filter {
        app: filter.app.clone(),
        reason: filter.reason.clone(),
        id: id.cloned(),
        limit,
    };
    if filter.id.is_empty() { vec![one(None)] } else { filter.id.iter().map(|id| one(Some(id))).collect() }
}

/// Letters that are to be moved or dropped; in one go, so that a rate is one for all of them.
fn which(letters: &DeadLetters, filter: &Filter) -> Told<Which> {
    if !filter.n.is_empty() {
        return Ok(Which::Numbered(filter.n.clone()));
    }
    let mut asked = asked(filter, None);
    if asked.len() == 1 {
        return Ok(Which::Matching(asked.remove(0)));
    }
    let mut numbers = BTreeSet::new();
    for one in asked {
        numbers.extend(letters.list(&one).map_err(broken)?.iter().map(|letter| letter.n));
    }
    Ok(Which::Numbered(numbers.into_iter().collect()))
}

pub(super) fn list(path: &Path, filter: &Filter, limit: u64) -> Told<Listed> {
    let letters = open(path)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    if filter.n.is_empty() {
        // One more than wanted tells whether there are more.
        for asked in asked(filter, Some(limit.saturating_add(1))) {
            found.extend(letters.list(&asked).map_err(broken)?);
        }
    }
    for n in &filter.n {
        found.extend(letters.show(*n).map_err(broken)?.map(|open| open.letter));
    }
    let more = (found.len() > limit).then(|| format!("the spool has more than these {limit}; --limit shows more"));
    found.truncate(limit);
    Ok(Listed { rows: found.iter().map(row).collect(), more })
}

pub(super) fn show(path: &Path, id: Option<&str>, n: Option<i64>, full: bool) -> Told<Vec<String>> {
    let letters = open(path)?;
    let mut numbers: Vec<i64> = n.into_iter().collect();
    if let Some(id) = id {
        let filter = spool::Filter { id: Some(id.to_owned()), ..spool::Filter::default() };
        numbers.extend(letters.list(&filter).map_err(broken)?.iter().map(|letter| letter.n));
    }
    let mut found = Vec::new();
    for n in numbers {
        if let Some(open) = letters.show(n).map_err(broken)? {
            found.push(shown::letter(&told(&open), &[], &open.body, full));
        }
    }
    Ok(found)
}

pub(super) fn replay(path: &Path, filter: &Filter, rate: Option<Rate>) -> Told<u64> {
    let letters = open(path)?;
    let rate = rate.map(|rate| rate.per_second());
    letters.replay(&which(&letters, filter)?, rate).map_err(broken)
}

pub(super) fn drop(path: &Path, filter: &Filter) -> Told<u64> {
    let letters = open(path)?;
    letters.drop(&which(&letters, filter)?).map_err(broken)
}

fn row(letter: &Letter) -> Row {
    Row {
        source: Source::Spool,
        n: Some(letter.n),
        id: Some(letter.id.to_string()),
        app: Some(letter.app.to_string()),
        reason: letter.reason.to_string(),
        detail: letter.detail.to_string(),
        at: Some(letter.at.to_string()),
        queue: letter.lane.to_string(),
        targets: Some(letter.pushes.into()),
        attempts: Some(letter.attempts.into()),
    }
}

fn told(OpenLetter { letter, intact, .. }: &OpenLetter) -> Vec<(&'static str, String)> {
    let mut told = vec![
        ("source", "spool".to_owned()),
        ("n", letter.n.to_string()),
        ("id", letter.id.to_string()),
        ("app", letter.app.to_string()),
        ("reason", letter.reason.to_string()),
        ("detail", letter.detail.to_string()),
        ("when", letter.at.to_string()),
        ("lane", letter.lane.to_string()),
        ("targets", letter.pushes.to_string()),
        ("attempts", letter.attempts.to_string()),
        ("accepted", letter.accepted_at.to_string()),
    ];
    if let Some(deadline) = letter.deadline {
        told.push(("deadline", deadline.to_string()));
    }
    if !intact {
        told.push(("damaged", "its checksum is wrong: it can be dropped, not replayed".to_owned()));
    }
    told
}
