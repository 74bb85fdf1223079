//! What a field must be: a text within bounds, a whole number within a range, an object.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::BadJob;
use super::document::{Node, Object};
use super::nearest::nearest;
use super::path::Path;
use super::show;

/// The longest `id`, in bytes: it is a header, a key and a label.
const MAX_ID: usize = 128;
/// The longest name of an app, in bytes.
const MAX_APP: usize = 128;
/// The longest collapse key, in bytes: APNs' limit for `apns-collapse-id`.
pub(super) const MAX_COLLAPSE_KEY: usize = 64;

pub(super) fn wrong_type(path: &Path<'_>, wanted: &str, node: &Node<'_>) -> BadJob {
    BadJob::at(path, "wrong_type", format!("must be {wanted}, is {}", node.shown()))
}

pub(super) fn unknown_field(parent: &Path<'_>, name: &str, known: &[&str]) -> BadJob {
    let detail = match nearest(name, known) {
        Some(near) => format!("is not known; did you mean {near:?}?"),
        None => format!("is not known; known are {}", known.join(", ")),
    };
    BadJob::at(&parent.field(name), "unknown_field", detail)
}

pub(super) fn text<'a>(path: &Path<'_>, node: Node<'a>) -> Result<Cow<'a, str>, BadJob> {
    match node {
        Node::Text(text) => Ok(text),
        other => Err(wrong_type(path, "a string", &other)),
    }
}

pub(super) fn object<'a>(path: &Path<'_>, node: Node<'a>) -> Result<Object<'a>, BadJob> {
    match node {
        Node::Object(fields) => Ok(fields),
        other => Err(wrong_type(path, "an object", &other)),
    }
}

pub(super) fn whole(path: &Path<'_>, node: &Node<'_>, range: RangeInclusive<u32>) -> Result<u32, BadJob> {
    let Node::Number(number) = node else { return Err(wrong_type(path, "a whole number", node)) };
    if number.is_f64() {
        return Err(wrong_type(path, "a whole number", node));
    }
    let value = number.as_u64().and_then(|value| u32::try_from(value).ok()).filter(|value| range.contains(value));
    value.ok_or_else(|| {
        let detail = format!("must be {} to {}, is {number}", range.start(), range.end());
        BadJob::at(path, "out_of_range", detail)
    })
}

/// The job's id: 1 to 128 visible ASCII characters.
pub(super) fn id(path: &Path<'_>, text: &str) -> Result<Box<str>, BadJob> {
    sized(path, text, MAX_ID)?;
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => {
            let detail = format!("must be visible ASCII characters without spaces, is {}", show::text(text));
            Err(BadJob::at(path, "bad_value", detail))
        }
    }
}

/// The app's name.
pub(super) fn app(path: &Path<'_>, text: &str) -> Result<Box<str>, BadJob> {
    sized(path, text, MAX_APP)?;
    printable(path, text)?;
    Ok(text.into())
}

/// The collapse key, which becomes a header's value.
pub(super) fn collapse_key(path: &Path<'_>, text: &str) -> Result<Box<str>, BadJob> {
    sized(path, text, MAX_COLLAPSE_KEY)?;
    printable(path, text)?;
    Ok(text.into())
}

/// W3C trace context, level 1, section 3.2.
pub(super) fn traceparent(path: &Path<'_>, text: &str) -> Result<Box<str>, BadJob> {
    match is_traceparent(text) {
        true => Ok(text.into()),
        false => {
            let detail = format!("must be a W3C traceparent (00-<32 hex>-<16 hex>-<2 hex>), is {}", show::text(text));
            Err(BadJob::at(path, "bad_value", detail))
        }
    }
}

/// Whether a text is a W3C traceparent: a version, a trace id and a parent id that are not all zeros, flags; later
/// versions may go on after another dash.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length: usize| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.splitn(5, '-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (next(), next(), next(), next());
    let well_formed = hex(version, 2) && version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2);
    well_formed && text.len() <= 256 && (version != "00" || parts.next().is_none())
}

/// Not empty, and at most `most` bytes.
pub(super) fn sized(path: &Path<'_>, text: &str, most: usize) -> Result<(), BadJob> {
    match text.len() {
        0 => Err(BadJob::at(path, "empty_value", "must not be empty")),
        bytes if bytes > most => {
            Err(BadJob::at(path, "too_long", format!("may have at most {most} bytes, has {bytes}")))
        }
        _ => Ok(()),
    }
}

/// No control characters: the text becomes a header, a routing key or a label.
pub(super) fn printable(path: &Path<'_>, text: &str) -> Result<(), BadJob> {
    match text.chars().any(char::is_control) {
        false => Ok(()),
        true => {
            let detail = format!("must have no control characters, is {}", show::text(text));
            Err(BadJob::at(path, "bad_value", detail))
        }
    }
}
