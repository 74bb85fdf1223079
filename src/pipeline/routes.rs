//! The routes of a running pipeline: the one owner of which there are, and of how they come, change and go.
//!
//! ```text
//!  Settings ──plans──▶ changes (pure) ──▶ Same        patches are forgotten, no more
//!                                         LimitsOnly  ──orders──▶ delivery: holds at once
//!                                         Rebuild     ──client──▶ delivery: new connections, the old ones end by themselves
//!                                         Added       ──door───▶ dispatch, then ──table──▶ sources
//!                                         Removed     ──table──▶ sources,  and ──close──▶ dispatch ──link ends──▶ delivery
//! ```
//!
//! - All or nothing: whatever can fail (a credential that can't be used, a dispatch that is behind) is done first, and then
//!   nothing was changed. What follows can't fail and waits for nobody.
//! - A route's number is its own for as long as the process lives: it gets it again when it comes back. So what is under
//!   way under a number is never taken for another's, and a loop of reloads costs nothing: there are as many numbers as
//!   ever were different routes.
//! - The dispatch has been told of a route before any source can name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::difference::{Change, Name, Plan, Plans, changes, plans};
use super::threads::Threads;
use super::{End, NotReloaded, Settings};
use crate::delivery::{Delivery, RouteOrders, RouteStatus};
use crate::dispatch::{DoorChange, RouteDoor};
use crate::job::{RouteId, RouteTable};
use crate::outcome::Resolution;
use crate::provider::Client;
use crate::stage::link;
use crate::telemetry::{Metrics, RouteLabel};

/// A route that is configured, as others see it.
#[derive(Debug)]
pub(super) struct OpenRoute {
    pub(super) id: RouteId,
    pub(super) label: RouteLabel,
    pub(super) status: watch::Receiver<RouteStatus>,
    pub(super) orders: watch::Sender<RouteOrders>,
}

/// What every delivery needs of the pipeline.
pub(super) struct Surroundings {
    /// Rung by every route's demand.
    pub(super) doorbell: Arc<Notify>,
    pub(super) resolutions: mpsc::Sender<Vec<Resolution>>,
    pub(super) metrics: Arc<Metrics>,
    /// What is in flight is given up.
    pub(super) abandon: CancellationToken,
    /// No more access tokens.
    pub(super) credentials: CancellationToken,
}

/// What a reload did to the routes, by their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Those that are new, or back.
    pub added: Vec<RouteLabel>,
    /// Those that are gone.
    pub removed: Vec<RouteLabel>,
    /// Those that send by another credential, endpoint or topic.
    pub renewed: Vec<RouteLabel>,
}

/// What a reload has made ready.
struct Ready {
    plans: Plans,
    changes: BTreeMap<Name, Change>,
    /// For those that are added or renewed.
    clients: BTreeMap<Name, Client>,
}

/// A route that has a task.
struct Running {
    id: RouteId,
    orders: watch::Sender<RouteOrders>,
    client: watch::Sender<Client>,
    status: watch::Receiver<RouteStatus>,
    removed: CancellationToken,
}

/// All routes.
pub(super) struct Routes {
    plans: Plans,
    running: BTreeMap<Name, Running>,
    surroundings: Surroundings,
    threads: Threads,
    doors: mpsc::Sender<Vec<DoorChange>>,
    /// By number, of all that ever were.
    labels: watch::Sender<Arc<[RouteLabel]>>,
    table: watch::Sender<Arc<RouteTable>>,
    open: watch::Sender<Arc<[OpenRoute]>>,
}

impl Routes {
    /// None yet. `doors` is the way to the dispatch.
    pub(super) fn new(surroundings: Surroundings, threads: Threads, doors: mpsc::Sender<Vec<DoorChange>>) -> Self {
        Self {
            plans: Plans::new(),
            running: BTreeMap::new(),
            surroundings,
            threads,
            doors,
            labels: watch::Sender::new(Arc::default()),
            table: watch::Sender::default(),
            open: watch::Sender::new(Arc::new([])),
        }
    }

    /// By number, of all routes that ever were.
    pub(super) fn labels(&self) -> watch::Receiver<Arc<[RouteLabel]>> {
        self.labels.subscribe()
    }

    /// For sources.
    pub(super) fn table(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.table.subscribe()
    }

    /// Those that are configured, in the order of their names.
    pub(super) fn open(&self) -> watch::Receiver<Arc<[OpenRoute]>> {
        self.open.subscribe()
    }

