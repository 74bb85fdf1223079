//! An outage over real sockets: nobody listens, then everything is 503, then all is well. SPEC.md, promise 8, and
//! FLOW.md 3.3, 3.5, 3.6: few attempts while it lasts, a smooth ramp when it ends, and every push delivered.
//!
//! One route's task alone: the test is the dispatch (it sends what is wanted) and the settlement (it keeps what shall
//! come later, as durable retries do, and sends it again when its time has come).

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tidegate::delivery::{Delivery, RouteOrders, RouteSettings, RouteState, RouteStatus};
use tidegate::flow::Rate;
use tidegate::job::{
    Acknowledger, Defaults, Envelope, Lane, Origin, Provider, Push, Receipt, RouteId, SourceName, UnixMillis, decode,
};
use tidegate::outcome::{OutcomeKind, Resolution};
use tidegate::provider::apns::ApnsSettings;
use tidegate::provider::{Client, ProviderSettings};
use tidegate::simulator::{
    self, DeadTokens, Faults, GoAway, Latency, ServerError, Simulator, SimulatorSettings, TOPIC, Window,
};
use tidegate::stage::{Outlet, link};
use tidegate::telemetry::{Metrics, RouteLabel};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Pushes a second that the operator allows; more are always waiting.
const RATE: u32 = 400;
const PUSHES: usize = 6_000;
/// How long nobody listens, and how long everything is 503 then. Connections are tried about 0, 0.75 and 2.3 s after
/// the first was refused, so that the third finds somebody, who does not do his work.
const REFUSED: Duration = Duration::from_secs(1);
const UNAVAILABLE: Duration = Duration::from_secs(4);

struct Ignores;

impl Acknowledger for Ignores {
    fn settle(&self, _: Vec<u64>) {}
    fn give_back(&self, _: Vec<u64>) {}
    fn settle_except(&self, _: u64, _: Vec<u16>) {}
    fn is_live(&self) -> bool {
        true
    }
}

fn push(nth: usize) -> Push {
    let job = json!({"id": format!("job-{nth}"), "app": "chat", "to": [{"apns": format!("{nth:064x}")}], "notification": {"title": "x"}});
    let body = Bytes::from(job.to_string());
    let job = decode(&body, Defaults::default()).unwrap();
    let origin = Origin {
        source: SourceName::Amqp,
        queue: "tidegate.jobs.normal".into(),
        receipt: Receipt { acknowledger: Arc::new(Ignores), tag: nth as u64 },
        body,
        accepted_at: UnixMillis::now(),
        accepted: Instant::now(),
        deadline: None,
        attempts: 0,
        lane: Lane::Normal,
        selected: None,
        exhausted: false,
    };
    Envelope::new(job, origin, [Some(RouteId(0)), None, None]).push(0)
}

fn latency() -> Latency {
    Latency::Uniform { min: Duration::from_millis(10), max: Duration::from_millis(30) }
}

/// A route's task, and what stands before and behind it.
struct Bench {
    outlet: Outlet<Push>,
    waiting: Vec<Push>,
    later: Vec<(Instant, Push)>,
    resolutions: mpsc::Receiver<Vec<Resolution>>,
    status: watch::Receiver<RouteStatus>,
    delivered: usize,
    unregistered: usize,
    attempts_of_delivered: u64,
    states: Vec<RouteState>,
}

