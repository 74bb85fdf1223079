//! Understands values that are written as strings.

use std::time::Duration;

use super::mask::is_pasted_secret;
use super::nearest::nearest;
use super::table::{Class, Kind};
use super::units::{self, Bad, SIZE, TIME, Unit};
use super::value::{Flaw, Value, flaw};
use crate::flow::Rate;

/// Reads `text` as a value of `kind`; `None`: it is not written as a string.
pub(super) fn read(kind: Kind, text: &str) -> Option<Result<Value, Flaw>> {
    Some(match kind {
        Kind::Duration { min, max, grain } => duration(text, min, max, grain),
        Kind::Size { min, max } => in_units(text, "a size", min, max, SIZE).map(Value::Size),
        Kind::Rate => Rate::read(text).map(Value::Rate).or_else(|message| {
            flaw(message, "write it like \"5000/s\" or \"600000/min\" (units: s, min, h), or \"unlimited\"")
        }),
        Kind::Text { min, max, class } => plain_text(text, min, max, class),
        Kind::Choice(words) => choice(words, text).map(|word| Value::Text(word.to_owned())),
        Kind::Address => address(text),
        Kind::Endpoint => endpoint(text),
        Kind::File => file(text),
        Kind::Secret if text.is_empty() => flaw("is empty", "write \"file:/path\", \"env:NAME\" or the value itself"),
        Kind::Secret => Ok(Value::Secret(text.into())),
        Kind::Flag | Kind::Whole { .. } | Kind::Choices(_) | Kind::Secrets | Kind::Services | Kind::Networks => {
            return None;
        }
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

/// One of `words`.
pub(super) fn choice(words: &[&'static str], text: &str) -> Result<&'static str, Flaw> {
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
    if is_pasted_secret(text) {
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
