//! One route: the loop of `delivery/route.rs` without its task, sockets and logs. The machines are the real ones.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tidegate::delivery::{Gate, Halt, Refusal, RouteSettings, Shelf, Tried};
use tidegate::flow::{Backoff, Rate, Ruling};
use tidegate::job::{MAX_HELD, Push, RouteId, UnixMillis};
use tidegate::outcome::{Disposition, Ended, Left, Outcome, OutcomeKind, Resolution, SHORT_DELAY, dispose};
use tidegate::provider::http2::ConnectionId;
use tidegate::verdict::Verdict;

use super::provider::{Answer, Served};
use super::scenario::RouteModel;

/// As the pool has it (`provider/http2/backoff.rs`).
const CONNECT: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// As `delivery/route/after.rs` has it.
const PUT_OFF: Duration = Duration::from_secs(60);
/// How long it takes to be refused a connection.
const REFUSED_AFTER: Duration = Duration::from_millis(20);

/// An attempt under way.
pub struct UnderWay {
    pub push: Push,
    pub sent_at: Instant,
    pub answer: Answer,
    connection: u64,
}

/// What the route starts.
pub struct Started {
    pub attempt: u64,
    pub push: Push,
    pub served: Served,
}

/// What a route can ask the world for.
pub trait Wire {
    fn serve(&mut self, route: RouteId, push: &Push, now: Instant) -> Served;
    fn is_reachable(&self, route: RouteId, now: Instant) -> bool;
}

pub struct Route {
    pub id: RouteId,
    pub settings: RouteSettings,
    pub gate: Gate,
    pub buffer: VecDeque<Push>,
    pub shelf: Shelf,
    pub in_flight: BTreeMap<u64, UnderWay>,
    /// Pushes that it wants of the dispatch.
    pub demand: usize,
    pub ended: Vec<Resolution>,
    pub started: Vec<Started>,
    pub streams: u32,
    pub held: u64,
    pub put_off: u64,
    rng: fastrand::Rng,
    streams_free: bool,
    next: u64,
    connection: u64,
    connected: bool,
    connecting: bool,
    failures: u8,
    connects_at: Option<Instant>,
}

/// What the configuration would say of a route.
pub fn settings(model: &RouteModel) -> RouteSettings {
    let rate = model
        .rate
        .map(|cells| Rate { cells: cells.try_into().expect("a rate is above zero"), per: Duration::from_secs(1) });
    RouteSettings {
        rate,
        burst: model.burst.unwrap_or(Rate::default_burst(rate)),
        min_concurrency: model.min_concurrency,
        max_concurrency: model.max_concurrency,
        connections: 4,
        request_timeout: model.request_timeout.0,
        max_attempts: model.max_attempts,
        max_dead_percent: model.max_dead_percent,
        default_ttl: model.default_ttl.0,
        ordered: false,
    }
}

impl Route {
    pub fn new(id: RouteId, model: &RouteModel, rng: fastrand::Rng, now: Instant) -> Self {
        let settings = settings(model);
        let mut gate = Gate::new(&settings, now);
        gate.credential(true, now);
        Self {
            id,
            settings,
            gate,
            buffer: VecDeque::new(),
            shelf: Shelf::default(),
            in_flight: BTreeMap::new(),
            demand: 0,
            ended: Vec::new(),
            started: Vec::new(),
            streams: u32::MAX,
            held: 0,
            put_off: 0,
            rng,
            streams_free: true,
            next: 0,
            connection: 0,
            connected: true,
            connecting: false,
            failures: 0,
            connects_at: None,
        }
    }

    pub fn under_way(&self) -> u32 {
        u32::try_from(self.in_flight.len()).expect("bounded by the limit")
    }

    /// Pushes that it has, wherever.
    pub fn has(&self) -> usize {
        self.in_flight.len() + self.buffer.len() + self.shelf.len()
    }

    fn pool_room(&self) -> u32 {
        if self.connected { self.streams.saturating_sub(self.under_way()) } else { 0 }
    }

