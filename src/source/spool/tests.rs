//! The source over a real store that fails in one way or another. A fault is put into the store from outside, by a second
//! connection or in the closed file, as a disk would.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{SpoolSource, SpoolSourceStatus};
use crate::job::{Envelope, Lane, MemoryBudget, Provider, RouteId, RouteTable, UnixMillis};
use crate::spool::{DeadLetters, Filter, NewJob, Providers, Spool, SpoolSettings};
use crate::stage::{Inlet, link};
use crate::telemetry::Metrics;

const IN_TIME: Duration = Duration::from_secs(30);
const JOBS: usize = 400;

struct Bench {
    source: SpoolSource,
    inlets: [Inlet<Arc<Envelope>>; 3],
    status: watch::Receiver<SpoolSourceStatus>,
    _routes: watch::Sender<Arc<RouteTable>>,
}

fn settings(directory: &TempDir) -> SpoolSettings {
    SpoolSettings { path: directory.path().join("spool"), min_free: 0, ..SpoolSettings::default() }
}

fn start(directory: &TempDir) -> Bench {
    let spool = Spool::open(&settings(directory)).expect("the spool opens");
    let bell = Arc::new(Notify::new());
    let [high, normal, low] = [(); 3].map(|()| link(Arc::clone(&bell)));
    let table = RouteTable::new([("chat".into(), [Some(RouteId(0)), None, None])]);
    let (_routes, routes) = watch::channel(Arc::new(table));
    let (memory, metrics) = (MemoryBudget::new(64 << 20), Arc::new(Metrics::default()));
    let outlets = [high.0, normal.0, low.0];
    let source = SpoolSource::start(spool, 100, routes, outlets, memory, metrics, CancellationToken::new());
    let status = source.status();
    Bench { source, inlets: [high.1, normal.1, low.1], status, _routes }
}

impl Bench {
    /// The next chunk of a lane, or panics.
    async fn next(&mut self, lane: Lane) -> Vec<Arc<Envelope>> {
        let next = tokio::time::timeout(IN_TIME, self.inlets[lane.index()].recv()).await;
        next.expect("jobs come in time").expect("the feed lives")
    }

    /// Takes and settles so many jobs of a lane; says which.
    async fn take(&mut self, lane: Lane, count: usize) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        self.inlets[lane.index()].want(count);
        while ids.len() < count {
            let jobs = self.next(lane).await;
            ids.extend(jobs.iter().map(|job| job.job.id.to_string()));
            settle(&jobs);
        }
        ids
    }

    async fn until(&mut self, what: &str, met: impl FnMut(&SpoolSourceStatus) -> bool) {
        if tokio::time::timeout(IN_TIME, self.status.wait_for(met)).await.is_err() {
            panic!("in time: {what}; {:?}", *self.status.borrow());
        }
    }
}

fn settle(jobs: &[Arc<Envelope>]) {
    for job in jobs {
        job.origin.receipt.acknowledger.settle(vec![job.origin.receipt.tag]);
    }
}

fn jobs(app: &str, lane: Lane, count: usize) -> Vec<NewJob> {
    let job = |nth: usize| {
        let id = format!("{app}-{lane}-{nth:03}");
        let body = format!(
            r#"{{"id":"{id}","app":"{app}","to":[{{"apns":"{}"}}],"data":{{"k":"{}"}}}}"#,
            "ab".repeat(32),
            "v".repeat(300)
        );
        NewJob {
            id: id.into(),
            named: true,
            app: app.into(),
            lane,
            providers: Providers::default().with(Provider::Apns),
            pushes: 1,
            accepted_at: UnixMillis::now(),
            deadline: None,
            body: body.into(),
        }
    };
    (0..count).map(job).collect()
}

/// Has the store say no to what `event` names, or yes again.
fn forbid(directory: &TempDir, event: &str) {
    let no = "BEGIN SELECT RAISE(ABORT, 'the disk says no'); END";
    execute(directory, &format!("CREATE TRIGGER fault BEFORE {event} {no}"));
}

fn allow(directory: &TempDir) {
    execute(directory, "DROP TRIGGER fault");
}

