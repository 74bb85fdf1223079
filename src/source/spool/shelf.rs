//! The blocking half of the source: chooses strands, reads, decodes. It lives on the feed's side and goes to a blocking
//! thread for each look, so that no reading from disk holds up a task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::probation::Probation;
use super::receipts::{Receipts, tag};
use super::share::{Allotted, Shares};
use crate::job::{
    Acknowledger, BadJob, Defaults, Envelope, Lane, MemoryBudget, Origin, Receipt, RouteTable, SourceName, decode,
};
use crate::source::clocks::Clocks;
use crate::spool::{Key, MAX_DEAD, Reader, Stored, Strand, StrandId};

/// Bytes of bodies read from one strand at once.
const CHUNK_BYTES: usize = 4 << 20;

/// What a job's body becomes in memory, several times over (see [`Envelope::estimate`]).
const IN_MEMORY: usize = 3;

/// Dead letters from which on no more are made of the jobs of an app that is not configured: half of what is kept.
const MANY_LETTERS: u64 = MAX_DEAD / 2;

/// When the store, or a strand, that could not be read is tried again.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The reader, and what is known of what it has read.
pub(super) struct Shelf {
    reader: Reader,
    receipts: Arc<Receipts>,
    max_deliveries: u32,
    memory: Arc<MemoryBudget>,
    shares: Shares,
    probation: Probation,
    /// Strands that have more than was read, by lane, as far as was looked.
    more: [Vec<StrandId>; 3],
    /// Strands that could not be read at the last try: when that was, and why.
    unread: HashMap<StrandId, (Instant, String)>,
    /// An app that is not configured and whose jobs stay where they are, and since when that is known.
    left: Option<(Box<str>, Instant)>,
    /// What was ever looked at: its lane, and whether its jobs go to more than one provider.
    known: HashMap<StrandId, (Lane, bool)>,
    in_hand: [usize; 3],
}

/// What a look brought.
#[derive(Default)]
pub(super) struct Read {
    /// Jobs by lane.
    pub(super) jobs: [Vec<Arc<Envelope>>; 3],
    /// Jobs that can't be sent as things are; they count as in hand until they are settled.
    pub(super) bad: Vec<(Key, Lane, BadJob)>,
    /// Whether a lane has jobs that go to several providers, and gets none of them as too many are in hand: what is in hand
    /// of a provider that does not move is to be put off then, for the other's sake.
    pub(super) held_back: [bool; 3],
    /// Records that were not what had been written: dead letters already.
    pub(super) corrupt: [u64; 3],
    /// Why nothing of the store could be read.
    pub(super) error: Option<String>,
}

impl Read {
    /// Whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        self.bad.is_empty() && self.jobs.iter().all(Vec::is_empty)
    }
}

impl Shelf {
    pub(super) fn new(reader: Reader, receipts: Arc<Receipts>, max_deliveries: u32, memory: Arc<MemoryBudget>) -> Self {
        Self {
            reader,
            receipts,
            max_deliveries,
            memory,
            shares: Shares::default(),
            probation: Probation::new(Instant::now()),
            more: Default::default(),
            unread: HashMap::new(),
            left: None,
            known: HashMap::new(),
            in_hand: [0; 3],
        }
    }

    /// Notes what was settled.
    pub(super) fn settled(&mut self, keys: &[Key], now: Instant) {
        for key in keys {
            let strand = key.strand();
            self.shares.settled(strand, now);
            if let Some((lane, _)) = self.known.get(&strand) {
                self.in_hand[lane.index()] -= 1;
            }
        }
    }

    /// Jobs in hand, by lane.
    pub(super) const fn in_hand(&self) -> [usize; 3] {
        self.in_hand
    }

    /// Whether there may be something to read for one of these demands.
    pub(super) fn has_more_for(&self, demand: [usize; 3], now: Instant) -> bool {
        let in_hand = self.in_hand.iter().sum();
        self.probation.room(in_hand, now) > 0
            && Lane::ALL.iter().any(|lane| demand[lane.index()] > 0 && !self.more[lane.index()].is_empty())
    }

    /// Whether a strand that was not read is to be tried again; then it takes a [`look`](Self::look).
    pub(super) fn tries_again(&self, now: Instant) -> bool {
        let unread = self.unread.values().map(|(at, _)| at);
        unread.chain(self.left.as_ref().map(|(_, at)| at)).any(|at| now >= *at + TRY_AGAIN)
    }

