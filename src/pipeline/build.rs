//! Puts the stages together: links, routes, sinks, the source.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::inquiry::Inquiry;
use super::routes::{Routes, Surroundings};
use super::threads::Threads;
use super::{End, Intake, NotReloaded, Pipeline, Settings, Sources, StartError, Steering, View};
use crate::dispatch::Dispatch;
use crate::job::{Envelope, Lane, MemoryBudget, RouteTable, UnixMillis};
use crate::outcome::{
    AmqpSink, FileSink, Keepers, OutcomeSettings, Settlement, Sink, Tally, Tap, Troubles, WebhookSink,
};
use crate::source::amqp::AmqpSource;
use crate::source::spool::SpoolSource;
use crate::spool::Spool;
use crate::stage::{Inlet, Outlet, link};
use crate::telemetry::Metrics;

/// Chunks of pushes on their way to the settlement, at most; beyond it the deliveries wait.
const RESOLUTIONS: usize = 64;

/// Reloads that the dispatch has not taken in yet, at most: it takes one in at once, unless the settlement holds it up.
/// Beyond it a reload is refused.
const RELOADS: usize = 16;

impl Pipeline {
    /// Starts everything. Nothing is waited for: a broker or a provider that is down is tried until it is up.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// What no waiting would mend: a credential or a root of trust that can't be read, no threads.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::default());
        let stop = Stop::default();
        let memory = MemoryBudget::new(usize::try_from(settings.limits.memory).unwrap_or(usize::MAX));
        let tally = Arc::new(Tally::default());

        let threads = Threads::start(delivery_threads()).map_err(StartError::Threads)?;
        let doorbell = Arc::new(Notify::new());
        let (resolutions_in, resolutions) = mpsc::channel(RESOLUTIONS);
        let (exits_in, exits) = mpsc::channel(RESOLUTIONS);
        let (doors_in, doors) = mpsc::channel(RELOADS);
        let surroundings = Surroundings {
            doorbell: Arc::clone(&doorbell),
            resolutions: resolutions_in,
            metrics: Arc::clone(&metrics),
            abandon: stop.abandon.clone(),
            credentials: stop.credentials.clone(),
        };
        let mut routes = Routes::new(surroundings, threads, doors_in);
        let (_, deliveries) = routes.reload(settings).map_err(StartError::from)?;
        let tasks: FuturesUnordered<_> = deliveries.into_iter().collect();

        let mut inlets = Vec::new();
        let sources = sources(settings, &routes.table(), &mut inlets, &memory, &metrics, &stop.intake)?;
        let troubles = Troubles::default();
        let keepers = Keepers {
            amqp: sources.amqp.as_ref().map(AmqpSource::keeper),
            spool: sources.spool.as_ref().map(SpoolSource::keeper),
        };
        let tap = Arc::new(Tap::default());
        let (inquiry, owners) = Inquiry::new(settings.spool.as_ref().map(|spool| spool.path.clone()));
        let settlement = Settlement {
            resolutions,
            exits,
            asks: owners.settlement,
            publish: settings.outcomes.publish.clone(),
            sinks: sinks(&settings.outcomes, sources.amqp.as_ref(), &troubles, &metrics)?,
            keepers,
            labels: routes.labels(),
            tally: Arc::clone(&tally),
            metrics: Arc::clone(&metrics),
            tap: Arc::clone(&tap),
        };
        let settlement = tokio::spawn(crate::outcome::run(settlement));
        let (lanes_in, lanes) = watch::channel(settings.lanes.clone());
        let (shedding_in, shedding) = watch::channel(Vec::new());
        let (waiting_in, waiting) = watch::channel(Vec::new());
        let dispatch = Dispatch {
            lanes,
            inlets,
            changes: doors,
            doorbell,
            exits: exits_in,
            shedding: shedding_in,
            waiting: waiting_in,
            asks: owners.dispatch,
            memory: Arc::clone(&memory),
            metrics: Arc::clone(&metrics),
        };
        let dispatch = crate::dispatch::run(dispatch, stop.dispatch.clone());
        tasks.push(tokio::spawn(dispatch.map(|()| End::Unasked)));
        let view = View {
            started: Instant::now(),
            started_at: UnixMillis::now(),
            routes: routes.open(),
            amqp: sources.amqp.as_ref().map(AmqpSource::status),
            spool: sources.spool.as_ref().map(SpoolSource::status),
            letters: settings.spool.as_ref().map(|spool| spool.path.as_path().into()),
            waiting,
            shedding: shedding.clone(),
            tally,
            tap,
            metrics,
            memory,
            troubles,
            inquiry,
        };
        let steering = Steering::new(routes.open());
        let intake = sources.spool.as_ref().map(|spool| {
            let (writer, routes, closed) = (spool.writer(), routes.table(), stop.intake.clone());
            Intake { writer, routes, shedding, closed }
        });
        Ok(Self { view, steering, sources, intake, stop, lanes: lanes_in, routes, tasks, settlement })
    }
}

