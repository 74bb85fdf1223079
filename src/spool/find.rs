//! Looks for a job by its id: what is queued, what comes again, what is dead. For people who ask.
//!
//! There is no index by id, which every job would have to pay for; so all rows are looked at, on a connection of its own and
//! for a bounded time. A deep backlog may not be gone through in it, and that is said.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::record::at;
use super::schema;
use super::strands::lane;
use crate::job::{Lane, UnixMillis};

/// Parts of one job that are told, of each kind.
const MOST: usize = 20;

/// Rows that are looked at between two looks at the clock: a millisecond or so.
const STEP: usize = 1_000;

/// Where a job, or a part of it, lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lies {
    /// It is queued, or in hand.
    Queued,
    /// It comes again.
    Later {
        /// Not before.
        due: UnixMillis,
    },
    /// It is a dead letter.
    Dead {
        /// Why, for machines.
        reason: String,
        /// Why, for people.
        detail: String,
        /// Since when.
        at: UnixMillis,
    },
}

/// A job, or a part of it, on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    /// Where it lies.
    pub lies: Lies,
    /// Whose it is.
    pub app: String,
    /// The lane it waits in.
    pub lane: Lane,
    /// How many pushes it stands for.
    pub pushes: u16,
    /// Attempts made for each of them so far.
    pub attempts: u8,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
}

/// What a look brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// What was found.
    pub found: Vec<OnDisk>,
    /// Whether the time ended before all was looked at.
    pub cut_short: bool,
}

/// A table that is looked through.
struct Place {
    name: &'static str,
    /// What its rows are numbered by.
    number: &'static str,
    /// The strand's number, in terms of its columns.
    strand: &'static str,
    /// Further columns, for `lies`.
    more: &'static str,
    lies: fn(&Row<'_>) -> rusqlite::Result<Lies>,
}

/// The small ones first: the time is spent where it brings something.
const PLACES: [Place; 3] = [
    Place {
        name: "later",
        number: "n",
        strand: "strand",
        more: ", due",
        lies: |row| Ok(Lies::Later { due: at(row.get(5)?) }),
    },
    Place {
        name: "dead",
        number: "n",
        strand: "strand",
        more: ", reason, detail, at",
        lies: |row| Ok(Lies::Dead { reason: row.get(5)?, detail: row.get(6)?, at: at(row.get(7)?) }),
    },
    Place { name: "jobs", number: "key", strand: "key >> 40", more: "", lies: |_| Ok(Lies::Queued) },
];

/// Looks for the job with this id in the spool in that directory, for as long as `patience`. Blocks.
///
/// # Errors
/// If the store can't be read; in words.
pub fn find(directory: &Path, id: &str, patience: Duration) -> Result<Search, String> {
    let give_up = Instant::now() + patience;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = schema::open(directory, flags).map_err(|error| error.to_string())?;
    let mut search = Search::default();
    let mut look = || -> rusqlite::Result<()> {
        connection.execute_batch("PRAGMA query_only = ON")?;
        for place in &PLACES {
            search.cut_short |= !place.look(&connection, id, give_up, &mut search.found)?;
        }
        Ok(())
    };
    look().map_err(|error| error.to_string())?;
    Ok(search)
}

impl Place {
    /// Looks through it, step by step; whether it came to the end.
    fn look(
        &self,
        connection: &Connection,
        id: &str,
        give_up: Instant,
        found: &mut Vec<OnDisk>,
    ) -> rusqlite::Result<bool> {
        let Self { name, number, .. } = self;
        let sql = format!("SELECT {number}, id = ?1 FROM {name} WHERE {number} > ?2 ORDER BY {number} LIMIT {STEP}");
        let mut select = connection.prepare(&sql)?;
        let (mut reached, mut told) = (i64::MIN, 0);
        loop {
            if Instant::now() >= give_up {
                return Ok(false);
            }
            let (mut rows, mut seen) = (select.query((id, reached))?, 0);
            let mut here = Vec::new();
            while let Some(row) = rows.next()? {
                (reached, seen) = (row.get(0)?, seen + 1);
                if row.get(1)? {
                    here.push(reached);
                }
            }
            for row in here {
                found.extend(self.read(connection, row)?);
                told += 1;
            }
            if seen < STEP || told >= MOST {
                return Ok(true);
            }
        }
    }

    /// Reads a row; `None`: it went in between.
    fn read(&self, connection: &Connection, row: i64) -> rusqlite::Result<Option<OnDisk>> {
        let Self { name, number, strand, more, lies } = self;
        let sql = format!(
            "SELECT app, lane, pushes, attempts, accepted_at{more} FROM {name} JOIN strands ON strands.id = {strand}
             WHERE {number} = ?"
        );
        let read = |row: &Row<'_>| {
            Ok(OnDisk {
                lies: lies(row)?,
                app: row.get(0)?,
                lane: lane(row.get(1)?),
                pushes: row.get(2)?,
                attempts: row.get(3)?,
                accepted_at: at(row.get(4)?),
            })
        };
        connection.query_row(&sql, [row], read).optional()
    }
}
