//! The settlement task: the one place where a job is settled at its source.
//!
//! It takes in what became of pushes as long as it can keep up. When sinks or keepers fall behind it stops taking, the
//! deliveries' chunks wait, and demand stops all the way up to the source: a slow webhook is back-pressure, not memory.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::recent::{Left, Recent};
use super::{Book, Due, Ended, Event, Heard, OutcomeKind, PastAsk, Resolution, Sink, Step, Tally, Tap, trace, wire};
use crate::dispatch::Exit;
use crate::job::{Envelope, Push, RouteId, SourceName, UnixMillis};
use crate::source::Keeper;
use crate::telemetry::{Metrics, PushEnd, RouteLabel};

/// Events in one batch, at most (SPEC.md, section 6).
const BATCH: usize = 256;
/// How long an event waits for others to share its batch.
const BATCH_DELAY: Duration = Duration::from_millis(100);
/// Events that may wait behind the batch that is being told, before nothing more is taken in.
const MAX_UNTOLD: usize = 8 * BATCH;
/// Jobs whose retries and dead letters may be on their way to a keeper, before nothing more is taken in.
const MAX_KEEPING: usize = 1_000;

/// Who keeps what the jobs of each source leave behind.
#[derive(Clone, Default)]
pub struct Keepers {
    /// RabbitMQ's.
    pub amqp: Option<Arc<dyn Keeper>>,
    /// The embedded queue's.
    pub spool: Option<Arc<dyn Keeper>>,
}

impl Keepers {
    fn of(&self, source: SourceName) -> &Arc<dyn Keeper> {
        let keeper = match source {
            SourceName::Amqp => self.amqp.as_ref(),
            SourceName::Spool => self.spool.as_ref(),
        };
        keeper.expect("the pipeline gives every source it starts a keeper")
    }
}

/// What the settlement task is made of.
pub struct Settlement {
    /// From the deliveries.
    pub resolutions: mpsc::Receiver<Vec<Resolution>>,
    /// From the dispatch.
    pub exits: mpsc::Receiver<Vec<Exit>>,
    /// The kinds of outcome that are told.
    pub publish: Vec<OutcomeKind>,
    /// Who is told; each gets every event.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// Who keeps retries and dead letters.
    pub keepers: Keepers,
    /// By [`RouteId`]: more may come, a number's never changes. A route's is in here before any push of it ends.
    pub labels: watch::Receiver<Arc<[RouteLabel]>>,
    /// Who asks what became of a job.
    pub asks: mpsc::Receiver<PastAsk>,
    /// The books.
    pub tally: Arc<Tally>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Who listens to all outcomes, told or not.
    pub tap: Arc<Tap>,
}

/// Runs until both inboxes are closed and everything taken in is settled.
pub async fn run(settlement: Settlement) {
    let Settlement { mut resolutions, mut exits, publish, sinks, keepers, labels, mut asks, tally, metrics, tap } =
        settlement;
    let told = if sinks.is_empty() { Vec::new() } else { publish };
    let mut desk = Desk {
        told: OutcomeKind::ALL.map(|kind| told.contains(&kind)),
        sinks,
        keepers,
        labels: Labels { known: Arc::default(), all: labels },
        tally,
        metrics,
        tap,
        heard: Vec::new(),
        book: Book::default(),
        recent: Recent::default(),
        batch: Batch::default(),
        telling: None,
        keeping: FuturesUnordered::new(),
    };
    let (mut delivering, mut dispatching) = (true, true);
    while delivering || dispatching || desk.is_busy() {
        let room = desk.has_room();
        let batch_due = desk.batch.due;
        let mut due = Due::default();
        tokio::select! {
            chunk = resolutions.recv(), if delivering && room => match chunk {
                Some(chunk) => chunk.into_iter().for_each(|resolution| desk.resolve(resolution, &mut due)),
                None => delivering = false,
            },
            chunk = exits.recv(), if dispatching && room => match chunk {
                Some(chunk) => chunk.into_iter().for_each(|exit| desk.resolve(exit.into(), &mut due)),
                None => dispatching = false,
            },
            jobs = wait(&mut desk.telling) => {
                desk.telling = None;
                jobs.iter().for_each(|job| desk.book.told(job, &mut due));
            }
            Some(job) = desk.keeping.next() => desk.book.kept(&job, &mut due),
            Some(ask) = asks.recv() => {
                // Whoever asked may have left.
                let _ = ask.answer.send(desk.recent.of(&ask.id));
            }
            () = tokio::time::sleep_until(batch_due.unwrap_or_else(Instant::now)),
                if desk.telling.is_none() && batch_due.is_some() => desk.batch.close(),
        }
        desk.tap.say(&mut desk.heard);
        desk.settle(due);
        desk.tell(!delivering && !dispatching);
    }
}

