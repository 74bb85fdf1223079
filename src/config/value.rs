//! Understands one value: its type, its unit, its range.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;

use super::table::{Kind, Literal};
use super::text::{self, choice};
use super::tree::{Node, Raw, Span};
use super::units::{self, SIZE, TIME, Unit};
use crate::flow::Rate;
use crate::provider::webpush::{Network, Services};

/// A value, understood.
#[derive(Clone)]
pub(super) enum Value {
    Flag(bool),
    Whole(u64),
    Duration(Duration),
    Size(u64),
    Rate(Option<Rate>),
    Text(String),
    Words(Vec<String>),
    Address(SocketAddr),
    Endpoint { host: String, port: u16, url: String },
    Secret(SecretString),
    Secrets(Vec<(SecretString, Option<Span>)>),
}

/// Why a value is none.
pub(super) struct Flaw {
    pub message: String,
    pub remedy: String,
    /// The part of it that is meant, if not all.
    pub span: Option<Span>,
}

/// A value that is none.
pub(super) fn flaw<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw { message: message.into(), remedy: remedy.into(), span: None })
}

/// Reads `node` as a value of `kind`; all that is wrong with a list is found.
pub(super) fn read(kind: Kind, node: &Node) -> Result<Value, Vec<Flaw>> {
    match (kind, &node.raw) {
        (Kind::Choices(words), Raw::List(items)) => choices(words, items),
        (Kind::Secrets, Raw::List(items)) => secrets(items),
        (Kind::Services | Kind::Networks, Raw::List(items)) => words(kind, items),
        _ => single(kind, node).map_err(|flaw| vec![flaw]),
    }
}

fn single(kind: Kind, node: &Node) -> Result<Value, Flaw> {
    match (kind, &node.raw) {
        (Kind::Flag, Raw::Flag(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Whole { min, max }, Raw::Integer(number)) => whole(number, min, max),
        (Kind::Duration { .. }, Raw::Integer(n)) => bare("a duration", n, "s", TIME),
        (Kind::Size { .. }, Raw::Integer(n)) => bare("a size", n, "MiB", SIZE),
        (Kind::Rate, Raw::Integer(n)) => {
            flaw("a rate needs the time that it is counted over", format!("write \"{n}/s\" or \"{n}/min\""))
        }
        (_, Raw::Text(string)) => text::read(kind, string).unwrap_or_else(|| wrong_type(kind, node)),
        _ => wrong_type(kind, node),
    }
}

/// Reads a default, which is always good.
pub(super) fn of_literal(kind: Kind, literal: Literal) -> Value {
    let span = Span { source: 0, range: 0..0 };
    let text = |text: &str| Node { raw: Raw::Text(text.to_owned()), span: span.clone() };
    let node = match literal {
        Literal::Text(default) => text(default),
        Literal::Whole(number) => Node { raw: Raw::Integer(number.to_string()), span: span.clone() },
        Literal::Flag(flag) => Node { raw: Raw::Flag(flag), span: span.clone() },
        Literal::List(items) => {
            Node { raw: Raw::List(items.iter().map(|item| text(item)).collect()), span: span.clone() }
        }
    };
    match read(kind, &node) {
        Ok(value) => value,
        Err(flaws) => unreachable!("a default that is none: {}: {}", node.shown(), flaws[0].message),
    }
}

/// Whether `raw`, which is not a string, is what `kind` would be written as. Where it is not, a variable's text is a string.
pub(super) fn wants(kind: Kind, raw: &Raw) -> bool {
    match kind {
        Kind::Flag => matches!(raw, Raw::Flag(_)),
        Kind::Whole { .. } => matches!(raw, Raw::Integer(_) | Raw::Float(_)),
        Kind::Duration { .. } | Kind::Size { .. } | Kind::Rate => matches!(raw, Raw::Integer(_)),
        Kind::Choices(_) | Kind::Secrets | Kind::Services | Kind::Networks => matches!(raw, Raw::List(_)),
        _ => false,
    }
}

fn wrong_type<T>(kind: Kind, node: &Node) -> Result<T, Flaw> {
    let (noun, remedy) = expectation(kind);
    flaw(format!("expected {noun}, found {}", node.type_name()), remedy)
}

/// What a value of this kind is called, and how to write one.
fn expectation(kind: Kind) -> (&'static str, String) {
    let like = |example: &str| format!("write it like this: {example}");
    match kind {
        Kind::Flag => ("true or false", "write true or false, without quotes".to_owned()),
        Kind::Whole { min, max } => {
            ("a whole number", format!("write a whole number from {min} to {max}, without quotes"))
        }
        Kind::Duration { .. } => ("a duration", like("\"20s\"")),
        Kind::Size { .. } => ("a size", like("\"256MiB\"")),
        Kind::Rate => ("a rate", like("\"5000/s\"")),
        Kind::Text { .. } => ("a string", "put it in quotes".to_owned()),
        Kind::Choice(words) => ("a word", format!("the words are {}", words.join(", "))),
        Kind::Choices(words) => ("a list of words", like(&format!("[\"{}\"]", words.join("\", \"")))),
        Kind::Address => ("an address with a port", like("\"127.0.0.1:8080\"")),
        Kind::Endpoint => ("a URL", like("\"https://host\"")),
        Kind::File => ("a file's name", like("\"file.pem\"")),
        Kind::Secret => ("a string", "write \"file:/path\", \"env:NAME\" or the value itself in quotes".to_owned()),
        Kind::Secrets => ("a list of secrets", like("[\"file:/path\"] or [\"env:NAME\"]")),
        Kind::Services => ("a list of hosts", like("[\"push.example.com\", \"*.example.net:8443\"]")),
        Kind::Networks => ("a list of networks", like("[\"10.1.2.0/24\"]")),
    }
}

fn bare(what: &str, number: &str, unit: &str, units: &[Unit]) -> Result<Value, Flaw> {
    let remedy = format!("write \"{number}{unit}\" if that was meant; the units are {}", units::names(units));
    flaw(format!("{what} needs its unit"), remedy)
}

fn whole(number: &str, min: u64, max: u64) -> Result<Value, Flaw> {
    match number.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Whole(number)),
        _ => flaw("out of range", format!("write a whole number from {min} to {max}")),
    }
}

