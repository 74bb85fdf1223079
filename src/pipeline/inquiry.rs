//! "What became of push X?": whoever owns a part of the answer is asked for it, and what they know is put together.
//!
//! ```text
//!            ┌──▶ dispatch      jobs in hand: how many pushes wait
//! inquiry ──▶├──▶ settlement    pushes that left of late: outcomes, and what was put off
//!            └──▶ spool, on a connection of its own: what is queued, comes again, is dead
//! ```
//!
//! One question at a time: an answer costs a look at everything that waits, so that a push's way costs next to nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::report::{JobReport, Known};
use crate::dispatch::{JobAsk, JobInHand};
use crate::outcome::{Past, PastAsk};
use crate::spool::{self, Search};

/// Questions that wait at an owner; there is one at a time.
const QUESTIONS: usize = 1;
/// How long an owner may take who is busy: a sink that holds all up holds up answers, too.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the spool is looked through.
const LOOK: Duration = Duration::from_secs(1);

/// The way to ask. Cheap to clone.
#[derive(Clone)]
pub struct Inquiry {
    dispatch: mpsc::Sender<JobAsk>,
    settlement: mpsc::Sender<PastAsk>,
    spool: Option<PathBuf>,
    turn: Arc<Semaphore>,
}

/// The owners' ends.
pub(super) struct Owners {
    pub(super) dispatch: mpsc::Receiver<JobAsk>,
    pub(super) settlement: mpsc::Receiver<PastAsk>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnswered {
    /// Nothing is known of such a job.
    Unknown {
        /// The spool was not looked through to its end.
        cut_short: bool,
    },
    /// Who could answer is busy.
    Busy,
    /// The spool can't be read; in words.
    Spool(String),
}

impl Inquiry {
    /// The way, and the owners' ends of it. `spool`: its directory.
    pub(super) fn new(spool: Option<PathBuf>) -> (Self, Owners) {
        let (dispatch, jobs) = mpsc::channel(QUESTIONS);
        let (settlement, pasts) = mpsc::channel(QUESTIONS);
        let inquiry = Self { dispatch, settlement, spool, turn: Arc::new(Semaphore::new(1)) };
        (inquiry, Owners { dispatch: jobs, settlement: pasts })
    }

    /// What is known of the job with this id.
    ///
    /// # Errors
    /// [`NotAnswered`].
    pub async fn job(&self, id: &str) -> Result<JobReport, NotAnswered> {
        let turn = timeout(PATIENCE, self.turn.acquire()).await.map_err(|_| NotAnswered::Busy)?;
        let _turn = turn.expect("it is never closed");
        let in_hand = timeout(PATIENCE, self.in_hand(id)).await.map_err(|_| NotAnswered::Busy)?;
        let pasts = timeout(PATIENCE, self.pasts(id)).await.map_err(|_| NotAnswered::Busy)?;
        // A job in hand is on disk, too, as it was when it was read.
        let disk = if in_hand.is_some() { Search::default() } else { self.on_disk(id).await? };
        let cut_short = disk.cut_short;
        let known = Known { in_hand, pasts, disk };
        JobReport::of(id, known).ok_or(NotAnswered::Unknown { cut_short })
    }

    async fn in_hand(&self, id: &str) -> Option<JobInHand> {
        let (answer, answered) = oneshot::channel();
        self.dispatch.send(JobAsk { id: id.into(), answer }).await.ok()?;
        answered.await.ok()?
    }

    async fn pasts(&self, id: &str) -> Vec<Past> {
        let (answer, answered) = oneshot::channel();
        if self.settlement.send(PastAsk { id: id.into(), answer }).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    async fn on_disk(&self, id: &str) -> Result<Search, NotAnswered> {
        let Some(path) = self.spool.clone() else { return Ok(Search::default()) };
        let id = id.to_owned();
        let looked = tokio::task::spawn_blocking(move || spool::find(&path, &id, LOOK)).await;
        looked.map_err(|_| NotAnswered::Busy)?.map_err(NotAnswered::Spool)
    }
}
