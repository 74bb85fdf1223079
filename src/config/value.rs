//! Understands one value: its type, its unit, its range.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;

use super::nearest::nearest;
use super::table::{Class, Kind, Literal};
use super::tree::{Node, Raw, Span};
use super::units::{self, Bad, SIZE, TIME, Unit};
use crate::flow::Rate;

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

fn flaw<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw { message: message.into(), remedy: remedy.into(), span: None })
}

/// Reads `node` as a value of `kind`; all that is wrong with a list is found.
pub(super) fn read(kind: Kind, node: &Node) -> Result<Value, Vec<Flaw>> {
    match (kind, &node.raw) {
        (Kind::Choices(words), Raw::List(items)) => choices(words, items),
        (Kind::Secrets, Raw::List(items)) => secrets(items),
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
        (_, Raw::Text(text)) => read_text(kind, text).unwrap_or_else(|| wrong_type(kind, node)),
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
        Kind::Choices(_) | Kind::Secrets => matches!(raw, Raw::List(_)),
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

/// `None`: a string is not the type.
fn read_text(kind: Kind, text: &str) -> Option<Result<Value, Flaw>> {
    Some(match kind {
        Kind::Duration { min, max, grain } => duration(text, min, max, grain),
        Kind::Size { min, max } => in_units(text, "a size", min, max, SIZE).map(Value::Size),
        Kind::Rate => units::rate(text).map(Value::Rate).or_else(|message| {
            flaw(message, "write it like \"5000/s\" or \"600000/min\" (units: s, min, h), or \"unlimited\"")
        }),
        Kind::Text { min, max, class } => plain_text(text, min, max, class),
        Kind::Choice(words) => choice(words, text).map(|word| Value::Text(word.to_owned())),
        Kind::Address => address(text),
        Kind::Endpoint => endpoint(text),
        Kind::File => file(text),
        Kind::Secret if text.is_empty() => flaw("is empty", "write \"file:/path\", \"env:NAME\" or the value itself"),
        Kind::Secret => Ok(Value::Secret(text.into())),
        Kind::Flag | Kind::Whole { .. } | Kind::Choices(_) | Kind::Secrets => return None,
    })
}

fn in_units(text: &str, what: &str, min: u64, max: u64, units: &[Unit]) -> Result<u64, Flaw> {
    let (low, high) = (units::write(min, units), units::write(max, units));
    let remedy = format!("write a whole number and one of the units {}", units::names(units));
    match units::measure(text, units) {
        Ok(amount) if (min..=max).contains(&amount) => Ok(amount),
        Ok(_) | Err(Bad::TooLarge) => flaw("out of range", format!("write {what} from \"{low}\" to \"{high}\"")),
        Err(Bad::Number) => flaw(format!("{what} starts with a whole number"), remedy),
        Err(Bad::NoUnit) => flaw(format!("{what} needs its unit"), remedy),
        Err(Bad::Unit) => flaw("not a unit that is known here", remedy),
    }
}

fn duration(text: &str, min: u64, max: u64, grain: u64) -> Result<Value, Flaw> {
    let millis = in_units(text, "a duration", min, max, TIME)?;
    if !millis.is_multiple_of(grain) {
        let grain = units::write(grain, TIME);
        return flaw(format!("must be a multiple of {grain}"), "write whole seconds, such as \"30s\"");
    }
    Ok(Value::Duration(Duration::from_millis(millis)))
}

fn plain_text(text: &str, min: usize, max: usize, class: Class) -> Result<Value, Flaw> {
    let length = text.chars().count();
    let allowed = if min == max { max.to_string() } else { format!("{min} to {max}") };
    let remedy = format!("write {allowed} {}", class.words());
    if !(min..=max).contains(&length) {
        return flaw(format!("has {length} character{}", if length == 1 { "" } else { "s" }), remedy);
    }
    match text.chars().find(|c| !class.has(*c)) {
        Some(c) => flaw(format!("the character {c:?} can't stand here"), remedy),
        None => Ok(Value::Text(text.to_owned())),
    }
}

fn choice(words: &[&'static str], text: &str) -> Result<&'static str, Flaw> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let all = words.join(", ");
    let remedy = match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean \"{word}\"? The words are {all}"),
        None => format!("the words are {all}"),
    };
    flaw("not a word that is known here", remedy)
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

fn address(text: &str) -> Result<Value, Flaw> {
    text.parse().map(Value::Address).or_else(|_| {
        flaw(
            "not an IP address with a port",
            "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"; a host's name won't do",
        )
    })
}

fn endpoint(text: &str) -> Result<Value, Flaw> {
    const REMEDY: &str = "write it like \"https://api.push.apple.com\" or \"https://127.0.0.1:8443\"";
    let Ok(url) = text.parse::<http::Uri>() else { return flaw("not a URL", REMEDY) };
    let Some(authority) = url.authority() else { return flaw("not a whole URL", REMEDY) };
    if url.scheme() != Some(&http::uri::Scheme::HTTPS) {
        return flaw("providers are reached by HTTPS only", REMEDY);
    }
    if authority.as_str().contains('@') {
        return flaw("a user or password has no meaning here", REMEDY);
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return flaw("a path or query has no meaning here", REMEDY);
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, "")) => return flaw("the port is missing", REMEDY),
        Some((before, port)) if !before.contains(':') || before.ends_with(']') => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return flaw("not a port", "a port is a number from 1 to 65535"),
        },
        _ => 443,
    };
    if host.is_empty() {
        return flaw("names no host", REMEDY);
    }
    Ok(Value::Endpoint { host, port, url: text.trim_end_matches('/').to_owned() })
}

fn file(text: &str) -> Result<Value, Flaw> {
    if text.contains("-----BEGIN") || text.contains("private_key") {
        return flaw(
            "this is what belongs into the file, not the file's name",
            "write it to a file and name that here",
        );
    }
    if text.is_empty() || text.contains('\0') {
        return flaw("not a file's name", "write a path; a relative one counts from the configuration's directory");
    }
    Ok(Value::Text(text.to_owned()))
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
            Value::Rate(rate) => string(&units::write_rate(*rate)),
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
