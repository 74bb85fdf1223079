//! The writer's thread: the one who writes.
//!
//! ```text
//! inbox ──▶ gather ──▶ BEGIN ─ puts, retries, dead letters, due, settled, counters ─ COMMIT (fsync) ──▶ answers
//!             ▲                              │ fails
//!             └───── owed, tried again ◀─────┘   puts are refused
//! ```
//!
//! Whatever waits when a commit ends goes into the next one: the more there is, the more shares a sync. If the store
//! fails, what callers can repeat is refused, and what they can't (retries, dead letters, settled keys) is owed and tried
//! again until it is written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};

use super::files::{self, Directory};
use super::inbox::{End, Inbox, Order, Work};
use super::seen::Seen;
use super::space::{self, Space};
use super::strands::Strands;
use super::transaction::{Answer, Chores, Transaction};
use super::{Key, Refused, SpoolSettings, SpoolStatus};
use crate::flow::Backoff;
use crate::job::UnixMillis;

/// How often it is looked for retries that are due and were put there by another process.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often figures are written.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether pages can be given back: a step takes some milliseconds.
const SHRINK_EVERY: Duration = Duration::from_millis(50);
/// For how long it is told that a put was refused.
const TOLD: Duration = Duration::from_secs(5);
/// Between two tries to write what the store did not take.
const TRY_AGAIN: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };
/// How often a store that fails is tried when the spool is closed.
const LAST_TRIES: u32 = 3;

/// The thread's state.
pub(super) struct Desk {
    pub(super) path: PathBuf,
    pub(super) settings: SpoolSettings,
    pub(super) connection: Connection,
    pub(super) directory: Directory,
    pub(super) inbox: Arc<Inbox>,
    pub(super) strands: Strands,
    pub(super) seen: Seen,
    pub(super) arrivals: watch::Sender<u64>,
    pub(super) status: watch::Sender<SpoolStatus>,
    pub(super) owed: Owed,
}

/// What is still to be written.
#[derive(Default)]
pub(super) struct Owed {
    orders: VecDeque<Order>,
    settled: Vec<Key>,
    /// When the earliest retry is due, as far as is known.
    due: Option<UnixMillis>,
    failures: u32,
    retry_at: Option<Instant>,
    /// What puts are told as long as the store fails.
    refused: Option<Refused>,
    /// Ids that were seen before this are to be forgotten.
    forget: Option<UnixMillis>,
    /// Dead letters dropped so far, as there were too many.
    dropped: u64,
    /// When a put was refused last, and why.
    turned_away: Option<(Instant, String)>,
    /// The failure that was logged last.
    logged: Option<String>,
    reported: Option<Instant>,
    /// Whether something was committed since.
    unreported: bool,
    /// When the file was last looked at, and whether a step was taken then.
    shrunk: Option<(Instant, bool)>,
}

impl Desk {
    /// Runs until the spool is closed, or nobody is left who could write.
    pub(super) fn run(mut self) {
        loop {
            let Work { orders, settled, end } = self.inbox.work(self.wake());
            if matches!(end, Some(End::Abandon)) {
                return self.inbox.shut();
            }
            self.owed.orders.extend(orders);
            self.owed.settled.extend(settled);
            self.work();
            self.report();
            match end {
                Some(End::Close(closed)) => return self.close(closed),
                _ => self.shrink(),
            }
        }
    }

