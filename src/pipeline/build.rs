//! Puts the stages together: links, routes, sinks, the source.

use std::sync::Arc;
use std::time::Instant;

use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::threads::Threads;
use super::{Intake, Pipeline, Settings, Sources, StartError, Steering, View};
use crate::delivery::{Delivery, RouteOrders, RouteSettings, RouteStatus};
use crate::dispatch::{Dispatch, RouteDoor};
use crate::job::{Envelope, Lane, MemoryBudget, RouteId, RouteTable, UnixMillis};
use crate::outcome::{AmqpSink, FileSink, Keepers, OutcomeSettings, Settlement, Sink, Tally, Troubles, WebhookSink};
use crate::provider::http2::{Pool, PoolOptions};
use crate::provider::{Protocol, ProviderSettings, apns, fcm};
use crate::source::amqp::AmqpSource;
use crate::source::spool::SpoolSource;
use crate::spool::Spool;
use crate::stage::{Inlet, Outlet, link};
use crate::telemetry::{Metrics, RouteLabel};

/// Chunks of pushes on their way to the settlement, at most; beyond it the deliveries wait.
const RESOLUTIONS: usize = 64;

/// A route, before it has a task.
struct Route {
    label: RouteLabel,
    limits: RouteSettings,
    protocol: Arc<dyn Protocol>,
    pool: Pool,
}

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
        let routes = routes(settings, &stop.credentials)?;
        let table = route_table(settings);
        let labels: Vec<RouteLabel> = routes.iter().map(|route| route.label.clone()).collect();
        let tally = Arc::new(Tally::new(routes.len()));

        let mut threads = Threads::start(delivery_threads()).map_err(StartError::Threads)?;
        let doorbell = Arc::new(Notify::new());
        let (resolutions_in, resolutions) = mpsc::channel(RESOLUTIONS);
        let (exits_in, exits) = mpsc::channel(RESOLUTIONS);
        let tasks = FuturesUnordered::new();
        let mut doors = Vec::new();
        let mut statuses = Vec::new();
        let mut orders = Vec::new();
        for route in routes {
            let (outlet, inlet) = link(Arc::clone(&doorbell));
            let (status_in, status) = watch::channel(RouteStatus::default());
            doors.push(RouteDoor { label: route.label.clone(), outlet, default_ttl: route.limits.default_ttl });
            statuses.push((route.label.clone(), status));
            let (orders_in, route_orders) = watch::channel(RouteOrders::new(route.limits));
            orders.push((route.label.clone(), orders_in));
            let delivery = Delivery {
                label: route.label,
                orders: route_orders,
                protocol: route.protocol,
                pool: route.pool,
                inlet,
                resolutions: resolutions_in.clone(),
                status: status_in,
                metrics: Arc::clone(&metrics),
            };
            // The dispatch's end is a delivery's signal to drain, so it needs no stop of its own.
            let run = crate::delivery::run(delivery, stop.abandon.clone());
            tasks.push(threads.next().spawn(run));
        }
        drop(resolutions_in);

        let (_, table) = watch::channel(Arc::new(table));
        let mut inlets = Vec::new();
        let sources = sources(settings, &table, &mut inlets, &memory, &metrics, &stop.intake)?;
        let troubles = Troubles::default();
        let keepers = Keepers {
            amqp: sources.amqp.as_ref().map(AmqpSource::keeper),
            spool: sources.spool.as_ref().map(SpoolSource::keeper),
        };
        let settlement = Settlement {
            resolutions,
            exits,
            publish: settings.outcomes.publish.clone(),
            sinks: sinks(&settings.outcomes, sources.amqp.as_ref(), &troubles, &metrics)?,
            keepers,
            labels,
            tally: Arc::clone(&tally),
            metrics: Arc::clone(&metrics),
        };
        let settlement = tokio::spawn(crate::outcome::run(settlement));
        let (lanes_in, lanes) = watch::channel(settings.lanes.clone());
        let (shedding_in, shedding) = watch::channel(Vec::new());
        let dispatch = Dispatch {
            lanes,
            inlets,
            routes: doors,
            doorbell,
            exits: exits_in,
            shedding: shedding_in,
            memory: Arc::clone(&memory),
            metrics: Arc::clone(&metrics),
        };
        tasks.push(tokio::spawn(crate::dispatch::run(dispatch, stop.dispatch.clone())));
        let view = View {
            started: Instant::now(),
            started_at: UnixMillis::now(),
            routes: statuses.into(),
            amqp: sources.amqp.as_ref().map(AmqpSource::status),
            spool: sources.spool.as_ref().map(SpoolSource::status),
            tally,
            metrics,
            memory,
            troubles,
        };
        let steering = Steering::new(orders, lanes_in);
        let intake = sources.spool.as_ref().map(|spool| Intake { writer: spool.writer(), routes: table, shedding });
        Ok(Self { view, steering, sources, intake, stop, tasks, settlement, threads })
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

fn route_table(settings: &Settings) -> RouteTable {
    let mut next = (0..).map(RouteId);
    RouteTable::new(settings.apps.iter().map(|app| {
        let mut routes = [None; 3];
        for (provider, ..) in &app.routes {
            routes[provider.index()] = next.next();
        }
        (app.name.as_str().into(), routes)
    }))
}

fn routes(settings: &Settings, credentials: &CancellationToken) -> Result<Vec<Route>, StartError> {
    let mut built = Vec::new();
    for app in &settings.apps {
        let name: Arc<str> = app.name.as_str().into();
        for (provider, client, limits) in &app.routes {
            let label = RouteLabel { app: Arc::clone(&name), provider: *provider };
            let route = |error: String| StartError::Route(label.clone(), error);
            let (protocol, pool) = client_of(client, limits, credentials).map_err(route)?;
            built.push(Route { label, limits: limits.clone(), protocol, pool });
        }
    }
    Ok(built)
}

fn client_of(
    client: &ProviderSettings,
    limits: &RouteSettings,
    credentials: &CancellationToken,
) -> Result<(Arc<dyn Protocol>, Pool), String> {
    let connections = limits.connections as usize;
    let (protocol, endpoint, tls, options): (Arc<dyn Protocol>, _, _, _) = match client {
        ProviderSettings::Apns(settings) => {
            let protocol = apns::Apns::new(settings).map_err(|error| error.to_string())?;
            let tls = protocol.tls();
            (Arc::new(protocol), &settings.endpoint, tls, PoolOptions::apns(connections, limits.request_timeout))
        }
        ProviderSettings::Fcm(settings) => {
            let protocol = fcm::Fcm::start(settings, credentials.clone()).map_err(|error| error.to_string())?;
            let tls = protocol.tls();
            (Arc::new(protocol), &settings.endpoint, tls, PoolOptions::fcm(connections, limits.request_timeout))
        }
    };
    let pool = Pool::new(endpoint, tls, options).map_err(|error| error.to_string())?;
    Ok((protocol, pool))
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
