//! What the lanes cost: letting a push in, and taking it out, with few routes and many.
//!
//! Time per iteration is for `PUSHES` pushes, spread over the routes. `cargo bench --bench dispatch`

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::dispatch::{LaneSettings, Lanes};
use tidegate::job::{Acknowledger, Defaults, Envelope, Lane, Origin, Receipt, RouteId, SourceName, UnixMillis, decode};

const PUSHES: u32 = 10_000;
const ROUTES: [u32; 3] = [1, 100, 10_000];

struct Nobody;

impl Acknowledger for Nobody {
    fn settle(&self, _: Vec<u64>) {}
    fn give_back(&self, _: Vec<u64>) {}
    fn settle_except(&self, _: u64, _: Vec<u16>) {}
    fn is_live(&self) -> bool {
        true
    }
}

/// `PUSHES` jobs of one push each, for these routes in turn.
fn jobs(routes: u32) -> Vec<Arc<Envelope>> {
    let body = format!(r#"{{"app":"chat","to":[{{"apns":"{:064x}"}}],"notification":{{"title":"x"}}}}"#, 1);
    let acknowledger: Arc<dyn Acknowledger> = Arc::new(Nobody);
    let one = |nth: u32| {
        let job = decode(body.as_bytes(), Defaults::default()).expect("a good job");
        let origin = Origin {
            source: SourceName::Amqp,
            queue: "jobs".into(),
            receipt: Receipt { acknowledger: Arc::clone(&acknowledger), tag: u64::from(nth) },
            body: Bytes::new(),
            accepted_at: UnixMillis::now(),
            accepted: Instant::now(),
            deadline: None,
            attempts: 0,
            lane: Lane::Normal,
            selected: None,
            exhausted: false,
        };
        Envelope::new(job, origin, [Some(RouteId(nth % routes)), None, None])
    };
    (0..PUSHES).map(one).collect()
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lanes_admit_and_take");
    group.throughput(Throughput::Elements(PUSHES.into()));
    for routes in ROUTES {
        let now = Instant::now();
        let lanes = [16, 4, 1].map(LaneSettings::weighing);
        let ttls = || (0..routes).map(|_| Duration::from_secs(3_600));
        let setup = || (Lanes::new(&lanes, ttls(), now), jobs(routes));
        group.bench_with_input(BenchmarkId::from_parameter(routes), &routes, |bencher, _| {
            bencher.iter_batched(
                setup,
                |(mut lanes, jobs)| {
                    let (mut exits, mut taken) = (Vec::new(), Vec::with_capacity(PUSHES as usize));
                    for job in jobs {
                        lanes.admit(&job, now, &mut exits);
                    }
                    for route in (0..routes).map(RouteId) {
                        taken.append(&mut lanes.take(route, PUSHES as usize, now, &mut exits));
                    }
                    assert_eq!((taken.len(), exits.len()), (PUSHES as usize, 0));
                    taken
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = benches
}
criterion_main!(all);