    /// Until when nothing has to be done of itself.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        if let Some(at) = self.owed.retry_at {
            return at;
        }
        let due = self.owed.due.map_or(LOOK_EVERY, |due| due.since(UnixMillis::now()));
        let shrinks = self.owed.shrunk.is_some_and(|(_, more)| more);
        let look = if shrinks { SHRINK_EVERY } else { LOOK_EVERY };
        let report = if self.owed.unreported { REPORT_EVERY } else { LOOK_EVERY };
        now + due.min(look).min(report)
    }

    /// Writes what is to be written.
    fn work(&mut self) {
        if self.owed.retry_at.is_some_and(|at| at > Instant::now()) {
            return self.refuse_puts();
        }
        let due = self.owed.due.is_some_and(|due| due <= UnixMillis::now());
        // A store that failed is tried even if nothing is owed, so that it is known when it can be written to.
        if !(due || self.is_owed() || self.owed.failures > 0) {
            return self.look_for_due();
        }
        // Each commit moves some of what is due. If that is all there is to do, the inbox is looked into in between: a put
        // does not wait for a hundred thousand retries.
        loop {
            self.inbox.commits(true);
            let committed = self.commit();
            self.inbox.commits(false);
            if let Err(error) = committed {
                return self.fail(&error);
            }
            if !self.is_owed() {
                return;
            }
        }
    }

    fn is_owed(&self) -> bool {
        !self.owed.orders.is_empty() || !self.owed.settled.is_empty()
    }

    /// One transaction.
    fn commit(&mut self) -> rusqlite::Result<()> {
        let space = Space::look(&self.connection, &self.path, &self.settings)?;
        let chores = Chores { forget: self.owed.forget, probe: self.owed.failures > 0 };
        let mut transaction = Transaction::begin(&self.connection, &mut self.strands, &self.seen, space)?;
        let mut batch = Vec::new();
        while transaction.has_room()
            && let Some(order) = self.owed.orders.pop_front()
        {
            batch.push(order);
            let order = batch.last().expect("just pushed");
            if let Err(error) = transaction.write(order) {
                transaction.roll_back();
                self.put_back(batch);
                return Err(error);
            }
        }
        // A dead letter is made of the job that it is of: what is settled goes after all orders that came before.
        let settled = if self.owed.orders.is_empty() { std::mem::take(&mut self.owed.settled) } else { Vec::new() };
        match transaction.finish(&settled, chores) {
            Ok(done) => {
                self.strands.commit();
                let forgotten = self.seen.note(done.digests, done.at);
                self.owed.forget = forgotten.or(self.owed.forget.filter(|_| done.remembers));
                self.owed.due = done.due;
                self.owed.dropped += done.dropped;
                self.owed.unreported = true;
                self.note_refused(&done.answers);
                self.mended();
                let kept = batch.iter().filter(|order| order.is_owed()).count();
                self.inbox.committed(settled.len(), kept);
                answer(batch, done.answers);
                if done.arrived {
                    self.arrivals.send_modify(|count| *count += 1);
                }
                Ok(())
            }
            Err(error) => {
                self.strands.roll_back();
                self.owed.settled.extend(settled);
                self.put_back(batch);
                Err(error)
            }
        }
    }

    fn put_back(&mut self, batch: Vec<Order>) {
        for order in batch.into_iter().rev() {
            self.owed.orders.push_front(order);
        }
    }

    fn fail(&mut self, error: &rusqlite::Error) {
        let delay =
            TRY_AGAIN.delay(u8::try_from(self.owed.failures).unwrap_or(u8::MAX), Duration::ZERO, fastrand::f64());
        self.owed.failures = self.owed.failures.saturating_add(1);
        self.owed.retry_at = Some(Instant::now() + delay);
        let refused = self.refused(error);
        if self.owed.logged.as_deref() != Some(&error.to_string()) {
            tracing::error!(%error, "the spool can't be written to; trying again");
            self.owed.logged = Some(error.to_string());
        }
        self.status.send_modify(|status| status.failing = Some(format!("the spool can't be written to: {error}")));
        self.owed.refused = Some(refused);
        self.refuse_puts();
    }

    fn mended(&mut self) {
        if self.owed.failures > 0 {
            tracing::info!(tries = self.owed.failures, "the spool can be written to again");
        }
        (self.owed.failures, self.owed.retry_at, self.owed.refused, self.owed.logged) = (0, None, None, None);
    }

    fn note_refused(&mut self, answers: &[Answer]) {
        let refused = answers.iter().rev().find_map(|answer| match answer {
            Answer::Put(Err(refused @ (Refused::Full { .. } | Refused::DiskFull { .. }))) => Some(refused.to_string()),
            _ => None,
        });
        if let Some(why) = refused {
            self.owed.turned_away = Some((Instant::now(), why));
        }
    }

    fn refused(&self, error: &rusqlite::Error) -> Refused {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                let free = files::free(&self.path).unwrap_or(0);
                Refused::DiskFull { free, floor: self.settings.min_free }
            }
            _ => Refused::Broken(error.to_string()),
        }
    }

    fn refuse_puts(&mut self) {
        let refused = self.owed.refused.clone().unwrap_or_else(|| Refused::Broken(String::new()));
        for order in std::mem::take(&mut self.owed.orders) {
            match order {
                Order::Put(_, answer) => drop(answer.send(Err(refused.clone()))),
                owed => self.owed.orders.push_back(owed),
            }
        }
    }

    /// Another process may have put retries there (a replay).
    fn look_for_due(&mut self) {
        match self.connection.query_row("SELECT min(due) FROM later", [], |row| row.get::<_, Option<i64>>(0)) {
            Ok(due) => self.owed.due = due.map(|due| UnixMillis(due.cast_unsigned())),
            Err(error) => self.fail(&error),
        }
    }

    /// Gives pages back to the file system, some at a time, where much of the file is empty.
    fn shrink(&mut self) {
        let now = Instant::now();
        if self.owed.shrunk.is_some_and(|(at, _)| now < at + SHRINK_EVERY) {
            return;
        }
        let before = self.owed.shrunk.is_some_and(|(_, more)| more);
        let more = space::shrink(&self.connection).unwrap_or_else(|error| {
            tracing::debug!(%error, "the spool's file can't be made smaller now");
            false
        });
        // The log counts as used; if puts are refused for it, no transaction comes that would begin it anew.
        let in_the_way = self.status.borrow().refusing.is_some() && space::log_is_long(&self.path, &self.settings);
        if (before && !more) || in_the_way {
            // And what was given back counts when the log is carried over.
            space::empty_log(&self.connection);
        }
        self.owed.shrunk = Some((now, more));
    }

    fn report(&mut self) {
        let now = Instant::now();
        let due = self.owed.reported.is_none_or(|at| now >= at + REPORT_EVERY);
        let failing = self.owed.failures > 0;
        let mended = !failing && self.status.borrow().failing.is_some();
        if !(due || mended) {
            return;
        }
        (self.owed.reported, self.owed.unreported) = (Some(now), false);
        let Ok(figures) = self.figures() else { return };
        self.status.send_if_modified(|status| {
            let failing = status.failing.take().filter(|_| failing);
            match (&status.refusing, &figures.refusing) {
                (None, Some(why)) => tracing::warn!(%why, "jobs are refused"),
                (Some(_), None) => tracing::info!("jobs are taken in again"),
                _ => {}
            }
            let new = SpoolStatus { failing, ..figures };
            let changed = *status != new;
            *status = new;
            changed
        });
    }

    fn figures(&self) -> rusqlite::Result<SpoolStatus> {
        let space = Space::look(&self.connection, &self.path, &self.settings)?;
        // A large put is refused before there is no room for a small one.
        let turned_away =
            || self.owed.turned_away.as_ref().filter(|(at, _)| at.elapsed() < TOLD).map(|(_, why)| why.clone());
        Ok(SpoolStatus {
            queued: self.strands.waiting(),
            later: space::rows(&self.connection, "later")?,
            dead: space.dead(),
            used_bytes: space.used(),
            refusing: space.refusal(0).map(|refused| refused.to_string()).or_else(turned_away),
            failing: None,
            dropped_dead: self.owed.dropped,
        })
    }

    fn close(mut self, closed: oneshot::Sender<usize>) {
        for _ in 0..LAST_TRIES {
            if !self.is_owed() {
                break;
            }
            if let Some(at) = self.owed.retry_at.take() {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
            }
            self.work();
        }
        self.inbox.shut();
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if self.owed.settled.is_empty() && checkpoint.is_ok() {
            // If this fails, some innocent jobs are counted as suspects once.
            let _ = self.directory.clean();
        }
        drop(self.connection);
        drop(self.directory);
        let _ = closed.send(self.inbox.owed());
    }
}

fn answer(batch: Vec<Order>, answers: Vec<Answer>) {
    for (order, answer) in batch.into_iter().zip(answers) {
        // Who asked may be gone: what was written stays written.
        match (order, answer) {
            (Order::Put(_, asked), Answer::Put(put)) => drop(asked.send(put)),
            (Order::Again(_, asked) | Order::Dead(_, asked), _) => drop(asked.send(())),
            (Order::Put(_, asked), Answer::Written) => {
                drop(asked.send(Err(Refused::Broken("a put was not answered".to_owned()))));
            }
        }
    }
}
