//! SPEC.md, section 7: a route's task gets another client, or is removed, with pushes in flight. None is lost, none is sent
//! twice, and what the old client met with is not held against the new one.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use support::{eventually, until};
use tidegate::delivery::{Delivery, RouteOrders, RouteSettings, RouteState, RouteStatus};
use tidegate::dispatch::KEPT_AFTER_REMOVAL;
use tidegate::job::{
    Acknowledger, Defaults, Envelope, Lane, Origin, Provider, Push, Receipt, RouteId, SourceName, UnixMillis, decode,
};
use tidegate::outcome::{OutcomeKind, Resolution};
use tidegate::provider::apns::{ApnsCredential, ApnsSettings};
use tidegate::provider::{Client, ProviderSettings};
use tidegate::simulator::{self, CredentialState, Faults, Latency, Simulator, SimulatorSettings};
use tidegate::stage::{Outlet, link};
use tidegate::telemetry::{Metrics, RouteLabel};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LATENCY: Duration = Duration::from_millis(500);
const MINUTE: Duration = Duration::from_secs(60);

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
    let job = decode(&body, Defaults::default()).expect("a good job");
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

fn faults(credentials: CredentialState) -> Faults {
    Faults { latency: Latency::Fixed { value: LATENCY }, credentials, ..Faults::default() }
}

fn client(simulator: &Simulator, credential: ApnsCredential) -> Client {
    let (endpoint, topic) = (simulator.endpoint(Provider::Apns), "com.example.chat".to_owned());
    Client::start(&ProviderSettings::Apns(ApnsSettings { endpoint, topic, credential }), &CancellationToken::new())
        .expect("a good credential")
}

/// A route's task between a dispatch and a settlement that are the test's.
struct Bench {
    simulator: Simulator,
    outlet: Option<Outlet<Push>>,
    sent: usize,
    resolutions: mpsc::Receiver<Vec<Resolution>>,
    status: watch::Receiver<RouteStatus>,
    client: watch::Sender<Client>,
    removed: CancellationToken,
    metrics: Arc<Metrics>,
    task: JoinHandle<()>,
    _orders: watch::Sender<RouteOrders>,
}

