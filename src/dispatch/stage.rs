//! The task that owns the lanes.
//!
//! One loop: serve what routes ask for, say upstream what is wanted, then wait for whichever comes first: jobs, demand,
//! other settings of the lanes, a look for overload and starvation, a second's sweep for expired pushes, or the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::poll_fn;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::doors::Doors;
use super::register::Register;
use super::{
    DoorChange, Exit, Isolation, JobAsk, JobInHand, LaneSettings, Lanes, Parking, Shedding, Waiting, Waits, Window,
};
use crate::job::{Envelope, Lane, MemoryBudget};
use crate::stage::Inlet;
use crate::telemetry::Metrics;

/// How often waiting pushes are looked over for expired ones, and gauges are written.
const SWEEP: Duration = Duration::from_secs(1);
/// How often it is looked whether a lane must shed, or a route's pushes be parked.
const LOOK: Duration = Duration::from_millis(100);

/// What the dispatch task is made of.
pub struct Dispatch {
    /// By [`Lane::index`]; as they are now and as they change.
    pub lanes: watch::Receiver<[LaneSettings; 3]>,
    /// Where jobs come from; each link carries the jobs of one lane's queue.
    pub inlets: Vec<(Lane, Inlet<Arc<Envelope>>)>,
    /// Which routes there are, from the first on. A change is in here before any job can name its route.
    pub changes: mpsc::Receiver<Vec<DoorChange>>,
    /// Rung by every route's demand.
    pub doorbell: Arc<Notify>,
    /// Where pushes go that are not sent.
    pub exits: mpsc::Sender<Vec<Exit>>,
    /// Where it says which routes' lanes shed; written when that changes.
    pub shedding: watch::Sender<Shedding>,
    /// Where it says what waits; written at each sweep.
    pub waiting: watch::Sender<Waiting>,
    /// Who asks for a job by its id.
    pub asks: mpsc::Receiver<JobAsk>,
    /// What is held in memory.
    pub memory: Arc<MemoryBudget>,
    /// For gauges.
    pub metrics: Arc<Metrics>,
}

/// Runs until `stop`, then returns what waits to its sources and ends; or until the sources are gone and nothing waits.
pub async fn run(dispatch: Dispatch, stop: CancellationToken) {
    let mut lanes = dispatch.lanes.clone();
    let first = lanes.borrow_and_update().clone();
    let mut desk = Desk::new(dispatch, &first);
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        desk.serve(Instant::now());
        desk.ask();
        if desk.flush_exits().await.is_err() {
            return;
        }
        let doorbell = Arc::clone(&desk.doorbell);
        tokio::select! {
            () = stop.cancelled() => break,
            (nth, jobs) = next_jobs(&mut desk.inlets) => match jobs {
                Some(jobs) => desk.admit(nth, jobs, Instant::now()),
                None => drop(desk.inlets.remove(nth)),
            },
            () = doorbell.notified() => {}
            Some(changes) = desk.changes.recv() => desk.change(changes, Instant::now()),
            Ok(()) = lanes.changed() => {
                let lanes = lanes.borrow_and_update().clone();
                desk.set_lanes(&lanes);
            }
            Some(ask) = desk.asks.recv() => desk.answer(ask),
            _ = look.tick() => desk.look(Instant::now()),
            _ = sweep.tick() => desk.sweep(Instant::now()),
        }
    }
    desk.drain().await;
}

