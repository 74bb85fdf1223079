//! Dead letters, for whoever looks after them; also from another process, while the spool serves.
//!
//! ```text
//! list, show    read; hold up nobody
//! replay        dead ──▶ later, due one after the other ──▶ the serving process moves it to the front of its strand
//! drop          dead ──▶ nothing
//! ```
//!
//! The letters are found by reading, then moved or dropped in transactions of at most [`STEP`] letters or [`STEP_BYTES`]: the
//! serving process waits some milliseconds for each at most. A letter that went in between (the oldest go when there
//! are too many, and two people may tidy at once) is passed over and not counted. Nothing but `later` and `dead` is
//! written, so the counters and cursors of the serving process stay its own.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::record::{COLUMNS, Record, at, unpack};
use super::strands::lane;
use super::{OpenError, Providers, StrandId, files, schema};
use crate::job::{Lane, Provider, UnixMillis};

/// Letters moved or dropped in one transaction, and their bytes: some milliseconds' writing.
const STEP: usize = 200;
const STEP_BYTES: u64 = 4 << 20;

/// What is asked of a letter, its row given; in the order in which [`Letter::read`] takes it.
const ASKED: &str = "dead.n, dead.at, reason, detail, lane, app, providers,
    dead.id, pushes, accepted_at, deadline, attempts, selected, length(body)";

/// Which letters are meant: all that match everything that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this app.
    pub app: Option<String>,
    /// Dead for this reason.
    pub reason: Option<String>,
    /// Of the job with this id.
    pub id: Option<String>,
    /// Of those, so many of the oldest; `None`: all.
    pub limit: Option<usize>,
}

/// Letters that are to be moved or dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those that match.
    Matching(Filter),
    /// Those with these [numbers](Letter::n); what there is not is passed over.
    Numbered(Vec<i64>),
}

/// A dead letter, but for its body.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Letter {
    /// Its number; never given twice.
    pub n: i64,
    /// Since when it is dead.
    pub at: UnixMillis,
    /// Why, for machines.
    pub reason: Box<str>,
    /// Why, for people.
    pub detail: Box<str>,
    /// Whose it is.
    pub app: Box<str>,
    /// The lane it was in.
    pub lane: Lane,
    /// The providers of the job's targets.
    pub providers: Vec<Provider>,
    /// The job's id.
    pub id: Box<str>,
    /// How many pushes it stands for.
    pub pushes: u16,
    /// Which of the job's targets, ascending; `None`: all.
    pub targets: Option<Box<[u16]>>,
    /// Attempts made for each of its pushes.
    pub attempts: u8,
    /// When the job was accepted.
    pub accepted_at: UnixMillis,
    /// Not to be sent after this, besides its ttl.
    pub deadline: Option<UnixMillis>,
    /// Bytes of its body.
    pub bytes: u64,
}

/// A dead letter with its body. It has no `Debug`: a body has tokens in it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenLetter {
    /// All but its body.
    pub letter: Letter,
    /// The job's body as it came.
    pub body: Bytes,
    /// Whether it is as it was written, by its checksum. What is not can be looked at and dropped, but not replayed.
    pub intact: bool,
}

/// The dead letters of a spool.
pub struct DeadLetters {
    connection: Connection,
}

impl DeadLetters {
    /// Opens those of the spool in that directory, whether a process serves it or not.
    ///
    /// # Errors
    /// [`OpenError`]: there is no spool, it is another version's, or it can't be read. Never [`OpenError::InUse`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !files::store(path).is_file() {
            return Err(OpenError::Store(PathBuf::from(path), "there is no spool in it (no spool.db)".to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self { connection: schema::open(path, flags)? })
    }

