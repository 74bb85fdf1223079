//! The task that feeds the pipeline from the spool.
//!
//! One loop: count what was settled, read what is wanted, hand it over; where nothing is wanted or nothing is there, wait
//! for whichever comes first: demand, jobs, settled jobs, the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::receipts::Receipts;
use super::shelf::{Read, Shelf, TRY_AGAIN};
use super::{LaneStatus, SpoolSourceStatus};
use crate::job::{Acknowledger, BadJob, Envelope, Lane, MemoryBudget, RouteTable, SourceName, UnixMillis};
use crate::spool::{Dead, Key, SpoolStatus, Writer};
use crate::stage::Outlet;
use crate::telemetry::{JobResult, Metrics};

/// How often figures are brought up to date.
const REPORT: Duration = Duration::from_millis(100);
/// Settled jobs, retries and dead letters that the store has not taken yet, from which on no job is read: some commits' worth.
const MOST_OWED: usize = 20_000;
/// How long a commit may last before that is told: a disk that hangs gives no error.
const HANGS: Duration = Duration::from_secs(5);

/// What the task is made of.
pub(super) struct Feed {
    pub(super) shelf: Shelf,
    pub(super) receipts: Arc<Receipts>,
    pub(super) writer: Writer,
    pub(super) routes: watch::Receiver<Arc<RouteTable>>,
    /// By [`Lane::index`].
    pub(super) outlets: [Outlet<Arc<Envelope>>; 3],
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) report: watch::Sender<SpoolSourceStatus>,
}

impl Feed {
    /// Runs until `drain`, or until the pipeline or the spool's writer is gone.
    pub(super) async fn run(mut self, drain: CancellationToken) {
        let receipts = Arc::clone(&self.receipts);
        let bells = self.outlets.each_ref().map(Outlet::doorbell);
        let mut arrivals = self.writer.arrivals();
        let mut store = self.writer.status();
        let mut report = tokio::time::interval(REPORT);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = true;
        loop {
            self.shelf.settled(&receipts.take(), Instant::now());
            let Ok(arrived) = arrivals.has_changed() else { break };
            if drain.is_cancelled() || self.outlets.iter().any(Outlet::is_closed) {
                break;
            }
            if report.tick().now_or_never().is_some() {
                self.tell(&mut store);
            }
            look |= arrived || self.shelf.tries_again(Instant::now());
            let demand = self.demand(&store);
            let wanted = demand != [0; 3];
            if wanted && (look || self.shelf.has_more_for(demand, Instant::now())) {
                if look {
                    arrivals.mark_unchanged();
                }
                let routes = Arc::clone(&self.routes.borrow());
                let read;
                let letters = store.borrow().dead;
                (self.shelf, read) = visit(self.shelf, look.then_some(letters), demand, routes).await;
                let (failed, empty) = (read.error.is_some(), read.is_empty());
                self.say_exhausted(read.held_back);
                look = failed;
                self.hand_over(read);
                if failed {
                    let _ = tokio::time::timeout(TRY_AGAIN, drain.cancelled()).await;
                    continue;
                }
                if !empty {
                    continue;
                }
            } else {
                self.say_exhausted([false; 3]);
            }
            tokio::select! {
                () = drain.cancelled() => {}
                () = bells[0].notified() => {}
                () = bells[1].notified() => {}
                () = bells[2].notified() => {}
                () = receipts.rung() => {}
                Ok(()) = arrivals.changed() => look = true,
                Ok(()) = store.changed() => self.tell(&mut store),
                _ = report.tick() => self.tell(&mut store),
            }
        }
        self.report.send_modify(|status| status.draining = true);
    }

    /// What each lane wants, as far as there is memory for it.
    ///
    /// Nothing while the store can't be written to, or does not keep up: what is sent then can't be noted as settled, so all of
    /// a backlog would go out, be owed in memory, and go out again after a crash.
    fn demand(&mut self, store: &watch::Receiver<SpoolStatus>) -> [usize; 3] {
        if store.borrow().failing.is_some() || self.writer.owed() > MOST_OWED {
            return [0; 3];
        }
        let room = self.memory.room();
        self.outlets.each_mut().map(|outlet| outlet.room().min(room))
    }

    fn say_exhausted(&self, is: [bool; 3]) {
        for (outlet, is) in self.outlets.iter().zip(is) {
            outlet.exhausted(is);
        }
    }

    fn hand_over(&mut self, read: Read) {
        for (lane, mut jobs) in Lane::ALL.into_iter().zip(read.jobs) {
            // No more was read than there was room for; if the pipeline goes in this moment, the jobs are on disk still.
            let _ = self.outlets[lane.index()].try_send(&mut jobs);
        }
        let error = read.error.or_else(|| self.shelf.trouble());
        self.report.send_if_modified(|status| {
            let changed = status.error != error;
            match &error {
                Some(error) if changed => tracing::warn!(%error, "a part of the spool is not read"),
                None if changed => tracing::info!("all of the spool is read again"),
                _ => {}
            }
            status.error = error;
            changed
        });
        for (lane, count) in Lane::ALL.into_iter().zip(read.corrupt) {
            self.count_dead(lane, count);
        }
        for (key, lane, bad) in read.bad {
            self.count_dead(lane, 1);
            self.bury(key, bad);
        }
    }

    fn count_dead(&self, lane: Lane, count: u64) {
        if count > 0 {
            self.metrics.jobs(SourceName::Spool, lane, JobResult::Dead, count);
        }
    }

    /// Nobody waits for it: the letter is written no later than that the job is settled, whenever the store takes it.
    fn bury(&self, key: Key, bad: BadJob) {
        let (reason, detail) = (bad.reason.into(), format!("{} {}", bad.path, bad.detail));
        let dead = Dead { of: key, targets: Vec::new(), attempts: 0, reason, detail, at: UnixMillis::now() };
        drop(self.writer.dead(dead));
        self.receipts.settle(vec![super::receipts::tag(key)]);
    }

    fn tell(&mut self, store: &mut watch::Receiver<SpoolStatus>) {
        let in_hand = self.shelf.in_hand();
        let demand = self.outlets.each_mut().map(Outlet::demand);
        let lanes = Lane::ALL.map(|lane| LaneStatus { demand: demand[lane.index()], unsettled: in_hand[lane.index()] });
        for (lane, now) in Lane::ALL.into_iter().zip(lanes) {
            self.metrics.demand(SourceName::Spool, lane, now.demand);
            self.metrics.unsettled(SourceName::Spool, lane, now.unsettled);
        }
        let mut store = store.borrow_and_update().clone();
        let lasts = self.writer.commit_lasts();
        if lasts >= HANGS {
            let hangs = || format!("the spool's disk has not answered for {} s", lasts.as_secs());
            store.failing.get_or_insert_with(hangs);
        }
        self.report.send_modify(|status| (status.lanes, status.store) = (lanes, store));
    }
}

/// Goes to a blocking thread with the shelf, looks if it shall (and is told how many dead letters there are), reads, and
/// comes back.
async fn visit(mut shelf: Shelf, look: Option<u64>, demand: [usize; 3], routes: Arc<RouteTable>) -> (Shelf, Read) {
    let visit = move || {
        let looked = look.map_or(Ok(()), |letters| shelf.look(&routes, letters, Instant::now()));
        let read = match looked {
            Ok(()) => shelf.read(demand, &routes, Instant::now()),
            Err(error) => Read { error: Some(error), ..Read::default() },
        };
        (shelf, read)
    };
    match tokio::task::spawn_blocking(visit).await {
        Ok(back) => back,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
