//! Answers that take their time.

use std::time::Instant;

use crate::simulator::Reply;

/// An answer that is not due yet. Ordered by time, then by order of arrival.
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) nth: u64,
    pub(super) stream: u32,
    pub(super) reply: Reply,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.nth).cmp(&(other.at, other.nth))
    }
}
