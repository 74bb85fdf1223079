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
//!
//! # On disk
//!
//! A directory (0700) with `spool.db`, `lock` and `handed` (see `files`); the tables stand in `schema`. Format 1; a later one is
//! refused in words, and `tests/data/spool_v1.db` is what every later version must still read. A job's key is
//! `strand << 40 | sequence`, so the table's own tree keeps a strand together and in order. Retries that are due go into the
//! lower half of the sequence, the strand's front, and are read before the backlog. Every record has a CRC-32 over its
//! columns; one that is wrong, or holds what no record has, becomes the dead letter `corrupt_record`.
//!
//! # Invariants
//!
//! - *One writer.* A single thread gives out sequence numbers, ascending in each half of a strand, and commits them with the
//!   strand's counters. `tidegate dead` writes `later` and `dead` only.
//! - *Read once.* A job up to a counter that the reader saw is there or settled; what comes later lies beyond it. So cursors
//!   that only go forward read no job twice and pass none over.
//! - *Written, then answered.* A put is answered, a retry or dead letter is ready, after the commit that holds it was synced
//!   (`synchronous=FULL`). What waits when a commit ends shares the next one.
//! - *Kept before settled.* A job is deleted in no earlier commit than its retry or dead letter is written in.
//! - *Bounded.* Puts are refused beyond `max_bytes` and below `min_free`. Retries and dead letters are not: they replace what
//!   is there, so they pass the bound by what is in hand, once over, until it is settled. The log (`-wal`) counts as used
//!   and is kept to 16 MiB or an eighth of `max_bytes`, but for one large transaction (32 MiB and a put).
//! - *Never stuck.* What the store does not take is tried again: puts are refused meanwhile, all else is owed in memory.
//!   The source reads nothing more as long as that lasts, so what is owed is bounded by what was in hand when it began.
//!
//! # What a crash leaves
//!
//! | it comes | then |
//! | --- | --- |
//! | before a commit is synced | nobody was answered; nothing of it is there, or all of it |
//! | after the sync, before the answers | the jobs are there; a caller who says them again within the window is a duplicate |
//! | with jobs in hand | they are read again; each has one crash more, if the process died (not if the power went) |
//! | after settling, before its commit (20 ms at most, unless the store fails) | the last settled jobs come again |
//! | between a retry's commit and its job's settling | both are there: that part may be sent twice |
//! | while the log is carried over, or pages are given back | SQLite's log has it all |
//!
//! Tests kill a process 200 times (`kill -9`), take its power 60 times (what was not synced is lost, torn or kept write by
//! write: `tests/spool_crash`, `tests/data/power_loss.c`), and fill its disk.
//!
//! # Measured
//!
//! `cargo bench --bench spool`, 25 November 2026: two shared cores of an AMD EPYC, a virtual disk that syncs in 0.36 ms, bodies
//! of 400 bytes, ids that callers chose, eight strands, every put answered after its sync. Jobs a second; "busy": while
//! others used both cores (load 5 to 7).
//!
//! | per put, putters | in | in and out | in and out, busy | CPU a job, in and out |
//! | --- | --- | --- | --- | --- |
//! | 1, 1 | 2,600 | | | 310 us |
//! | 1, 16 | 17,900 | | 14,800 | 33 us |
//! | 1, 64 | 51,000 | | 44,500 | 14 us |
//! | 100, 1 | 89,000 | 106,000 | 41,800 | 8 to 10 us |
//! | 100, 16 | 170,000 | 176,000 | 119,000 | 5 to 7 us |
//! | 100, 64 | 227,000 | 183,000 | 115,000 | 6 us |
//! | 1,000, 1 | 185,000 | 172,000 | 57,800 | 6 us |
//! | 1,000, 16 | 208,000 | 162,000 | 116,000 | 6 us |
//! | 1,000, 64 | 116,000 to 158,000 | 126,000 | 68,900 | 7 us |
//!
//! So SQLite carries 50,000 jobs a second in and out, with group commit, from 100 jobs a put on (but for a single caller on
//! a busy machine); one by one, 64 callers at once come near it, as each waits for its sync. Reading was of what had just
//! been written, from memory; a deep backlog adds the disk's reads. After a crash a store of 241 MiB with 500,000 jobs,
//! 8,000 of them in hand, opened in 0.28 s. By its design that grows with the log (some MiB), the ids of the dedupe window
//! (880,000 at most) and the jobs in hand, not with the backlog; larger stores were not measured.

mod files;
mod find;
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

pub use find::{Lies, OnDisk, Search, find};
pub use handle::{Spool, Writer};
pub use letters::{DeadLetters, Filter, Letter, OpenLetter, ReasonLetters, Which};
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
    /// The spool holds `max_bytes`; there will be room when deliveries have gone on, or dead letters were dropped.
    Full {
        /// Bytes in use.
        used: u64,
        /// The bound.
        max: u64,
        /// Dead letters, which are a part of it.
        dead: u64,
    },
    /// They are more than the spool may ever hold.
    TooLarge {
        /// Bytes they would take.
        bytes: u64,
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
            Self::Full { used, max, dead: 0 } => write!(f, "the spool is full: it holds {used} of {max} bytes"),
            Self::Full { used, max, dead } => {
                write!(
                    f,
                    "the spool is full: it holds {used} of {max} bytes, {dead} dead letters (`tidegate dead`) among them"
                )
            }
            Self::TooLarge { bytes, max } => {
                write!(f, "the request's jobs take {bytes} bytes, and the spool may hold no more than {max}")
            }
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

/// Dead letters that are kept; the oldest go when there are more.
pub(crate) const MAX_DEAD: u64 = 1_000_000;

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
    /// The providers of these targets: the part waits in the strand of what goes there only.
    pub providers: Providers,
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
    /// Attempts made for each of them; of a job as it came, those it came with are kept.
    pub attempts: u8,
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people.
    pub detail: String,
    /// Since when.
    pub at: UnixMillis,
}

/// Why a spool can't be opened. What was in it is in it still.
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
            Self::InUse(path) => write!(
                f,
                "source.spool.path = {:?} is in use by another process; end it, or name another directory",
                path.display()
            ),
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