fn execute(directory: &TempDir, sql: &str) {
    let store = rusqlite::Connection::open(settings(directory).path.join("spool.db")).expect("the store opens");
    store.busy_timeout(IN_TIME).expect("a timeout");
    store.execute_batch(sql).expect("the fault is put in");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_fails_nothing_more_is_handed_over_and_then_the_rest_is() {
    let directory = TempDir::new().expect("a directory");
    let mut bench = start(&directory);
    bench.source.writer().put(jobs("chat", Lane::Normal, JOBS)).await.expect("there is room");
    let normal = Lane::Normal.index();
    bench.inlets[normal].want(80);
    let first = bench.next(Lane::Normal).await;
    forbid(&directory, "DELETE ON jobs");
    settle(&first);
    bench.until("the failure is told", |status| status.store.failing.is_some()).await;
    // What was handed over before that.
    let hand: Vec<_> = std::iter::from_fn(|| bench.inlets[normal].try_recv()).flatten().collect();
    settle(&hand);
    bench.inlets[normal].want(JOBS);
    // The feed knows of the demand, and has gone round with it.
    bench.until("the demand is seen", |status| status.lanes[normal].demand > JOBS / 2).await;
    for _ in 0..3 {
        bench.status.changed().await.expect("the feed lives");
    }
    assert!(bench.inlets[normal].try_recv().is_none(), "it could not be noted as settled");
    let trouble = bench.status.borrow().trouble().expect("it is told");
    assert!(trouble.contains("the disk says no"), "{trouble}");

    allow(&directory);
    let mut ids: BTreeSet<String> = first.iter().chain(&hand).map(|job| job.job.id.to_string()).collect();
    ids.extend(bench.take(Lane::Normal, JOBS - ids.len()).await);
    bench.source.close().await.expect("all is written");
    assert_eq!(ids.len(), JOBS, "each once");
    let Spool { mut reader, .. } = Spool::open(&settings(&directory)).expect("the spool opens");
    let strands = reader.strands().expect("the store can be read");
    let left = reader.next(strands[0].id, JOBS, usize::MAX).expect("the store can be read");
    assert_eq!(left.len(), 0, "and all are settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_the_store_does_not_take_holds_up_neither_the_status_nor_the_end() {
    let directory = TempDir::new().expect("a directory");
    let mut bench = start(&directory);
    let writer = bench.source.writer();
    forbid(&directory, "INSERT ON dead");
    writer.put(jobs("gone", Lane::High, 1)).await.expect("there is room");
    bench.inlets[Lane::High.index()].want(1);
    bench.until("the failure is told", |status| status.trouble().is_some()).await;
    let closed = tokio::time::timeout(IN_TIME, bench.source.close()).await;
    let owed = closed.expect("it ends, though the letter is not written");
    assert_eq!(owed, Err(2), "and says that the letter and its job are not written");
    drop(writer);

    // The job is on disk still, and what was owed is done by the next process.
    allow(&directory);
    let mut bench = start(&directory);
    bench.inlets[Lane::High.index()].want(1);
    bench.until("the letter is written", |status| status.store.dead == 1 && status.store.queued == 0).await;
    let letters = DeadLetters::open(&settings(&directory).path).expect("they open");
    let letters = letters.list(&Filter::default()).expect("they can be read");
    assert_eq!(&*letters[0].reason, "unknown_app");
    bench.source.close().await.expect("all is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_holds_back_its_own_strand_only() {
    let directory = TempDir::new().expect("a directory");
    let spool = Spool::open(&settings(&directory)).expect("the spool opens");
    for lane in [Lane::High, Lane::Low] {
        spool.writer.put(jobs("chat", lane, 200)).await.expect("there is room");
    }
    spool.writer.close().await.expect("all is written");
    drop(spool.reader);
    damage(&directory, "chat-high-020");

    let mut bench = start(&directory);
    bench.inlets[Lane::High.index()].want(200);
    let mut high = Vec::new();
    let unread = |status: &SpoolSourceStatus| status.error.as_ref().is_some_and(|error| error.contains("malformed"));
    while !unread(&bench.status.borrow()) {
        tokio::select! {
            jobs = bench.inlets[Lane::High.index()].recv() => high.extend(jobs.expect("the feed lives")),
            changed = bench.status.changed() => changed.expect("the feed lives"),
        }
    }
    let low = bench.take(Lane::Low, 200).await;
    assert_eq!(low.len(), 200, "the other strand comes whole");
    assert!(!high.is_empty(), "and what stands before the damage");
    bench.source.close().await.expect("all is written");
}

/// Makes the page with this text in it none.
fn damage(directory: &TempDir, text: &str) {
    const PAGE: usize = 4_096;
    const LEAF: u8 = 13;
    let file = settings(directory).path.join("spool.db");
    let mut bytes = fs::read(&file).expect("the store can be read");
    let has = |page: &[u8]| page[0] == LEAF && page.windows(text.len()).any(|window| window == text.as_bytes());
    let page = bytes.chunks_exact_mut(PAGE).find(|page| has(page)).expect("a page has it");
    page[..8].fill(0xff);
    fs::write(file, bytes).expect("the store can be written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_gone_is_noticed() {
    let directory = TempDir::new().expect("a directory");
    let mut bench = start(&directory);
    bench.source.writer().close().await.expect("all is written");
    let why = tokio::time::timeout(IN_TIME, bench.source.broken()).await.expect("it is noticed in time");
    assert!(why.contains("ended by itself"), "{why}");
}