/// The batch that is being told; never, where none is.
async fn wait(telling: &mut Option<BoxFuture<'static, Vec<Arc<Envelope>>>>) -> Vec<Arc<Envelope>> {
    match telling {
        Some(telling) => telling.await,
        None => std::future::pending().await,
    }
}

/// Events that wait to be told together.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    jobs: Vec<Arc<Envelope>>,
    /// When the oldest has waited long enough. Passed at once when the batch is closed.
    due: Option<Instant>,
    closed: bool,
}

impl Batch {
    fn push(&mut self, event: Event, job: Arc<Envelope>) {
        self.due.get_or_insert_with(|| Instant::now() + BATCH_DELAY);
        self.events.push(event);
        self.jobs.push(job);
    }

    const fn close(&mut self) {
        self.closed = true;
    }

    /// The first [`BATCH`] events, if they shall go now.
    fn take(&mut self, all: bool) -> Option<(Vec<Event>, Vec<Arc<Envelope>>)> {
        if self.events.is_empty() || !(all || self.closed || self.events.len() >= BATCH) {
            return None;
        }
        let count = self.events.len().min(BATCH);
        let events = self.events.drain(..count).collect();
        let jobs = self.jobs.drain(..count).collect();
        self.closed = false;
        self.due = (!self.events.is_empty()).then(|| Instant::now() + BATCH_DELAY);
        Some((events, jobs))
    }
}

/// The routes' labels, as far as they were needed.
struct Labels {
    known: Arc<[RouteLabel]>,
    all: watch::Receiver<Arc<[RouteLabel]>>,
}

impl Labels {
    fn of(&mut self, route: RouteId) -> &RouteLabel {
        let index = route.0 as usize;
        if index >= self.known.len() {
            self.known = Arc::clone(&self.all.borrow());
        }
        &self.known[index]
    }
}

struct Desk {
    told: [bool; 7],
    sinks: Vec<Arc<dyn Sink>>,
    keepers: Keepers,
    labels: Labels,
    tally: Arc<Tally>,
    metrics: Arc<Metrics>,
    tap: Arc<Tap>,
    /// What the tap's listeners hear next.
    heard: Vec<Heard>,
    book: Book,
    recent: Recent,
    batch: Batch,
    /// The batch on its way to all sinks: one at a time, so that each sink sees events in order.
    telling: Option<BoxFuture<'static, Vec<Arc<Envelope>>>>,
    keeping: FuturesUnordered<BoxFuture<'static, Arc<Envelope>>>,
}

impl Desk {
    fn has_room(&self) -> bool {
        self.batch.events.len() < MAX_UNTOLD && self.keeping.len() < MAX_KEEPING
    }

    fn is_busy(&self) -> bool {
        !self.batch.events.is_empty() || self.telling.is_some() || !self.keeping.is_empty()
    }

    fn resolve(&mut self, resolution: Resolution, due: &mut Due) {
        let step = match resolution {
            Resolution::Ended(ended) => self.end(ended),
            Resolution::Later { push, delay } => {
                self.tally.later();
                let left = Left::Later { at: UnixMillis::now(), delay, attempts: push.attempts };
                let app = self.app(&push);
                self.recent.note(&push, app, left);
                Step::Later { push, delay }
            }
            Resolution::Returned(push) => {
                self.tally.returned();
                Step::Returned(push)
            }
        };
        self.book.note(step, due);
    }

