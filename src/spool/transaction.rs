//! What one commit does. All of it, or nothing.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::inbox::Order;
use super::record::{COLUMNS, Record, at, millis};
use super::seen::{Digest, Seen, digest};
use super::space::{Space, cost, rows};
use super::strands::Strands;
use super::{Again, Dead, Key, MAX_DEAD, NewJob, Put, Refused, StrandId};
use crate::job::UnixMillis;

/// Jobs and bytes after which a transaction is committed and another one begun: some 30 ms of work, so that no one waits
/// long for the commit of what others brought.
const JOBS: usize = 10_000;
const BYTES: u64 = 32 << 20;
/// Retries that are due, moved in one transaction.
const DUE: u32 = 500;
/// Rows of the dedupe window that one transaction forgets at most, where there are too old ones; it adds one.
const FORGET: u32 = 64;

/// What an order comes to.
pub(super) enum Answer {
    /// A put, taken or refused.
    Put(Result<Put, Refused>),
    /// A retry or a dead letter.
    Written,
}

/// A transaction under way.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    strands: &'a mut Strands,
    seen: &'a Seen,
    space: Space,
    now: UnixMillis,
    answers: Vec<Answer>,
    digests: HashSet<Digest>,
    jobs: usize,
    bytes: u64,
    buried: bool,
}

/// What was committed.
pub(super) struct Done {
    /// By order.
    pub(super) answers: Vec<Answer>,
    /// Ids that were seen.
    pub(super) digests: HashSet<Digest>,
    pub(super) at: UnixMillis,
    /// Whether there is more to read.
    pub(super) arrived: bool,
    /// When the next retry is due.
    pub(super) due: Option<UnixMillis>,
    /// Dead letters that had to go.
    pub(super) dropped: u64,
    /// Whether there are more ids to forget.
    pub(super) remembers: bool,
}

