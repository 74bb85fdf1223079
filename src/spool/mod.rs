//! The embedded durable queue: jobs on disk, in SQLite, with no server.
//!
//! ```text
//! put ──▶ Writer ──one transaction, one fsync──▶ jobs ──▶ Reader ──▶ source
//!            ▲                                    later (due)   dead (reason)
//!            └── settle, later, dead, replay ◀── settlement
//! ```
//!
//! Jobs wait in *strands*: one per lane, app and set of providers. Whoever reads chooses from which strand, so a job whose
//! route is blocked is left where it is and holds back nobody else.

mod files;
mod handle;
mod inbox;
mod letters;
mod reader;
mod record;
mod schema;
mod seen;
mod settings;
mod space;
mod strands;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::path::PathBuf;

use bytes::Bytes;

pub use handle::{Spool, Writer};
pub use letters::{DeadLetters, Filter, Letter, OpenLetter, Which};
pub use reader::Reader;
pub use settings::SpoolSettings;

use crate::job::{Lane, Provider, UnixMillis};
use crate::verdict::Reason;

/// A set of providers, by [`Provider::index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Providers(pub u8);

impl Providers {
    /// This set and `provider`.
    #[must_use]
    pub fn with(self, provider: Provider) -> Self {
        Self(self.0 | 1 << provider.index())
    }

    /// Whether `provider` is in it.
    #[must_use]
    pub fn contains(self, provider: Provider) -> bool {
        self.0 & 1 << provider.index() != 0
    }
}

/// A job that shall be queued. Its body was found good by [`decode`](crate::job::decode).
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The job's id: its own, or the one the door made for it.
    pub id: Box<str>,
    /// Whether the caller chose the id, so that it counts for the dedupe window.
    pub named: bool,
    /// Whose it is.
    pub app: Box<str>,
    /// The lane it waits in.
    pub lane: Lane,
    /// The providers of its targets: together with lane and app, its strand.
    pub providers: Providers,
    /// How many pushes it stands for.
    pub pushes: u16,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Not sent after this, besides its ttl.
    pub deadline: Option<UnixMillis>,
    /// The body as it came.
    pub body: Bytes,
}

/// What became of jobs that were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// How many were queued. The others had an id that was seen within the dedupe window.
    pub queued: usize,
    /// By position, whether a job was such a duplicate.
    pub duplicate: Vec<bool>,
}

/// Why nothing of what was put is queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The spool holds `max_bytes`; there will be room when deliveries have gone on.
    Full {
        /// Bytes in use.
        used: u64,
        /// The bound.
        max: u64,
    },
    /// The disk has less than `min_free` left, or said that it is full.
    DiskFull {
        /// Bytes that the file system has left.
        free: u64,
        /// The floor.
        floor: u64,
    },
    /// The store failed; in words.
    Broken(String),
    /// The spool is being closed.
    Closed,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full { used, max } => write!(f, "the spool is full: it holds {used} of {max} bytes"),
            Self::DiskFull { free, floor } => {
                write!(f, "the spool's disk is nearly full: {free} bytes are free, {floor} are to be left")
            }
            Self::Broken(error) => write!(f, "the spool can't be written to: {error}"),
            Self::Closed => f.write_str("the spool is being closed"),
        }
    }
}

impl std::error::Error for Refused {}

/// The number of a strand; stays the same as long as the spool's directory exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StrandId(pub u32);

/// Jobs of one lane and app that go to the same providers. They are read in the order in which they were queued;
/// retries that are due go first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strand {
    /// Its number.
    pub id: StrandId,
    /// The lane.
    pub lane: Lane,
    /// The app.
    pub app: Box<str>,
    /// The providers.
    pub providers: Providers,
}

/// What a queued job is called. Never used twice within one spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub i64);

/// Bits of a key that number the jobs of one strand; those above are the strand.
pub(crate) const SEQUENCE_BITS: u32 = 40;

impl Key {
    /// The strand it belongs to.
    #[must_use]
    pub fn strand(self) -> StrandId {
        StrandId(u32::try_from(self.0 >> SEQUENCE_BITS).expect("a key is positive, and has 23 bits for its strand"))
    }
}

/// A queued job, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What it is called, when it is settled.
    pub key: Key,
    /// The job's id.
    pub id: Box<str>,
    /// How many pushes this part of the job stands for.
    pub pushes: u16,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Not sent after this, besides its ttl.
    pub deadline: Option<UnixMillis>,
    /// Attempts made for each of its pushes so far.
    pub attempts: u8,
    /// Which of its targets are meant, ascending, where not all are.
    pub selected: Option<Box<[u16]>>,
    /// How often it was in hand when the process ended without settling it.
    pub crashes: u32,
    /// The body as it came.
    pub body: Bytes,
}

/// A part of a job that shall come again.
#[derive(Debug, Clone)]
pub struct Again {
    /// The job it is part of.
    pub of: Key,
    /// Which of its targets, ascending.
    pub targets: Vec<u16>,
    /// Attempts made for each of them so far.
    pub attempts: u8,
    /// Not before.
    pub due: UnixMillis,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Dead {
    /// The job it is part of.
    pub of: Key,
    /// Which of its targets, ascending; empty: the job as it came.
    pub targets: Vec<u16>,
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people.
    pub detail: String,
    /// Since when.
    pub at: UnixMillis,
}

/// Why a spool can't be opened. Nothing was changed.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse(PathBuf),
    /// It was made by a later version, or is no spool.
    Format(PathBuf, String),
    /// The directory or the store can't be used.
    Store(PathBuf, String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "source.spool.path = {:?} is in use by another process", path.display()),
            Self::Format(path, why) | Self::Store(path, why) => {
                write!(f, "source.spool.path = {:?}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// What a spool shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct SpoolStatus {
    /// Jobs queued, those in hand included.
    pub queued: u64,
    /// Retries that are not due yet.
    pub later: u64,
    /// Dead letters.
    pub dead: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Why nothing is taken in now, in words; `None`: it is.
    pub refusing: Option<String>,
    /// Why the store could not be written to at the last try; settled jobs are held in memory until it can be.
    pub failing: Option<String>,
    /// Dead letters dropped since the spool was opened, the oldest first, as there were a million.
    pub dropped_dead: u64,
}
