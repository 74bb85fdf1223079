//! What the flow must show over real sockets, with the simulators: `tidegate serve` as a process, its spool, both doors.
//!
//! | test | shows | here |
//! | --- | --- | --- |
//! | `must_show_3_a_…` | FCM stalls wholly: APNs notices nothing, FCM is back within 10 s with at most 1.1 attempts a push | 12 s of stall |
//! | `must_show_3_b_…` | `high` under a backlog of `low` | 100,000 pushes wait, 1,000 come |
//! | `must_show_3_c_…` | an app sends 100 times as much as eight others | Jain's index 0.98 at any time |
//! | `must_show_3_d_…` | ten times the capacity: goodput stays, memory stays | 16 s |
//! | `must_show_3_e_…` | a rate and its burst are kept in any window, and used | 2,000/s, 100 |
//! | `must_show_3_f_…` | nothing is sent in a `Retry-After`, and a ramp follows | 4 s |
//! | `must_show_3_g_…` | a stream limit of 1 that rises to 1,000 | |
//! | `flow_2_7_…` (two) | a target's pushes arrive in order, whatever must be sent again | a tenth is reset; half must wait |
//!
//! No speed is asserted but what limits of the configuration or of the simulators impose. What is compared was measured in
//! the same run, mostly as medians over seconds; and where a wait has a bound, the machine's own lateness in that time is
//! measured beside it (how late a sleeping thread woke) and added.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::until;
use support::world::{Served, Station};
use tidegate::job::{Lane, Provider};
use tidegate::simulator::{
    DoorFigures, Faults, Latency, PushQuery, PushRecord, Reset, ResetCode, SimulatorSettings, StreamLimitAt, Throttle,
    Window,
};

const MINUTE: Duration = Duration::from_secs(60);
const SEC: Duration = Duration::from_secs(1);

/// Milliseconds since the Unix epoch, as the simulators count them.
fn wall() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn calm(min: u64, max: u64) -> Faults {
    let latency = Latency::Uniform { min: Duration::from_millis(min), max: Duration::from_millis(max) };
    Faults { latency, ..Faults::default() }
}

fn simulators(faults: &Faults) -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = faults.clone();
    settings.fcm.faults = faults.clone();
    settings
}

/// A job to so many devices, numbered from `first`.
fn job(app: &str, first: usize, targets: usize, apple: bool, lane: Lane) -> String {
    let target = |nth: usize| match apple {
        true => json!({"apns": format!("{nth:064x}")}),
        false => json!({"fcm": format!("token-{nth:032x}")}),
    };
    let to: Vec<Value> = (first..first + targets).map(target).collect();
    let id = format!("{app}-{first}");
    let mut job = json!({"id": id, "app": app, "to": to, "priority": lane.as_str(), "ttl": 3600, "notification": {"title": "Mina"}});
    if targets == 1 {
        // What the ledger of FCM's door knows it by.
        job["data"] = json!({"tidegate-id": id});
    }
    job.to_string()
}

/// The number of the device that a push went to.
fn number(push: &PushRecord) -> usize {
    usize::from_str_radix(push.target.trim_start_matches("token-"), 16).expect("an address of ours")
}

/// Tidegate, running in front of the simulators.
struct Bench {
    station: Station,
    served: Served,
    client: reqwest::Client,
}

impl Bench {
    async fn start(settings: SimulatorSettings, more: &str, routes: &str) -> Self {
        Self::start_with(settings, more, routes, |_| ()).await
    }

