//! The strands as the writer knows them: who is who, how many wait, which sequence numbers are given out. Changes are staged
//! until the transaction that they belong to is committed, and forgotten if it is not.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::schema::BACK;
use super::{Key, Providers, SEQUENCE_BITS, StrandId};
use crate::job::Lane;

/// What makes a strand.
pub(super) type Name = (Lane, Box<str>, Providers);

#[derive(Debug, Clone, Copy)]
struct Counters {
    waiting: i64,
    front: i64,
    back: i64,
}

/// All strands.
#[derive(Debug, Default)]
pub(super) struct Strands {
    ids: HashMap<Name, StrandId>,
    names: HashMap<StrandId, Name>,
    counters: HashMap<StrandId, Counters>,
    waiting: i64,
    stamp: i64,
    staged: BTreeMap<StrandId, Counters>,
    made: Vec<(Name, StrandId)>,
}

impl Strands {
    /// Reads them.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut strands = Self::default();
        let mut rows =
            connection.prepare("SELECT id, lane, app, providers, waiting, front, back, stamp FROM strands")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let id = StrandId(row.get(0)?);
            let name = (lane(row.get(1)?), row.get::<_, Box<str>>(2)?, Providers(row.get(3)?));
            let counters = Counters { waiting: row.get(4)?, front: row.get(5)?, back: row.get(6)? };
            strands.waiting += counters.waiting;
            strands.stamp = strands.stamp.max(row.get(7)?);
            strands.names.insert(id, name.clone());
            strands.ids.insert(name, id);
            strands.counters.insert(id, counters);
        }
        Ok(strands)
    }

    /// Whether there is one of that number.
    pub(super) fn has(&self, id: StrandId) -> bool {
        self.counters.contains_key(&id) || self.staged.contains_key(&id)
    }

    /// Jobs queued.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.waiting).unwrap_or(0)
    }

    /// The strand of that name; a new one, if there is none.
    pub(super) fn id(&mut self, name: Name) -> StrandId {
        if let Some(id) = self.ids.get(&name) {
            return *id;
        }
        let id = StrandId(u32::try_from(self.ids.len()).expect("apps times lanes times providers are far fewer"));
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name.clone());
        self.made.push((name, id));
        self.staged.insert(id, Counters { waiting: 0, front: 0, back: BACK });
        id
    }

    /// The strand of a part of a job: the same lane and app, but only these providers.
    pub(super) fn part(&mut self, whole: StrandId, providers: Providers) -> StrandId {
        match self.names.get(&whole) {
            Some((lane, app, _)) => self.id((*lane, app.clone(), providers)),
            None => whole,
        }
    }

    /// A key at the end of the backlog.
    pub(super) fn at_the_back(&mut self, strand: StrandId) -> Key {
        let counters = self.stage(strand);
        counters.back += 1;
        counters.waiting += 1;
        key(strand, counters.back)
    }

    /// A key before the backlog, behind what is there already.
    pub(super) fn in_front(&mut self, strand: StrandId) -> Key {
        let counters = self.stage(strand);
        counters.front += 1;
        counters.waiting += 1;
        key(strand, counters.front)
    }

    /// A job of this strand is gone.
    pub(super) fn gone(&mut self, strand: StrandId) {
        self.stage(strand).waiting -= 1;
    }

    fn stage(&mut self, strand: StrandId) -> &mut Counters {
        let before = self.counters.get(&strand).copied().unwrap_or(Counters { waiting: 0, front: 0, back: BACK });
        self.staged.entry(strand).or_insert(before)
    }

    /// Writes what is staged, as a part of the transaction.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for ((lane, app, providers), id) in &self.made {
            let sql = "INSERT INTO strands VALUES (?, ?, ?, ?, 0, 0, 0, 0)";
            connection.prepare_cached(sql)?.execute(params![id.0, lane_number(*lane), app, providers.0])?;
        }
        let sql = "UPDATE strands SET waiting = ?, front = ?, back = ?, stamp = ? WHERE id = ?";
        let mut update = connection.prepare_cached(sql)?;
        for (id, Counters { waiting, front, back }) in &self.staged {
            update.execute(params![waiting, front, back, self.stamp + 1, id.0])?;
        }
        Ok(())
    }

    /// The transaction is committed.
    pub(super) fn commit(&mut self) {
        for (id, counters) in std::mem::take(&mut self.staged) {
            let before = self.counters.insert(id, counters).map_or(0, |before| before.waiting);
            self.waiting += counters.waiting - before;
        }
        self.made.clear();
        self.stamp += 1;
    }

    /// The transaction is not.
    pub(super) fn roll_back(&mut self) {
        self.staged.clear();
        for (name, id) in self.made.drain(..) {
            self.ids.remove(&name);
            self.names.remove(&id);
        }
    }
}

fn key(strand: StrandId, sequence: i64) -> Key {
    Key(i64::from(strand.0) << SEQUENCE_BITS | sequence)
}

/// A lane as the store spells it.
pub(super) fn lane(number: u8) -> Lane {
    Lane::ALL.into_iter().find(|lane| lane_number(*lane) == number).unwrap_or(Lane::Normal)
}

fn lane_number(lane: Lane) -> u8 {
    u8::try_from(lane.index()).expect("three lanes")
}
