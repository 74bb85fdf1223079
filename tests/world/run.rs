//! The world: one thread, one queue of events, one seed. It drives the machines that the tasks drive, with a small loop
//! in the tasks' place.
//!
//! ```text
//! callers ─▶ Broker ─▶ Lanes ─▶ Route (Gate, Shelf) ─▶ ProviderModel
//!              ▲     Window,      │ dispose               │
//!              └──── Book ◀───────┴──────── answers ◀─────┘
//! ```
//!
//! Why not the tasks themselves under tokio's paused clock: the dispatch reads `std::time::Instant::now()`, which does
//! not pause, and a delivery's connections are sockets. All that decides is in the pure machines, and those are the same.
//!
//! What the model leaves out: the hand-over between tasks takes no time (a route's timer is exact to a millisecond, as
//! tokio's is), a job is handed down a millisecond after it was asked for, and a route has one connection.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::dispatch::{Exit, Isolation, LaneSettings, Lanes, Parking, Window};
use tidegate::job::{Envelope, Lane, MemoryBudget, Push, RouteId};
use tidegate::outcome::{Book, Due, Ended, OutcomeKind, Resolution, Step};
use tidegate::source::Keep;

use super::broker::{Broker, Enqueued, Fate};
use super::ledger::{Attempt, Ledger, Record, Second};
use super::provider::{ProviderModel, Served};
use super::route::{Route, Started, Wire};
use super::scenario::{Scenario, What};
use super::traffic::Arrivals;

/// How long a hand-over from the source takes.
const HAND_OVER: Duration = Duration::from_millis(1);
/// As the dispatch and the delivery have them.
const LOOK: Duration = Duration::from_millis(100);
const SWEEP: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);
/// How long it takes until an event is told (a batch's delay), and until a retry is confirmed.
const TOLD: Duration = Duration::from_millis(100);
const KEPT: Duration = Duration::from_millis(5);
/// How long a killed process is gone.
const RESTART: Duration = Duration::from_secs(2);
/// Jobs asked for before any was seen, as the window has it.
pub(super) const FIRST_DEMAND: usize = 32;
/// When, of each second, it is looked how things stand: before anything changes with the next.
const SAMPLED: Duration = Duration::from_millis(999);

enum Event {
    Arrive(usize),
    HandOver(Lane),
    /// A retry queue's head is due.
    Due,
    Answer(usize, u64),
    Turn(usize),
    Tick(usize),
    Connected(usize),
    /// Something of the provider's has changed: a phase, its streams.
    Change(usize),
    Look,
    Sweep,
    Told,
    Kept(Arc<Envelope>, Vec<Keep>),
    Incident(What),
    Restart,
    Second,
}

struct Scheduled {
    at: Duration,
    nth: u64,
    /// The process that it belongs to; none: the world.
    life: Option<u32>,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.nth) == (other.at, other.nth)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.nth).cmp(&(other.at, other.nth))
    }
}

/// What is to come.
#[derive(Default)]
struct Agenda {
    events: BinaryHeap<Reverse<Scheduled>>,
    next: u64,
}

impl Agenda {
    fn put(&mut self, at: Duration, life: Option<u32>, event: Event) {
        self.next += 1;
        self.events.push(Reverse(Scheduled { at, nth: self.next, life, event }));
    }
}

/// The providers, as the routes reach them.
struct Providers {
    base: Instant,
    models: Vec<ProviderModel>,
}

impl Wire for Providers {
    fn serve(&mut self, route: RouteId, _: &Push, now: Instant) -> Served {
        self.models[route.0 as usize].serve(now - self.base)
    }

    fn is_reachable(&self, route: RouteId, now: Instant) -> bool {
        self.models[route.0 as usize].is_reachable(now - self.base)
    }
}