    /// Starts what may go, and says what is wanted. Whether a connection shall be tried.
    pub fn turn(&mut self, wire: &mut impl Wire, now: Instant) -> bool {
        let connect = self.start(wire, now);
        let wanted = self.gate.wanted(self.under_way(), self.pool_room(), now) as usize;
        self.demand = wanted.saturating_sub(self.buffer.len() + usize::from(self.shelf.has_due(now)));
        connect
    }

    fn start(&mut self, wire: &mut impl Wire, now: Instant) -> bool {
        self.gate.step(now);
        let mut room = self.gate.room(self.under_way(), now).min(self.pool_room());
        while room > 0 {
            let Some(push) = self.shelf.take(now).or_else(|| self.buffer.pop_front()) else { break };
            room -= u32::from(self.attempt(push, wire, now));
        }
        let waits = !self.buffer.is_empty() || self.shelf.has_due(now);
        let grow = waits && self.pool_room() == 0 && self.gate.slots(self.under_way(), now) > 0;
        self.streams_free = self.pool_room() > 0;
        grow && !self.connected && !self.connecting && self.connects_at.is_none_or(|at| at <= now)
    }

    fn attempt(&mut self, push: Push, wire: &mut impl Wire, now: Instant) -> bool {
        let Some(mut push) = self.still_good(push, now) else { return false };
        let retry = push.attempts > 0;
        if let Err(refusal) = self.gate.admit(push.target(), retry, self.rng.f64(), now) {
            let (Refusal::Device(delay) | Refusal::Budget(delay)) = refusal;
            self.put_off(push, delay, now);
            return false;
        }
        let served = wire.serve(self.id, &push, now);
        self.gate.take(retry, now);
        push.attempts = push.attempts.saturating_add(1);
        self.next += 1;
        self.started.push(Started { attempt: self.next, push: push.clone(), served });
        let attempt = UnderWay { push, sent_at: now, answer: served.answer, connection: self.connection };
        self.in_flight.insert(self.next, attempt);
        true
    }

