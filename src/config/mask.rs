//! Covers secrets in what is quoted of a configuration.
//!
//! Whatever is not known to be harmless is covered: the values of secret keys, of keys that don't exist (a mistyped
//! `token` is still a token), and whole keys pasted where a file's name belongs. On a line that is not even TOML, all
//! that stands behind the `=` is covered unless its key is known never to be secret.

use super::table::{Kind, Shape, Table};
use super::tree::{Member, Node, Raw, Span};

/// What a secret looks like in a quoted line.
const COVER: char = '…';

/// The values to be covered in what was written.
pub(super) fn covered(root: &Node, table: &'static Table) -> Vec<Span> {
    let mut spans = Vec::new();
    if let Raw::Table(members) = &root.raw {
        in_table(members, table, &mut spans);
    }
    spans
}

fn in_table(members: &[Member], table: &'static Table, spans: &mut Vec<Span>) {
    for member in members {
        match table.key(&member.name).map(|key| &key.shape) {
            Some(Shape::Value(kind, _)) => in_value(&member.node, *kind, spans),
            Some(Shape::Table(inner)) => in_node(&member.node, inner, spans),
            Some(Shape::Named(inner)) => in_members(&member.node, inner, spans),
            Some(Shape::Rows(inner)) => in_rows(&member.node, inner, spans),
            Some(Shape::Later) | None => all(&member.node, spans),
        }
    }
}

fn in_value(node: &Node, kind: Kind, spans: &mut Vec<Span>) {
    let harmless = match &node.raw {
        _ if kind.is_secret() => false,
        Raw::Text(text) => !is_pasted_secret(text),
        Raw::List(items) => return items.iter().for_each(|item| in_value(item, kind, spans)),
        Raw::Table(_) => false,
        _ => true,
    };
    if !harmless {
        all(node, spans);
    }
}

fn in_node(node: &Node, table: &'static Table, spans: &mut Vec<Span>) {
    match &node.raw {
        Raw::Table(members) => in_table(members, table, spans),
        _ => all(node, spans),
    }
}

fn in_members(node: &Node, table: &'static Table, spans: &mut Vec<Span>) {
    match &node.raw {
        Raw::Table(members) => members.iter().for_each(|member| in_node(&member.node, table, spans)),
        _ => all(node, spans),
    }
}

fn in_rows(node: &Node, table: &'static Table, spans: &mut Vec<Span>) {
    match &node.raw {
        Raw::List(rows) => rows.iter().for_each(|row| in_node(row, table, spans)),
        _ => all(node, spans),
    }
}

/// Covers a value, and what is in it.
fn all(node: &Node, spans: &mut Vec<Span>) {
    match &node.raw {
        Raw::Table(members) => members.iter().for_each(|member| all(&member.node, spans)),
        Raw::List(items) => items.iter().for_each(|item| all(item, spans)),
        _ => spans.push(node.span.clone()),
    }
}

/// Whether a text that should be harmless carries a secret: a key instead of its file's name, a password in a URL.
pub(super) fn is_pasted_secret(text: &str) -> bool {
    text.contains("-----BEGIN") || text.contains("private_key") || has_user_info(text)
}

fn has_user_info(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// What must be covered of a line that could not be read as TOML. `harmless` says of a key's name whether it is never a
/// secret; `None`: there is no such key, and the line may be anything, such as a piece of a pasted key.
pub(super) fn of_bad_line(text: &str, at: usize, harmless: impl Fn(&str) -> Option<bool>) -> Span {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let line = &text[start..end];
    let rest = |of: &str| end - of.trim_start().len()..end;
    let is_header = line.trim_start().starts_with('[') && !line.contains(['"', '\'', ',', '=']);
    let covered = match line.split_once('=') {
        _ if is_header => end..end,
        Some((key, value)) => match harmless(key.trim()) {
            Some(true) if !value.contains(['{', '@']) && !is_pasted_secret(value) => end..end,
            Some(_) => rest(value),
            None => rest(line),
        },
        None => rest(line),
    };
    Span { source: 0, range: covered }
}

/// Quotes the line that starts at `line_start`, `covered` covered, comment cut off, and marks `span` in it: the first
/// character and how many.
pub(super) fn quote(text: &str, line_start: usize, span: &Span, covered: &[Span]) -> (String, (usize, usize)) {
    let line = text[line_start..].split(['\n', '\r']).next().unwrap_or_default();
    let hidden = |at: usize| covered.iter().position(|cover| cover.source == span.source && cover.range.contains(&at));
    let mut quote = String::new();
    let (mut width, mut first, mut last) = (0, None, 0);
    let (mut inside, mut cover) = (None, None);
    for (offset, c) in line.char_indices() {
        let at = line_start + offset;
        if c == '#' && inside.is_none() && at >= span.range.end {
            break;
        }
        inside = match inside {
            None if matches!(c, '"' | '\'') => Some(c),
            Some(mark) if mark == c => None,
            other => other,
        };
        let now = hidden(at);
        if now.is_none() || now != cover {
            quote.push(if now.is_some() { COVER } else { plain(c) });
            width += 1;
        }
        cover = now;
        if span.range.contains(&at) {
            first.get_or_insert(width - 1);
            last = width;
        }
    }
    let first = first.unwrap_or(width);
    (quote.trim_end().to_owned(), (first, last.saturating_sub(first).max(1)))
}

/// A character that moves no cursor.
pub(super) fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => '\u{fffd}',
        c => c,
    }
}