impl Bench {
    fn start(simulator: &Simulator) -> Self {
        let endpoint = simulator.endpoint(Provider::Apns);
        let credential = simulator.apns_credential();
        let apns = ProviderSettings::Apns(ApnsSettings { endpoint, topic: TOPIC.into(), credential });
        let client = Client::start(&apns, &CancellationToken::new()).expect("a good credential");
        let settings = RouteSettings {
            rate: Some(Rate { cells: RATE.try_into().unwrap(), per: Duration::from_secs(1) }),
            burst: RATE / 10,
            min_concurrency: 1,
            max_concurrency: 8_000,
            connections: 4,
            request_timeout: Duration::from_secs(5),
            max_attempts: 5,
            max_dead_percent: 50,
            default_ttl: Duration::from_secs(3_600),
            ordered: false,
        };
        let (outlet, inlet) = link(Arc::new(Notify::new()));
        let (sender, resolutions) = mpsc::channel(64);
        let (status_in, status) = watch::channel(RouteStatus::default());
        let delivery = Delivery {
            label: RouteLabel { app: "chat".into(), provider: Provider::Apns },
            orders: watch::channel(RouteOrders::new(settings)).1,
            client: watch::channel(client).1,
            removed: CancellationToken::new(),
            inlet,
            resolutions: sender,
            status: status_in,
            metrics: Arc::new(Metrics::default()),
        };
        tokio::spawn(tidegate::delivery::run(delivery, CancellationToken::new()));
        Self {
            outlet,
            waiting: (0..PUSHES).rev().map(push).collect(),
            later: Vec::new(),
            resolutions,
            status,
            delivered: 0,
            unregistered: 0,
            attempts_of_delivered: 0,
            states: Vec::new(),
        }
    }