    async fn start_with(settings: SimulatorSettings, more: &str, routes: &str, edit: impl FnOnce(&Path)) -> Self {
        let station = Station::start(settings);
        let config = station.config(more, "", routes);
        edit(&config);
        let served = Served::start(&config).await;
        Self { station, served, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Posts jobs as one request.
    async fn post(&self, jobs: &[String]) {
        let request = self.client.post(format!("http://{}/v1/jobs", self.served.address())).body(jobs.join("\n"));
        let answer = request.header("content-type", "application/x-ndjson").send().await.expect("the door answers");
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
    }

    /// Posts what `jobs` gives for each tick of 100 ms, for so long. When each tick was posted.
    async fn pace(&self, span: Duration, mut jobs: impl FnMut(usize) -> Vec<String>) -> Vec<u64> {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let mut posted = Vec::new();
        for nth in 0..usize::try_from(span.as_millis()).unwrap() / 100 {
            tick.tick().await;
            posted.push(wall());
            self.post(&jobs(nth)).await;
        }
        posted
    }

    /// What one door has had.
    async fn pushes(&self, provider: Provider) -> Vec<PushRecord> {
        let query = PushQuery { provider: Some(provider), limit: Some(500_000), ..PushQuery::default() };
        self.station.simulator.pushes(query).await.pushes
    }

    async fn accepted(&self, provider: Provider) -> u64 {
        self.station.simulator.ledger().await.door(provider).expect("there is such a door").accepted
    }

    async fn all_accepted(&self, provider: Provider, count: usize) {
        let enough = || async { (self.accepted(provider).await >= count as u64).then_some(()) };
        until("all are delivered", 2 * MINUTE, enough).await;
    }

    async fn end(mut self) {
        self.served.terminate();
        assert_eq!(self.served.ended(MINUTE).await, 0);
    }
}

/// How late this machine is: a thread that sleeps for 2 ms again and again, and notes when it wakes how late it is.
struct Lateness {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<(u64, u64)>>,
}

impl Lateness {
    fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let before = Instant::now();
                std::thread::sleep(Duration::from_millis(2));
                let late = before.elapsed().as_millis().saturating_sub(2);
                seen.push((wall(), u64::try_from(late).unwrap()));
            }
            seen
        });
        Self { stop, thread }
    }

    fn seen(self) -> Vec<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

/// The value that so many percent are at most. 0 of none.
fn percentile(mut values: Vec<u64>, percent: usize) -> u64 {
    values.sort_unstable();
    let nth = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(nth).copied().unwrap_or(0)
}

/// Of `(when, value)`, the median over whole seconds from `from` to `to` of each second's 99th percentile.
fn typical_p99(values: &[(u64, u64)], from: u64, to: u64) -> u64 {
    let mut seconds = BTreeMap::<u64, Vec<u64>>::new();
    for (at, value) in values.iter().filter(|(at, _)| (from..to).contains(at)) {
        seconds.entry((at - from) / 1_000).or_default().push(*value);
    }
    percentile(seconds.into_values().map(|second| percentile(second, 99)).collect(), 50)
}

