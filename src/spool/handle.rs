//! The spool's writing end, and how both ends come to be.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::{oneshot, watch};

use super::files::Directory;
use super::inbox::{End, Inbox, Order};
use super::record::millis;
use super::seen::{DIGEST, Digest, Seen};
use super::strands::Strands;
use super::writer::Desk;
use super::{
    Again, Dead, Key, NewJob, OpenError, Put, Reader, Refused, SEQUENCE_BITS, SpoolSettings, SpoolStatus, schema, space,
};
use crate::job::UnixMillis;

/// An open spool.
pub struct Spool {
    /// Writes; to be cloned.
    pub writer: Writer,
    /// Reads; there is one.
    pub reader: Reader,
}

impl Spool {
    /// Opens the spool, or makes it. Blocks: recovery reads what a crash left.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(settings: &SpoolSettings) -> Result<Self, OpenError> {
        let path = &settings.path;
        let directory = Directory::open(path)?;
        let connection = schema::open_or_make(path)?;
        let store = |error: String| OpenError::Store(path.clone(), error);
        let read = |error: rusqlite::Error| store(format!("spool.db: {error}"));
        space::bound_log(&connection, settings).map_err(read)?;
        suspect(&connection, &directory).map_err(store)?;
        let strands = Strands::load(&connection).map_err(read)?;
        let seen = load_seen(&connection, settings).map_err(read)?;
        let handed = directory.handed().map_err(|error| store(error.to_string()))?;

        let inbox = Arc::new(Inbox::new());
        let (arrivals_in, arrivals) = watch::channel(0);
        let (status_in, status) = watch::channel(SpoolStatus { queued: strands.waiting(), ..SpoolStatus::default() });
        let handle = Arc::new(Handle(Arc::clone(&inbox)));
        let writer = Writer { handle, arrivals, status };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reading = schema::open(path, flags)?;
        reading.execute_batch("PRAGMA query_only = ON").map_err(read)?;
        let reader = Reader::new(reading, handed, writer.clone());
        let desk = Desk {
            path: path.clone(),
            settings: settings.clone(),
            connection,
            directory,
            inbox,
            strands,
            seen,
            arrivals: arrivals_in,
            status: status_in,
            owed: super::writer::Owed::default(),
        };
        let ending = Ending(Arc::clone(&desk.inbox));
        let run = move || {
            let _ending = ending;
            desk.run();
        };
        let thread = std::thread::Builder::new().name("spool-writer".to_owned()).spawn(run);
        thread.map_err(|error| store(format!("a thread can't be started: {error}")))?;
        Ok(Self { writer, reader })
    }
}

/// Counts a crash for every job that was in hand when the last process ended.
fn suspect(connection: &Connection, directory: &Directory) -> Result<(), String> {
    let suspects = directory.suspects().map_err(|error| format!("the file `handed`: {error}"))?;
    let count = || -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut update = connection.prepare("UPDATE jobs SET crashes = crashes + 1 WHERE key > ?1 AND key <= ?2")?;
        for (strand, handed) in &suspects {
            let base = i64::from(strand.0) << SEQUENCE_BITS;
            update.execute(params![base, base | handed.front.clamp(0, schema::BACK)])?;
            update
                .execute(params![base | schema::BACK, base | handed.back.clamp(schema::BACK, 2 * schema::BACK - 1)])?;
        }
        connection.execute_batch("COMMIT")
    };
    if suspects.is_empty() {
        return Ok(());
    }
    count().map_err(|error| format!("spool.db: {error}"))?;
    directory.clean().map_err(|error| format!("the file `handed`: {error}"))
}

fn load_seen(connection: &Connection, settings: &SpoolSettings) -> rusqlite::Result<Seen> {
    let now = UnixMillis::now();
    let since = UnixMillis(now.0.saturating_sub(u64::try_from(settings.dedupe.as_millis()).unwrap_or(u64::MAX)));
    connection.execute("DELETE FROM seen WHERE at < ?", [millis(since)])?;
    let mut seen = Seen::new(settings.dedupe);
    let mut select = connection.prepare("SELECT at, hashes FROM seen ORDER BY n")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let at = UnixMillis(row.get::<_, i64>(0)?.cast_unsigned());
        let digests = row.get_ref(1)?.as_blob()?.chunks_exact(DIGEST);
        seen.note(digests.map(|bytes| Digest::try_from(bytes).expect("a chunk is a digest")), at);
    }
    Ok(seen)
}

/// However the writer's thread ends, by a bug's panic too: nobody waits for it any more.
struct Ending(Arc<Inbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// The writer's thread ends with the last of these, as if the process had died: what was not written is not.
struct Handle(Arc<Inbox>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end(End::Abandon);
    }
}

/// The writing end. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    handle: Arc<Handle>,
    arrivals: watch::Receiver<u64>,
    status: watch::Receiver<SpoolStatus>,
}

impl Writer {
    /// Queues all of `jobs`, or none. Ready when they are on disk (fsync), together with whatever else was to be written
    /// at that moment.
    ///
    /// # Errors
    /// [`Refused`]: none of them is queued. With [`Refused::Broken`] they may be, if it was the last sync that failed.
    pub async fn put(&self, jobs: Vec<NewJob>) -> Result<Put, Refused> {
        let inbox = &self.handle.0;
        let _place = inbox.places.acquire().await.map_err(|_| Refused::Closed)?;
        let (answer, answered) = oneshot::channel();
        inbox.order(Order::Put(jobs, answer));
        answered.await.unwrap_or(Err(Refused::Closed))
    }

    /// These jobs are done with. Never waits and never fails: what the store does not take is tried again.
    pub fn settle(&self, keys: Vec<Key>) {
        self.handle.0.settle(keys);
    }

    /// Queues a part of a job again. Ready when it is on disk; trouble on the way is waited out. The job itself stays
    /// until it is settled.
    pub fn again(&self, again: Again) -> BoxFuture<'static, ()> {
        let (answer, answered) = oneshot::channel();
        self.handle.0.order(Order::Again(again, answer));
        durable(answered)
    }

    /// Keeps a dead letter. Ready as [`again`](Self::again) is.
    pub fn dead(&self, dead: Dead) -> BoxFuture<'static, ()> {
        let (answer, answered) = oneshot::channel();
        self.handle.0.order(Order::Dead(dead, answer));
        durable(answered)
    }

    /// Settled jobs, retries and dead letters that are not on disk yet.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.handle.0.owed()
    }

    /// For how long the commit under way has lasted; a disk that hangs is known by it.
    #[must_use]
    pub fn commit_lasts(&self) -> Duration {
        self.handle.0.commit_lasts()
    }

    /// Changes whenever there may be more to read than before.
    #[must_use]
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.clone()
    }

    /// What it shows; written after each commit, at most ten times a second, and at once when `failing` changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SpoolStatus> {
        self.status.clone()
    }

    /// Writes what is still to be written, and closes the store. The other clones refuse from now on. A store that does
    /// not take it is tried some times.
    ///
    /// # Errors
    /// How much could not be written: those jobs come again when the spool is opened next.
    pub async fn close(self) -> Result<(), usize> {
        let (closed, end) = oneshot::channel();
        self.handle.0.end(End::Close(closed));
        // If it had ended before, nobody writes what is owed.
        match end.await.unwrap_or_else(|_| self.owed()) {
            0 => Ok(()),
            owed => Err(owed),
        }
    }
}

/// Ready when it is said to be written; never, if the spool ended before.
fn durable(written: oneshot::Receiver<()>) -> BoxFuture<'static, ()> {
    async move {
        if written.await.is_err() {
            std::future::pending().await
        }
    }
    .boxed()
}
