//! How much room there is: the spool's own bound, and the disk's.
//!
//! Both are looked at before a transaction and refuse puts only. Retries and dead letters replace jobs that are there
//! already, so they can pass the bound by no more than what is in hand; and the floor is what they, and the notes of
//! what is settled, live from when the disk is nearly full.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::schema::BUSY;
use super::{Refused, SpoolSettings, files};

/// Bytes a job takes besides its body: its other columns, its part of a page's head, of inner pages and of unused ends.
const BESIDES: u64 = 160;

/// Free pages that are kept for what comes next, and what part of the file they must be to be given back (a quarter).
const KEPT_PAGES: i64 = 4_096;
const QUARTER: i64 = 4;
/// Pages given back at once: some milliseconds.
const STEP: u32 = 512;

/// The write-ahead log is carried over into the store when it has so many bytes: a tenth of it doubles the time spent on that
/// under load; ten times as much makes the pause felt. A large transaction makes it longer for a moment.
const LOG_BYTES: u64 = 16 << 20;

/// A look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    used: u64,
    max: u64,
    free: u64,
    floor: u64,
    dead: u64,
}

impl Space {
    pub(super) fn look(connection: &Connection, directory: &Path, settings: &SpoolSettings) -> rusqlite::Result<Self> {
        let pages = number(connection, "page_count")? - number(connection, "freelist_count")?;
        let used = u64::try_from(pages * number(connection, "page_size")?).unwrap_or(0) + files::log_bytes(directory);
        // A file system that does not say is taken to have room: the store's own error follows if it has not.
        let free = files::free(directory).unwrap_or(u64::MAX);
        let dead = rows(connection, "dead")?;
        Ok(Self { used, max: settings.max_bytes, free, floor: settings.min_free, dead })
    }

    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Dead letters.
    pub(super) const fn dead(&self) -> u64 {
        self.dead
    }

    /// Why so many bytes more are not taken in.
    pub(super) const fn refusal(&self, bytes: u64) -> Option<Refused> {
        if bytes > self.max {
            return Some(Refused::TooLarge { bytes, max: self.max });
        }
        if self.free.saturating_sub(bytes) < self.floor {
            return Some(Refused::DiskFull { free: self.free, floor: self.floor });
        }
        if self.used.saturating_add(bytes) > self.max {
            return Some(Refused::Full { used: self.used, max: self.max, dead: self.dead });
        }
        None
    }

    /// So many bytes were taken in.
    pub(super) const fn take(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
        self.free = self.free.saturating_sub(bytes);
    }
}

/// What a job with a body of so many bytes takes.
pub(super) const fn cost(body: usize) -> u64 {
    body as u64 + BESIDES
}

/// Gives back a step's pages, if more are free than are kept; says whether it did. The file is shorter when the log is
/// carried over.
pub(super) fn shrink(connection: &Connection) -> rusqlite::Result<bool> {
    let (pages, free) = (number(connection, "page_count")?, number(connection, "freelist_count")?);
    if free <= KEPT_PAGES || free * QUARTER < pages {
        return Ok(false);
    }
    // It makes a row of each page, and a step's pages are given back when all are asked for.
    let mut step = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({STEP})"))?;
    let mut pages = step.query([])?;
    while pages.next()?.is_some() {}
    Ok(true)
}

/// Carries the log over into the store and cuts it to nothing, if nobody is reading at this moment; else it is put off.
pub(super) fn empty_log(connection: &Connection) {
    let patience = |patience| connection.busy_timeout(patience);
    // Both can't fail on an open connection, and whether the log was emptied is seen at the next look.
    let _ = patience(Duration::ZERO);
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let _ = patience(BUSY);
}

/// Keeps the log a small part (an eighth) of what the spool may use, where that is little.
pub(super) fn bound_log(connection: &Connection, settings: &SpoolSettings) -> rusqlite::Result<()> {
    let bytes = log_bound(settings);
    let pages = bytes / 4_096;
    connection.execute_batch(&format!("PRAGMA wal_autocheckpoint = {pages}; PRAGMA journal_size_limit = {bytes}"))
}

fn log_bound(settings: &SpoolSettings) -> u64 {
    (settings.max_bytes / 8).clamp(64 << 10, LOG_BYTES)
}

/// Whether the log is longer than it should be, as a large transaction leaves it until the next one.
pub(super) fn log_is_long(directory: &Path, settings: &SpoolSettings) -> bool {
    files::log_bytes(directory) > log_bound(settings)
}

/// How many rows a table has, as `counts` keeps it.
pub(super) fn rows(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let mut count = connection.prepare_cached("SELECT rows FROM counts WHERE name = ?")?;
    count.query_row([table], |row| row.get::<_, i64>(0)).map(|rows| rows.max(0).unsigned_abs())
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(&format!("PRAGMA {pragma}"))?.query_row([], |row| row.get(0))
}
