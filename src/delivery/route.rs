//! The task of one route.
//!
//! One loop: start what may go, say upstream what is wanted, hand over what has ended, then wait for whichever comes
//! first: an answer, a push, a change of the connections, the credential, the orders or the client, or a moment that the
//! gate or the shelf named.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::order::Order;
use super::origins::WayId;
use super::ways::Ways;
use super::{Gate, Halt, Refusal, RouteOrders, RouteSettings, RouteStatus, Shelf, Tried};
use crate::flow::Ruling;
use crate::job::{Push, UnixMillis};
use crate::outcome::{Resolution, SHORT_DELAY};
use crate::provider::http2::{Attempt, Finished};
use crate::provider::{Client, Protocol};
use crate::stage::Inlet;
use crate::telemetry::{Metrics, RouteLabel};
use crate::verdict::{Fate, Reason};

mod after;
mod by_origin;
mod drain;
mod live;
mod report;

/// Answers that are worked off before anything else gets a turn.
const ANSWERS_A_TURN: usize = 256;
/// How often the route shows itself, and looks whether its connections have become freer.
const TICK: Duration = Duration::from_millis(200);
/// When a push is tried again for which a fresh credential was asked: by then the old one is out of use, and while
/// there is no other the gate is closed.
const AFTER_RENEWAL: Duration = Duration::from_millis(50);

/// Over how long those are spread that come again because a dead token was not believed: so long that a list of them
/// is a small part of what goes out meanwhile.
const NOT_BELIEVED: Duration = Duration::from_secs(8);

/// What the task of one route is made of.
pub struct Delivery {
    /// Whose it is.
    pub label: RouteLabel,
    /// Its limits, as they are now and as they change.
    pub orders: watch::Receiver<RouteOrders>,
    /// By what it sends, now and as that changes.
    pub client: watch::Receiver<Client>,
    /// Given when the route is removed, before its link ends.
    pub removed: CancellationToken,
    /// Where pushes come from.
    pub inlet: Inlet<Push>,
    /// Where they go when they are this route's no more.
    pub resolutions: mpsc::Sender<Vec<Resolution>>,
    /// Where the route shows itself.
    pub status: watch::Sender<RouteStatus>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// Runs until its link ends (the dispatch is gone, or the route was removed), then lets what is in flight end, at the latest
/// until `abandon`, and returns the rest to where it came from; for a removed route, after a while.
pub async fn run(delivery: Delivery, abandon: CancellationToken) {
    let mut client = delivery.client.clone();
    let first_client = client.borrow_and_update().clone();
    let mut credential = first_client.protocol().credential();
    let mut orders = delivery.orders.clone();
    let first = orders.borrow_and_update().clone();
    let mut route = Route::new(delivery, first, &first_client);
    drop(first_client);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    route.credential(&credential.borrow_and_update().clone());
    loop {
        let now = now();
        route.start(now);
        route.ask(now);
        if route.flush().await.is_err() {
            return;
        }
        let wake = route.next_at(now);
        tokio::select! {
            Some(answered) = route.in_flight.next() => route.answers(answered),
            chunk = route.inlet.recv() => match chunk {
                Some(chunk) => route.comes(chunk, self::now()),
                None => break,
            },
            () = route.ways.changed() => route.connections(),
            Ok(()) = credential.changed() => {
                let state = credential.borrow_and_update().clone();
                route.credential(&state);
            }
            Ok(()) = orders.changed() => {
                let orders = orders.borrow_and_update().clone();
                route.heed(orders);
            }
            Ok(()) = client.changed() => {
                let client = client.borrow_and_update().clone();
                credential = client.protocol().credential();
                route.renew(&client);
                route.credential(&credential.borrow_and_update().clone());
            }
            () = sleep_until(wake) => {}
            _ = tick.tick() => {
                route.sweep(self::now());
                route.show();
            }
        }
    }
    route.drain(abandon).await;
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What became of the beginning of an attempt.
enum Begun {
    /// It is under way.
    Sent,
    /// The push came to an end, or to another turn, without a stream.
    Ended,
    /// No stream is free after all; the push waits at the head of the buffer.
    NoRoom,
}

/// An attempt that has ended.
struct Answered {
    push: Push,
    finished: Finished,
    /// Which of the route's clients made it.
    generation: u32,
    /// To which origin, where there are many.
    way: Option<WayId>,
}

/// An attempt under way, and the push that it is of. A future of its own kind, not a boxed one: boxed, each push costs one
/// allocation more, and one more place in memory that is cold when its answer comes.
struct UnderWay {
    /// Taken when it ends.
    push: Option<Push>,
    attempt: Attempt,
    generation: u32,
    way: Option<WayId>,
}

impl Future for UnderWay {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let finished = ready!(Pin::new(&mut self.attempt).poll(cx));
        let push = self.push.take().expect("polled once when ready");
        Poll::Ready(Answered { push, finished, generation: self.generation, way: self.way })
    }
}

struct Route {
    label: RouteLabel,
    settings: RouteSettings,
    protocol: Arc<dyn Protocol>,
    ways: Ways,
    /// The clients that the route has had before this one.
    generation: u32,
    removed: CancellationToken,
    inlet: Inlet<Push>,
    resolutions: mpsc::Sender<Vec<Resolution>>,
    status: watch::Sender<RouteStatus>,
    metrics: Arc<Metrics>,
    gate: Gate,
    /// Pushes that have left their lanes a little ahead of their slot.
    buffer: VecDeque<Push>,
    shelf: Shelf,
    /// Where the order of a target's pushes is kept.
    order: Option<Order>,
    in_flight: FuturesUnordered<UnderWay>,
    /// What has ended and was not handed over yet.
    ended: Vec<Resolution>,
    credential_expires: Option<UnixMillis>,
    /// Whether the connections had a stream free when all had gone that may.
    streams_free: bool,
    /// Why nothing goes out, as far as somebody said so.
    trouble: Option<String>,
    /// Why the gate was closed when it was last looked at.
    halt: Option<Halt>,
    /// What the provider failed with last.
    failing: Reason,
    /// Connections in a row that could not be made, as last told to the gate.
    unreachable: u32,
    attempts: u64,
    retries: u64,
    put_off: u64,
    /// What was said when.
    said: report::Said,
    draining: bool,
}

impl Route {
    fn new(delivery: Delivery, orders: RouteOrders, client: &Client) -> Self {
        let ways = Ways::new(client, &orders.settings);
        let mut gate = Gate::new(&ways.shared(&orders.settings), now());
        gate.pause(orders.paused);
        let protocol = client.protocol();
        let order = orders.settings.ordered.then(Order::default);
        if let Some(over) = protocol.rises_over() {
            gate.rise(over, now());
            report::rising(&delivery.label, &gate, over);
        }
        Self {
            gate,
            label: delivery.label,
            ways,
            settings: orders.settings,
            protocol,
            generation: 0,
            removed: delivery.removed,
            inlet: delivery.inlet,
            resolutions: delivery.resolutions,
            status: delivery.status,
            metrics: delivery.metrics,
            buffer: VecDeque::new(),
            shelf: Shelf::default(),
            order,
            in_flight: FuturesUnordered::new(),
            ended: Vec::new(),
            credential_expires: None,
            streams_free: true,
            trouble: None,
            halt: None,
            failing: Reason::Borrowed("no answer yet"),
            unreachable: 0,
            attempts: 0,
            retries: 0,
            put_off: 0,
            said: report::Said::default(),
            draining: false,
        }
    }

