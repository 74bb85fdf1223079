use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;
use crate::job::fixture::{Remembers, draft};
use crate::job::{Lane, Provider, UnixMillis};
use crate::outcome::Outcome;
use crate::source::Keep;

/// Takes a batch for each permit, and remembers their sizes.
struct Slow {
    permits: Semaphore,
    batches: Mutex<Vec<usize>>,
}

impl Sink for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.permits.acquire().await.expect("it is never closed").forget();
            self.batches.lock().expect("no test panics with it").push(events.len());
        })
    }
}

#[derive(Default)]
struct Counts {
    later: AtomicUsize,
    dead: AtomicUsize,
}

impl Keeper for Counts {
    fn keep(&self, keep: Keep) -> BoxFuture<'static, ()> {
        let count = match keep {
            Keep::Later(_) => &self.later,
            Keep::Dead(_) => &self.dead,
        };
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {})
    }
}

struct Bench {
    resolutions: mpsc::Sender<Vec<Resolution>>,
    acknowledger: Arc<Remembers>,
    sink: Arc<Slow>,
    keeper: Arc<Counts>,
    tally: Arc<Tally>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn start(publish: Vec<OutcomeKind>, permits: usize) -> Self {
        let (resolutions_in, resolutions) = mpsc::channel(4);
        let (_, exits) = mpsc::channel(1);
        let sink = Arc::new(Slow { permits: Semaphore::new(permits), batches: Mutex::default() });
        let keeper = Arc::new(Counts::default());
        let tally = Arc::new(Tally::default());
        let label = |provider| RouteLabel { app: "chat".into(), provider };
        let settlement = Settlement {
            resolutions,
            exits,
            publish,
            sinks: vec![Arc::clone(&sink) as Arc<dyn Sink>],
            keepers: Keepers { amqp: Some(Arc::clone(&keeper) as Arc<dyn Keeper>), spool: None },
            labels: watch::channel([Provider::Apns, Provider::Fcm].map(label).into()).1,
            asks: mpsc::channel(1).1,
            tally: Arc::clone(&tally),
            metrics: Arc::new(Metrics::default()),
            tap: Arc::default(),
        };
        let task = tokio::spawn(run(settlement));
        Self { resolutions: resolutions_in, acknowledger: Arc::new(Remembers::default()), sink, keeper, tally, task }
    }

    fn ended(&self, tag: u64, kind: OutcomeKind) -> Resolution {
        let push = draft(tag, 1).lane(Lane::Normal).acknowledged_by(&self.acknowledger).seal().push(0);
        let reason = (kind != OutcomeKind::Delivered).then_some("because".into());
        let at = UnixMillis::now();
        let outcome = Outcome { kind, reason, status: None, attempts: 1, provider_id: None, since: None, at };
        Resolution::Ended(Ended { push, outcome })
    }

    fn settled(&self) -> Vec<u64> {
        self.acknowledger.settled.lock().expect("no test panics with it").clone()
    }

    async fn send(&self, chunk: Vec<Resolution>) {
        self.resolutions.send(chunk).await.map_err(|_| ()).expect("the settlement runs");
    }
}

async fn moments(count: u64) {
    tokio::time::sleep(Duration::from_millis(count)).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_told_is_settled_at_once_and_what_is_told_after_its_batch() {
    let bench = Bench::start(vec![OutcomeKind::Unregistered], 1);
    let (plain, told) = (bench.ended(1, OutcomeKind::Delivered), bench.ended(2, OutcomeKind::Unregistered));
    bench.send(vec![plain, told]).await;
    moments(50).await;
    assert_eq!(bench.settled(), [1]);
    moments(60).await;
    assert_eq!((bench.settled(), &bench.sink.batches.lock().expect("it is free")[..]), (vec![1, 2], &[1][..]));
    assert_eq!(bench.tally.ended_in_all(), 2);
}

/// A sink that is down is back-pressure, not memory: after so many events nothing more is taken in, and nothing of what
/// waits for the sink is settled. What comes then is told in batches of at most 256, in order.
#[tokio::test(start_paused = true)]
async fn a_slow_sink_stops_the_intake_and_loses_nothing() {
    let bench = Bench::start(vec![OutcomeKind::Rejected], 0);
    let mut sent = 0;
    for chunk in 0..100 {
        let chunk = (0..100).map(|nth| bench.ended(chunk * 100 + nth, OutcomeKind::Rejected)).collect();
        match tokio::time::timeout(Duration::from_secs(1), bench.resolutions.send(chunk)).await {
            Ok(taken) => taken.map_err(|_| ()).expect("the settlement runs"),
            Err(_) => break,
        }
        sent += 100;
    }
    assert!((2_000..4_000).contains(&sent), "it takes a bounded number in, not {sent}");
    assert!(bench.settled().is_empty());
    bench.sink.permits.add_permits(1_000);
    let Bench { resolutions, acknowledger, sink, task, .. } = bench;
    drop(resolutions);
    task.await.expect("it ends when all is settled");
    let settled = acknowledger.settled.lock().expect("it is free");
    assert_eq!(*settled, (0..sent).collect::<Vec<u64>>());
    assert!(sink.batches.lock().expect("it is free").iter().all(|&events| events <= 256));
}

#[tokio::test(start_paused = true)]
async fn retries_and_dead_letters_are_kept_before_the_job_is_settled() {
    let bench = Bench::start(vec![OutcomeKind::Failed], 10);
    let push = draft(3, 1).acknowledged_by(&bench.acknowledger).seal().push(0);
    let later = Resolution::Later { push, delay: Duration::from_secs(10) };
    bench.send(vec![bench.ended(2, OutcomeKind::Failed), later]).await;
    moments(200).await;
    let mut settled = bench.settled();
    settled.sort_unstable();
    assert_eq!(settled, [2, 3]);
    let counts = [&bench.keeper.dead, &bench.keeper.later].map(|count| count.load(Ordering::Relaxed));
    assert_eq!((counts, bench.tally.put_off()), ([1, 1], 1));
}
