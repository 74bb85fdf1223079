//! What the lanes cost: letting a push in, and taking it out, with few routes and many.
//!
//! Time per iteration is for `PUSHES` pushes, spread over the routes. `cargo bench --bench dispatch`

#[path = "../tests/support/lane_jobs.rs"]
mod lane_jobs;

use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::dispatch::{LaneSettings, Lanes};
use tidegate::job::{Lane, RouteId};

use lane_jobs::jobs;

const PUSHES: u32 = 10_000;
const ROUTES: [u32; 3] = [1, 100, 10_000];

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lanes_admit_and_take");
    group.throughput(Throughput::Elements(PUSHES.into()));
    for routes in ROUTES {
        let now = Instant::now();
        let lanes = [16, 4, 1].map(LaneSettings::weighing);
        let ttls = || (0..routes).map(|_| Duration::from_secs(3_600));
        let setup = || (Lanes::new(&lanes, ttls(), now), jobs(PUSHES, routes, |_| Lane::Normal));
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
