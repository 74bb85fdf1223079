//! Reasons as providers word them: an open set, kept as it came.

use std::borrow::Cow;

use crate::verdict::Reason;

/// The most of a provider's word that is kept, in bytes: it becomes a label and a log field. The longest known has 32.
const LONGEST: usize = 128;

/// A provider's own word, cut to a sensible length, without control characters.
pub(super) fn reason(word: &str) -> Reason {
    let mut kept: String = word.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
    while kept.len() > LONGEST {
        kept.pop();
    }
    Cow::Owned(kept)
}

/// Tidegate's word for an answer that gives none: its status.
pub(super) fn status_alone(status: http::StatusCode) -> Reason {
    Cow::Owned(format!("http_{}", status.as_u16()))
}