    /// When it shall have its next turn if nothing happens.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        let pending = !self.buffer.is_empty() || self.shelf.has_due(now) || self.demand == 0;
        let gate = self.gate.next_at(now).filter(|_| pending);
        let shelf = self.shelf.next_at().filter(|due| *due > now);
        let connect = self.connects_at.filter(|at| !self.connected && *at > now);
        gate.into_iter().chain(shelf).chain(connect).min()
    }

    /// An attempt is answered.
    pub fn answer(&mut self, attempt: u64, now: Instant) {
        let Some(UnderWay { push, sent_at, answer, connection }) = self.in_flight.remove(&attempt) else { return };
        self.heard(push, sent_at, answer, connection, now);
    }

    fn heard(&mut self, mut push: Push, sent_at: Instant, answer: Answer, connection: u64, now: Instant) {
        if !matches!(answer, Answer::Lost | Answer::Timeout) {
            self.failures = 0;
        }
        let verdict = answer.verdict();
        let target = push.target().clone();
        let tried = Tried {
            target: &target,
            connection: ConnectionId(connection),
            round_trip: now - sent_at,
            retry: push.attempts > 1,
            in_flight: self.under_way() + 1,
            streams_free: self.streams_free,
        };
        match self.gate.note(&verdict, &tried, self.rng.f64(), now) {
            Ruling::Told => self.dispose(push, &verdict, now),
            Ruling::Held => {
                self.held += 1;
                push.attempts -= 1;
                let delay = self.gate.keep_for(now).max(SHORT_DELAY);
                self.put_off(push, delay, now);
            }
        }
    }

    /// The connection is lost, and with it all answers that are still to come.
    pub fn disconnect(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.connected, false) {
            return;
        }
        while let Some((_, under_way)) = self.in_flight.pop_first() {
            self.heard(under_way.push, under_way.sent_at, Answer::Lost, under_way.connection, now);
        }
        self.connects_at = None;
    }

    /// A connection is tried: when that will be known.
    pub fn connects(&mut self) -> Duration {
        self.connecting = true;
        REFUSED_AFTER
    }

    /// It is known.
    pub fn connected(&mut self, is_reachable: bool, now: Instant) {
        self.connecting = false;
        if is_reachable {
            (self.connected, self.connects_at) = (true, None);
            self.connection += 1;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = CONNECT.delay(self.failures, Duration::ZERO, 0.5 + self.rng.f64() / 2.0);
        self.connects_at = Some(now + pause);
        self.gate.unreachable(self.failures.into(), self.rng.f64(), now);
    }

    fn dispose(&mut self, mut push: Push, verdict: &Verdict, now: Instant) {
        let before = push.attempts - 1;
        let left = Left {
            attempts: push.attempts,
            max_attempts: self.settings.max_attempts,
            resigned: push.resigned,
            ttl: push.envelope.deadline(self.settings.default_ttl).saturating_duration_since(now),
            now_or_never: push.envelope.now_or_never(),
        };
        match dispose(verdict, &left, self.rng.f64()) {
            Disposition::End(kind, _) => self.end(push, kind),
            Disposition::Again { mut delay, counts } => {
                if !counts {
                    push.attempts = before;
                    delay = delay.max(self.gate.resend_after(self.rng.f64()));
                }
                self.wait(push, delay, now);
            }
            Disposition::Keep => {
                self.gate.park(now);
                push.attempts = before;
                let delay = self.gate.keep_for(now).max(SHORT_DELAY);
                self.wait(push, delay, now);
            }
            Disposition::Resign => unreachable!("no provider of this world says so"),
        }
    }

    /// Takes out what shall wait no longer.
    pub fn sweep(&mut self, now: Instant) {
        let ttl = self.settings.default_ttl;
        let overdue = |push: &Push| {
            let held = now.saturating_duration_since(push.envelope.taken);
            !push.envelope.is_live() || now >= push.envelope.deadline(ttl) || held >= MAX_HELD
        };
        let mut leaving = self.shelf.take_if(now, overdue);
        if self.buffer.iter().any(overdue) {
            let (over, staying) = self.buffer.drain(..).partition(overdue);
            self.buffer = staying;
            leaving.extend::<VecDeque<Push>>(over);
        }
        for push in leaving {
            if let Some(push) = self.still_good(push, now) {
                self.put_off(push, PUT_OFF, now);
            }
        }
    }

    fn still_good(&mut self, push: Push, now: Instant) -> Option<Push> {
        if !push.envelope.is_live() {
            self.ended.push(Resolution::Returned(push));
            return None;
        }
        if now >= push.envelope.deadline(self.settings.default_ttl) {
            self.end(push, OutcomeKind::Expired);
            return None;
        }
        Some(push)
    }

    fn put_off(&mut self, push: Push, delay: Duration, now: Instant) {
        if delay >= push.envelope.deadline(self.settings.default_ttl).saturating_duration_since(now) {
            return self.end(push, OutcomeKind::Expired);
        }
        self.put_off += 1;
        self.wait(push, delay, now);
    }

    fn wait(&mut self, push: Push, delay: Duration, now: Instant) {
        if delay >= SHORT_DELAY {
            self.ended.push(Resolution::Later { push, delay });
        } else if let Err(push) = self.shelf.put(push, now + delay) {
            self.ended.push(Resolution::Later { push, delay });
        }
    }

    fn end(&mut self, push: Push, kind: OutcomeKind) {
        let outcome = Outcome {
            kind,
            reason: None,
            status: None,
            attempts: push.attempts,
            provider_id: None,
            since: None,
            at: UnixMillis(0),
        };
        self.ended.push(Resolution::Ended(Ended { push, outcome }));
    }

    pub fn is_halted(&self, now: Instant) -> bool {
        self.gate.halt(now).is_some()
    }

    pub fn halt(&self, now: Instant) -> Option<Halt> {
        self.gate.halt(now)
    }
}
