//! The task takes on other settings of the lanes while it runs, and routes come and go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatch, DoorChange, Exit, KEPT_AFTER_REMOVAL, LaneSettings, RouteDoor, Why, run};
use crate::job::fixture::draft;
use crate::job::{Envelope, Lane, MemoryBudget, Provider, Push, RouteId};
use crate::stage::{Inlet, Outlet, link};
use crate::telemetry::{Metrics, RouteLabel};

const GIB: usize = 1 << 30;

/// Waits until the dispatch asks for so many jobs.
async fn asks_for<T>(outlet: &mut Outlet<T>, bell: &Notify, jobs: usize) {
    let asked = async {
        while outlet.demand() != jobs {
            bell.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("it asks for as many as there is room");
}

#[tokio::test]
async fn the_task_takes_on_other_lanes_while_it_runs() {
    let settings = [16, 4, 1].map(LaneSettings::weighing);
    let (lanes_in, lanes) = watch::channel(settings.clone());
    let bell = Arc::new(Notify::new());
    let (mut source, inlet) = link(Arc::clone(&bell));
    let doorbell = Arc::new(Notify::new());
    let (outlet, _delivery) = link(Arc::clone(&doorbell));
    let (exits, mut exited) = mpsc::channel(4);
    let label = RouteLabel { app: "chat".into(), provider: Provider::Apns };
    let door = RouteDoor { label, outlet, default_ttl: Duration::from_secs(3_600), ordered: false };
    let (changes_in, changes) = mpsc::channel(1);
    changes_in.try_send(vec![DoorChange::Open(RouteId(0), door)]).expect("it is empty");
    let dispatch = Dispatch {
        lanes,
        inlets: vec![(Lane::Low, inlet)],
        changes,
        doorbell,
        exits,
        shedding: watch::channel(Vec::new()).0,
        waiting: watch::channel(Vec::new()).0,
        asks: mpsc::channel(1).1,
        memory: MemoryBudget::new(GIB),
        metrics: Arc::new(Metrics::default()),
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(dispatch, stop.clone()));
    asks_for(&mut source, &bell, 32).await;
    let mut jobs = vec![draft(0, 1).lane(Lane::Low).seal()];
    source.try_send(&mut jobs).expect("it was asked for");
    asks_for(&mut source, &bell, 19_999).await;

    let mut smaller = settings;
    smaller[Lane::Low.index()].max_waiting = 1_000;
    lanes_in.send_replace(smaller);
    asks_for(&mut source, &bell, 999).await;

    drop(lanes_in);
    stop.cancel();
    let returned = exited.recv().await.expect("what waits is returned");
    assert_eq!(returned.len(), 1, "the push that waited still does");
    task.await.expect("it ends");
}

/// A dispatch with one source, for the low lane, and no route.
struct Bench {
    source: Outlet<Arc<Envelope>>,
    bell: Arc<Notify>,
    doorbell: Arc<Notify>,
    changes: mpsc::Sender<Vec<DoorChange>>,
    exited: mpsc::Receiver<Vec<Exit>>,
    metrics: Arc<Metrics>,
    _lanes: watch::Sender<[LaneSettings; 3]>,
}

impl Bench {
    fn start() -> Self {
        let (lanes_in, lanes) = watch::channel([16, 4, 1].map(LaneSettings::weighing));
        let bell = Arc::new(Notify::new());
        let (source, inlet) = link(Arc::clone(&bell));
        let doorbell = Arc::new(Notify::new());
        let (exits, exited) = mpsc::channel(4);
        let (changes_in, changes) = mpsc::channel(4);
        let metrics = Arc::new(Metrics::default());
        let dispatch = Dispatch {
            lanes,
            inlets: vec![(Lane::Low, inlet)],
            changes,
            doorbell: Arc::clone(&doorbell),
            exits,
            shedding: watch::channel(Vec::new()).0,
            waiting: watch::channel(Vec::new()).0,
            asks: mpsc::channel(1).1,
            memory: MemoryBudget::new(GIB),
            metrics: Arc::clone(&metrics),
        };
        tokio::spawn(run(dispatch, CancellationToken::new()));
        Self { source, bell, doorbell, changes: changes_in, exited, metrics, _lanes: lanes_in }
    }

    /// Tells of a new route; its delivery's end.
    fn open(&self, id: RouteId) -> Inlet<Push> {
        let (outlet, inlet) = link(Arc::clone(&self.doorbell));
        let label = RouteLabel { app: "chat".into(), provider: Provider::Apns };
        let door = RouteDoor { label, outlet, default_ttl: Duration::from_secs(3_600), ordered: false };
        self.changes.try_send(vec![DoorChange::Open(id, door)]).expect("there is room");
        inlet
    }

    /// Sends so many jobs for a route.
    async fn send(&mut self, id: RouteId, jobs: u64) {
        let job = |tag| {
            let mut draft = draft(tag, 1).lane(Lane::Low);
            draft.routes = [Some(id), None, None];
            draft.seal()
        };
        let mut jobs: Vec<_> = (0..jobs).map(job).collect();
        while self.source.demand() < jobs.len() {
            self.bell.notified().await;
        }
        self.source.try_send(&mut jobs).expect("it was asked for");
    }

    async fn exits(&mut self) -> Vec<Why> {
        let exits = tokio::time::timeout(Duration::from_secs(30), self.exited.recv()).await;
        exits.expect("in time").expect("it runs").iter().map(|exit| exit.why).collect()
    }
}

const PARKED: Why = Why::Parked { delay: KEPT_AFTER_REMOVAL };

#[tokio::test]
async fn a_route_comes_before_its_jobs_whatever_is_looked_at_first() {
    for _ in 0..20 {
        let mut bench = Bench::start();
        asks_for(&mut bench.source, &Arc::clone(&bench.bell), 32).await;
        // Both are there when the task wakes.
        let mut delivery = bench.open(RouteId(5));
        delivery.want(10);
        bench.send(RouteId(5), 2).await;
        let mut came = 0;
        while came < 2 {
            came += delivery.recv().await.expect("it runs").len();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_removed_route_is_parked_and_so_is_what_still_comes() {
    let mut bench = Bench::start();
    let mut delivery = bench.open(RouteId(0));
    bench.send(RouteId(0), 3).await;
    while !bench.metrics.render().contains(r#"tidegate_waiting{app="chat",provider="apns",lane="low"} 3"#) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.changes.try_send(vec![DoorChange::Close(RouteId(0))]).expect("there is room");
    assert_eq!(bench.exits().await, [PARKED; 3]);
    assert!(delivery.recv().await.is_none(), "its delivery hears of the end");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!bench.metrics.render().contains(r#"app="chat""#), "{}", bench.metrics.render());

    // Of a table that was read before.
    bench.send(RouteId(0), 2).await;
    assert_eq!(bench.exits().await, [PARKED; 2]);

    // It comes back to its place, and a second one beside it.
    let (mut again, mut other) = (bench.open(RouteId(0)), bench.open(RouteId(1)));
    for (delivery, id) in [(&mut again, RouteId(0)), (&mut other, RouteId(1))] {
        delivery.want(10);
        bench.send(id, 2).await;
        assert_eq!(delivery.recv().await.expect("it runs").len(), 2);
    }
}
