//! What an operator sees of the spool.

use serde::Serialize;

use crate::job::Lane;
use crate::spool::SpoolStatus;

/// The source's state.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SpoolSourceStatus {
    /// Whether it hands nothing more over.
    pub draining: bool,
    /// Why nothing could be read at the last try; gone with the next success.
    pub error: Option<String>,
    /// By [`Lane::index`].
    pub lanes: [LaneStatus; 3],
    /// The store's.
    #[serde(flatten)]
    pub store: SpoolStatus,
}

/// One lane of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// Jobs that the pipeline would take now.
    pub demand: usize,
    /// Jobs that it has and did not settle yet.
    pub unsettled: usize,
}

impl SpoolSourceStatus {
    /// What is amiss, in words; `None`: jobs are taken in, read and settled.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let draining = self.draining.then(|| "draining".to_owned());
        let stuck = match self.store.stuck {
            0 => None,
            jobs => Some(format!(
                "{jobs} jobs that were sent can't be removed from a damaged spool.db, and will be sent again"
            )),
        };
        let parts = [&draining, &stuck, &self.error, &self.store.failing, &self.store.refusing];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Jobs in hand of this lane.
    #[must_use]
    pub const fn unsettled(&self, lane: Lane) -> usize {
        self.lanes[lane.index()].unsettled
    }
}