impl From<NotReloaded> for StartError {
    fn from(error: NotReloaded) -> Self {
        match error {
            NotReloaded::Route(label, error) => StartError::Route(label, error),
            NotReloaded::Busy => unreachable!("nothing was before the first configuration"),
        }
    }
}

/// The signals that end a pipeline, in the order in which they are given.
#[derive(Default)]
pub(super) struct Stop {
    /// No new jobs.
    pub(super) intake: CancellationToken,
    /// What waits goes back; deliveries finish what is in flight.
    pub(super) dispatch: CancellationToken,
    /// What is still in flight is given up.
    pub(super) abandon: CancellationToken,
    /// No more access tokens.
    pub(super) credentials: CancellationToken,
}

type JobOutlet = Outlet<Arc<Envelope>>;
type JobInlet = Inlet<Arc<Envelope>>;

/// A link for each lane of one source: the source's ends; the dispatch's are put to `inlets`.
fn lane_links(inlets: &mut Vec<(Lane, JobInlet)>) -> [JobOutlet; 3] {
    // Each lane's link has a bell of its own: the source waits on each by itself.
    Lane::ALL.map(|lane| {
        let (outlet, inlet) = link(Arc::new(Notify::new()));
        inlets.push((lane, inlet));
        outlet
    })
}

fn sources(
    settings: &Settings,
    table: &watch::Receiver<Arc<RouteTable>>,
    inlets: &mut Vec<(Lane, JobInlet)>,
    memory: &Arc<MemoryBudget>,
    metrics: &Arc<Metrics>,
    intake: &CancellationToken,
) -> Result<Sources, StartError> {
    // First what can fail: nothing runs then.
    let spool = settings.spool.as_ref().map(|spool| Ok((Spool::open(spool)?, spool.max_deliveries))).transpose();
    let spool = spool.map_err(StartError::Spool)?.map(|(spool, max_deliveries)| {
        let (table, outlets) = (table.clone(), lane_links(inlets));
        let (memory, metrics) = (Arc::clone(memory), Arc::clone(metrics));
        SpoolSource::start(spool, max_deliveries, table, outlets, memory, metrics, intake.clone())
    });
    let amqp = settings.amqp.clone().map(|amqp| {
        let (table, outlets) = (table.clone(), lane_links(inlets));
        AmqpSource::start(amqp, table, outlets, Arc::clone(memory), Arc::clone(metrics), intake.clone())
    });
    Ok(Sources { amqp, spool })
}

/// Half of the cores: the other half is the broker's client, the dispatch and the settlement.
fn delivery_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

fn sinks(
    settings: &OutcomeSettings,
    source: Option<&AmqpSource>,
    troubles: &Troubles,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<dyn Sink>>, StartError> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    if let Some(source) = source.filter(|_| settings.amqp) {
        sinks.push(Arc::new(AmqpSink::new(
            source.publisher(),
            source.names().clone(),
            troubles.clone(),
            Arc::clone(metrics),
        )));
    }
    if let Some(path) = &settings.file {
        sinks.push(Arc::new(FileSink::new(path.clone(), troubles.clone())));
    }
    if let Some(webhook) = &settings.webhook {
        sinks.push(Arc::new(WebhookSink::new(webhook.clone(), troubles.clone()).map_err(StartError::Webhook)?));
    }
    Ok(sinks)
}