    fn end(&mut self, ended: Ended) -> Step {
        let app = self.app(&ended.push);
        self.count(&ended, &app);
        let told = self.told[ended.outcome.kind.index()];
        if told {
            self.batch.push(event(&ended), Arc::clone(&ended.push.envelope));
        }
        let Ended { push, outcome } = ended;
        let kind = outcome.kind;
        let dead = (kind == OutcomeKind::Failed).then(|| outcome.reason.clone());
        self.recent.note(&push, app, Left::Ended(outcome));
        match kind {
            OutcomeKind::Failed => {
                let reason = dead.flatten().unwrap_or(std::borrow::Cow::Borrowed("attempts_exhausted"));
                Step::Dead { push, reason, told }
            }
            _ if told => Step::Told(push),
            _ => Step::Done(push),
        }
    }

    fn count(&mut self, ended: &Ended, app: &Arc<str>) {
        let Ended { push, outcome } = ended;
        let took = push.envelope.origin.accepted.elapsed();
        let route = push.route();
        self.tally.ended(route, outcome.kind);
        if let Some(reason) = &outcome.reason {
            self.tally.because(outcome.kind, reason);
        }
        if outcome.kind == OutcomeKind::Delivered {
            self.tally.latency(push.envelope.lane).record(took);
        }
        if self.tap.is_heard() {
            self.heard.push(Heard::of(ended, app, took));
        }
        self.metrics.ended(&PushEnd {
            app,
            provider: push.target().provider(),
            lane: push.envelope.lane,
            outcome: outcome.kind.as_str(),
            reason: outcome.reason.as_deref().unwrap_or_default(),
            took,
            traceparent: push.envelope.job.traceparent.as_deref(),
        });
        trace::tell(ended, app);
    }

    /// Whose a push is.
    fn app(&mut self, push: &Push) -> Arc<str> {
        match push.route() {
            Some(id) => Arc::clone(&self.labels.of(id).app),
            None => Arc::from(&*push.envelope.job.app),
        }
    }

    /// Sends the next batch to the sinks, if none is on its way and one is due.
    fn tell(&mut self, all: bool) {
        if self.telling.is_some() {
            return;
        }
        let Some((events, jobs)) = self.batch.take(all) else { return };
        let (sinks, metrics) = (self.sinks.clone(), Arc::clone(&self.metrics));
        self.telling = Some(Box::pin(async move {
            let publish = sinks.iter().map(|sink| async {
                sink.publish(&events).await;
                metrics.published(sink.name(), events.len());
            });
            join_all(publish).await;
            jobs
        }));
    }

    fn settle(&mut self, due: Due) {
        for (job, keeps) in due.keeps {
            let keeper = Arc::clone(self.keepers.of(job.origin.source));
            self.keeping.push(Box::pin(async move {
                join_all(keeps.into_iter().map(|keep| keeper.keep(keep))).await;
                job
            }));
        }
        self.tally.settled(due.settled.len());
        by_acknowledger(&due.settled, |job, tags| job.origin.receipt.acknowledger.settle(tags));
        for (job, rest) in due.partly {
            job.origin.receipt.acknowledger.settle_except(job.origin.receipt.tag, rest);
        }
        by_acknowledger(&due.untouched, |job, tags| job.origin.receipt.acknowledger.give_back(tags));
    }
}

/// Calls `say` once for each run of jobs that came by the same acknowledger, with their tags.
fn by_acknowledger(jobs: &[Arc<Envelope>], say: impl Fn(&Envelope, Vec<u64>)) {
    let same = |a: &Arc<Envelope>, b: &Arc<Envelope>| {
        Arc::ptr_eq(&a.origin.receipt.acknowledger, &b.origin.receipt.acknowledger)
    };
    for run in jobs.chunk_by(same) {
        say(&run[0], run.iter().map(|job| job.origin.receipt.tag).collect());
    }
}

fn event(ended: &Ended) -> Event {
    Event {
        app: ended.push.envelope.job.app.clone(),
        provider: ended.push.target().provider(),
        kind: ended.outcome.kind,
        json: wire::to_json(ended),
    }
}

#[cfg(test)]
mod tests;
