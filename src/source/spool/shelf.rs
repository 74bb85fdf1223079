//! The blocking half of the source: chooses strands, reads, decodes. It lives on the feed's side and goes to a blocking
//! thread for each look, so that no reading from disk holds up a task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::probation::Probation;
use super::receipts::{Receipts, tag};
use super::share::Shares;
use crate::job::{
    Acknowledger, BadJob, Defaults, Envelope, Lane, MemoryBudget, Origin, Receipt, RouteTable, SourceName, decode,
};
use crate::source::clocks::Clocks;
use crate::spool::{Key, Reader, Stored, Strand, StrandId};

/// Bytes of bodies read from one strand at once.
const CHUNK_BYTES: usize = 4 << 20;

/// What a job's body becomes in memory, several times over (see [`Envelope::estimate`]).
const IN_MEMORY: usize = 3;

/// When a strand that could not be read is tried again; the others go on.
const TRY_AGAIN: Duration = Duration::from_secs(1);

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
    /// What was ever read from.
    lanes: HashMap<StrandId, Lane>,
    in_hand: [usize; 3],
}

/// What a look brought.
#[derive(Default)]
pub(super) struct Read {
    /// Jobs by lane.
    pub(super) jobs: [Vec<Arc<Envelope>>; 3],
    /// Jobs that can't be sent as things are; they count as in hand until they are settled.
    pub(super) bad: Vec<(Key, Lane, BadJob)>,
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
            lanes: HashMap::new(),
            in_hand: [0; 3],
        }
    }

    /// Notes what was settled.
    pub(super) fn settled(&mut self, keys: &[Key], now: Instant) {
        for key in keys {
            let strand = key.strand();
            self.shares.settled(strand, now);
            if let Some(lane) = self.lanes.get(&strand) {
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

    /// Whether a strand that could not be read is to be tried again; then it takes a [`look`](Self::look).
    pub(super) fn tries_again(&self, now: Instant) -> bool {
        self.unread.values().any(|(at, _)| now >= *at + TRY_AGAIN)
    }

    /// Why a strand can't be read; `None`: all can.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.unread.values().next().map(|(_, error)| error.as_str())
    }

    /// Looks which strands have more.
    ///
    /// # Errors
    /// Why the store could not be read.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), String> {
        let strands = self.reader.strands()?;
        self.more.iter_mut().for_each(Vec::clear);
        for Strand { id, lane, .. } in strands {
            self.lanes.insert(id, lane);
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
            for (strand, jobs) in self.shares.allot(lane, wanted, &self.more[lane.index()], now) {
                if let Err(error) = self.read_strand(strand, lane, jobs, routes, &mut read) {
                    // One damaged page is not to hold back what lies elsewhere.
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