    /// Goes on for a time, or until everything is delivered.
    async fn go_on(&mut self, span: Duration) {
        let end = Instant::now() + span;
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while Instant::now() < end && self.delivered + self.unregistered < PUSHES {
            tokio::select! {
                chunk = self.resolutions.recv() => chunk.expect("the route runs").into_iter().for_each(|r| self.take(r)),
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
            self.later = later;
            self.waiting.extend(Vec::into_iter(due).map(|(_, push): (Instant, Push)| push));
            let wanted = self.outlet.demand().min(self.waiting.len());
            let chunk = self.waiting.split_off(self.waiting.len() - wanted);
            assert!(self.outlet.send(chunk).await.is_ok(), "the route runs");
            let state = self.status.borrow().state;
            if self.states.last() != Some(&state) {
                self.states.push(state);
            }
        }
    }

    fn take(&mut self, resolution: Resolution) {
        match resolution {
            Resolution::Ended(ended) => {
                match ended.outcome.kind {
                    OutcomeKind::Delivered => self.delivered += 1,
                    OutcomeKind::Unregistered => self.unregistered += 1,
                    kind => panic!("{kind:?}: {:?}", ended.outcome.reason),
                }
                self.attempts_of_delivered += u64::from(ended.outcome.attempts);
            }
            Resolution::Later { push, delay } => self.later.push((Instant::now() + delay, push)),
            Resolution::Returned(_) => panic!("nobody drains"),
        }
    }
}

async fn received(simulator: &Simulator) -> u64 {
    simulator.ledger().await.apns.received
}

/// Waits for the first delivery and looks at what arrives from then on: nothing like a storm, and soon the full rate.
async fn recovers(bench: &mut Bench, simulator: &Simulator) {
    simulator.set_faults(Provider::Apns, Faults { latency: latency(), ..Faults::default() });
    let healthy = Instant::now();
    let delivered = bench.delivered;
    let mut recovered_after = None;
    let mut arrivals = Vec::new();
    let mut last = received(simulator).await;
    while arrivals.len() < 9 {
        bench.go_on(Duration::from_millis(500)).await;
        let now = received(simulator).await;
        if bench.delivered > delivered {
            recovered_after.get_or_insert_with(|| healthy.elapsed());
            arrivals.push(now - last);
        }
        last = now;
        assert!(healthy.elapsed() < Duration::from_secs(30), "it recovers: {:?}", *bench.status.borrow());
    }
    println!("recovered after {recovered_after:?}, arrivals in each half second {arrivals:?}");
    assert!(recovered_after < Some(Duration::from_secs(10)), "{recovered_after:?}");
    // At full rate half a second has 200, and what was missed would make it more. The first may have only a part.
    let full = u64::from(RATE) / 2;
    assert!(arrivals[..3].iter().all(|slot| *slot < full / 2), "no storm: {arrivals:?}");
    assert!(arrivals.iter().all(|slot| *slot <= full * 13 / 10), "never above: {arrivals:?}");
    assert!(arrivals[8] > full * 3 / 4, "and soon at full rate: {arrivals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_08_an_outage_ends_with_a_smooth_ramp_and_every_push_is_delivered() {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults.latency = latency();
    let simulator = simulator::start(settings).unwrap();
    let mut bench = Bench::start(&simulator);
    bench.go_on(Duration::from_secs(2)).await;
    assert!(bench.delivered > 400, "it runs at its rate before: {}", bench.delivered);

    // The connections say goodbye and nobody listens any more; then somebody does, and is overloaded.
    let goodbye =
        GoAway { after_streams: 1, reason: "Shutdown".into(), code: 0, unprocessed: 0, linger: false, twice: false };
    let refusals = vec![Window { from: Duration::ZERO, length: REFUSED }];
    let faults = Faults { latency: latency(), goaway: Some(goodbye), refusals, ..Faults::default() };
    simulator.set_faults(Provider::Apns, faults);
    bench.go_on(REFUSED).await;
    let error = Some(ServerError { share: 1.0, status: 503, retry_after: None });
    let unavailable = Faults { latency: latency(), server_error: error, ..Faults::default() };
    simulator.set_faults(Provider::Apns, unavailable.clone());
    let before = received(&simulator).await;
    bench.go_on(UNAVAILABLE).await;
    let first = received(&simulator).await - before;
    recovers(&mut bench, &simulator).await;

    // Once more, from full speed.
    simulator.set_faults(Provider::Apns, unavailable);
    let before = received(&simulator).await;
    bench.go_on(UNAVAILABLE).await;
    let second = received(&simulator).await - before;
    recovers(&mut bench, &simulator).await;
    println!("{first} and {second} requests while everything was 503");
    assert!((1..=60).contains(&first) && (1..=100).contains(&second), "{first}, {second}; the rate is 1,600 in 4 s");

    bench.go_on(Duration::from_secs(60)).await;
    assert_eq!(bench.delivered, PUSHES, "{:?}, {} later", *bench.status.borrow(), bench.later.len());
    let ledger = simulator.ledger().await.apns;
    assert_eq!((ledger.accepted, ledger.duplicates), (PUSHES as u64, 0));
    let allowed = PUSHES as u64 * 11 / 10;
    assert!(ledger.received <= allowed, "{} requests for {PUSHES} pushes", ledger.received);
    assert!(bench.attempts_of_delivered <= allowed, "{} attempts", bench.attempts_of_delivered);
    assert!(bench.states.contains(&RouteState::Unavailable), "the status told it: {:?}", bench.states);
    assert_eq!(bench.states.last(), Some(&RouteState::Ready));
}

/// FLOW.md 3.9: every token looks dead because the project is the wrong one, and is not.
#[tokio::test(flavor = "multi_thread")]
async fn flow_3_9_a_mass_death_is_not_told_and_its_pushes_are_delivered_later() {
    let mut settings = SimulatorSettings::default();
    settings.apns.faults.latency = latency();
    let simulator = simulator::start(settings).unwrap();
    let mut bench = Bench::start(&simulator);
    bench.go_on(Duration::from_secs(1)).await;
    let alive = bench.delivered;
    assert!(alive > 100, "it runs at its rate before: {alive}");

    let dead_tokens = DeadTokens { share: 1.0, ..DeadTokens::default() };
    simulator.set_faults(Provider::Apns, Faults { latency: latency(), dead_tokens, ..Faults::default() });
    bench.go_on(Duration::from_secs(6)).await;
    let told = bench.unregistered;
    println!("{alive} alive before, {told} told dead, {} kept", bench.later.len());
    // Of the last 128 answers 80.
    assert!((60..=80).contains(&told), "{told}");
    assert_eq!(bench.status.borrow().state, RouteState::Parked);
    let reason = bench.status.borrow().reason.clone().unwrap_or_default();
    assert!(reason.contains("tokens died"), "{reason}");
    let asked = received(&simulator).await;
    bench.go_on(Duration::from_secs(3)).await;
    assert_eq!(received(&simulator).await, asked, "parked is parked");
    assert!(!bench.later.is_empty(), "what was held is kept");

    simulator.set_faults(Provider::Apns, Faults { latency: latency(), ..Faults::default() });
    bench.go_on(Duration::from_secs(90)).await;
    assert_eq!((bench.unregistered, bench.delivered), (told, PUSHES - told), "{:?}", *bench.status.borrow());
    assert_eq!(bench.states.last(), Some(&RouteState::Ready));
}