/// Arrivals in each whole second from `from` to `to`.
fn by_second(arrivals: impl IntoIterator<Item = u64>, from: u64, to: u64) -> Vec<u64> {
    let mut seconds = vec![0; usize::try_from((to - from) / 1_000).unwrap()];
    for at in arrivals.into_iter().filter(|at| *at >= from) {
        if let Some(second) = seconds.get_mut(usize::try_from((at - from) / 1_000).unwrap()) {
            *second += 1;
        }
    }
    seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_a_a_stalled_fcm_leaves_apns_alone_and_is_back_within_10_s() {
    const A_TICK: usize = 10;
    const STALL: Duration = Duration::from_secs(12);
    let faults = calm(20, 40);
    let bench = Bench::start(simulators(&faults), "", "request_timeout = \"3s\"").await;
    let lateness = Lateness::watch();
    let jobs = |phase: usize| {
        move |tick: usize| {
            let first = phase * 1_000_000 + tick * A_TICK;
            let pair = |nth| {
                [true, false].map(|apple| job("chat", nth + usize::from(apple) * 500_000, 1, apple, Lane::Normal))
            };
            (first..first + A_TICK).flat_map(pair).collect()
        }
    };
    bench.pace(2 * SEC, jobs(0)).await;
    let before = bench.pace(8 * SEC, jobs(1)).await;
    let stalls = vec![Window { from: Duration::ZERO, length: STALL }];
    bench.station.simulator.set_faults(Provider::Fcm, Faults { stalls, ..faults });
    let stalled = bench.pace(STALL, jobs(2)).await;
    let over = wall();
    let after = bench.pace(12 * SEC, jobs(3)).await;
    let posted = (2 + 8 + 12 + 12) * 10 * A_TICK;
    bench.all_accepted(Provider::Fcm, posted).await;
    bench.all_accepted(Provider::Apns, posted).await;
    let late = lateness.seen();

    // Apple's: as much as before, as quick as before.
    let apple = bench.pushes(Provider::Apns).await;
    let phases = [(1, &before), (2, &stalled)].map(|(phase, ticks)| {
        let (from, to) = (ticks[0], *ticks.last().unwrap() + 100);
        let waits: Vec<(u64, u64)> = apple
            .iter()
            .map(|push| (push.first_at, number(push) - 500_000))
            .filter(|(_, nth)| nth / 1_000_000 == phase)
            .map(|(at, nth)| (ticks[nth % 1_000_000 / A_TICK], at.saturating_sub(ticks[nth % 1_000_000 / A_TICK])))
            .collect();
        let rate = apple.iter().filter(|push| (from..to).contains(&push.first_at)).count() as f64 / (to - from) as f64;
        (rate * 1_000.0, typical_p99(&waits, from, to), typical_p99(&late, from, to))
    });
    println!("APNs before and in the stall (pushes a second, p99 ms, the machine's ms): {phases:?}");
    let [(rate_before, p99_before, _), (rate, p99, machine)] = phases;
    assert!((rate / rate_before - 1.0).abs() <= 0.05, "{rate} a second, {rate_before} before");
    // The provider's own 40 ms belong to it; the wait until it has the push is what was measured.
    let most = (p99_before as f64 + 40.0) * 1.1 - 40.0 + 10.0 + machine as f64;
    assert!(p99 as f64 <= most, "{p99} ms, {p99_before} before, {machine} late");

    // Google's: back at the offered rate and above within 10 s, and hardly anything sent twice.
    let google = bench.pushes(Provider::Fcm).await;
    let arrivals =
        by_second(google.iter().filter(|push| push.accepted > 0).map(|push| push.last_at), over, after[0] + 12_000);
    let back = arrivals.iter().position(|second| *second >= 10 * A_TICK as u64);
    // The simulator does not count what it never read; Tidegate does: an attempt for each push, and each retry.
    let (_, metrics) = bench.served.get("/metrics").await;
    let retries = metrics.lines().filter(|line| line.starts_with("tidegate_retries_total{provider=\"fcm\""));
    let retries: f64 = retries.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    let per_push = 1.0 + retries / posted as f64;
    assert!(retries > 0.0, "what was in flight was given up: {retries}");
    println!("FCM after the stall: {arrivals:?} a second; {retries} retries, {per_push:.3} attempts a push");
    assert!(back.is_some_and(|second| second < 10), "at full rate in second {back:?}: {arrivals:?}");
    assert!(per_push <= 1.1, "{per_push} attempts a push");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_b_high_hardly_waits_under_a_backlog_of_low() {
    const LOW: usize = 100_000;
    let bench = Bench::start(simulators(&calm(5, 10)), "", "rate = \"400/s\"\nburst = 40").await;
    let lateness = Lateness::watch();
    let high = |phase: usize| {
        move |tick: usize| {
            let first = phase * 1_000_000 + tick * 10;
            (first..first + 10).map(|nth| job("chat", nth, 1, true, Lane::High)).collect()
        }
    };
    bench.pace(SEC, high(1)).await;
    let idle = bench.pace(5 * SEC, high(2)).await;
    let low: Vec<String> = (0..LOW / 16).map(|nth| job("chat", 10_000_000 + nth * 16, 16, true, Lane::Low)).collect();
    for chunk in low.chunks(250) {
        bench.post(chunk).await;
    }
    bench.all_accepted(Provider::Apns, 600 + 500).await;
    let flooded = bench.pace(10 * SEC, high(3)).await;
    let all_of_high = || async {
        let high = bench.pushes(Provider::Apns).await.iter().filter(|push| number(push) < 10_000_000).count();
        (high == 100 + 500 + 1_000).then_some(())
    };
    until("all of high have gone", MINUTE, all_of_high).await;
    let late = lateness.seen();

    let pushes = bench.pushes(Provider::Apns).await;
    let waits = |phase: usize, ticks: &[u64]| {
        let of_phase = pushes.iter().filter(|push| number(push) / 1_000_000 == phase);
        let waits: Vec<u64> =
            of_phase.map(|push| push.first_at.saturating_sub(ticks[number(push) % 1_000_000 / 10])).collect();
        percentile(waits, 99)
    };
    let (idle, p99) = (waits(2, &idle), waits(3, &flooded));
    let machine = late.iter().filter(|(at, _)| *at >= flooded[0]).map(|(_, late)| *late).collect();
    let machine = percentile(machine, 99);
    let sent_of_low = pushes.iter().filter(|push| number(push) >= 10_000_000).count();
    println!(
        "high: p99 {idle} ms when idle, {p99} ms with {} of low waiting; the machine {machine} ms",
        LOW - sent_of_low
    );
    assert!(LOW - sent_of_low > LOW / 2, "the backlog stood: {sent_of_low} of low are gone");
    assert!(sent_of_low > 1_000, "and moved: {sent_of_low}");
    // The aim is 50 ms, or twice the idle p99. A neighbour's compile job must not turn it red; in a queue it would be seconds.
    assert!(p99 <= 150.max(3 * idle) + machine, "{p99} ms, {idle} when idle, {machine} of the machine");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_c_a_noisy_app_takes_nothing_from_the_others() {
    const OTHERS: usize = 8;
    const EACH: usize = 120;
    let apps: Vec<String> = (0..OTHERS).map(|nth| format!("quiet{nth}")).collect();
    // Room for 2,000 at a time: what the noisy one has waiting would fill it nine times over, were it let.
    let lanes = "[lanes.normal]\nmax_waiting = 2000";
    let bench = Bench::start_with(simulators(&calm(5, 10)), lanes, "rate = \"30/s\"\nburst = 3", |config| {
        let text = std::fs::read_to_string(config).unwrap();
        let table = &text[text.find("[apps.chat.apns]").unwrap()..text.find("[apps.chat.fcm]").unwrap()];
        let more = apps.iter().map(|app| table.replace("apps.chat", &format!("apps.{app}")));
        std::fs::write(config, text.clone() + &more.collect::<String>()).unwrap();
    })
    .await;
    // In each round one of each quiet app and 100 of the noisy one.
    let mut jobs = Vec::new();
    for round in 0..EACH {
        for (nth, app) in apps.iter().enumerate() {
            jobs.push(job(app, (nth + 1) * 1_000_000 + round, 1, true, Lane::Normal));
        }
        jobs.extend((0..100).map(|nth| job("chat", round * 100 + nth, 1, true, Lane::Normal)));
    }
    for chunk in jobs.chunks(1_000) {
        bench.post(chunk).await;
    }
    let mut worst = 1.0_f64;
    let started = Instant::now();
    loop {
        let mut shares = vec![0_u64; OTHERS];
        for push in bench.pushes(Provider::Apns).await.iter().filter(|push| number(push) >= 1_000_000) {
            shares[number(push) / 1_000_000 - 1] += 1;
        }
        let (sum, squares) = shares
            .iter()
            .fold((0.0, 0.0), |(sum, squares), share| (sum + *share as f64, squares + (share * share) as f64));
        // Of a handful of pushes an index says nothing.
        if sum >= (OTHERS * 10) as f64 {
            worst = worst.min(sum * sum / (OTHERS as f64 * squares));
        }
        if sum as usize == OTHERS * EACH {
            break;
        }
        assert!(started.elapsed() < MINUTE, "{shares:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let noisy = bench.accepted(Provider::Apns).await as usize - OTHERS * EACH;
    println!(
        "Jain's index at worst {worst:.4}; the others were through after {:?}, {noisy} of the noisy app's then",
        started.elapsed()
    );
    assert!(worst >= 0.98, "Jain's index {worst}");
    assert!(noisy < EACH * 100 / 2, "the noisy app's stood in the same queue: {noisy} went before the others' last");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_d_ten_times_the_capacity_costs_neither_goodput_nor_memory() {
    // 25 streams of 250 ms: 100 pushes a second, whatever is offered.
    let mut settings = simulators(&calm(250, 250));
    settings.apns.stream_limit = 25;
    let bench = Bench::start(settings, "[lanes.normal]\nmax_waiting = 2000", "connections = 1").await;
    let offered = |phase: usize, a_tick: usize| {
        move |tick: usize| {
            let first = phase * 1_000_000 + tick * a_tick;
            (first..first + a_tick).map(|nth| job("chat", nth, 1, true, Lane::Normal)).collect()
        }
    };
    // A little more than the capacity, so that it is used; then ten times.
    bench.pace(2 * SEC, offered(1, 13)).await;
    let before = bench.pace(6 * SEC, offered(2, 13)).await;
    let mut memory = Vec::new();
    let start = wall();
    for second in 0..16 {
        bench.pace(SEC, |tick| offered(3 + second, 100)(tick)).await;
        memory.push(bench.served.memory() >> 10);
    }
    let end = wall();
    let arrivals: Vec<u64> = bench.pushes(Provider::Apns).await.iter().map(|push| push.first_at).collect();
    let peak = percentile(by_second(arrivals.clone(), before[0], start), 50);
    let goodput = percentile(by_second(arrivals, start, end), 50);
    let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len() as u64;
    // What is held in memory is full after two seconds.
    let (early, late) = (mean(&memory[4..8]), mean(&memory[12..16]));
    println!("{peak} a second at the capacity, {goodput} at ten times; memory {early} KiB, then {late}: {memory:?}");
    assert!(goodput as f64 >= peak as f64 * 0.95, "{goodput} a second, {peak} before");
    assert!(late <= early + early / 20, "memory grows: {memory:?} KiB");
    let ledger = bench.station.simulator.ledger().await.apns;
    assert_eq!((ledger.duplicates, ledger.protocol_violations), (0, 0));
    assert_eq!(ledger.received, ledger.accepted, "nothing is sent in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_e_a_rate_is_never_passed_and_used() {
    const RATE: f64 = 2_000.0;
    const BURST: f64 = 100.0;
    const PUSHES: usize = 24_000;
    let bench = Bench::start(simulators(&calm(5, 10)), "", "rate = \"2000/s\"\nburst = 100").await;
    let lateness = Lateness::watch();
    let jobs: Vec<String> = (0..PUSHES / 16).map(|nth| job("chat", nth * 16, 16, true, Lane::Normal)).collect();
    for chunk in jobs.chunks(250) {
        bench.post(chunk).await;
    }
    bench.all_accepted(Provider::Apns, PUSHES).await;
    let late = lateness.seen();
    let mut arrivals: Vec<u64> = bench.pushes(Provider::Apns).await.iter().map(|push| push.first_at).collect();
    arrivals.sort_unstable();
    // One that was written late and one that was seen late are closer together than they left: two processes' lateness.
    let machine = 2.0 * late.iter().map(|(_, late)| *late).max().unwrap_or(0) as f64 + 20.0;
    let (mut least, mut excess) = (f64::MAX, f64::MIN);
    for (nth, at) in arrivals.iter().enumerate() {
        let ahead = nth as f64 - *at as f64 / 1e3 * RATE;
        least = least.min(ahead);
        excess = excess.max(ahead - least + 1.0 - BURST);
    }
    let (from, to) = (arrivals[0], *arrivals.last().unwrap());
    let seconds = by_second(arrivals, from + 1_000, to);
    // What a machine was too late for, by more than the burst can make up, is nobody's rate.
    let late_by = |nth: usize| {
        let begin = from + 1_000 + nth as u64 * 1_000;
        late.iter().filter(|(at, _)| (begin..begin + 1_000).contains(at)).map(|(_, late)| *late).max().unwrap_or(0)
    };
    let quiet: Vec<u64> = (0..seconds.len()).filter(|nth| late_by(*nth) < 25).map(|nth| seconds[nth]).collect();
    let typical = percentile(if quiet.len() < 3 { seconds.clone() } else { quiet }, 50) as f64;
    println!("at most {excess:.0} beyond the rate and its burst, {machine} ms late; {typical} a second: {seconds:?}");
    assert!(
        excess <= machine / 1e3 * RATE,
        "{excess} beyond, of which {machine} ms of lateness explain {}",
        machine / 1e3 * RATE
    );
    assert!(seconds.len() >= 8, "{seconds:?}");
    assert!(typical >= 0.98 * RATE, "{typical} a second are not 98% of the rate: {seconds:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_f_nothing_is_sent_in_a_retry_after_and_a_ramp_follows() {
    const PUSHES: usize = 3_000;
    const RATE: u64 = 300;
    let faults = calm(5, 10);
    let bench = Bench::start(simulators(&faults), "", "rate = \"300/s\"\nburst = 30").await;
    let jobs: Vec<String> = (0..PUSHES).map(|nth| job("chat", nth, 1, false, Lane::Normal)).collect();
    for chunk in jobs.chunks(1_000) {
        bench.post(chunk).await;
    }
    bench.all_accepted(Provider::Fcm, 500).await;
    let retry_after = Some(4 * SEC);
    let throttle = Throttle {
        share: 1.0,
        retry_after,
        as_date: false,
        during: Some(Window { from: Duration::ZERO, length: 2 * SEC }),
    };
    bench.station.simulator.set_faults(Provider::Fcm, Faults { throttle: Some(throttle), ..faults });
    let closed = wall();
    bench.all_accepted(Provider::Fcm, PUSHES).await;
    let ledger = bench.station.simulator.ledger().await.fcm;
    assert_eq!((ledger.requests_in_retry_after, ledger.retry_after_violations), (0, 0), "{ledger:?}");
    let pushes = bench.pushes(Provider::Fcm).await;
    let opened = pushes.iter().map(|push| push.last_at).filter(|at| *at > closed + 2_000).min().unwrap();
    assert!(opened >= closed + 4_000, "it opened {} ms after it was closed", opened - closed);
    let seconds = by_second(pushes.iter().map(|push| push.last_at), opened, opened + 6_000);
    println!("closed for {} ms, then {seconds:?} a second", opened - closed);
    assert!(seconds[0] <= RATE / 3 && seconds[0] <= seconds[1], "it begins small: {seconds:?}");
    assert!(seconds[4] >= RATE * 9 / 10, "and is as before soon: {seconds:?}");
    assert!(seconds.iter().all(|second| *second <= RATE * 11 / 10 + 30), "{seconds:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn must_show_3_g_a_stream_limit_of_1_rises_to_1000_without_a_violation() {
    const A_TICK: usize = 30;
    let mut settings = simulators(&calm(50, 50));
    settings.apns.stream_limit = 1;
    settings.apns.faults.stream_limits = Vec::new();
    let bench = Bench::start(settings, "", "connections = 1").await;
    let offered = |phase: usize| {
        move |tick: usize| {
            let first = phase * 1_000_000 + tick * A_TICK;
            (first..first + A_TICK).map(|nth| job("chat", nth, 1, true, Lane::Normal)).collect()
        }
    };
    let narrow = bench.pace(4 * SEC, offered(1)).await;
    let stream_limits = vec![StreamLimitAt { at: Duration::ZERO, limit: 1_000 }];
    bench.station.simulator.set_faults(Provider::Apns, Faults { stream_limits, ..calm(50, 50) });
    let raised = wall();
    bench.pace(6 * SEC, offered(2)).await;
    bench.all_accepted(Provider::Apns, 10 * 10 * A_TICK).await;
    let ledger = bench.station.simulator.ledger().await.apns;
    let pushes = bench.pushes(Provider::Apns).await;
    let before = by_second(pushes.iter().map(|push| push.first_at), narrow[0], raised);
    let after = by_second(pushes.iter().map(|push| push.first_at), raised, raised + 6_000);
    println!("with one stream {before:?} a second, with 1,000 {after:?}; at most {} at once", ledger.max_in_flight);
    assert_eq!((ledger.protocol_violations, ledger.refused, ledger.duplicates), (0, 0, 0), "{:?}", ledger.violations);
    assert!(before.iter().all(|second| *second <= 20), "one stream of 50 ms is 20 a second: {before:?}");
    let full = after.iter().position(|second| *second >= 10 * A_TICK as u64);
    assert!(full.is_some_and(|second| second < 4), "full speed within seconds: {after:?}");
    bench.end().await;
}

/// FLOW.md 2.7, within memory: a tenth of all requests is reset, and these pushes wait on the shelf to be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn flow_2_7_a_devices_pushes_arrive_in_order_whatever_is_sent_again() {
    let reset = Some(Reset { share: 0.1, code: ResetCode::InternalError });
    let ledger = in_order(Faults { reset, ..calm(2, 20) }).await;
    assert!(ledger.reset > 50, "it was put to the test: {ledger:?}");
}

/// And beyond it: for a second half of the requests is told to wait for three, so that these pushes are kept durably and
/// come again by the spool, when others stand in the lanes.
#[tokio::test(flavor = "multi_thread")]
async fn flow_2_7_a_devices_pushes_arrive_in_order_though_some_are_kept_durably() {
    let retry_after = Some(3 * SEC);
    let during = Some(Window { from: Duration::ZERO, length: SEC });
    let throttle = Some(Throttle { share: 0.5, retry_after, as_date: false, during });
    let ledger = in_order(Faults { throttle, ..calm(2, 20) }).await;
    assert!(ledger.rejected.values().sum::<u64>() > 5, "it was put to the test: {ledger:?}");
}

/// Ten pushes to each of 100 devices: no push is accepted before an older one to its device. A wide job to all devices is
/// first, so that the later ones could overtake it.
async fn in_order(faults: Faults) -> DoorFigures {
    const DEVICES: usize = 100;
    const ROUNDS: usize = 10;
    let bench = Bench::start(simulators(&calm(2, 20)), "", "ordered = true\nmax_attempts = 50").await;
    bench.station.simulator.set_faults(Provider::Fcm, faults);
    for round in 0..ROUNDS {
        let jobs: Vec<String> = match round {
            0 => vec![job("chat", 0, DEVICES, false, Lane::Normal)],
            _ => (0..DEVICES)
                .map(|device| job("chat", device, 1, false, Lane::Normal).replace("\"chat-", &format!("\"{round}-")))
                .collect(),
        };
        bench.post(&jobs).await;
    }
    bench.all_accepted(Provider::Fcm, DEVICES * ROUNDS).await;
    let mut devices = HashMap::<usize, Vec<PushRecord>>::new();
    // The wide job's have no id of ours; each attempt of theirs, with another ttl, is another push to the ledger.
    for push in bench.pushes(Provider::Fcm).await.into_iter().filter(|push| push.accepted > 0) {
        devices.entry(number(&push)).or_default().push(push);
    }
    let ledger = bench.station.simulator.ledger().await.fcm;
    println!("{} were reset, refused {:?}", ledger.reset, ledger.rejected);
    for (device, pushes) in &mut devices {
        let round =
            |push: &PushRecord| push.push.split('-').next().and_then(|round| round.parse::<usize>().ok()).unwrap_or(0);
        pushes.sort_by_key(round);
        assert_eq!(pushes.len(), ROUNDS, "{device}: {pushes:?}");
        for pair in pushes.windows(2) {
            assert!(pair[0].last_at <= pair[1].first_at, "{:?} came before {:?} was accepted", pair[1], pair[0]);
        }
    }
    bench.end().await;
    ledger
}