/// What a transaction does besides the orders.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chores {
    /// Forget ids that were seen before.
    pub(super) forget: Option<UnixMillis>,
    /// Write something in any case, to see whether it can be.
    pub(super) probe: bool,
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(
        connection: &'a Connection,
        strands: &'a mut Strands,
        seen: &'a Seen,
        space: Space,
    ) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self {
            connection,
            strands,
            seen,
            space,
            now: UnixMillis::now(),
            answers: Vec::new(),
            digests: HashSet::new(),
            jobs: 0,
            bytes: 0,
            buried: false,
        })
    }

    /// Whether more may be written in this one.
    pub(super) const fn has_room(&self) -> bool {
        self.jobs < JOBS && self.bytes < BYTES
    }

    /// Writes one order.
    pub(super) fn write(&mut self, order: &Order) -> rusqlite::Result<()> {
        let answer = match order {
            Order::Put(jobs, _) => Answer::Put(self.put(jobs)?),
            Order::Again(again, _) => self.again(again).map(|()| Answer::Written)?,
            Order::Dead(dead, _) => self.dead(dead).map(|()| Answer::Written)?,
        };
        self.answers.push(answer);
        Ok(())
    }

    fn put(&mut self, jobs: &[NewJob]) -> rusqlite::Result<Result<Put, Refused>> {
        let mut duplicate = vec![false; jobs.len()];
        let mut named = HashSet::new();
        let mut bytes = 0;
        for (job, duplicate) in jobs.iter().zip(&mut duplicate) {
            let digest = job.named.then(|| digest(&job.app, &job.id));
            let is_new = |digest: Digest| {
                !self.seen.contains(&digest, self.now) && !self.digests.contains(&digest) && named.insert(digest)
            };
            *duplicate = !digest.is_none_or(is_new);
            bytes += if *duplicate { 0 } else { cost(job.body.len()) };
        }
        if bytes > 0
            && let Some(refused) = self.space.refusal(bytes)
        {
            return Ok(Err(refused));
        }
        let new = jobs.iter().zip(&duplicate).filter(|(_, duplicate)| !**duplicate);
        for (job, _) in new {
            let strand = self.strands.id((job.lane, job.app.clone(), job.providers));
            let key = self.strands.at_the_back(strand);
            self.insert(key, job)?;
        }
        let queued = duplicate.iter().filter(|duplicate| !**duplicate).count();
        self.space.take(bytes);
        self.digests.extend(named);
        self.jobs += queued;
        self.bytes += bytes;
        Ok(Ok(Put { queued, duplicate }))
    }

    fn insert(&self, key: Key, job: &NewJob) -> rusqlite::Result<()> {
        let record = Record {
            id: job.id.clone(),
            pushes: job.pushes,
            accepted_at: job.accepted_at,
            deadline: job.deadline,
            attempts: 0,
            selected: None,
            body: job.body.clone(),
        };
        let sql = "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?)";
        let Record { id, pushes, attempts, body, .. } = &record;
        self.connection
            .prepare_cached(sql)?
            .execute(params![
                key.0,
                id,
                pushes,
                millis(record.accepted_at),
                record.deadline.map(millis),
                attempts,
                record.packed(),
                record.crc(),
                &body[..]
            ])
            .map(drop)
    }

    fn again(&mut self, again: &Again) -> rusqlite::Result<()> {
        let Some(record) = self.record(again.of)? else {
            return self.bury(again.of, "corrupt_record", CORRUPT, self.now);
        };
        let record = Record { attempts: again.attempts, ..record.part(again.targets.clone()) };
        let strand = self.strands.part(again.of.strand(), again.providers);
        record.write_later(self.connection, again.due, strand)?;
        self.jobs += 1;
        self.bytes += cost(record.body.len());
        Ok(())
    }

    fn dead(&mut self, dead: &Dead) -> rusqlite::Result<()> {
        let whole = dead.targets.is_empty();
        let record = if whole { None } else { self.record(dead.of)? };
        let Some(record) = record else { return self.bury(dead.of, &dead.reason, &dead.detail, dead.at) };
        let record = Record { attempts: dead.attempts, ..record.part(dead.targets.clone()) };
        let sql = format!(
            "INSERT INTO dead (at, reason, detail, strand, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        let Record { id, pushes, attempts, body, .. } = &record;
        self.connection.prepare_cached(&sql)?.execute(params![
            millis(dead.at),
            &*dead.reason,
            dead.detail,
            dead.of.strand().0,
            id,
            pushes,
            millis(record.accepted_at),
            record.deadline.map(millis),
            attempts,
            record.packed(),
            record.crc(),
            &body[..]
        ])?;
        self.buried = true;
        self.jobs += 1;
        self.bytes += cost(body.len());
        Ok(())
    }

    /// A dead letter of a job as it lies there, whatever it is worth.
    fn bury(&mut self, key: Key, reason: &str, detail: &str, at: UnixMillis) -> rusqlite::Result<()> {
        let sql = format!(
            "INSERT INTO dead (at, reason, detail, strand, {COLUMNS}) SELECT ?, ?, ?, ?, {COLUMNS} FROM jobs WHERE key = ?"
        );
        let values = params![millis(at), reason, detail, key.strand().0, key.0];
        self.connection.prepare_cached(&sql)?.execute(values)?;
        self.buried = true;
        self.jobs += 1;
        Ok(())
    }

    fn record(&self, key: Key) -> rusqlite::Result<Option<Record>> {
        let mut select = self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE key = ?"))?;
        Ok(select.query_row([key.0], |row| Record::read(row, 0)).optional()?.flatten())
    }

    /// Moves what is due to the front of its strand.
    fn move_due(&mut self) -> rusqlite::Result<bool> {
        let mut select =
            self.connection.prepare_cached("SELECT n, strand FROM later WHERE due <= ? ORDER BY due, n LIMIT ?")?;
        let rows = select.query_map(params![millis(self.now), DUE], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1).ok().map(StrandId)))
        })?;
        let due: Vec<(i64, Option<StrandId>)> = rows.collect::<rusqlite::Result<_>>()?;
        let insert =
            format!("INSERT INTO jobs (key, crashes, {COLUMNS}) SELECT ?, 0, {COLUMNS} FROM later WHERE n = ?");
        for (n, strand) in &due {
            match strand.filter(|strand| self.strands.has(*strand)) {
                Some(strand) => {
                    let key = self.strands.in_front(strand);
                    self.connection.prepare_cached(&insert)?.execute(params![key.0, n])?;
                }
                None => self.bury_retry(*n)?,
            }
            self.connection.prepare_cached("DELETE FROM later WHERE n = ?")?.execute([n])?;
        }
        Ok(!due.is_empty())
    }

    /// A retry whose strand is none, as its row was damaged: nobody could read it.
    fn bury_retry(&mut self, n: i64) -> rusqlite::Result<()> {
        tracing::error!(n, "a retry in the spool is not what was written; it becomes a dead letter");
        let sql = format!(
            "INSERT INTO dead (at, reason, detail, strand, {COLUMNS}) SELECT ?, ?, ?, strand, {COLUMNS} FROM later WHERE n = ?"
        );
        let values = params![millis(self.now), "corrupt_record", "its strand is not one of the spool's", n];
        self.connection.prepare_cached(&sql)?.execute(values)?;
        self.buried = true;
        Ok(())
    }

    fn settle(&mut self, keys: &[Key]) -> rusqlite::Result<()> {
        let mut delete = self.connection.prepare_cached("DELETE FROM jobs WHERE key = ?")?;
        for key in keys {
            if delete.execute([key.0])? > 0 {
                self.strands.gone(key.strand());
            }
        }
        Ok(())
    }

    /// Drops the oldest where there are too many; says how many.
    fn drop_oldest_letters(&self) -> rusqlite::Result<u64> {
        let too_many = rows(self.connection, "dead")?.saturating_sub(MAX_DEAD);
        if too_many > 0 {
            let sql = "DELETE FROM dead WHERE n IN (SELECT n FROM dead ORDER BY n LIMIT ?)";
            self.connection.prepare_cached(sql)?.execute([i64::try_from(too_many).unwrap_or(i64::MAX)])?;
            tracing::warn!(dropped = too_many, kept = MAX_DEAD, "too many dead letters: the oldest are dropped");
        }
        Ok(too_many)
    }

    /// Forgets the oldest ids, if they were seen before that time; says whether there may be more.
    fn forget(&self, before: UnixMillis) -> rusqlite::Result<bool> {
        let mut select = self.connection.prepare_cached("SELECT n, at FROM seen ORDER BY n LIMIT ?")?;
        let rows = select.query_map([FORGET], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let rows: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>()?;
        let old = rows.iter().take_while(|(_, at)| *at < millis(before)).count();
        if let Some((last, _)) = rows[..old].last() {
            self.connection.prepare_cached("DELETE FROM seen WHERE n <= ?")?.execute([last])?;
        }
        Ok(old == FORGET as usize)
    }

    /// Writes what belongs to it and commits.
    ///
    /// # Errors
    /// It is rolled back then; the strands' staged changes are the caller's to forget.
    pub(super) fn finish(mut self, settled: &[Key], chores: Chores) -> rusqlite::Result<Done> {
        self.complete(settled, chores).inspect_err(|_| abandon(self.connection))
    }

    fn complete(&mut self, settled: &[Key], chores: Chores) -> rusqlite::Result<Done> {
        let queued = self.answers.iter().any(|answer| matches!(answer, Answer::Put(Ok(put)) if put.queued > 0));
        let moved = self.move_due()?;
        self.settle(settled)?;
        let dropped = if self.buried { self.drop_oldest_letters()? } else { 0 };
        let remembers = chores.forget.map_or(Ok(false), |before| self.forget(before))?;
        if chores.probe {
            self.connection.prepare_cached("UPDATE counts SET rows = rows WHERE name = 'dead'")?.execute([])?;
        }
        self.strands.write(self.connection)?;
        if !self.digests.is_empty() {
            let hashes: Vec<u8> = self.digests.iter().flatten().copied().collect();
            let sql = "INSERT INTO seen (at, hashes) VALUES (?, ?)";
            self.connection.prepare_cached(sql)?.execute(params![millis(self.now), hashes])?;
        }
        let mut due = self.connection.prepare_cached("SELECT min(due) FROM later")?;
        let due = due.query_row([], |row| row.get::<_, Option<i64>>(0))?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(Done {
            answers: std::mem::take(&mut self.answers),
            digests: std::mem::take(&mut self.digests),
            at: self.now,
            arrived: queued || moved,
            due: due.map(at),
            dropped,
            remembers,
        })
    }

    /// Ends it as if it had not been.
    pub(super) fn roll_back(self) {
        abandon(self.connection);
        self.strands.roll_back();
    }
}

const CORRUPT: &str = "the record's checksum is wrong";

fn abandon(connection: &Connection) {
    // Some errors have rolled it back already.
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}
