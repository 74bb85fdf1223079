//! Reads a job, strictly, and says exactly what is wrong where.
//!
//! ```text
//! bytes ──UTF-8──▶ text ──document──▶ Node (borrows the text, no key twice, not too deep) ──fields──▶ Job
//! ```
//!
//! Two passes, so that each is simple: the first knows JSON and nothing of jobs, the second knows jobs and nothing of
//! JSON's syntax. Both carry the [`Path`](path::Path) to where they are as a list on the stack; it costs nothing until it
//! is printed.
//!
//! Rules that hold everywhere:
//! - An unknown field is an error where Tidegate knows all fields (the job, `notification`, `apns`, `apns.headers`, a
//!   target); inside `apns.payload`, `fcm` and `webpush` anything goes.
//! - A field twice in one object is an error at every depth, the passed-through sections included: of two values, which
//!   one was meant?
//! - Numbers in passed-through sections are 64-bit integers or floats; a longer one loses digits, as in JavaScript.
//! - `null` is as good as the field's absence where the field is optional, and so is an empty object.
//! - One bad address is [`Target::Bad`], that push's outcome; a target that names no provider, or
//!   two, can't be any push's outcome and is the job's error.

mod address;
mod apns_headers;
mod document;
mod expect;
mod fields;
mod nearest;
mod path;
mod show;

pub use expect::is_traceparent;

use super::{Job, Target};
use path::Path;

/// The largest job: 1 MiB.
pub const MAX_JOB_BYTES: usize = 1 << 20;

/// The most targets a job may have.
pub const MAX_TARGETS: usize = 1000;

/// Why a job can't be read; it becomes a dead letter with this reason and path.
///
/// | reason | what is wrong |
/// | --- | --- |
/// | `too_large`, `empty`, `not_utf8`, `not_json`, `trailing_data`, `too_deep` | the document |
/// | `wrong_type` | another JSON type is wanted there |
/// | `unknown_field`, `duplicate_field`, `missing_field`, `reserved_field` | a field that may not, or must, be there |
/// | `empty_value`, `too_long`, `out_of_range`, `bad_value` | a value outside its bounds |
/// | `no_target`, `too_many_targets`, `bad_target` | `to` has none, over 1,000, or one that doesn't name its one provider |
/// | `nothing_to_send` | no notification, data or provider's section |
///
/// What stood in the job is shown cut short, what stood in `to` not at all: an error never holds a whole address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadJob {
    /// In snake_case, for machines: `not_json`, `unknown_field`, `wrong_type`, …
    pub reason: &'static str,
    /// The offending field as a JSON path: `to[3].apns`; empty for the document itself.
    pub path: String,
    /// For people: what is there, and what should be.
    pub detail: String,
}

impl BadJob {
    fn at(path: &Path<'_>, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, path: path.to_string(), detail: detail.into() }
    }
}

impl std::fmt::Display for BadJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.reason, self.detail),
            path => write!(f, "{}: {path} {}", self.reason, self.detail),
        }
    }
}

impl std::error::Error for BadJob {}

/// What stands in for fields a job leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Defaults<'a> {
    /// For `id`: AMQP's `message_id`; without it a new UUIDv7 is made.
    pub id: Option<&'a str>,
    /// For `app`: the app of the queue it came by; without it `app` is required.
    pub app: Option<&'a str>,
}

/// Reads one job.
///
/// Of several faults the first in reading order is told: the document's before any field's, then the fields as they
/// stand, then what is missing.
///
/// # Errors
/// [`BadJob`] with the first offending field; nothing of the job is kept.
pub fn decode(body: &[u8], defaults: Defaults<'_>) -> Result<Job, BadJob> {
    fields::job(document::parse(text(body)?)?, defaults)
}

/// Reads one address, as it stands in a job's `to` or an outcome's `target`.
///
/// Like there, an address that names its provider and is none is [`Target::Bad`], not an error.
impl std::str::FromStr for Target {
    type Err = BadJob;

    fn from_str(json: &str) -> Result<Self, BadJob> {
        address::target(&Path::Root, &document::parse(text(json.as_bytes())?)?)
    }
}

fn text(body: &[u8]) -> Result<&str, BadJob> {
    if body.len() > MAX_JOB_BYTES {
        let detail = format!("has {} bytes, may have at most {MAX_JOB_BYTES}", body.len());
        return Err(BadJob::at(&Path::Root, "too_large", detail));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("is not UTF-8 from byte {} on", error.valid_up_to());
        BadJob::at(&Path::Root, "not_utf8", detail)
    })?;
    if text.trim_ascii().is_empty() {
        return Err(BadJob::at(&Path::Root, "empty", "is empty, must be a JSON object"));
    }
    Ok(text)
}
