//! No allocation per push where every push passes (issue 3): in the lanes, and in the gate. Counted, not timed.

#[path = "support/lane_jobs.rs"]
mod lane_jobs;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use tidegate::delivery::{Gate, RouteSettings, Tried};
use tidegate::dispatch::{LaneSettings, Lanes};
use tidegate::flow::Rate;
use tidegate::job::{Envelope, Lane, RouteId, Target};
use tidegate::provider::http2::ConnectionId;
use tidegate::verdict::{Fate, Verdict};

use lane_jobs::jobs;

const PUSHES: u64 = 10_000;
const HOUR: Duration = Duration::from_secs(3_600);
/// Pushes that a route asks for at a time: a chunk is one list.
const CHUNK: usize = 100;

/// All jobs in, all pushes out, a chunk at a time.
fn through(lanes: &mut Lanes, jobs: &[Arc<Envelope>], routes: u32, now: Instant) {
    let mut exits = Vec::new();
    jobs.iter().for_each(|job| lanes.admit(job, now, &mut exits));
    let mut taken = 0;
    for route in (0..routes).map(RouteId) {
        loop {
            let chunk = black_box(lanes.take(route, CHUNK, now, &mut exits));
            taken += chunk.len() as u64;
            if chunk.len() < CHUNK {
                break;
            }
        }
    }
    assert_eq!((taken, exits.len()), (PUSHES, 0));
}

#[test]
fn lanes_allocate_a_list_for_each_chunk_and_nothing_for_a_push() {
    for routes in [1, 10] {
        let now = Instant::now();
        let mut lanes = Lanes::new(&[16, 4, 1].map(LaneSettings::weighing), (0..routes).map(|_| HOUR), now);
        let every_lane = |nth: u32| Lane::ALL[nth as usize % 3];
        let jobs = jobs(PUSHES.try_into().expect("a small number"), routes, every_lane);
        // The lines grow to what they need, once.
        through(&mut lanes, &jobs, routes, now);
        let counted = measure(|| through(&mut lanes, &jobs, routes, now));
        let chunks = PUSHES / CHUNK as u64 + u64::from(routes);
        println!("{routes} routes: {} allocations for {PUSHES} pushes in {chunks} chunks", counted.count_total);
        assert!(counted.count_total <= chunks, "{counted:?}");
    }
}

#[test]
fn the_gate_allocates_nothing() {
    let start = Instant::now();
    let settings = RouteSettings {
        rate: Some(Rate { cells: NonZeroU32::new(1_000_000).expect("above zero"), per: Duration::from_secs(1) }),
        burst: 1_000,
        min_concurrency: 1,
        max_concurrency: 1_000,
        connections: 4,
        request_timeout: Duration::from_secs(20),
        max_attempts: 5,
        max_dead_percent: 50,
        default_ttl: HOUR,
        ordered: false,
    };
    let mut gate = Gate::new(&settings, start);
    gate.credential(true, start);
    let target = Target::Apns("00".into());
    let accepted = Verdict::of(Fate::Accepted { provider_id: None });
    let round_trip = Duration::from_millis(50);
    let counted = measure(|| {
        for nth in 0..PUSHES {
            let now = start + round_trip + Duration::from_micros(100 * nth);
            gate.step(now);
            assert!(black_box(gate.room(20, now)) > 0, "push {nth}");
            assert!(gate.admit(&target, false, 0.5, now).is_ok());
            gate.take(false, now);
            let tried = Tried {
                target: &target,
                connection: ConnectionId(1),
                round_trip,
                retry: false,
                in_flight: 20,
                streams_free: true,
            };
            let _ = black_box(gate.note(&accepted, &tried, 0.5, now));
            black_box(gate.wanted(20, 100, now));
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
