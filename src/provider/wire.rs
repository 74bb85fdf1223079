//! What the providers' requests have in common.

use http::HeaderValue;

use super::row;
use crate::verdict::Verdict;

/// A header whose value hardly any other push has must not enter HPACK's dynamic table: it holds some thousand bytes (Apple's
/// 4096), and would forget the topic over them (PROVIDERS.md, 1.2). h2 keeps what is marked sensitive out of the table.
pub(super) fn volatile(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// No request can be made of this push.
pub(super) fn rejected(reason: &'static str) -> Verdict {
    row::rejected().because(reason)
}
