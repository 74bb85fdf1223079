//! What is listed of a letter, as a table or as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::shown::cut;
use super::{Exit, print};
use crate::cli::print::clean;
use crate::cli::source::Source;

/// Of the detail, so many characters are in the table.
const DETAIL: usize = 100;
/// And of any other column.
const WORD: usize = 64;

/// One letter.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) source: Source,
    /// Its number in the spool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) n: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app: Option<String>,
    pub(super) reason: String,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    /// The queue or lane it came by.
    pub(super) queue: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) targets: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u64>,
}

/// Prints them. `both`: letters of both sources may be among them.
pub(super) fn print_rows(rows: &[Row], json: bool, both: bool) -> Exit {
    if !json {
        return print(table(rows, both));
    }
    for row in rows {
        let line = serde_json::to_string(row).expect("strings and numbers are JSON");
        let printed = print(line);
        if printed != Exit::Done {
            return printed;
        }
    }
    Exit::Done
}

fn table(rows: &[Row], both: bool) -> String {
    if rows.is_empty() {
        return "no dead letters".to_owned();
    }
    let numbered = rows.iter().any(|row| row.n.is_some());
    let wanted = [both, numbered, true, true, true, true, true, true, true];
    let head = ["SOURCE", "N", "ID", "APP", "REASON", "WHEN", "TARGETS", "ATTEMPTS", "DETAIL"].map(str::to_owned);
    let lines: Vec<[String; 9]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..9).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).zip(wanted).filter(|(_, wanted)| *wanted);
        let cells: Vec<String> = cells.map(|((cell, width), _)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text + "\n" + &sums(rows)
}

fn cells(row: &Row) -> [String; 9] {
    let word = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), |text| cut(&clean(text), WORD));
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    [
        row.source.as_str().to_owned(),
        row.n.map_or("-".to_owned(), |n| n.to_string()),
        word(&row.id),
        word(&row.app),
        cut(&clean(&row.reason), WORD),
        word(&row.at),
        number(row.targets.map(|targets| targets as u64)),
        number(row.attempts),
        cut(&clean(&row.detail), DETAIL),
    ]
}

/// How many for which reason, the most frequent first.
fn sums(rows: &[Row]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(&row.reason).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counts: Vec<String> =
        counts.into_iter().map(|(reason, count)| format!("{count} {}", cut(&clean(reason), WORD))).collect();
    let letters = if rows.len() == 1 { "letter" } else { "letters" };
    format!("{} dead {letters}: {}", rows.len(), counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, reason: &str) -> Row {
        Row {
            source: Source::Amqp,
            n: None,
            id: Some(id.to_owned()),
            app: None,
            reason: reason.to_owned(),
            detail: "line\u{1b}[2J\nfeed".to_owned(),
            at: Some("2026-11-25T07:00:00.000Z".to_owned()),
            queue: "q".to_owned(),
            targets: Some(3),
            attempts: None,
        }
    }

    #[test]
    fn a_table_has_columns_that_are_there_and_sums_and_no_control_characters() {
        let text = table(&[row("a", "failed"), row("long-id", "not_json"), row("b", "not_json")], false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("ID       APP  REASON    WHEN"), "{text}");
        assert!(
            lines[2].starts_with("long-id  -    not_json  2026-11-25T07:00:00.000Z  3        -         line"),
            "{text}"
        );
        assert_eq!(lines[5], "3 dead letters: 2 not_json, 1 failed");
        assert!(!text.contains('\u{1b}') && lines.len() == 6, "{text}");
        assert!(table(&[row("a", "x")], true).starts_with("SOURCE  ID"));
    }
}
