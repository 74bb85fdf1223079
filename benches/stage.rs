//! What a hand-over costs: from a producer's task to a consumer's, and through each dispatcher.
//!
//! Time per iteration is for `EVENTS` events. `cargo bench --bench stage`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::stage::{
    Broadcast, Demand, Dispatcher, Greatest, Inlet, Intake, Keep, Partition, Producer, Work, from_iter,
};

const EVENTS: u64 = 10_000;
const CHUNKS: [usize; 3] = [1, 100, 1_000];

/// One task produces, one consumes, in calls of `chunk`.
async fn pipeline(chunk: usize) -> u64 {
    let mut dispatcher = Greatest::new(0, Keep::First);
    let mut intake = Intake::of(dispatcher.consumer(), Demand::between(chunk, 2 * chunk));
    let (producer, _handle) = Producer::new(from_iter(0..EVENTS), dispatcher, drop);
    let producer = tokio::spawn(producer.run());
    let mut sum = 0;
    while let Some(Work::Events(events)) = intake.next().await {
        sum += events.iter().sum::<u64>();
    }
    producer.await.expect("the producer does not panic");
    sum
}

/// Everything wanted, everything sent, everything received, in chunks, without tasks.
fn dispatch(mut dispatcher: impl Dispatcher<Event = u64>, mut inlets: Vec<Inlet<u64>>, chunk: usize) -> u64 {
    let mut sum = 0;
    let mut numbers = 0..EVENTS;
    loop {
        for inlet in &inlets {
            inlet.want(chunk);
        }
        let events: Vec<u64> = numbers.by_ref().take(chunk).collect();
        if events.is_empty() {
            return sum;
        }
        assert!(dispatcher.dispatch(events).is_empty());
        for inlet in &mut inlets {
            while let Some(events) = inlet.try_recv() {
                sum += events.iter().sum::<u64>();
            }
        }
    }
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    let mut group = criterion.benchmark_group("producer_to_consumer");
    group.throughput(Throughput::Elements(EVENTS));
    for chunk in CHUNKS {
        group.bench_with_input(BenchmarkId::from_parameter(chunk), &chunk, |bencher, &chunk| {
            bencher.iter(|| runtime.block_on(pipeline(black_box(chunk))));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("dispatchers_of_4");
    group.throughput(Throughput::Elements(EVENTS));
    for chunk in CHUNKS {
        group.bench_with_input(BenchmarkId::new("greatest", chunk), &chunk, |bencher, &chunk| {
            bencher.iter(|| {
                let mut dispatcher = Greatest::new(0, Keep::First);
                let inlets = (0..4).map(|_| dispatcher.consumer()).collect();
                dispatch(dispatcher, inlets, chunk)
            });
        });
        group.bench_with_input(BenchmarkId::new("partition", chunk), &chunk, |bencher, &chunk| {
            bencher.iter(|| {
                let mut dispatcher = Partition::new(4, 0, Keep::First, |event: &u64| (*event % 4) as usize);
                let inlets = (0..4).map(|nth| dispatcher.consumer(nth)).collect();
                dispatch(dispatcher, inlets, chunk)
            });
        });
        group.bench_with_input(BenchmarkId::new("broadcast", chunk), &chunk, |bencher, &chunk| {
            bencher.iter(|| {
                let mut dispatcher = Broadcast::new(0, Keep::First);
                let inlets = (0..4).map(|_| dispatcher.consumer(|_| true)).collect();
                dispatch(dispatcher, inlets, chunk)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = benches
}
criterion_main!(all);