/// The next chunk of whichever link has one; `None` with it when that link's source is gone. Waits for ever without links.
async fn next_jobs(inlets: &mut [(Lane, Inlet<Arc<Envelope>>)]) -> (usize, Option<Vec<Arc<Envelope>>>) {
    poll_fn(|cx| {
        for (nth, (_, inlet)) in inlets.iter_mut().enumerate() {
            if let std::task::Poll::Ready(jobs) = inlet.poll_recv(cx) {
                return std::task::Poll::Ready((nth, jobs));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

struct Desk {
    lanes: Lanes,
    isolation: Isolation,
    windows: [Window; 3],
    inlets: Vec<(Lane, Inlet<Arc<Envelope>>)>,
    routes: Doors,
    changes: mpsc::Receiver<Vec<DoorChange>>,
    doorbell: Arc<Notify>,
    leaving: Vec<Exit>,
    /// By route, whether it asks; kept for its memory.
    asking: Vec<bool>,
    exits: mpsc::Sender<Vec<Exit>>,
    shedding: watch::Sender<Shedding>,
    waiting: watch::Sender<Waiting>,
    asks: mpsc::Receiver<JobAsk>,
    register: Register,
    memory: Arc<MemoryBudget>,
    metrics: Arc<Metrics>,
}

impl Desk {
    fn new(dispatch: Dispatch, lanes: &[LaneSettings; 3]) -> Self {
        let now = Instant::now();
        let windows = lanes.each_ref().map(|lane| Window::new(lane.max_waiting as usize));
        Self {
            lanes: Lanes::new(lanes, [], now),
            isolation: Isolation::new(0, now),
            windows,
            inlets: dispatch.inlets,
            routes: Doors::default(),
            changes: dispatch.changes,
            doorbell: dispatch.doorbell,
            leaving: Vec::new(),
            asking: Vec::new(),
            exits: dispatch.exits,
            shedding: dispatch.shedding,
            waiting: dispatch.waiting,
            asks: dispatch.asks,
            register: Register::default(),
            memory: dispatch.memory,
            metrics: dispatch.metrics,
        }
    }

    fn set_lanes(&mut self, lanes: &[LaneSettings; 3]) {
        self.lanes.set_lanes(lanes);
        for (window, lane) in self.windows.iter_mut().zip(lanes) {
            window.resize(lane.max_waiting as usize);
        }
    }

    fn change(&mut self, changes: Vec<DoorChange>, now: Instant) {
        for change in changes {
            match change {
                DoorChange::Open(id, door) => {
                    self.lanes.open(id, door.default_ttl, now);
                    self.lanes.keep_order(id, door.ordered);
                    self.isolation.open(id);
                    self.routes.open(id, door);
                }
                DoorChange::DefaultTtl(id, default_ttl) => self.lanes.set_default_ttl(id, default_ttl),
                DoorChange::Ordered(id, ordered) => self.lanes.keep_order(id, ordered),
                DoorChange::Close(id) => {
                    self.lanes.close(id, now, &mut self.leaving);
                    let closed = self.routes.close(id);
                    closed.inspect(|door| self.metrics.nothing_waits(&door.label));
                }
            }
        }
    }

    fn admit(&mut self, inlet: usize, jobs: Vec<Arc<Envelope>>, now: Instant) {
        // A job may name a route that nobody has told of yet but by what waits here.
        while let Ok(changes) = self.changes.try_recv() {
            self.change(changes, now);
        }
        let lane = self.inlets[inlet].0;
        self.isolation.refilled(lane);
        for job in jobs {
            self.windows[lane.index()].note(job.push_count());
            job.charge_to(&self.memory);
            self.register.note(&job);
            self.lanes.admit(&job, now, &mut self.leaving);
        }
    }

    fn answer(&self, ask: JobAsk) {
        let in_hand = self.register.find(&ask.id).map(|job| JobInHand { waiting: self.lanes.waiting_of(&job), job });
        // Whoever asked may have left.
        let _ = ask.answer.send(in_hand);
    }

    /// Gives every route what it asks for, as far as it waits here.
    fn serve(&mut self, now: Instant) {
        for id in self.lanes.ids() {
            if !self.lanes.waits_for(id) {
                continue;
            }
            let Some(door) = self.routes.get_mut(id) else { continue };
            let outlet = &mut door.outlet;
            let room = outlet.room();
            if room == 0 {
                continue;
            }
            let mut pushes = self.lanes.take(id, room, now, &mut self.leaving);
            // One that goes in this moment drops its pushes unsettled: their jobs come again.
            let _ = outlet.try_send(&mut pushes);
            debug_assert!(pushes.is_empty() || outlet.is_closed(), "taken by the outlet's own room");
        }
    }

    /// Says upstream how many jobs are wanted. Sources that feed the same lane have equal parts of its window.
    fn ask(&self) {
        for (lane, inlet) in &self.inlets {
            let sources = self.inlets.iter().filter(|(other, _)| other == lane).count();
            inlet.want(self.wanted(*lane).div_ceil(sources));
        }
    }

    fn wanted(&self, lane: Lane) -> usize {
        self.memory.cap(self.windows[lane.index()].demand(self.lanes.waiting_from(lane)))
    }

    /// Sheds and parks, where there is need.
    fn look(&mut self, now: Instant) {
        self.lanes.shed(now, &mut self.leaving);
        let shedding = self.lanes.shedding();
        self.shedding.send_if_modified(|old| std::mem::replace(old, shedding.clone()) != shedding);
        let mut full = Lane::ALL.map(|lane| self.wanted(lane) == 0);
        for (lane, inlet) in &self.inlets {
            full[lane.index()] |= inlet.is_exhausted();
        }
        let mut asking = std::mem::take(&mut self.asking);
        asking.clear();
        asking.extend(self.routes.asking());
        for Parking { route, from, count, delay } in
            self.isolation.look(&self.lanes, |id| asking[id.0 as usize], full, now)
        {
            let parked = self.lanes.park(route, from, count, delay, now, &mut self.leaving);
            if let Some(door) = self.routes.get_mut(route).filter(|_| parked > 0) {
                tracing::debug!(route = %door.label, lane = %from, parked, ?delay, "blocked while others starve: parked");
            }
        }
        self.asking = asking;
    }

    fn sweep(&mut self, now: Instant) {
        self.lanes.sweep(now, &mut self.leaving);
        let mut waiting = Waiting::new();
        for (id, route) in self.routes.iter() {
            let nth = id.0 as usize;
            waiting.resize(waiting.len().max(nth + 1), Default::default());
            for lane in Lane::ALL {
                let (pushes, oldest) = self.lanes.line(id, lane);
                let age = oldest.map_or(Duration::ZERO, |accepted| now.saturating_duration_since(accepted));
                self.metrics.waiting(&route.label, lane, pushes, age);
                waiting[nth][lane.index()] = Waits { pushes, oldest };
            }
        }
        self.waiting.send_replace(waiting);
    }

    async fn flush_exits(&mut self) -> Result<(), mpsc::error::SendError<Vec<Exit>>> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        self.exits.send(std::mem::take(&mut self.leaving)).await
    }

    /// Returns what waits, and what was on its way here, to where it came from.
    async fn drain(mut self) {
        for (_, inlet) in &mut self.inlets {
            inlet.close();
            while let Some(jobs) = inlet.recv().await {
                let returned = jobs.iter().flat_map(Envelope::pushes);
                self.leaving.extend(returned.map(|push| Exit { push, why: super::Why::Returned }));
            }
        }
        self.lanes.clear(&mut self.leaving);
        // The settlement's end is the pipeline's end: nobody is left to tell.
        let _ = self.flush_exits().await;
    }
}
