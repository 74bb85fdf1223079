//! Looks for a job by its id: what is queued, what comes again, what is dead. For people who ask.
//!
//! There is no index by id, which every job would have to pay for; so all rows are looked at, on a connection of its own and
//! for a bounded time. A deep backlog may not be gone through in it, and that is said.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::record::at;
use super::schema;
use super::strands::lane;
use crate::job::{Lane, UnixMillis};

/// Parts of one job that are told, of each kind.
const MOST: usize = 20;

/// How long until a look that was to end is told so again.
const AGAIN: Duration = Duration::from_millis(1);

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

const OF_JOB: &str = "app, lane, pushes, attempts, accepted_at";

/// Looks for the job with this id in the spool in that directory, for as long as `patience`. Blocks.
///
/// # Errors
/// If the store can't be read; in words.
pub fn find(directory: &Path, id: &str, patience: Duration) -> Result<Search, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = schema::open(directory, flags).map_err(|error| error.to_string())?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(|error| error.to_string())?;
    let interrupt = connection.get_interrupt_handle();
    let (finished, waits) = channel::<()>();
    let mut search = Search::default();
    let looked = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut left = patience;
            while waits.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                // One that comes between two statements is lost: so it is said until it was heard.
                interrupt.interrupt();
                left = AGAIN;
            }
        });
        let looked = look(&connection, id, &mut search.found);
        drop(finished);
        looked
    });
    match looked {
        Ok(()) => Ok(search),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Search { cut_short: true, ..search })
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The small tables first: the time is spent where it brings something.
fn look(connection: &Connection, id: &str, found: &mut Vec<OnDisk>) -> rusqlite::Result<()> {
    type Reads = fn(&Row<'_>) -> rusqlite::Result<Lies>;
    let dead: Reads = |row| Ok(Lies::Dead { reason: row.get(5)?, detail: row.get(6)?, at: at(row.get(7)?) });
    let tables: [(&str, &str, &str, Reads); 3] = [
        ("later", "strand", ", due", |row| Ok(Lies::Later { due: at(row.get(5)?) })),
        ("dead", "strand", ", reason, detail, at", dead),
        ("jobs", "key >> 40", "", |_| Ok(Lies::Queued)),
    ];
    for (table, strand, more, lies) in tables {
        let sql = format!(
            "SELECT {OF_JOB}{more} FROM {table} JOIN strands ON strands.id = {strand} WHERE {table}.id = ? LIMIT {MOST}"
        );
        let mut select = connection.prepare(&sql)?;
        let mut rows = select.query([id])?;
        while let Some(row) = rows.next()? {
            found.push(OnDisk {
                lies: lies(row)?,
                app: row.get(0)?,
                lane: lane(row.get(1)?),
                pushes: row.get(2)?,
                attempts: row.get(3)?,
                accepted_at: at(row.get(4)?),
            });
        }
    }
    Ok(())
}
