//! How what stood in a job is shown in an error: enough to recognise it, never a whole address.

/// Texts up to this many bytes are shown whole. A device token is longer (64 and more), names of fields are shorter.
pub(super) const WHOLE: usize = 32;
/// How many characters are shown of a longer one.
const HEAD: usize = 8;

/// A text in quotes, control characters escaped, cut short where it is long.
pub(super) fn text(text: &str) -> String {
    if text.len() <= WHOLE {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(HEAD).collect();
    let quoted = format!("{head:?}");
    format!("{}…\" ({} bytes)", quoted.trim_end_matches('"'), text.len())
}

/// Alternatives for people: `a, b or c`.
pub(super) fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
