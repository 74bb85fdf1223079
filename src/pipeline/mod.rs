//! Builds the pipeline from its settings, shows it, steers it, changes it while it runs, drains it.
//!
//! It is built as it is changed: the first configuration is a reload from nothing, as far as routes are concerned.
//!
//! Who ends when: the intake stops first; then the dispatch returns what waits and ends; with it the deliveries' links,
//! so that each finishes what is in flight and ends; with them the settlement's inboxes, so that it settles what is left
//! and ends; the source is closed last, when the last ack has been said.

mod build;
mod difference;
mod http;
mod inquiry;
mod report;
mod routes;
mod settings;
mod steering;
mod threads;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{LaneSettings, Shedding};
use crate::job::RouteTable;
use crate::source::amqp::AmqpSource;
use crate::source::spool::SpoolSource;
use crate::spool::{OpenError, Writer};
use crate::telemetry::RouteLabel;
use build::Stop;
use routes::Routes;

pub use http::HttpSettings;
pub use inquiry::{Inquiry, NotAnswered};
pub use report::JobReport;
pub use routes::Reloaded;
pub use settings::{AppSettings, LimitSettings, Settings};
pub use steering::{NotPatched, Steering};
pub use view::{Status, View};

/// How long the stages may take to let go of what they hold, after the deadline.
const LETTING_GO: Duration = Duration::from_secs(1);

/// How long the settlement may take after the deadline: retries, events and acks of what had ended by then.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// For how long the spool may take to write what was settled last, and to close.
const CLOSING: Duration = Duration::from_secs(15);

/// A running pipeline.
pub struct Pipeline {
    view: View,
    steering: Steering,
    sources: Sources,
    intake: Option<Intake>,
    stop: Stop,
    lanes: watch::Sender<[LaneSettings; 3]>,
    routes: Routes,
    /// The dispatch and the deliveries: none ends before it is told to.
    tasks: FuturesUnordered<JoinHandle<End>>,
    settlement: JoinHandle<()>,
}

/// Where its jobs come from.
struct Sources {
    amqp: Option<AmqpSource>,
    spool: Option<SpoolSource>,
}

/// What a door needs to take jobs in.
#[derive(Clone)]
pub struct Intake {
    /// Who queues them.
    pub writer: Writer,
    /// Which apps there are.
    pub routes: watch::Receiver<Arc<RouteTable>>,
    /// Which routes' lanes shed now.
    pub shedding: watch::Receiver<Shedding>,
    /// From when on none is taken in: the pipeline drains.
    pub closed: CancellationToken,
}

/// How a task ended that did not panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its route was removed.
    Removed,
    /// Nothing of the kind: all right in a drain, a bug before.
    Unasked,
}

/// Why a configuration was not taken on. The one before is in force, wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReloaded {
    /// A route's credential or trust can't be used.
    Route(RouteLabel, String),
    /// The dispatch, which waits for a sink, has not taken in several reloads before this one. It can be tried again.
    Busy,
}

impl std::fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotReloaded::Route(label, error) => write!(f, "apps.{}.{}: {error}", label.app, label.provider),
            NotReloaded::Busy => {
                f.write_str("the reloads before this one are not all in force yet: a sink holds all up")
            }
        }
    }
}

impl std::error::Error for NotReloaded {}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything in flight was finished, the rest was returned.
    Clean,
    /// The deadline passed: what was still in flight was given up, unsettled. It comes again.
    WorkLeft,
    /// A stage panicked on the way: a bug. What it held is unsettled and comes again.
    Broken,
}

