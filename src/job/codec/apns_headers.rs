//! `apns.headers`: the request headers a caller may set (Apple, "Sending notification requests to APNs").
//!
//! What gets through here can be put on the wire as it stands: no value can break out of its header.

use std::borrow::Cow;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::document::Node;
use super::expect::{self, MAX_COLLAPSE_KEY};
use super::path::Path;
use super::{BadJob, show};

/// The headers there are.
const KNOWN: [&str; 6] =
    ["apns-push-type", "apns-priority", "apns-expiration", "apns-topic", "apns-collapse-id", "apns-id"];

/// The values of `apns-push-type`.
const PUSH_TYPES: [&str; 11] = [
    "alert",
    "background",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "location",
    "liveactivity",
    "pushtotalk",
    "controls",
    "widgets",
];

/// The values of `apns-priority`.
const PRIORITIES: [&str; 3] = ["10", "5", "1"];

/// The longest topic, in bytes: a bundle id and a suffix are far shorter.
const MAX_TOPIC: usize = 256;

/// Reads the headers; numbers become texts.
pub(super) fn read(path: &Path<'_>, node: Node<'_>) -> Result<Map<String, Value>, BadJob> {
    let mut headers = Map::new();
    for (name, node) in expect::object(path, node)? {
        if !KNOWN.contains(&name.as_ref()) {
            return Err(expect::unknown_field(path, &name, &KNOWN));
        }
        if !matches!(node, Node::Null) {
            let value = value(&path.field(&name), &name, node)?;
            headers.insert(name.into_owned(), Value::String(value));
        }
    }
    background_is_not_urgent(path, &headers)?;
    Ok(headers)
}

fn value(path: &Path<'_>, name: &str, node: Node<'_>) -> Result<String, BadJob> {
    let text = match node {
        Node::Text(text) => text,
        Node::Number(number) if !number.is_f64() => Cow::Owned(number.to_string()),
        other => return Err(expect::wrong_type(path, "a string or a whole number", &other)),
    };
    match name {
        "apns-push-type" => one_of(path, &text, &PUSH_TYPES)?,
        "apns-priority" => one_of(path, &text, &PRIORITIES)?,
        "apns-expiration" => check(path, &text, "seconds since 1970", is_time)?,
        "apns-topic" => topic(path, &text)?,
        "apns-collapse-id" => expect::collapse_key(path, &text).map(drop)?,
        _ => return id(path, &text),
    }
    Ok(text.into_owned())
}

fn one_of(path: &Path<'_>, text: &str, known: &[&str]) -> Result<(), BadJob> {
    check(path, text, &show::alternatives(known), |text| known.contains(&text))
}

fn topic(path: &Path<'_>, text: &str) -> Result<(), BadJob> {
    expect::sized(path, text, MAX_TOPIC)?;
    check(path, text, "a bundle id", |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    })
}

/// `apns-id` is a UUID in lower case with dashes; upper case is mended, other forms are not.
fn id(path: &Path<'_>, text: &str) -> Result<String, BadJob> {
    let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH);
    let refused = || BadJob::at(path, "bad_value", format!("must be a UUID, is {}", show::text(text)));
    uuid.map(|uuid| uuid.hyphenated().to_string()).ok_or_else(refused)
}

/// Up to twelve digits: beyond the year 33,000.
fn is_time(text: &str) -> bool {
    (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check(path: &Path<'_>, text: &str, wanted: &str, fits: impl Fn(&str) -> bool) -> Result<(), BadJob> {
    match fits(text) {
        true => Ok(()),
        false => Err(BadJob::at(path, "bad_value", format!("must be {wanted}, is {}", show::text(text)))),
    }
}

/// Apple: specifying priority 10 for a notification of type `background` is an error.
fn background_is_not_urgent(path: &Path<'_>, headers: &Map<String, Value>) -> Result<(), BadJob> {
    let header = |name: &str| headers.get(name).and_then(Value::as_str);
    match (header("apns-push-type"), header("apns-priority")) {
        (Some("background"), Some(priority)) if priority != "5" => {
            let detail = format!("must be 5 for the push type background, is {priority:?}");
            Err(BadJob::at(&path.field("apns-priority"), "bad_value", detail))
        }
        _ => Ok(()),
    }
}

const _: () = assert!(MAX_COLLAPSE_KEY == 64, "apns-collapse-id may have at most 64 bytes");