    /// Makes the routes what `settings` says. Patches are forgotten, and a pause ends. Returns what was done and the tasks
    /// that were started.
    ///
    /// # Errors
    /// Why not. Nothing was changed then.
    pub(super) fn reload(&mut self, settings: &Settings) -> Result<(Reloaded, Vec<JoinHandle<End>>), NotReloaded> {
        let mut ready = self.make_ready(settings)?;
        // Not of `self`: what follows changes the rest of it.
        let doors = self.doors.clone();
        let permit = doors.try_reserve().map_err(|_| NotReloaded::Busy)?;

        let (mut reloaded, mut tasks, mut door_changes) = (Reloaded::default(), Vec::new(), Vec::new());
        for (name, change) in &ready.changes {
            match change {
                Change::Same | Change::LimitsOnly => self.limit(name, &ready.plans[name], &mut door_changes),
                Change::Rebuild => {
                    self.limit(name, &ready.plans[name], &mut door_changes);
                    let client = ready.clients.remove(name).expect("it was made ready");
                    self.running[name].client.send_replace(client);
                    reloaded.renewed.push(label(name, &ready.plans[name]));
                }
                Change::Added => {
                    let client = ready.clients.remove(name).expect("it was made ready");
                    let label = label(name, &ready.plans[name]);
                    tasks.push(self.add(name, label.clone(), &ready.plans[name], client, &mut door_changes));
                    reloaded.added.push(label);
                }
                Change::Removed => {
                    reloaded.removed.push(label(name, &self.plans[name]));
                    let running = self.running.remove(name).expect("what was planned runs");
                    running.removed.cancel();
                    door_changes.push(DoorChange::Close(running.id));
                }
            }
        }
        self.plans = ready.plans;
        if !door_changes.is_empty() {
            permit.send(door_changes);
        }
        self.publish(settings);
        Ok((reloaded, tasks))
    }

    /// Does what can fail: every client that is needed is made before any is used.
    fn make_ready(&self, settings: &Settings) -> Result<Ready, NotReloaded> {
        let plans = plans(settings);
        let changes = changes(&self.plans, &plans);
        let mut clients = BTreeMap::new();
        for app in &settings.apps {
            for (provider, client, _) in &app.routes {
                let name: Name = (app.name.as_str().into(), provider.index());
                if matches!(changes[&name], Change::Added | Change::Rebuild) {
                    let client = Client::start(client, &self.surroundings.credentials)
                        .map_err(|error| NotReloaded::Route(label(&name, &plans[&name]), error))?;
                    clients.insert(name, client);
                }
            }
        }
        Ok(Ready { plans, changes, clients })
    }

    fn limit(&self, name: &Name, plan: &Plan, doors: &mut Vec<DoorChange>) {
        let running = &self.running[name];
        let new = RouteOrders::new(plan.limits.clone());
        running.orders.send_if_modified(|orders| std::mem::replace(orders, new.clone()) != new);
        if self.plans[name].limits.default_ttl != plan.limits.default_ttl {
            doors.push(DoorChange::DefaultTtl(running.id, plan.limits.default_ttl));
        }
        if self.plans[name].limits.ordered != plan.limits.ordered {
            doors.push(DoorChange::Ordered(running.id, plan.limits.ordered));
        }
    }

    fn add(
        &mut self,
        name: &Name,
        label: RouteLabel,
        plan: &Plan,
        client: Client,
        doors: &mut Vec<DoorChange>,
    ) -> JoinHandle<End> {
        let id = self.number(&label);
        let (outlet, inlet) = link(Arc::clone(&self.surroundings.doorbell));
        let (status_in, status) = watch::channel(RouteStatus::default());
        let (orders_in, orders) = watch::channel(RouteOrders::new(plan.limits.clone()));
        let (client_in, client) = watch::channel(client);
        let removed = CancellationToken::new();
        let (default_ttl, ordered) = (plan.limits.default_ttl, plan.limits.ordered);
        let door = RouteDoor { label: label.clone(), outlet, default_ttl, ordered };
        doors.push(DoorChange::Open(id, door));
        let running = Running { id, orders: orders_in, client: client_in, status, removed: removed.clone() };
        self.running.insert(name.clone(), running);
        let delivery = Delivery {
            label,
            orders,
            client,
            removed: removed.clone(),
            inlet,
            resolutions: self.surroundings.resolutions.clone(),
            status: status_in,
            metrics: Arc::clone(&self.surroundings.metrics),
        };
        // The end of its link is a delivery's signal to drain, so it needs no stop of its own.
        let run = crate::delivery::run(delivery, self.surroundings.abandon.clone());
        self.threads.next().spawn(async move {
            run.await;
            if removed.is_cancelled() { End::Removed } else { End::Unasked }
        })
    }

    /// The route's number: the one that it had, or the next.
    fn number(&self, label: &RouteLabel) -> RouteId {
        let labels = Arc::clone(&self.labels.borrow());
        let index = labels.iter().position(|known| known == label).unwrap_or_else(|| {
            self.labels.send_replace(labels.iter().chain([label]).cloned().collect());
            labels.len()
        });
        RouteId(u32::try_from(index).expect("there are far fewer routes"))
    }

    fn publish(&self, settings: &Settings) {
        self.table.send_replace(Arc::new(RouteTable::new(settings.apps.iter().map(|app| {
            let mut routes = [None; 3];
            for (provider, ..) in &app.routes {
                let running = self.running.get(&(app.name.as_str().into(), provider.index()));
                routes[provider.index()] = running.map(|running| running.id);
            }
            (app.name.as_str().into(), routes)
        }))));
        let open = self.running.iter().map(|(name, running)| OpenRoute {
            id: running.id,
            label: label(name, &self.plans[name]),
            status: running.status.clone(),
            orders: running.orders.clone(),
        });
        self.open.send_replace(open.collect());
    }

    /// No more changes. What the deliveries live on.
    pub(super) fn end(self) -> Threads {
        self.threads
    }
}

fn label((app, _): &Name, plan: &Plan) -> RouteLabel {
    RouteLabel { app: (**app).into(), provider: plan.provider }
}

#[cfg(test)]
mod tests;