    /// Why a strand is not read; `None`: all are.
    pub(super) fn trouble(&self) -> Option<String> {
        let left = self.left.as_ref().map(|(app, _)| {
            format!(
                "jobs of app {app:?}, which is not configured, stay queued, as there are {MANY_LETTERS} dead letters and more: \
                 configure it, or drop dead letters"
            )
        });
        self.unread.values().next().map(|(_, error)| error.clone()).or(left)
    }

    /// Looks which strands have more, where so many dead letters are there already.
    ///
    /// # Errors
    /// Why the store could not be read.
    pub(super) fn look(&mut self, routes: &RouteTable, letters: u64, now: Instant) -> Result<(), String> {
        let strands = self.reader.strands()?;
        self.more.iter_mut().for_each(Vec::clear);
        self.left = None;
        for Strand { id, lane, providers, app } in strands {
            // They would be dead letters at once, and push out the oldest, whoever these belong to.
            if letters >= MANY_LETTERS && routes.of(&app).is_none() {
                self.left = Some((app, now));
                continue;
            }
            self.known.insert(id, (lane, providers.0.count_ones() > 1));
            match self.unread.get_mut(&id) {
                Some((at, _)) if now < *at + TRY_AGAIN => continue,
                Some((at, _)) => *at = now,
                None => {}
            }
            self.more[lane.index()].push(id);
        }
        Ok(())
    }

    /// Reads what is wanted, the most important lane first.
    pub(super) fn read(&mut self, demand: [usize; 3], routes: &RouteTable, now: Instant) -> Read {
        let mut read = Read::default();
        for lane in Lane::ALL {
            let in_hand: usize = self.in_hand.iter().sum();
            let wanted = demand[lane.index()].min(self.probation.room(in_hand, now));
            let Allotted { jobs, held_back } = self.shares.allot(lane, wanted, &self.more[lane.index()], now);
            let is_mixed = |strand: &StrandId| self.known.get(strand).is_some_and(|(_, mixed)| *mixed);
            read.held_back[lane.index()] = held_back.iter().any(is_mixed);
            for (strand, jobs) in jobs {
                if let Err(error) = self.read_strand(strand, lane, jobs, routes, &mut read) {
                    // A page that can't be read is not to hold back what lies elsewhere; as long as nothing beside it is settled,
                    // that is: the store balances its tree over both, and what it can't write then fails as a whole.
                    self.more[lane.index()].retain(|id| *id != strand);
                    self.unread.insert(strand, (now, error));
                }
            }
        }
        read
    }

    fn read_strand(
        &mut self,
        strand: StrandId,
        lane: Lane,
        jobs: usize,
        routes: &RouteTable,
        read: &mut Read,
    ) -> Result<(), String> {
        let room = self.memory.limit().saturating_sub(self.memory.bytes()) / IN_MEMORY;
        let corrupt = self.reader.corrupt();
        let stored = self.reader.next(strand, jobs, room.min(CHUNK_BYTES))?;
        read.corrupt[lane.index()] += self.reader.corrupt() - corrupt;
        self.unread.remove(&strand);
        if stored.is_empty() {
            self.more[lane.index()].retain(|id| *id != strand);
            return Ok(());
        }
        self.shares.taken(strand, stored.len());
        self.in_hand[lane.index()] += stored.len();
        let now = Clocks::now();
        for stored in stored {
            let key = stored.key;
            match self.envelope(stored, lane, routes, now) {
                Ok(job) => {
                    job.charge_to(&self.memory);
                    read.jobs[lane.index()].push(job);
                }
                Err(bad) => read.bad.push((key, lane, bad)),
            }
        }
        Ok(())
    }

    /// A stored job, as the pipeline takes it. It was found good when it was put; but apps come and go.
    fn envelope(&self, stored: Stored, lane: Lane, routes: &RouteTable, now: Clocks) -> Result<Arc<Envelope>, BadJob> {
        let job = decode(&stored.body, Defaults { id: Some(&stored.id), app: None })?;
        let Some(app) = routes.of(&job.app) else {
            let detail = format!("{:?} is not configured", job.app);
            return Err(BadJob { reason: "unknown_app", path: "app".to_owned(), detail });
        };
        let acknowledger: Arc<dyn Acknowledger> = Arc::clone(&self.receipts) as _;
        let origin = Origin {
            source: SourceName::Spool,
            queue: "spool".into(),
            receipt: Receipt { acknowledger, tag: tag(stored.key) },
            body: stored.body,
            accepted_at: stored.accepted_at,
            accepted: now.past(stored.accepted_at),
            deadline: stored.deadline.and_then(|at| now.deadline(at)),
            attempts: stored.attempts,
            lane,
            selected: stored.selected,
            exhausted: stored.crashes > self.max_deliveries,
        };
        Ok(Envelope::new(job, origin, app))
    }
}
