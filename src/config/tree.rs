//! What was written: a tree of values, each of which knows where it stands.
//!
//! It is built of the file first; the environment's variables are then laid over it. Values are not yet understood
//! here. Nothing in here has `Debug`: a tree holds secrets as they were written.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A text that values come from.
#[derive(Clone)]
pub(super) enum Source {
    /// The file.
    File { name: String, text: String },
    /// An environment variable; its text is `NAME=value`.
    Variable { name: String, text: String },
}

impl Source {
    /// The whole text.
    pub(super) fn text(&self) -> &str {
        match self {
            Source::File { text, .. } | Source::Variable { text, .. } => text,
        }
    }
}

/// Bytes of a source's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Index of the source.
    pub source: usize,
    /// Bytes of its text.
    pub range: Range<usize>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Node {
    pub raw: Raw,
    pub span: Span,
}

/// A value as it was written.
#[derive(Clone)]
pub(super) enum Raw {
    Text(String),
    Integer(String),
    Float(String),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Member>),
}

/// A key and its value.
#[derive(Clone)]
pub(super) struct Member {
    pub name: String,
    pub name_span: Span,
    pub node: Node,
}

impl Node {
    /// The type's name for people.
    pub(super) fn type_name(&self) -> &'static str {
        match &self.raw {
            Raw::Text(_) => "a string",
            Raw::Integer(_) => "a number",
            Raw::Float(_) => "a fraction",
            Raw::Flag(_) => "a boolean",
            Raw::Date(_) => "a date",
            Raw::List(_) => "a list",
            Raw::Table(_) => "a table",
        }
    }

    /// The value as one would write it, on one line and not too long. Never call it for a secret.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 80;
        let whole = match &self.raw {
            Raw::Text(text) => format!("{text:?}"),
            Raw::Integer(text) | Raw::Float(text) | Raw::Date(text) => text.clone(),
            Raw::Flag(flag) => flag.to_string(),
            Raw::List(_) => "[…]".to_owned(),
            Raw::Table(_) => "{…}".to_owned(),
        };
        match whole.char_indices().nth(LONGEST) {
            Some((cut, _)) => format!("{}…", &whole[..cut]),
            None => whole,
        }
    }
}

/// An error of TOML itself.
pub(super) struct SyntaxError {
    pub message: String,
    pub span: Span,
}

/// Reads a file's text (source 0). All errors are found, and what could be read is there nevertheless.
pub(super) fn document(text: &str) -> (Node, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .iter()
        .map(|error| SyntaxError {
            message: error.message().to_owned(),
            span: Span { source: 0, range: error.span().unwrap_or(0..0) },
        })
        .collect();
    let place = Place { source: 0, offset: 0 };
    let span = place.span(table.span());
    (Node { raw: place.table(table.into_inner()), span }, errors)
}

/// Reads the value in `text[offset..]`, which a variable holds: as TOML if `wanted` likes what that gives, else as a string.
pub(super) fn variable(text: &str, offset: usize, source: usize, wanted: impl Fn(&Raw) -> bool) -> Node {
    let place = Place { source, offset };
    let value = &text[offset..];
    if let Ok(parsed) = DeValue::parse(value) {
        let node = place.node(parsed);
        if !matches!(node.raw, Raw::Text(_)) && wanted(&node.raw) {
            return node;
        }
    }
    Node { raw: Raw::Text(value.to_owned()), span: place.span(0..value.len()) }
}

#[derive(Clone, Copy)]
struct Place {
    source: usize,
    offset: usize,
}

impl Place {
    fn span(self, range: Range<usize>) -> Span {
        Span { source: self.source, range: range.start + self.offset..range.end + self.offset }
    }

    fn node(self, value: Spanned<DeValue<'_>>) -> Node {
        let span = self.span(value.span());
        let raw = match value.into_inner() {
            DeValue::String(text) => Raw::Text(text.into_owned()),
            DeValue::Integer(number) => Raw::Integer(decimal(&number)),
            DeValue::Float(number) => Raw::Float(number.to_string()),
            DeValue::Boolean(flag) => Raw::Flag(flag),
            DeValue::Datetime(date) => Raw::Date(date.to_string()),
            DeValue::Array(items) => Raw::List(items.into_iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { raw, span }
    }

    fn table(self, table: DeTable<'_>) -> Raw {
        let members = table.into_iter().map(|(name, value)| Member {
            name_span: self.span(name.span()),
            name: name.into_inner().into_owned(),
            node: self.node(value),
        });
        Raw::Table(members.collect())
    }
}

/// Hexadecimal and the like become decimal; what is too large for that stays as it is and is refused later.
fn decimal(number: &toml::de::DeInteger<'_>) -> String {
    i128::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| number.to_string(), |n| n.to_string())
}
