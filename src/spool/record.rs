//! A job as it lies in the store: its columns, and the checksum that says whether they are as they were written.

use bytes::Bytes;
use rusqlite::Row;

use super::transaction::millis;
use super::{Key, Stored};
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
        let crc: u32 = row.get(first + 6)?;
        Ok((record.crc() == crc).then_some(record))
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

fn at(millis: i64) -> UnixMillis {
    UnixMillis(millis.cast_unsigned())
}

fn unpack(bytes: &[u8]) -> Box<[u16]> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}