    fn under_way(&self) -> u32 {
        u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX)
    }

    /// Looks whether the provider can be reached at all.
    fn connections(&mut self) {
        let now = now();
        self.origins_changed(now);
        let failures = self.ways.unreachable();
        if failures > self.unreachable {
            self.gate.unreachable(failures, fastrand::f64(), now);
        }
        self.unreachable = failures;
        self.report_halts(now);
    }

    /// Starts as many attempts as may go.
    fn start(&mut self, now: Instant) {
        self.gate.step(now);
        if self.ways.origins().is_some() {
            return self.start_by_origin(now);
        }
        let mut room = self.gate.room(self.under_way(), now) as usize;
        room = room.min(self.ways.room());
        while room > 0 {
            let Some(push) = self.shelf.take(now).or_else(|| self.buffer.pop_front()) else { break };
            match self.attempt(push, None, now) {
                Begun::Sent => room -= 1,
                Begun::Ended => {}
                Begun::NoRoom => break,
            }
        }
        let waiting = self.buffer.len() + usize::from(self.shelf.has_due(now));
        if waiting > 0
            && self.ways.room() == 0
            && self.gate.slots(self.under_way(), now) > 0
            && let Some(pool) = self.ways.pool(None)
        {
            pool.grow(waiting);
        }
        self.streams_free = self.ways.room() > 0;
    }

