//! A job as it lies in the store: its columns, and the checksum that says whether they are as they were written.

use bytes::Bytes;
use rusqlite::{Connection, Error, Row, params};

use super::{Key, Stored, StrandId};
use crate::job::UnixMillis;

/// The columns that make a job, in the order in which they are read and written; the same in every table that has jobs.
pub(super) const COLUMNS: &str = "id, pushes, accepted_at, deadline, attempts, selected, crc, body";

/// What of a job is written.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: Box<str>,
    pub(super) pushes: u16,
    pub(super) accepted_at: UnixMillis,
    pub(super) deadline: Option<UnixMillis>,
    pub(super) attempts: u8,
    pub(super) selected: Option<Box<[u16]>>,
    pub(super) body: Bytes,
}

impl Record {
    /// Of a row whose columns from `first` on are [`COLUMNS`]; `None`: it is not what was written.
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Self>> {
        match Self::columns(row, first) {
            Ok((record, crc)) => Ok((record.crc() == crc).then_some(record)),
            Err(error) if is_foreign(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn columns(row: &Row<'_>, first: usize) -> rusqlite::Result<(Self, u32)> {
        let selected: Option<Vec<u8>> = row.get(first + 5)?;
        let record = Self {
            id: row.get::<_, Box<str>>(first)?,
            pushes: row.get(first + 1)?,
            accepted_at: at(row.get(first + 2)?),
            deadline: row.get::<_, Option<i64>>(first + 3)?.map(at),
            attempts: row.get(first + 4)?,
            selected: selected.as_deref().map(unpack),
            body: Bytes::copy_from_slice(row.get_ref(first + 7)?.as_blob()?),
        };
        Ok((record, row.get(first + 6)?))
    }

    /// Writes it as a retry of that strand's.
    pub(super) fn write_later(
        &self,
        connection: &Connection,
        due: UnixMillis,
        strand: StrandId,
    ) -> rusqlite::Result<()> {
        let sql = format!("INSERT INTO later (due, strand, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        let Self { id, pushes, attempts, body, .. } = self;
        let times = (millis(self.accepted_at), self.deadline.map(millis));
        let (selected, crc) = (self.packed(), self.crc());
        let mut insert = connection.prepare_cached(&sql)?;
        insert.execute(params![
            millis(due),
            strand.0,
            id,
            pushes,
            times.0,
            times.1,
            attempts,
            selected,
            crc,
            &body[..]
        ])?;
        Ok(())
    }

    /// Over all columns but itself, as they are written.
    pub(super) fn crc(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.id.as_bytes());
        hasher.update(&[0]);
        hasher.update(&self.pushes.to_le_bytes());
        hasher.update(&millis(self.accepted_at).to_le_bytes());
        hasher.update(&self.deadline.map_or(0, millis).to_le_bytes());
        hasher.update(&[self.attempts]);
        hasher.update(&self.packed().unwrap_or_default());
        hasher.update(&self.body);
        hasher.finalize()
    }

    /// The selected targets, two bytes each.
    pub(super) fn packed(&self) -> Option<Vec<u8>> {
        self.selected.as_deref().map(|selected| selected.iter().flat_map(|index| index.to_le_bytes()).collect())
    }

    /// This part of the job: these targets, if it is not all of it.
    pub(super) fn part(self, targets: Vec<u16>) -> Self {
        let pushes = u16::try_from(targets.len()).unwrap_or(u16::MAX);
        let all = targets.is_empty() || (self.selected.is_none() && pushes == self.pushes);
        if all { self } else { Self { pushes, selected: Some(targets.into()), ..self } }
    }

    pub(super) fn stored(self, key: Key, crashes: u32) -> Stored {
        let Self { id, pushes, accepted_at, deadline, attempts, selected, body } = self;
        Stored { key, id, pushes, accepted_at, deadline, attempts, selected, crashes, body }
    }
}

/// Whether a value is none that a record has: the row was damaged, and no second look will mend it.
const fn is_foreign(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    )
}

/// A time as the store spells it.
pub(super) fn millis(at: UnixMillis) -> i64 {
    at.0.min(i64::MAX.cast_unsigned()).cast_signed()
}

/// A time as it was spelt.
pub(super) fn at(millis: i64) -> UnixMillis {
    UnixMillis(millis.cast_unsigned())
}

pub(super) fn unpack(bytes: &[u8]) -> Box<[u16]> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}