/// All that dies with the process.
pub(super) struct Process {
    pub(super) lanes: Lanes,
    isolation: Isolation,
    windows: [Window; 3],
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) routes: Vec<Route>,
    turns: Vec<Option<Duration>>,
    dirty: Vec<bool>,
    exits: Vec<Exit>,
    pub(super) book: Book,
    pub(super) untold: Vec<Arc<Envelope>>,
    handing_over: [bool; 3],
    /// Pushes that came, and those that have left.
    pub(super) handed: usize,
    pub(super) gone: usize,
}

pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) lanes: [LaneSettings; 3],
    base: Instant,
    pub(super) at: Duration,
    agenda: Agenda,
    rng: fastrand::Rng,
    arrivals: Vec<Arrivals>,
    pub(super) broker: Broker,
    providers: Providers,
    pub(super) process: Option<Process>,
    pub(super) life: u32,
    pub(super) ledger: Ledger,
    apps: Vec<Arc<str>>,
    route_of: HashMap<(Arc<str>, usize), usize>,
    pub(super) widest: usize,
    seconds: u64,
}

/// Runs a scenario with a seed and says what happened.
pub fn run(scenario: &Scenario, seed: u64) -> Ledger {
    let mut world = World::new(scenario, seed);
    let end = scenario.duration.0 + scenario.tail.0;
    while let Some(Reverse(next)) = world.agenda.events.pop() {
        if next.at > end || !world.ledger.broken.is_empty() {
            break;
        }
        world.at = next.at;
        if next.life.is_none_or(|life| life == world.life && world.process.is_some()) {
            world.happen(next.event);
            world.go_on();
            world.check();
        }
    }
    world.close();
    world.ledger
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let duration = scenario.duration.0;
        let arrivals = scenario.traffic.iter().map(|traffic| Arrivals::new(traffic, duration, rng.fork())).collect();
        let models = scenario.route.iter().map(|route| ProviderModel::new(route, rng.fork())).collect();
        let mut apps: Vec<Arc<str>> = Vec::new();
        let mut route_of = HashMap::new();
        for (nth, route) in scenario.route.iter().enumerate() {
            let app = apps.iter().find(|app| &***app == route.app.as_str()).cloned().unwrap_or_else(|| {
                apps.push(route.app.as_str().into());
                apps[apps.len() - 1].clone()
            });
            let before = route_of.insert((app, route.provider.index()), nth);
            assert!(before.is_none(), "one route for each app and provider");
        }
        let base = Instant::now();
        let widest = scenario.traffic.iter().map(|traffic| traffic.fan_out as usize).max().unwrap_or(1);
        let mut world = Self {
            scenario,
            lanes: scenario.lanes.settings(),
            base,
            at: Duration::ZERO,
            agenda: Agenda::default(),
            rng,
            arrivals,
            broker: Broker::new(),
            providers: Providers { base, models },
            process: None,
            life: 0,
            ledger: Ledger { routes: vec![Vec::new(); scenario.route.len()], ..Ledger::default() },
            apps,
            route_of,
            widest,
            seconds: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for (nth, route) in self.scenario.route.iter().enumerate() {
            let edges = route.phase.iter().flat_map(|phase| [phase.from.0, phase.to.0]);
            for at in edges.chain(route.streams.iter().map(|(at, _)| at.0)) {
                self.agenda.put(at, None, Event::Change(nth));
            }
        }
        for incident in &self.scenario.incident {
            self.agenda.put(incident.at.0, None, Event::Incident(incident.is));
        }
        for nth in 0..self.arrivals.len() {
            self.next_arrival(nth);
        }
        self.agenda.put(SAMPLED, None, Event::Second);
        self.start();
    }

    fn now(&self) -> Instant {
        self.base + self.at
    }

    fn soon(&mut self, after: Duration, event: Event) {
        self.agenda.put(self.at + after, Some(self.life), event);
    }

    /// The process starts.
    fn start(&mut self) {
        let now = self.now();
        self.life += 1;
        let mut routes: Vec<Route> = Vec::new();
        for (id, model) in (0..).map(RouteId).zip(&self.scenario.route) {
            routes.push(Route::new(id, model, self.rng.fork(), now));
        }
        let count = routes.len();
        let ttls: Vec<Duration> = routes.iter().map(|route| route.settings.default_ttl).collect();
        self.process = Some(Process {
            lanes: Lanes::new(&self.lanes, ttls, now),
            isolation: Isolation::new(count, now),
            windows: self.lanes.each_ref().map(|lane| Window::new(lane.max_waiting as usize)),
            memory: MemoryBudget::new(self.scenario.source.memory),
            routes,
            turns: vec![None; count],
            dirty: vec![true; count],
            exits: Vec::new(),
            book: Book::default(),
            untold: Vec::new(),
            handing_over: [false; 3],
            handed: 0,
            gone: 0,
        });
        for nth in 0..count {
            self.change(nth);
            // The tasks' clocks don't tick as one.
            let offset = TICK.mul_f64(self.rng.f64());
            self.soon(offset, Event::Tick(nth));
        }
        self.soon(LOOK, Event::Look);
        self.soon(SWEEP, Event::Sweep);
    }

    fn next_arrival(&mut self, nth: usize) {
        if let Some(at) = self.arrivals[nth].next() {
            self.agenda.put(at, None, Event::Arrive(nth));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(nth) => {
                self.arrive(nth);
                self.next_arrival(nth);
            }
            Event::HandOver(lane) => self.hand_over(lane),
            Event::Due => self.broker.due(self.at),
            Event::Answer(route, attempt) => {
                let now = self.now();
                let process = self.process.as_mut().expect("its event");
                process.routes[route].answer(attempt, now);
                process.dirty[route] = true;
            }
            Event::Turn(route) => {
                let process = self.process.as_mut().expect("its event");
                if process.turns[route] == Some(self.at) {
                    process.turns[route] = None;
                    process.dirty[route] = true;
                }
            }
            Event::Tick(route) => {
                let now = self.now();
                let process = self.process.as_mut().expect("its event");
                process.routes[route].sweep(now);
                process.dirty[route] = true;
                self.soon(TICK, Event::Tick(route));
            }
            Event::Connected(route) => {
                let now = self.now();
                let is_reachable = self.providers.is_reachable(RouteId(u32::try_from(route).expect("few")), now);
                let process = self.process.as_mut().expect("its event");
                process.routes[route].connected(is_reachable, now);
                process.dirty[route] = true;
            }
            Event::Change(route) => self.change(route),
            Event::Look => {
                self.look();
                self.soon(LOOK, Event::Look);
            }
            Event::Sweep => {
                let now = self.now();
                let process = self.process.as_mut().expect("its event");
                process.lanes.sweep(now, &mut process.exits);
                self.soon(SWEEP, Event::Sweep);
            }
            Event::Told => self.told(),
            Event::Kept(job, keeps) => self.kept(&job, keeps),
            Event::Incident(what) => self.incident(what),
            Event::Restart => self.start(),
            Event::Second => self.second(),
        }
    }

    /// A caller enqueues a job.
    fn arrive(&mut self, nth: usize) {
        let traffic = &self.scenario.traffic[nth];
        let app = self.apps.iter().position(|app| **app == *traffic.app).expect("traffic is of a route's app");
        let route = self.route_of[&(self.apps[app].clone(), traffic.provider.index())];
        let first = u32::try_from(self.ledger.records.len()).expect("far fewer pushes");
        let collapse = traffic.collapse_over.map(|devices| self.rng.u32(0..devices));
        let ttl = traffic.ttl.map_or(self.scenario.route[route].default_ttl.0, |ttl| Duration::from_secs(ttl.into()));
        let home = self.broker.enqueue(Enqueued {
            app: self.apps[app].clone(),
            provider: traffic.provider,
            route: RouteId(u32::try_from(route).expect("few")),
            lane: traffic.lane,
            accepted: self.at,
            first,
            targets: u16::try_from(traffic.fan_out).expect("at most 1,000"),
            ttl: traffic.ttl,
            collapse,
        });
        let record = Record {
            app: u16::try_from(app).expect("few"),
            traffic: u16::try_from(nth).expect("few"),
            route: u16::try_from(route).expect("few"),
            lane: traffic.lane,
            accepted: self.at,
            deadline: self.at + ttl,
            first_sent: None,
            sends: 0,
            reached: 0,
            outcome: None,
            home,
        };
        self.ledger.records.extend(std::iter::repeat_n(record, traffic.fan_out as usize));
    }

    /// Jobs that a lane's queue may hand over now.
    fn wanted(&self, lane: Lane) -> usize {
        let Some(process) = &self.process else { return 0 };
        let wanted = process.windows[lane.index()].demand(process.lanes.waiting_from(lane));
        process.memory.cap(wanted).min(self.scenario.source.prefetch.saturating_sub(self.broker.out(lane)))
    }

    pub(super) fn chunk(&self) -> usize {
        (self.scenario.source.per_second / 1_000).max(1)
    }

    fn hand_over(&mut self, lane: Lane) {
        let now = self.now();
        let count = self.wanted(lane).min(self.chunk());
        let process = self.process.as_mut().expect("its event");
        process.handing_over[lane.index()] = false;
        for nth in 0..count {
            let Some((_, job)) = self.broker.take(lane, self.base, now) else { break };
            if nth == 0 {
                process.isolation.refilled(lane);
            }
            process.windows[lane.index()].note(job.push_count());
            job.charge_to(&process.memory);
            process.handed += job.push_count();
            process.lanes.admit(&job, now, &mut process.exits);
        }
    }

    fn change(&mut self, route: usize) {
        let now = self.now();
        let model = &self.scenario.route[route];
        let Some(process) = &mut self.process else { return };
        let is_reachable = self.providers.is_reachable(RouteId(u32::try_from(route).expect("few")), now);
        let this = &mut process.routes[route];
        if !is_reachable {
            self.ledger.cut_off += u64::from(this.under_way());
            this.disconnect(now);
        }
        let streams = model.streams.iter().rev().find(|(at, _)| at.0 <= self.at);
        this.streams = streams.map_or(u32::MAX, |(_, streams)| *streams);
        process.dirty[route] = true;
    }

    /// Sheds and parks, where there is need.
    fn look(&mut self) {
        let now = self.now();
        let mut full = Lane::ALL.map(|lane| self.wanted(lane) == 0);
        for lane in Lane::ALL {
            full[lane.index()] |= self.broker.out(lane) >= self.scenario.source.prefetch;
        }
        let process = self.process.as_mut().expect("its event");
        process.lanes.shed(now, &mut process.exits);
        let routes = &process.routes;
        let asks = |id: RouteId| routes[id.0 as usize].demand > 0;
        for Parking { route, from, count, delay } in process.isolation.look(&process.lanes, asks, full, now) {
            process.lanes.park(route, from, count, delay, now, &mut process.exits);
        }
    }

    /// Lets everybody do what can be done at this moment.
    fn go_on(&mut self) {
        while self.turns() {}
        self.resolve();
        self.hear();
        for lane in Lane::ALL {
            let busy = self.process.as_ref().is_none_or(|process| process.handing_over[lane.index()]);
            if !busy && self.broker.ready(lane) > 0 && self.wanted(lane) > 0 {
                self.process.as_mut().expect("it is not busy").handing_over[lane.index()] = true;
                self.soon(HAND_OVER, Event::HandOver(lane));
            }
        }
    }

    /// One turn of every route that has a reason for one, and of the dispatch; whether there is another reason.
    fn turns(&mut self) -> bool {
        let now = self.now();
        let Some(process) = &mut self.process else { return false };
        let mut served = false;
        let mut had_a_turn = Vec::new();
        for nth in 0..process.routes.len() {
            let route = &mut process.routes[nth];
            if std::mem::take(&mut process.dirty[nth]) {
                had_a_turn.push(nth);
                let connect = route.turn(&mut self.providers, now);
                if connect {
                    let after = route.connects();
                    self.agenda.put(self.at + after, Some(self.life), Event::Connected(nth));
                }
            }
            if route.demand > 0 && process.lanes.waits_for(route.id) {
                let pushes = process.lanes.take(route.id, route.demand, now, &mut process.exits);
                served |= !pushes.is_empty();
                process.dirty[nth] = !pushes.is_empty();
                route.demand -= pushes.len();
                route.buffer.extend(pushes);
            }
        }
        if !had_a_turn.is_empty() {
            self.started();
            self.plan_turns(&had_a_turn);
        }
        served
    }

    /// Writes down what was sent, and plans the answers.
    fn started(&mut self) {
        let now = self.now();
        let process = self.process.as_mut().expect("it had its turn");
        for (nth, route) in process.routes.iter_mut().enumerate() {
            if route.started.is_empty() {
                continue;
            }
            let (under_way, limit) = (route.under_way(), route.gate.concurrency_limit());
            if under_way > limit.min(route.streams) || under_way > route.settings.max_concurrency {
                let streams = route.streams;
                self.ledger.broken(|| format!("{under_way} in flight of {limit}, {streams} streams"));
            }
            if let Some(halt) = route.halt(now).filter(|_| under_way > 1) {
                self.ledger.broken(|| format!("{under_way} in flight though {halt:?}"));
            }
            for Started { attempt, push, served } in route.started.drain(..) {
                let index = index_of(&self.broker, &push);
                let record = &self.ledger.records[index as usize];
                if usize::from(record.route) != nth || push.route() != Some(route.id) {
                    self.ledger.broken(|| format!("push {index} left by route {nth}"));
                }
                let first = self.ledger.records[index as usize].sends == 0;
                let (takes, answer) = (served.takes, served.answer);
                let retry = push.attempts > 1;
                self.ledger.sent(Attempt { push: index, at: self.at, takes, answer, first, retry }, served.reaches);
                self.agenda.put(self.at + takes, Some(self.life), Event::Answer(nth, attempt));
            }
        }
    }

    fn plan_turns(&mut self, routes: &[usize]) {
        let now = self.now();
        let process = self.process.as_mut().expect("it had its turn");
        for &nth in routes {
            let Some(at) = process.routes[nth].next_at(now) else { continue };
            let nanos = (at - self.base).as_nanos().next_multiple_of(1_000_000);
            let at = Duration::from_nanos_u128(nanos).max(self.at);
            if process.turns[nth].is_none_or(|planned| at < planned) {
                process.turns[nth] = Some(at);
                self.agenda.put(at, Some(self.life), Event::Turn(nth));
            }
        }
    }

    /// Takes in what became of pushes.
    fn resolve(&mut self) {
        let Some(process) = &mut self.process else { return };
        let mut resolutions: Vec<Resolution> = process.exits.drain(..).map(Resolution::from).collect();
        for route in &mut process.routes {
            resolutions.append(&mut route.ended);
        }
        let mut due = Due::default();
        process.gone += resolutions.len();
        for resolution in resolutions {
            self.resolved(resolution, &mut due);
        }
        self.settle(due);
    }

    fn resolved(&mut self, resolution: Resolution, due: &mut Due) {
        let process = self.process.as_mut().expect("its resolution");
        let step = match resolution {
            Resolution::Later { push, delay } => {
                self.ledger.put_off += 1;
                Step::Later { push, delay }
            }
            Resolution::Returned(push) => Step::Returned(push),
            Resolution::Ended(Ended { push, outcome }) => {
                let index = index_of(&self.broker, &push);
                let doubles = self.life > 1;
                self.ledger.ended(index, outcome.kind, self.at, doubles);
                let told = self.scenario.source.told && outcome.kind != OutcomeKind::Delivered;
                if told {
                    process.untold.push(Arc::clone(&push.envelope));
                    if process.untold.len() == 1 {
                        self.agenda.put(self.at + TOLD, Some(self.life), Event::Told);
                    }
                }
                match outcome.kind {
                    OutcomeKind::Failed => Step::Dead { push, reason: "attempts_exhausted".into(), told },
                    _ if told => Step::Told(push),
                    _ => Step::Done(push),
                }
            }
        };
        process.book.note(step, due);
    }

    fn told(&mut self) {
        let mut due = Due::default();
        let process = self.process.as_mut().expect("its event");
        for job in std::mem::take(&mut process.untold) {
            process.book.told(&job, &mut due);
        }
        self.settle(due);
    }

    fn kept(&mut self, job: &Arc<Envelope>, keeps: Vec<Keep>) {
        for keep in keeps {
            let Keep::Later(later) = keep else { continue };
            let number = job_of(job);
            let first = self.broker.jobs[number as usize].first;
            let targets = later.targets.clone();
            let (letter, due) = self.broker.keep(number, later.targets, later.attempts, later.delay, self.at);
            for index in targets {
                self.ledger.records[(first + u32::from(index)) as usize].home = letter;
            }
            self.agenda.put(due, None, Event::Due);
        }
        let mut due = Due::default();
        self.process.as_mut().expect("its event").book.kept(job, &mut due);
        self.settle(due);
    }

    /// As the settlement does it.
    fn settle(&mut self, due: Due) {
        for (job, keeps) in due.keeps {
            let after = KEPT.mul_f64(0.5 + self.rng.f64());
            self.soon(after, Event::Kept(job, keeps));
        }
        for job in due.settled {
            job.origin.receipt.acknowledger.settle(vec![job.origin.receipt.tag]);
        }
        for (job, rest) in due.partly {
            job.origin.receipt.acknowledger.settle_except(job.origin.receipt.tag, rest);
        }
        for job in due.untouched {
            job.origin.receipt.acknowledger.give_back(vec![job.origin.receipt.tag]);
        }
    }

    /// The broker hears what is settled.
    fn hear(&mut self) {
        let mut fates = Vec::new();
        self.broker.hear(&mut fates);
        for fate in fates {
            match fate {
                Fate::Unknown(tag) => self.ledger.broken(|| format!("tag {tag} is settled, and stands for nothing")),
                Fate::Settled(letter) => {
                    let job = &self.broker.jobs[letter.job as usize];
                    for target in letter.targets(job) {
                        let push = job.first + u32::from(target);
                        let record = &self.ledger.records[push as usize];
                        if record.outcome.is_none() && record.home == letter.number {
                            self.ledger.lost += 1;
                            self.ledger.broken(|| format!("push {push} is lost: its job is settled"));
                        }
                    }
                }
            }
        }
    }

    fn incident(&mut self, what: What) {
        match what {
            What::Crash => {
                self.ledger.in_hand += self.broker.pushes_out() as u64;
                self.process = None;
                self.broker.crash();
                self.agenda.put(self.at + RESTART, None, Event::Restart);
            }
            What::Cut => self.broker.cut(),
        }
    }

    fn second(&mut self) {
        self.seconds += 1;
        let now = self.now();
        for (nth, seconds) in self.ledger.routes.iter_mut().enumerate() {
            let route = self.process.as_ref().map(|process| &process.routes[nth]);
            seconds.push(route.map_or_else(Second::default, |route| Second {
                in_flight: route.under_way(),
                limit: route.gate.concurrency_limit(),
                halted: route.is_halted(now),
                shelf: u32::try_from(route.shelf.len()).expect("bounded"),
            }));
        }
        let memory = self.process.as_ref().map_or(0, |process| process.memory.bytes());
        self.ledger.memory.push(memory);
        self.agenda.put(self.at + Duration::from_secs(1), None, Event::Second);
    }
}

fn job_of(job: &Envelope) -> u32 {
    u32::try_from(job.origin.accepted_at.0).expect("the broker counts jobs so")
}

/// A push's number.
fn index_of(broker: &Broker, push: &Push) -> u32 {
    broker.jobs[job_of(&push.envelope) as usize].first + u32::from(push.index)
}
