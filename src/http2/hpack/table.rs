//! The static table (RFC 7541, appendix A) and the dynamic one (sections 2.3.2 and 4).

use std::collections::VecDeque;

use super::Field;

/// What an entry costs beside its octets (section 4.1), bytes.
const OVERHEAD: usize = 32;

/// The static table, from index 1.
pub(super) static STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The dynamic table: the newest entry first, evicted from the end.
#[derive(Debug)]
pub(super) struct Dynamic {
    entries: VecDeque<Field>,
    size: usize,
    limit: usize,
}

impl Dynamic {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, limit }
    }

    /// The entry at `index` (from 0, the newest).
    pub(super) fn get(&self, index: usize) -> Option<&Field> {
        self.entries.get(index)
    }

    /// Enters a field; one that is larger than the table empties it (section 4.4).
    pub(super) fn insert(&mut self, field: Field) {
        self.size += cost(&field);
        self.entries.push_front(field);
        self.evict();
    }

    /// Changes the limit, bytes.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict();
    }

    /// What the entries cost, bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= cost(&oldest);
        }
    }
}

/// What a field costs in a table and in a header list, bytes.
pub(super) fn cost(field: &Field) -> usize {
    field.0.len() + field.1.len() + OVERHEAD
}