    /// Puts one push on the wire, if it still should go and a stream is still there.
    fn attempt(&mut self, push: Push, way: Option<WayId>, now: Instant) -> Begun {
        let Some(mut push) = self.still_good(push, now) else { return Begun::Ended };
        let left = push.envelope.deadline(self.settings.default_ttl).saturating_duration_since(now);
        let retry = push.attempts > 0;
        let gate = self.ways.gate(way, &mut self.gate);
        if let Err(refusal) = gate.admit(push.target(), retry, fastrand::f64(), now) {
            match refusal {
                Refusal::Device(delay) => self.put_off(push, delay, "device_throttled", now),
                Refusal::Budget(delay) => self.put_off(push, delay, "retry_budget", now),
            }
            return Begun::Ended;
        }
        let request = match self.protocol.request(&push, left, UnixMillis::now()) {
            Ok(request) => request,
            Err(verdict) => {
                self.dispose(push, &verdict, way, false, now);
                return Begun::Ended;
            }
        };
        // The server may have said GOAWAY, or lowered its limit, since the room was looked at.
        let sent = self.ways.pool(way).and_then(|pool| pool.send(request).ok());
        let Some(attempt) = sent else {
            match self.ways.way(way) {
                Some(way) => way.push_front(push, now),
                None => self.buffer.push_front(push),
            }
            return Begun::NoRoom;
        };
        self.gate.take(retry, now);
        if let Some(way) = self.ways.way(way) {
            way.gate.take(retry, now);
            way.begun(now);
        }
        push.attempts = push.attempts.saturating_add(1);
        self.attempts += 1;
        let generation = self.generation;
        self.in_flight.push(UnderWay { push: Some(push), attempt, generation, way });
        Begun::Sent
    }

    /// Says upstream how many pushes are wanted.
    fn ask(&self, now: Instant) {
        // Of what is sorted by origin the streams say nothing: it may be for another one.
        let (streams, most) = match self.ways.origins() {
            None => (u32::try_from(self.ways.room()).unwrap_or(u32::MAX), usize::MAX),
            Some(origins) => (u32::MAX, origins.wanted()),
        };
        let wanted = (self.gate.wanted(self.under_way(), streams, now) as usize).min(most);
        self.inlet.want(wanted.saturating_sub(self.buffer.len() + usize::from(self.shelf.has_due(now))));
    }

    async fn flush(&mut self) -> Result<(), mpsc::error::SendError<Vec<Resolution>>> {
        if self.ended.is_empty() {
            return Ok(());
        }
        self.resolutions.send(std::mem::take(&mut self.ended)).await
    }

    fn next_at(&self, now: Instant) -> Option<Instant> {
        let pending = !self.buffer.is_empty() || self.shelf.has_due(now) || self.inlet.outstanding() == 0;
        let gate = self.gate.next_at(now).filter(|_| pending);
        let shelf = self.shelf.next_at().filter(|due| *due > now);
        let origins = self.ways.origins().and_then(|origins| origins.next_at(now));
        gate.into_iter().chain(shelf).chain(origins).min()
    }

    /// Works off an answer, and those that are there already.
    fn answers(&mut self, first: Answered) {
        let now = now();
        let mut next = Some(first);
        for _ in 0..ANSWERS_A_TURN {
            let Some(answered) = next else { break };
            self.answer(answered, now);
            next = self.in_flight.next().now_or_never().flatten();
        }
        if let Some(answered) = next {
            self.answer(answered, now);
        }
        self.report_halts(now);
    }

    fn answer(&mut self, answered: Answered, now: Instant) {
        let Answered { mut push, finished, generation, way } = answered;
        let verdict = match &finished.result {
            Ok(answer) => self.protocol.verdict(&push, answer),
            Err(failure) => failure.verdict(),
        };
        self.metrics.attempt(self.label.provider, finished.round_trip);
        if generation != self.generation {
            return self.answered_late(push, &verdict, now);
        }
        let (mut in_flight, mut streams_free) = (self.under_way() + 1, self.streams_free);
        if let Some(way) = self.ways.way(way) {
            (in_flight, streams_free) = (way.in_flight, way.streams_free);
            way.ended(finished.result.is_ok(), matches!(verdict.fate, Fate::Accepted { .. }), now);
            self.gate.note_shared(&verdict);
        }
        let tried = Tried {
            target: push.target(),
            connection: finished.connection,
            round_trip: finished.round_trip,
            retry: push.attempts > 1,
            in_flight,
            streams_free,
        };
        let ruling = self.ways.gate(way, &mut self.gate).note(&verdict, &tried, fastrand::f64(), now);
        if let Some(pool) = self.ways.pool(way) {
            pool.note(finished.connection, verdict.connection);
        }
        self.report(&push, &verdict, now);
        match ruling {
            Ruling::Told => self.dispose(push, &verdict, way, true, now),
            Ruling::Held => {
                push.attempts -= 1;
                let keep_for = self.ways.gate(way, &mut self.gate).keep_for(now);
                let delay = keep_for.max(SHORT_DELAY + NOT_BELIEVED.mul_f64(fastrand::f64()));
                self.put_off(push, delay, "dead_token_not_believed", now);
            }
        }
    }
}
