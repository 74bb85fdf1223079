//! `[source.spool]`.

use std::path::PathBuf;
use std::time::Duration;

/// Where the spool is and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The directory; made if it is missing. Default `var/spool`.
    pub path: PathBuf,
    /// Bytes that it may use; beyond them jobs are refused (429). Default 8 GiB.
    pub max_bytes: u64,
    /// Bytes that the file system must have left; below them jobs are refused (507), so that deliveries can go on being
    /// settled. Default 256 MiB.
    pub min_free: u64,
    /// For how long an id that a caller chose is known. Default 10 minutes.
    pub dedupe: Duration,
    /// A job that was in hand more often than this when the process died is a dead letter. Default 100.
    pub max_deliveries: u32,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            path: "var/spool".into(),
            max_bytes: 8 << 30,
            min_free: 256 << 20,
            dedupe: Duration::from_secs(600),
            max_deliveries: 100,
        }
    }
}
