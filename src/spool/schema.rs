//! What is in the store, and how a connection is set up.
//!
//! A job's key is its strand's number and, below it, its place in the strand: `strand << 40 | sequence`. So the table's own
//! tree keeps each strand together and in order: queueing appends at a strand's end, reading the next jobs is one short
//! range scan, and no further index has to be kept. Sequences below [`BACK`] are the *front* of a strand: retries that are
//! due go there, and are read before the backlog.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{OpenError, SEQUENCE_BITS, files};

/// "TIDE": the store is ours.
const APPLICATION_ID: i32 = 0x5449_4445;
/// The version of all that is below.
const VERSION: i32 = 1;

/// The first sequence number of a strand's backlog; those below are its front.
pub(super) const BACK: i64 = 1 << (SEQUENCE_BITS - 1);

/// How long to wait for another process (`tidegate dead`) that writes at this moment.
pub(super) const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE strands (
    id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, app TEXT NOT NULL, providers INTEGER NOT NULL,
    -- jobs queued; the last sequence numbers given out in front and back; when that changed last
    waiting INTEGER NOT NULL, front INTEGER NOT NULL, back INTEGER NOT NULL, stamp INTEGER NOT NULL,
    UNIQUE (lane, app, providers)
);
CREATE INDEX strands_by_stamp ON strands (stamp);
CREATE TABLE jobs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL, pushes INTEGER NOT NULL, accepted_at INTEGER NOT NULL, deadline INTEGER,
    attempts INTEGER NOT NULL, selected BLOB, crashes INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE later (
    n INTEGER PRIMARY KEY, due INTEGER NOT NULL, strand INTEGER NOT NULL,
    id TEXT NOT NULL, pushes INTEGER NOT NULL, accepted_at INTEGER NOT NULL, deadline INTEGER,
    attempts INTEGER NOT NULL, selected BLOB, crc INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX later_by_due ON later (due);
CREATE TABLE dead (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    strand INTEGER NOT NULL,
    id TEXT NOT NULL, pushes INTEGER NOT NULL, accepted_at INTEGER NOT NULL, deadline INTEGER,
    attempts INTEGER NOT NULL, selected BLOB, crc INTEGER NOT NULL, body BLOB NOT NULL
);
-- ids of the dedupe window: 16 bytes each, a row a commit
CREATE TABLE seen (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, hashes BLOB NOT NULL);
-- how many rows there are, whoever writes them
CREATE TABLE counts (name TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts VALUES ('later', 0), ('dead', 0);
CREATE TRIGGER later_in AFTER INSERT ON later BEGIN UPDATE counts SET rows = rows + 1 WHERE name = 'later'; END;
CREATE TRIGGER later_out AFTER DELETE ON later BEGIN UPDATE counts SET rows = rows - 1 WHERE name = 'later'; END;
CREATE TRIGGER dead_in AFTER INSERT ON dead BEGIN UPDATE counts SET rows = rows + 1 WHERE name = 'dead'; END;
CREATE TRIGGER dead_out AFTER DELETE ON dead BEGIN UPDATE counts SET rows = rows - 1 WHERE name = 'dead'; END;
";

/// Opens the store for writing; makes it if it is missing.
///
/// # Errors
/// If it can't be opened, is no spool, or a later version's.
pub(super) fn open_or_make(directory: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Store(directory.to_owned(), format!("spool.db: {error}"));
    let foreign = |why: &str| OpenError::Format(directory.to_owned(), why.to_owned());
    let connection = Connection::open(files::store(directory)).map_err(failed)?;
    let tables: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| foreign(&format!("spool.db is no spool of Tidegate's: {error}")))?;
    if tables == 0 {
        make(&connection).map_err(failed)?;
    }
    check(&connection, directory)?;
    set_up(&connection).map_err(failed)?;
    Ok(connection)
}

/// Opens the store that is there.
///
/// # Errors
/// As [`open_or_make`], and if it is missing.
pub(super) fn open(directory: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Store(directory.to_owned(), format!("spool.db: {error}"));
    let connection = Connection::open_with_flags(files::store(directory), flags).map_err(failed)?;
    check(&connection, directory)?;
    set_up(&connection).map_err(failed)?;
    Ok(connection)
}

fn make(connection: &Connection) -> rusqlite::Result<()> {
    // Before the first table: a file's pages can't be given back otherwise.
    connection
        .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {marks} COMMIT;"))
}

fn check(connection: &Connection, directory: &Path) -> Result<(), OpenError> {
    let format = |why: String| OpenError::Format(directory.to_owned(), why);
    let pragma = |name| {
        let number = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
        number.map_err(|error| format(format!("spool.db is no spool of Tidegate's: {error}")))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(format(
            "spool.db is a SQLite store, but no spool of Tidegate's; name another directory".to_owned(),
        ));
    }
    match pragma("user_version")? {
        VERSION => Ok(()),
        other => Err(format(format!(
            "spool.db has format {other}, this version knows {VERSION}; run the Tidegate that made it, or name another directory"
        ))),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;",
    )
}
