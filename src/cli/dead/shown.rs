//! A letter shown whole, its addresses shortened as in logs (SPEC.md, promise 12), and text that a stranger wrote made safe
//! for a terminal.
//!
//! A letter is often dead because its job can't be read, so the addresses need not stand where they should. In a job that can
//! be read everything below `to` is an address. In any other whatever looks like one is taken for one, be it a value or a
//! field's name: text without a space, of [`LONG`] characters or more; and a body that is no JSON is not shown at all.

use serde_json::Value;

use crate::cli::print::clean;
use crate::job::{self, Defaults, FcmTarget, Target};

/// Device tokens have 64 characters and more, Firebase installation ids 22.
const LONG: usize = 20;

/// Headers that hold no address, by how their names begin: ours, the broker's.
const KNOWN: [&str; 8] = [
    "x-tidegate-",
    "x-deadline",
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
    "x-acquired-count",
    "traceparent",
];

/// A letter, as lines: what is told of it, its headers, its body.
pub(super) fn letter(told: &[(&str, String)], headers: &[(String, String)], body: &[u8], full: bool) -> String {
    let mut text = String::new();
    for (name, value) in told {
        text += &format!("{name:<9} {}\n", clean(value));
    }
    if !headers.is_empty() {
        text += "\nheaders\n";
    }
    for (name, value) in headers {
        let plain = full || KNOWN.iter().any(|known| name.starts_with(known));
        let value = if plain { clean(value) } else { clean(&short(value)) };
        text += &format!("  {}: {value}\n", clean(name));
    }
    text + &format!("\nbody, {} bytes\n{}", body.len(), self::body(body, full))
}

fn body(body: &[u8], full: bool) -> String {
    let mut value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(_) if full => return String::from_utf8_lossy(body).lines().map(clean).collect::<Vec<_>>().join("\n"),
        Err(error) => return format!("is no JSON ({error}); --full shows it as it came, addresses included"),
    };
    if !full {
        let readable = job::decode(body, Defaults { id: None, app: Some("any") }).is_ok();
        mask(&mut value, readable);
        if !readable {
            value = without_long_names(value);
        }
    }
    // Control characters are escaped in JSON.
    serde_json::to_string_pretty(&value).expect("what was JSON is JSON")
}

/// Shortens the addresses in a job's body.
fn mask(value: &mut Value, readable: bool) {
    let Value::Object(fields) = value else { return each_text(value, &|text| *text = short(text)) };
    for (name, field) in fields {
        match name.as_str() {
            "to" => each_text(field, &|text| *text = hashed(text)),
            _ if readable => {}
            _ => each_text(field, &|text| *text = short(text)),
        }
    }
}

/// A job that can be read has no field whose name is an address.
fn without_long_names(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(without_long_names).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (short(&name), without_long_names(value))).collect()
        }
        plain => plain,
    }
}

fn each_text(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(fields) => fields.values_mut().for_each(|value| each_text(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What stands for an address in logs.
fn hashed(address: &str) -> String {
    format!("#{}", Target::Fcm(FcmTarget::Token(address.into())).hash())
}

/// The same, if it may be an address.
fn short(text: &str) -> String {
    let long = text.chars().count() >= LONG && !text.contains(char::is_whitespace);
    if long { hashed(text) } else { text.to_owned() }
}

/// At most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b5f3a9c0b";

    #[test]
    fn no_address_is_shown_wherever_it_stands() {
        for job in [
            r#"{"app":"chat","to":[{"apns":"TOKEN"}],"notification":{"title":"hi"}}"#,
            r#"{"app":"chat","too":[{"apns":"TOKEN"}],"notification":{"title":"hi"}}"#,
            r#"{"app":"chat","to":"TOKEN","apns":"TOKEN","notification":{"title":"hi"}}"#,
            r#"[{"apns":"TOKEN"},"hi"]"#,
            r#"{"app":"chat","to":{"TOKEN":"apns"},"notification":{"title":"hi"}}"#,
            r#"{"app":"chat","TOKEN":{"TOKEN":["x",{"TOKEN":1}]}}"#,
            r#"{"app":"chat","to":[{"apns":"TOKEN"}"#,
        ] {
            let job = job.replace("TOKEN", TOKEN);
            let header = ("x-device".to_owned(), TOKEN.to_owned());
            let shown = letter(&[], &[header], job.as_bytes(), false);
            assert!(!shown.contains(&TOKEN[..20]), "{shown}");
            assert!(letter(&[], &[], job.as_bytes(), true).contains(TOKEN), "{job}");
        }
    }

    #[test]
    fn a_job_that_can_be_read_is_shown_but_for_its_addresses() {
        let job = format!(
            r#"{{"app":"chat","to":[{{"apns":"{TOKEN}"}},{{"fcm":{{"topic":"x"}}}}],"data":{{"k":"https://example.com/a/b/c/d"}}}}"#
        );
        let shown = body(job.as_bytes(), false);
        assert!(shown.contains("https://example.com/a/b/c/d") && shown.contains("\"chat\""), "{shown}");
        assert!(shown.contains(&format!("\"apns\": \"#{}\"", Target::Apns(TOKEN.into()).hash())), "{shown}");
        assert!(!shown.contains("\"x\""), "{shown}");
    }
}
