//! The reading end.
//!
//! It never reads a job twice and never misses one. The writer is alone in giving out sequence numbers, ascending within
//! each region of a strand, and commits them together with the strand's counters: so a job up to a counter that was seen
//! is either there or settled, and whatever comes later lies beyond it. A cursor that has reached the counters is at the
//! end.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::files::{Handed, HandedFile};
use super::record::{COLUMNS, Record};
use super::schema::BACK;
use super::strands::lane;
use super::{Dead, Key, Providers, SEQUENCE_BITS, Stored, Strand, StrandId, Writer};
use crate::job::UnixMillis;

/// The reading end: a connection of its own, so that reading does not wait for anybody's fsync. Its calls block for as
/// long as a read from disk takes; it belongs on a thread that may.
pub struct Reader {
    connection: Connection,
    handed: HandedFile,
    writer: Writer,
    cursors: BTreeMap<StrandId, Cursor>,
    /// Those of the strands that have more than was read: a look costs what there is to read, not what there ever was.
    with_more: BTreeSet<StrandId>,
    /// Whether it could not be noted, last time, what is in hand.
    unnoted: bool,
    /// The newest of the strands' stamps that was seen.
    stamp: i64,
    corrupt: u64,
}

struct Cursor {
    strand: Strand,
    /// How far was read.
    read: Handed,
    /// How far there was something when it was looked last.
    end: Handed,
}

impl Cursor {
    fn has_more(&self) -> bool {
        self.read.front < self.end.front || self.read.back < self.end.back
    }
}

impl Reader {
    pub(super) fn new(connection: Connection, handed: HandedFile, writer: Writer) -> Self {
        let (cursors, with_more) = (BTreeMap::new(), BTreeSet::new());
        Self { connection, handed, writer, cursors, with_more, unnoted: false, stamp: 0, corrupt: 0 }
    }

    /// The strands that have more than was read.
    ///
    /// # Errors
    /// If the store can't be read; in words.
    pub fn strands(&mut self) -> Result<Vec<Strand>, String> {
        self.look().map_err(|error| error.to_string())?;
        Ok(self.with_more.iter().filter_map(|id| self.cursors.get(id)).map(|cursor| cursor.strand.clone()).collect())
    }

    /// A strand that was looked at.
    #[cfg(test)]
    pub(super) fn known(&self, id: StrandId) -> Option<&Strand> {
        self.cursors.get(&id).map(|cursor| &cursor.strand)
    }

    fn look(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT id, lane, app, providers, front, back, stamp FROM strands WHERE stamp > ?";
        let mut select = self.connection.prepare_cached(sql)?;
        let mut rows = select.query([self.stamp])?;
        let mut newest = self.stamp;
        while let Some(row) = rows.next()? {
            let id = StrandId(row.get(0)?);
            let end = Handed { front: row.get(4)?, back: row.get(5)? };
            newest = newest.max(row.get(6)?);
            let cursor = match self.cursors.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let (lane, app, providers) = (lane(row.get(1)?), row.get(2)?, Providers(row.get(3)?));
                    let strand = Strand { id, lane, app, providers };
                    new.insert(Cursor { strand, read: Handed { front: 0, back: BACK }, end })
                }
            };
            cursor.end = end;
            if cursor.has_more() {
                self.with_more.insert(id);
            }
        }
        self.stamp = newest;
        Ok(())
    }

    /// The next jobs of a strand, each once: at most `jobs` of them and, beyond the first, at most `bytes` of bodies.
    /// None: the strand has no more, as far as was looked.
    /// A record whose checksum is wrong is made a dead letter (`corrupt_record`) and passed over.
    ///
    /// # Errors
    /// If the store can't be read; in words. Nothing was passed over: what stands before a damaged page is given first, and
    /// the error comes with the next call.
    pub fn next(&mut self, strand: StrandId, jobs: usize, bytes: usize) -> Result<Vec<Stored>, String> {
        let Some(cursor) = self.cursors.get(&strand) else { return Ok(Vec::new()) };
        let mut hand = Hand { jobs, bytes, found: Vec::new(), corrupt: Vec::new() };
        let (from, to) = (cursor.read, cursor.end);
        let read = |error: rusqlite::Error| error.to_string();
        let front = self.region(strand, from.front, to.front, &mut hand).map_err(read)?;
        let back = if front == to.front {
            self.region(strand, from.back, to.back, &mut hand).map_err(read)?
        } else {
            from.back
        };
        let reached = Handed { front, back };
        self.note(strand, reached);
        for key in hand.corrupt {
            self.corrupt += 1;
            self.bury(key);
        }
        if let Some(cursor) = self.cursors.get_mut(&strand) {
            cursor.read = reached;
            if !cursor.has_more() {
                self.with_more.remove(&strand);
            }
        }
        Ok(hand.found)
    }

    /// Records so far that were not what had been written.
    #[must_use]
    pub const fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// If it can't be written (a full disk), jobs go on: only a crash would not be counted.
    fn note(&mut self, strand: StrandId, reached: Handed) {
        let noted = self.handed.note(strand, reached);
        if let (Err(error), false) = (&noted, self.unnoted) {
            tracing::warn!(%error, "the spool can't note in the file `handed` what is in hand");
        }
        self.unnoted = noted.is_err();
    }

    /// Reads on in one region; says how far it came.
    fn region(&self, strand: StrandId, from: i64, to: i64, hand: &mut Hand) -> rusqlite::Result<i64> {
        if from >= to || hand.is_full() {
            return Ok(from);
        }
        let base = i64::from(strand.0) << SEQUENCE_BITS;
        let sql = format!("SELECT key, crashes, {COLUMNS} FROM jobs WHERE key > ? AND key <= ? ORDER BY key");
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query(params![base | from, base | to])?;
        let mut reached = from;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(to),
                // What was found is given first: the next call meets the same error, and has nothing else.
                Err(_) if !hand.is_empty() => return Ok(reached),
                Err(error) => return Err(error),
            };
            let key = Key(row.get(0)?);
            match Record::read(row, 2)? {
                Some(record) => {
                    if !hand.takes(record.body.len()) {
                        return Ok(reached);
                    }
                    // Not under the checksum, as it changes without the rest.
                    hand.found.push(record.stored(key, row.get(1).unwrap_or_default()));
                }
                None => hand.corrupt.push(key),
            }
            reached = key.0 - base;
            if hand.is_full() {
                return Ok(reached);
            }
        }
    }

    fn bury(&self, key: Key) {
        tracing::error!(key = key.0, "a record of the spool is not what was written; it becomes a dead letter");
        let detail = "the record's checksum is wrong".to_owned();
        let dead = Dead {
            of: key,
            targets: Vec::new(),
            attempts: 0,
            reason: "corrupt_record".into(),
            detail,
            at: UnixMillis::now(),
        };
        // Written in the order in which they are said.
        drop(self.writer.dead(dead));
        self.writer.settle(vec![key]);
    }
}

/// What one call brings.
struct Hand {
    jobs: usize,
    bytes: usize,
    found: Vec<Stored>,
    corrupt: Vec<Key>,
}

impl Hand {
    fn is_empty(&self) -> bool {
        self.found.is_empty() && self.corrupt.is_empty()
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.jobs
    }

    /// Whether a body of so many bytes is still to be taken; the first always is.
    fn takes(&mut self, body: usize) -> bool {
        let fits = self.found.is_empty() || body <= self.bytes;
        self.bytes = self.bytes.saturating_sub(body);
        fits
    }
}
