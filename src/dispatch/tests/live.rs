//! The task takes on other settings of the lanes while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatch, DoorChange, LaneSettings, RouteDoor, run};
use crate::job::fixture::draft;
use crate::job::{Lane, MemoryBudget, Provider, RouteId};
use crate::stage::{Outlet, link};
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
    let door = RouteDoor { label, outlet, default_ttl: Duration::from_secs(3_600) };
    let (changes_in, changes) = mpsc::channel(1);
    changes_in.try_send(vec![DoorChange::Open(RouteId(0), door)]).expect("it is empty");
    let dispatch = Dispatch {
        lanes,
        inlets: vec![(Lane::Low, inlet)],
        changes,
        doorbell,
        exits,
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
