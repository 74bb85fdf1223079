//! What the spool carries: jobs in, and jobs in and out, by how many come in one put and how many put at once.
//!
//! On a real disk (the target directory's), every put committed and synced. A job is 400 bytes and its caller chose its id, so
//! the dedupe window is paid for. After each case a line tells the CPU time that a job took, of all threads.
//! `cargo bench --bench spool`; the figures stand in `src/spool/mod.rs`.

mod measure;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tidegate::job::{Lane, Provider, UnixMillis};
use tidegate::spool::{NewJob, Providers, Spool, SpoolSettings};

use measure::process_cpu;
use measure::store::{READ, Store};

const PER_PUT: [usize; 3] = [1, 100, 1_000];
const PUTTERS: [usize; 3] = [1, 16, 64];
const BODY: usize = 400;
/// Strands that the jobs are spread over.
const APPS: [&str; 8] = ["chat", "shop", "news", "mail", "game", "bank", "taxi", "post"];
/// Jobs of the backlog that a crash leaves: some 300 MiB.
const BACKLOG: u64 = 500_000;

/// Jobs of one iteration: enough to fill every putter's put some times, few enough to end soon where each waits for a sync.
fn jobs_of(per_put: usize, putters: usize) -> u64 {
    (per_put * putters).max(if per_put == 1 { putters * 32 } else { 100_000 }) as u64
}

struct Bench {
    store: Store,
    ids: Arc<AtomicU64>,
}

impl Bench {
    fn new() -> Self {
        Self { store: Store::open(), ids: Arc::default() }
    }

    /// Has `jobs` put; the tasks are spawned, not waited for.
    fn put(&self, jobs: u64, per_put: usize, putters: usize) -> Vec<tokio::task::JoinHandle<()>> {
        let puts = jobs.div_ceil((per_put * putters) as u64);
        let putter = |_| {
            let (writer, ids) = (self.store.writer.clone(), Arc::clone(&self.ids));
            self.store.runtime.spawn(async move {
                for _ in 0..puts {
                    let first = ids.fetch_add(per_put as u64, Ordering::Relaxed);
                    let jobs = (first..).take(per_put).map(job).collect();
                    writer.put(jobs).await.expect("there is room");
                }
            })
        };
        (0..putters).map(putter).collect()
    }

    fn wait(&self, tasks: Vec<tokio::task::JoinHandle<()>>) {
        for task in tasks {
            self.store.runtime.block_on(task).expect("no panic");
        }
    }
}

fn job(nth: u64) -> NewJob {
    NewJob {
        id: format!("order-{nth:016}").into(),
        named: true,
        app: APPS[nth as usize % APPS.len()].into(),
        lane: Lane::Normal,
        providers: Providers::default().with(Provider::Apns),
        pushes: 1,
        accepted_at: UnixMillis::now(),
        deadline: None,
        body: vec![b'x'; BODY].into(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    In,
    InAndOut,
}

fn measure(criterion: &mut Criterion, name: &str, way: Way) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for (per_put, putters) in PER_PUT.into_iter().flat_map(|per_put| PUTTERS.map(|putters| (per_put, putters))) {
        let mut bench = Bench::new();
        let rounds = jobs_of(per_put, putters).div_ceil((per_put * putters) as u64);
        let jobs = rounds * (per_put * putters) as u64;
        let (mut used, mut done) = (Duration::ZERO, 0);
        group.throughput(Throughput::Elements(jobs));
        group.bench_function(BenchmarkId::new(format!("{per_put} per put"), format!("{putters} putters")), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let (start, before) = (Instant::now(), process_cpu());
                    let tasks = bench.put(jobs, per_put, putters);
                    if way == Way::InAndOut {
                        bench.store.take(jobs);
                    }
                    bench.wait(tasks);
                    if way == Way::In {
                        (spent, used) = (spent + start.elapsed(), used + (process_cpu() - before));
                        bench.store.take(jobs);
                        bench.store.rest();
                    } else {
                        bench.store.rest();
                        (spent, used) = (spent + start.elapsed(), used + (process_cpu() - before));
                    }
                    done += jobs;
                }
                spent
            });
        });
        println!(
            "{name}, {per_put} per put, {putters} putters: {:.1} us of CPU a job",
            used.as_secs_f64() * 1e6 / done as f64
        );
    }
    group.finish();
}

fn jobs_in(criterion: &mut Criterion) {
    measure(criterion, "spool_in", Way::In);
}

fn jobs_in_and_out(criterion: &mut Criterion) {
    measure(criterion, "spool_in_and_out", Way::InAndOut);
}

/// What `kill -9` leaves of a spool with a backlog and jobs in hand, opened. The files are copied while the first spool has
/// them open and is at rest.
fn open_after_a_crash(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let tasks = bench.put(BACKLOG, 1_000, 4);
    bench.wait(tasks);
    let strands = bench.store.reader.strands().expect("the store can be read");
    let in_hand =
        strands.iter().map(|strand| bench.store.reader.next(strand.id, READ, usize::MAX).expect("readable").len());
    assert_eq!(in_hand.sum::<usize>(), READ * APPS.len());
    let mut group = criterion.benchmark_group("spool_open_after_a_crash");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let bytes = fs::metadata(bench.store.directory.path().join("spool/spool.db")).expect("it is there").len();
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("backlog", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| open_copy(bench.store.directory.path())).sum());
    });
    group.finish();
}

fn open_copy(directory: &Path) -> Duration {
    // A directory each time: the writer of the last one may still be closing its own.
    let copy = TempDir::new_in(directory).expect("a directory");
    for name in ["spool.db", "spool.db-wal", "handed"] {
        fs::copy(directory.join("spool").join(name), copy.path().join(name)).expect("copied");
    }
    let start = Instant::now();
    let spool = Spool::open(&SpoolSettings { path: copy.path().to_owned(), ..SpoolSettings::default() });
    let spent = start.elapsed();
    drop(spool.expect("the spool opens"));
    spent
}

criterion_group!(spool, jobs_in, jobs_in_and_out, open_after_a_crash);
criterion_main!(spool);