fn choices(words: &'static [&'static str], items: &[Node]) -> Result<Value, Vec<Flaw>> {
    let mut chosen: Vec<String> = Vec::new();
    each(items, |item| {
        let Raw::Text(text) = &item.raw else { return wrong_type(Kind::Choice(words), item) };
        let word = choice(words, text)?;
        if chosen.iter().any(|chosen| chosen == word) {
            return flaw(format!("\"{word}\" is listed twice"), "leave one of them out");
        }
        chosen.push(word.to_owned());
        Ok(())
    })?;
    Ok(Value::Words(chosen))
}

/// Push services or networks.
fn words(kind: Kind, items: &[Node]) -> Result<Value, Vec<Flaw>> {
    let mut words = Vec::new();
    each(items, |item| {
        let Raw::Text(text) = &item.raw else { return flaw("not a text", "put it in quotes") };
        let good = match kind {
            Kind::Services => Services::new([text.as_str()]).is_ok(),
            _ => text.parse::<Network>().is_ok(),
        };
        if !good {
            let (noun, remedy) = match kind {
                Kind::Services => (
                    "not a host",
                    "write a host in lower case, \"*.domain\" or \"*\", with \":port\" behind it or without",
                ),
                _ => ("not a network", "write it like \"10.1.2.0/24\" or \"fd00::/8\""),
            };
            return flaw(noun, remedy);
        }
        words.push(text.clone());
        Ok(())
    })?;
    Ok(Value::Words(words))
}

fn secrets(items: &[Node]) -> Result<Value, Vec<Flaw>> {
    let mut secrets = Vec::new();
    each(items, |item| {
        if let Value::Secret(secret) = single(Kind::Secret, item)? {
            secrets.push((secret, Some(item.span.clone())));
        }
        Ok(())
    })?;
    Ok(Value::Secrets(secrets))
}

/// Reads every item and gathers what is wrong with them.
fn each(items: &[Node], mut read: impl FnMut(&Node) -> Result<(), Flaw>) -> Result<(), Vec<Flaw>> {
    let flaws = items.iter().filter_map(|item| {
        let flaw = read(item).err()?;
        Some(Flaw { span: Some(item.span.clone()), ..flaw })
    });
    let flaws: Vec<Flaw> = flaws.collect();
    if flaws.is_empty() { Ok(()) } else { Err(flaws) }
}

impl Value {
    /// It as TOML, secrets masked.
    pub(super) fn toml(&self) -> String {
        let string = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match self {
            Value::Flag(flag) => flag.to_string(),
            Value::Whole(number) => number.to_string(),
            Value::Duration(time) => string(&units::write(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), TIME)),
            Value::Size(bytes) => string(&units::write(*bytes, SIZE)),
            Value::Rate(rate) => string(&Rate::write(*rate)),
            Value::Text(text) => string(text),
            Value::Words(words) => list(words.iter().map(|word| string(word))),
            Value::Address(address) => string(&address.to_string()),
            Value::Endpoint { url, .. } => string(url),
            Value::Secret(_) => string(MASKED),
            Value::Secrets(secrets) => list(secrets.iter().map(|_| string(MASKED))),
        }
    }
}

/// What is printed in place of a secret.
pub(super) const MASKED: &str = "<secret>";

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