impl Bench {
    /// A route that has delivered a push, so that its connection is proven.
    async fn start() -> Self {
        let mut settings = SimulatorSettings::default();
        settings.apns.faults = faults(CredentialState::AsTheyAre);
        let simulator = simulator::start(settings).expect("the simulator starts");
        let limits = RouteSettings {
            rate: None,
            burst: 1,
            min_concurrency: 1,
            max_concurrency: 1_000,
            connections: 1,
            request_timeout: Duration::from_secs(10),
            max_attempts: 5,
            max_dead_percent: 50,
            default_ttl: Duration::from_secs(3_600),
            ordered: false,
        };
        let (outlet, inlet) = link(Arc::new(Notify::new()));
        let (resolutions_in, resolutions) = mpsc::channel(64);
        let (status_in, status) = watch::channel(RouteStatus::default());
        let (orders, orders_out) = watch::channel(RouteOrders::new(limits));
        let (client, client_out) = watch::channel(client(&simulator, simulator.apns_credential()));
        let (removed, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
        let delivery = Delivery {
            label: RouteLabel { app: "chat".into(), provider: Provider::Apns },
            orders: orders_out,
            client: client_out,
            removed: removed.clone(),
            inlet,
            resolutions: resolutions_in,
            status: status_in,
            metrics: Arc::clone(&metrics),
        };
        let task = tokio::spawn(tidegate::delivery::run(delivery, CancellationToken::new()));
        let outlet = Some(outlet);
        let mut bench =
            Self { simulator, outlet, sent: 0, resolutions, status, client, removed, metrics, task, _orders: orders };
        bench.send(1).await;
        assert_eq!(bench.delivered(1).await, 1);
        bench
    }

    /// Gives the route so many pushes more, as it asks for them.
    async fn send(&mut self, count: usize) {
        let outlet = self.outlet.as_mut().expect("it was not removed");
        let end = self.sent + count;
        while self.sent < end {
            let wanted = outlet.wanted().await.expect("it runs").min(end - self.sent);
            let chunk = (self.sent..self.sent + wanted).map(push).collect();
            self.sent += wanted;
            assert!(outlet.send(chunk).await.is_ok(), "it runs");
        }
    }

    /// Waits until all that was sent has arrived: what was sent last is answered no sooner than the latency later.
    async fn has_arrived(&self) {
        until("all has arrived", MINUTE, || async {
            (self.simulator.ledger().await.apns.received == self.sent as u64).then_some(())
        })
        .await;
    }

    async fn next(&mut self) -> Vec<Resolution> {
        tokio::time::timeout(MINUTE, self.resolutions.recv()).await.expect("in time").unwrap_or_default()
    }

    /// Waits for the outcomes of so many pushes, all delivered; the attempts that they took.
    async fn delivered(&mut self, count: usize) -> u32 {
        let (mut delivered, mut attempts) = (0, 0);
        while delivered < count {
            for resolution in self.next().await {
                let Resolution::Ended(ended) = resolution else { panic!("it is neither returned nor put off") };
                assert_eq!(ended.outcome.kind, OutcomeKind::Delivered, "{:?}", ended.outcome.reason);
                delivered += 1;
                attempts += u32::from(ended.outcome.attempts);
            }
        }
        attempts
    }
}

#[tokio::test]
async fn what_the_old_client_is_told_of_its_credential_is_not_held_against_the_new_one() {
    let mut bench = Bench::start().await;
    bench.simulator.set_faults(Provider::Apns, faults(CredentialState::Refused));
    bench.send(10).await;
    bench.has_arrived().await;
    // Their answers, `InvalidProviderToken`, are on the way when the key is replaced.
    bench.simulator.set_faults(Provider::Apns, faults(CredentialState::AsTheyAre));
    let another = bench.simulator.apns_credentials().swap_remove(2);
    bench.client.send_replace(client(&bench.simulator, another));
    assert_eq!(bench.delivered(10).await, 10, "the attempts of the old one are not counted");
    let apns = bench.simulator.ledger().await.apns;
    assert_eq!((apns.received, apns.accepted, apns.duplicates), (21, 11, 0));
    assert_eq!(apns.connections, 2, "one for each client");
    assert_eq!(bench.status.borrow().state, RouteState::Ready);
}

#[tokio::test]
async fn what_is_in_flight_ends_on_the_old_connections_which_close_then() {
    let mut bench = Bench::start().await;
    bench.send(20).await;
    bench.has_arrived().await;
    let another = bench.simulator.apns_credentials().swap_remove(1);
    bench.client.send_replace(client(&bench.simulator, another));
    let status = bench.status.clone();
    eventually("it has no connection to use yet", || async { (status.borrow().connections == 0).then_some(()) }).await;
    bench.send(20).await;
    assert_eq!(bench.delivered(40).await, 40);
    let apns = bench.simulator.ledger().await.apns;
    assert_eq!((apns.received, apns.accepted, apns.duplicates, apns.cancelled), (41, 41, 0, 0));
    eventually("the old connection closes", || async {
        let apns = bench.simulator.ledger().await.apns;
        ((apns.connections, apns.open_connections) == (2, 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_removed_route_finishes_what_is_in_flight_keeps_the_rest_and_closes() {
    let mut bench = Bench::start().await;
    bench.send(20).await;
    bench.has_arrived().await;
    let text = bench.metrics.render();
    assert!(text.contains(r#"tidegate_connections{app="chat",provider="apns"} 1"#), "{text}");
    // What it is refused for a reason that passes comes again when there has been time to bring the route back.
    bench.removed.cancel();
    let mut outlet = bench.outlet.take().expect("it was not removed");
    let wanted = outlet.demand().min(5);
    assert!(wanted > 0, "a few are asked for ahead of their slot");
    assert!(outlet.send((20..20 + wanted).map(push).collect()).await.is_ok());
    drop(outlet);

    let (mut delivered, mut later) = (0, 0);
    loop {
        let resolutions = bench.next().await;
        if resolutions.is_empty() {
            break;
        }
        for resolution in resolutions {
            match resolution {
                Resolution::Ended(ended) => {
                    assert_eq!(ended.outcome.kind, OutcomeKind::Delivered);
                    delivered += 1;
                }
                Resolution::Later { push, delay } => {
                    assert_eq!((push.attempts, delay), (0, KEPT_AFTER_REMOVAL));
                    later += 1;
                }
                Resolution::Returned(_) => panic!("it would come again at once"),
            }
        }
    }
    assert_eq!(delivered + later, 20 + wanted);
    assert!(delivered >= 20, "what was in flight was finished: {delivered}");
    tokio::time::timeout(MINUTE, bench.task).await.expect("it ends").expect("it does not panic");
    let text = bench.metrics.render();
    assert!(!text.contains(r#"app="chat""#), "no gauge stays: {text}");
    eventually("its connection closes", || async {
        (bench.simulator.ledger().await.apns.open_connections == 0).then_some(())
    })
    .await;
    assert_eq!(bench.simulator.ledger().await.apns.cancelled, 0);
}