    /// The letters that match, the oldest first.
    ///
    /// # Errors
    /// If the store can't be read; in words.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Letter>, String> {
        self.select(ASKED, filter, Letter::read).map_err(words)
    }

    /// One letter; `None`: there is none of that number.
    ///
    /// # Errors
    /// If the store can't be read; in words.
    pub fn show(&self, n: i64) -> Result<Option<OpenLetter>, String> {
        let asked = COLUMNS.replace("id,", "dead.id,");
        let sql = format!("SELECT {ASKED}, {asked} FROM dead LEFT JOIN strands ON strands.id = strand WHERE n = ?");
        let open = |row: &Row<'_>| {
            let body = row.get_ref(COLUMNS_OF_ASKED + 7)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
            let body = Bytes::copy_from_slice(body);
            Ok(OpenLetter { letter: Letter::read(row)?, body, intact: Record::read(row, COLUMNS_OF_ASKED)?.is_some() })
        };
        self.connection.query_row(&sql, [n], open).optional().map_err(words)
    }

    /// Has letters sent once more; says how many.
    ///
    /// Each goes to the front of its strand when it is due: with a `rate` (letters a second, above 0) one after the other, the
    /// first now; without, all now. A part of a job stays that part. Attempts start anew, and so does the ttl, as if
    /// the job were accepted when it is due; a deadline is the caller's word and stays, so a letter beyond it ends as expired.
    /// A letter that is not intact is passed over.
    ///
    /// # Errors
    /// If the store can't be read or written, or the rate is none; in words. What was replayed before stays replayed.
    pub fn replay(&self, which: &Which, rate: Option<f64>) -> Result<u64, String> {
        if rate.is_some_and(|rate| rate.is_nan() || rate <= 0.0) {
            return Err("a rate must be above 0 letters a second".to_owned());
        }
        let start = UnixMillis::now();
        let mut count = 0;
        self.in_steps(which, |connection, n| {
            let due = rate.map_or(start, |rate| UnixMillis(start.0.saturating_add(span(count, rate))));
            let replayed = replay(connection, n, due)?;
            count += u64::from(replayed);
            Ok(replayed)
        })
    }

    /// Drops letters for good; says how many.
    ///
    /// # Errors
    /// If the store can't be read or written; in words. What was dropped before stays dropped.
    pub fn drop(&self, which: &Which) -> Result<u64, String> {
        self.in_steps(which, remove)
    }

    /// Does something with each letter, a step's in one transaction; says how many it was done with.
    fn in_steps(
        &self,
        which: &Which,
        mut act: impl FnMut(&Connection, i64) -> rusqlite::Result<bool>,
    ) -> Result<u64, String> {
        let found = self.find(which).map_err(words)?;
        let mut done = 0;
        let mut step = |letters: &[(i64, u64)]| -> rusqlite::Result<u64> {
            let behaviour = TransactionBehavior::Immediate;
            let transaction = rusqlite::Transaction::new_unchecked(&self.connection, behaviour)?;
            let mut count = 0;
            for (n, _) in letters {
                count += u64::from(act(&transaction, *n)?);
            }
            transaction.commit()?;
            Ok(count)
        };
        let mut rest = &found[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(first_step(rest));
            done += step(now).map_err(|error| format!("{}; {done} letters were done before", words(error)))?;
            rest = later;
        }
        Ok(done)
    }

    /// The letters that are meant, with their bytes.
    fn find(&self, which: &Which) -> rusqlite::Result<Vec<(i64, u64)>> {
        let filter = match which {
            Which::Matching(filter) => filter,
            Which::Numbered(numbers) => return numbers.iter().filter_map(|n| self.size(*n).transpose()).collect(),
        };
        self.select("dead.n, length(body)", filter, |row| Ok((row.get(0)?, bytes(row, 1))))
    }

    fn size(&self, n: i64) -> rusqlite::Result<Option<(i64, u64)>> {
        let mut select = self.connection.prepare_cached("SELECT length(body) FROM dead WHERE n = ?")?;
        select.query_row([n], |row| Ok((n, bytes(row, 0)))).optional()
    }

    fn select<T>(
        &self,
        asked: &str,
        filter: &Filter,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let sql = format!(
            "SELECT {asked} FROM dead LEFT JOIN strands ON strands.id = strand
             WHERE (?1 IS NULL OR app = ?1) AND (?2 IS NULL OR reason = ?2) AND (?3 IS NULL OR dead.id = ?3)
             ORDER BY n LIMIT ?4"
        );
        let Filter { app, reason, id, limit } = filter;
        // Below zero: no limit.
        let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let mut select = self.connection.prepare(&sql)?;
        select.query_map(params![app, reason, id, limit], read)?.collect()
    }
}

/// How many columns [`ASKED`] has.
const COLUMNS_OF_ASKED: usize = 14;

impl Letter {
    /// Of a row that begins with [`ASKED`]. Takes what it finds: a damaged letter is to be seen, too.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let providers = Providers(row.get(6).unwrap_or_default());
        let targets = row.get::<_, Option<Vec<u8>>>(12).unwrap_or_default();
        Ok(Self {
            n: row.get(0)?,
            at: at(row.get(1).unwrap_or_default()),
            reason: text(row, 2)?,
            detail: text(row, 3)?,
            lane: lane(row.get(4).unwrap_or_default()),
            app: text(row, 5)?,
            providers: Provider::ALL.into_iter().filter(|provider| providers.contains(*provider)).collect(),
            id: text(row, 7)?,
            pushes: row.get(8).unwrap_or_default(),
            accepted_at: at(row.get(9).unwrap_or_default()),
            deadline: row.get::<_, Option<i64>>(10).unwrap_or_default().map(at),
            attempts: row.get(11).unwrap_or_default(),
            targets: targets.as_deref().map(unpack),
            bytes: bytes(row, 13),
        })
    }
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<str>> {
    let bytes = row.get_ref(column)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into())
}

fn bytes(row: &Row<'_>, column: usize) -> u64 {
    row.get(column).map_or(0, i64::unsigned_abs)
}

/// How many of these are one step's: at least one.
fn first_step(letters: &[(i64, u64)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, size): &&(i64, u64)| {
        bytes += size;
        bytes <= STEP_BYTES
    };
    letters.iter().take(STEP).take_while(fits).count().max(1)
}

/// Milliseconds until the letter after `before` others is due.
fn span(before: u64, rate: f64) -> u64 {
    // Rounds towards zero and stays within range.
    (before as f64 * 1_000.0 / rate) as u64
}

fn replay(connection: &Connection, n: i64, due: UnixMillis) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(&format!("SELECT strand, {COLUMNS} FROM dead WHERE n = ?"))?;
    let found = select.query_row([n], |row| Ok((row.get(0)?, Record::read(row, 1)?))).optional()?;
    let Some((strand, Some(record))) = found else { return Ok(false) };
    let record = Record { accepted_at: due, attempts: 0, ..record };
    record.write_later(connection, due, StrandId(strand))?;
    remove(connection, n)
}

fn remove(connection: &Connection, n: i64) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached("DELETE FROM dead WHERE n = ?")?.execute([n])? > 0)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn words(error: rusqlite::Error) -> String {
    format!("spool.db: {error}")
}