/// Why a pipeline can't start. Nothing runs.
#[derive(Debug)]
pub enum StartError {
    /// A route's credential or trust can't be used.
    Route(RouteLabel, String),
    /// The webhook can't be used.
    Webhook(String),
    /// The spool can't be opened.
    Spool(OpenError),
    /// Threads can't be started.
    Threads(std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Route(label, error) => write!(f, "apps.{}.{}: {error}", label.app, label.provider),
            StartError::Webhook(error) => write!(f, "outcomes.webhook: {error}"),
            StartError::Spool(error) => error.fmt(f),
            StartError::Threads(error) => write!(f, "threads for deliveries can't be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Pipeline {
    /// What it shows.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// What a door needs to take jobs in; `None` without a spool.
    #[must_use]
    pub fn intake(&self) -> Option<Intake> {
        self.intake.clone()
    }

    /// The way to change it while it runs.
    #[must_use]
    pub fn steering(&self) -> Steering {
        self.steering.clone()
    }

    /// Takes on what of `settings` a running pipeline can: lanes, limits, apps, routes and what these send by. Patches are
    /// forgotten, and a pause ends. Waits for nobody; holds for what waits too.
    ///
    /// A route that is new gets jobs at once. One that is gone gets none: its jobs are `unknown_app` or `no_route` from now
    /// on, what is in flight is finished, and what had waited for it is kept durably for
    /// [a while](crate::dispatch::KEPT_AFTER_REMOVAL) before it comes again as any job. One that has another credential
    /// (be it another text in the same file), endpoint or topic sends by new connections from now on and finishes what is in
    /// flight on the old ones. All other connections stay.
    ///
    /// # Errors
    /// Why not. The configuration before is in force then, wholly.
    pub fn reload(&mut self, settings: &Settings) -> Result<Reloaded, NotReloaded> {
        let (reloaded, tasks) = self.routes.reload(settings)?;
        self.tasks.extend(tasks);
        let new = &settings.lanes;
        self.lanes.send_if_modified(|lanes| std::mem::replace(lanes, new.clone()) != *new);
        Ok(reloaded)
    }

    /// Waits for what must not happen: a task that ends without having been told to, because of a bug. What it held is
    /// unsettled; the process should end, and everything comes again. Cancel-safe.
    pub async fn broken(&mut self) -> String {
        let Sources { amqp, spool } = &mut self.sources;
        let amqp = async {
            match amqp {
                Some(source) => source.broken().await,
                None => std::future::pending().await,
            }
        };
        let spool = async {
            match spool {
                Some(source) => source.broken().await,
                None => std::future::pending().await,
            }
        };
        let stage = async {
            // One whose route was removed has ended as it should.
            while let Some(ended) = self.tasks.next().await {
                if !matches!(ended, Ok(End::Removed)) {
                    return ended;
                }
            }
            Ok(End::Unasked)
        };
        let ended = tokio::select! {
            ended = stage => ended.map(drop),
            ended = &mut self.settlement => ended,
            bug = amqp => return bug,
            bug = spool => return bug,
        };
        match ended {
            Ok(()) => "a stage ended by itself".to_owned(),
            Err(panic) => format!("a stage panicked: {panic}"),
        }
    }

    /// Ends it: takes nothing more, finishes what is in flight within `deadline`, returns the rest, settles, closes.
    pub async fn drain(self, deadline: Duration) -> Drained {
        let Self { sources, stop, tasks, mut settlement, routes, .. } = self;
        // With it go the last ways to the settlement but the tasks' own.
        let threads = routes.end();
        let give_up = Instant::now() + deadline;
        stop.intake.cancel();
        stop.dispatch.cancel();
        let aborts: Vec<AbortHandle> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let mut ended = tasks.collect::<Vec<_>>();
        let mut in_time = timeout_at(give_up, &mut ended).await.ok();
        let clean = in_time.is_some();
        if !clean {
            stop.abandon.cancel();
            in_time = timeout(LETTING_GO, &mut ended).await.ok();
        }
        let results = match in_time {
            Some(results) => results,
            None => {
                // One waits for a settlement that waits for a sink: nothing of it is settled, all of it comes again.
                aborts.iter().for_each(AbortHandle::abort);
                ended.await
            }
        };
        let last_words = give_up.max(Instant::now()) + LAST_WORDS;
        let settled = timeout_at(last_words, &mut settlement).await;
        settlement.abort();
        let panicked = |ended: Option<&JoinError>| ended.is_some_and(JoinError::is_panic);
        if let Some(amqp) = sources.amqp {
            amqp.close().await;
        }
        let written = match sources.spool {
            Some(spool) => close(spool).await,
            None => true,
        };
        stop.credentials.cancel();
        drop(threads);
        match settled {
            _ if results.iter().any(|ended| panicked(ended.as_ref().err())) => Drained::Broken,
            Ok(ended) if panicked(ended.as_ref().err()) => Drained::Broken,
            Ok(_) if clean && written => Drained::Clean,
            _ => Drained::WorkLeft,
        }
    }
}

/// Closes the spool; whether all that was settled is written.
async fn close(spool: SpoolSource) -> bool {
    match timeout(CLOSING, spool.close()).await {
        Ok(Ok(())) => return true,
        Ok(Err(owed)) => tracing::error!(owed, "the spool could not note all that was settled: those jobs come again"),
        Err(_) => tracing::error!(after = ?CLOSING, "the spool could not be closed: what was settled last comes again"),
    }
    false
}
