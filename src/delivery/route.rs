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

use super::{Gate, Halt, Refusal, RouteOrders, RouteSettings, RouteStatus, Shelf, Tried};
use crate::dispatch::KEPT_AFTER_REMOVAL;
use crate::flow::Ruling;
use crate::job::{Push, UnixMillis};
use crate::outcome::{Resolution, SHORT_DELAY};
use crate::provider::http2::{Attempt, Finished, Pool};
use crate::provider::{Client, Protocol};
use crate::stage::Inlet;
use crate::telemetry::{Metrics, RouteLabel};
use crate::verdict::Reason;

mod after;
mod live;
mod report;

/// Answers that are worked off before anything else gets a turn.
const ANSWERS_A_TURN: usize = 256;
/// How often the route shows itself, and looks whether its connections have become freer.
const TICK: Duration = Duration::from_millis(200);
/// When a push is tried again for which a fresh credential was asked: by then the old one is out of use, and while
/// there is no other the gate is closed.
const AFTER_RENEWAL: Duration = Duration::from_millis(50);

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
                Some(chunk) => route.buffer.extend(chunk),
                None => break,
            },
            () = route.pool.changed() => route.connections(),
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
}

/// An attempt under way, and the push that it is of. A future of its own kind, not a boxed one: boxed, each push costs one
/// allocation more, and one more place in memory that is cold when its answer comes.
struct UnderWay {
    /// Taken when it ends.
    push: Option<Push>,
    attempt: Attempt,
    generation: u32,
}

impl Future for UnderWay {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let finished = ready!(Pin::new(&mut self.attempt).poll(cx));
        let push = self.push.take().expect("polled once when ready");
        Poll::Ready(Answered { push, finished, generation: self.generation })
    }
}

struct Route {
    label: RouteLabel,
    settings: RouteSettings,
    protocol: Arc<dyn Protocol>,
    pool: Pool,
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
        let mut gate = Gate::new(&orders.settings, now());
        gate.pause(orders.paused);
        let protocol = client.protocol();
        if let Some(over) = protocol.rises_over() {
            gate.rise(over, now());
            report::rising(&delivery.label, &gate, over);
        }
        Self {
            gate,
            label: delivery.label,
            pool: client.pool(orders.settings.connections, orders.settings.request_timeout),
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
        let failures = self.pool.unreachable();
        if failures > self.unreachable {
            let now = now();
            self.gate.unreachable(failures, fastrand::f64(), now);
            self.report_halt(now);
        }
        self.unreachable = failures;
    }

    /// Starts as many attempts as may go.
    fn start(&mut self, now: Instant) {
        self.gate.step(now);
        let mut room = self.gate.room(self.under_way(), now) as usize;
        room = room.min(self.pool.room());
        while room > 0 {
            let Some(push) = self.shelf.take(now).or_else(|| self.buffer.pop_front()) else { break };
            match self.attempt(push, now) {
                Begun::Sent => room -= 1,
                Begun::Ended => {}
                Begun::NoRoom => break,
            }
        }
        let waiting = self.buffer.len() + usize::from(self.shelf.has_due(now));
        if waiting > 0 && self.pool.room() == 0 && self.gate.slots(self.under_way(), now) > 0 {
            self.pool.grow(waiting);
        }
        self.streams_free = self.pool.room() > 0;
    }

    /// Puts one push on the wire, if it still should go and a stream is still there.
    fn attempt(&mut self, push: Push, now: Instant) -> Begun {
        let Some(mut push) = self.still_good(push, now) else { return Begun::Ended };
        let left = push.envelope.deadline(self.settings.default_ttl).saturating_duration_since(now);
        let retry = push.attempts > 0;
        if let Err(refusal) = self.gate.admit(push.target(), retry, fastrand::f64(), now) {
            match refusal {
                Refusal::Device(delay) => self.put_off(push, delay, "device_throttled", now),
                Refusal::Budget(delay) => self.put_off(push, delay, "retry_budget", now),
            }
            return Begun::Ended;
        }
        let request = match self.protocol.request(&push, left, UnixMillis::now()) {
            Ok(request) => request,
            Err(verdict) => {
                self.dispose(push, &verdict, false, now);
                return Begun::Ended;
            }
        };
        // The server may have said GOAWAY, or lowered its limit, since the room was looked at.
        let Ok(attempt) = self.pool.send(request) else {
            self.buffer.push_front(push);
            return Begun::NoRoom;
        };
        self.gate.take(retry, now);
        push.attempts = push.attempts.saturating_add(1);
        self.attempts += 1;
        self.in_flight.push(UnderWay { push: Some(push), attempt, generation: self.generation });
        Begun::Sent
    }

    /// Says upstream how many pushes are wanted.
    fn ask(&self, now: Instant) {
        let streams = u32::try_from(self.pool.room()).unwrap_or(u32::MAX);
        let wanted = self.gate.wanted(self.under_way(), streams, now) as usize;
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
        gate.into_iter().chain(shelf).min()
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
        self.report_halt(now);
    }

    fn answer(&mut self, answered: Answered, now: Instant) {
        let Answered { mut push, finished, generation } = answered;
        let verdict = match &finished.result {
            Ok(answer) => self.protocol.verdict(&push, answer),
            Err(failure) => failure.verdict(),
        };
        self.metrics.attempt(self.label.provider, finished.round_trip);
        if generation != self.generation {
            return self.answered_late(push, &verdict, now);
        }
        let tried = Tried {
            target: push.target(),
            connection: finished.connection,
            round_trip: finished.round_trip,
            retry: push.attempts > 1,
            in_flight: self.under_way() + 1,
            streams_free: self.streams_free,
        };
        let ruling = self.gate.note(&verdict, &tried, fastrand::f64(), now);
        self.pool.note(finished.connection, verdict.connection);
        self.report(&push, &verdict, now);
        match ruling {
            Ruling::Told => self.dispose(push, &verdict, true, now),
            Ruling::Held => {
                push.attempts -= 1;
                let delay = self.gate.keep_for(now).max(SHORT_DELAY);
                self.put_off(push, delay, "dead_token_not_believed", now);
            }
        }
    }

    /// Starts nothing more; what is in flight may end, the rest goes back.
    async fn drain(mut self, abandon: CancellationToken) {
        self.draining = true;
        self.inlet.close();
        while let Some(chunk) = self.inlet.recv().await {
            self.buffer.extend(chunk);
        }
        let unsent = self.buffer.drain(..).chain(self.shelf.clear());
        let removed = self.removed.is_cancelled();
        self.ended.extend(unsent.map(|push| match removed {
            true => Resolution::Later { push, delay: KEPT_AFTER_REMOVAL },
            false => Resolution::Returned(push),
        }));
        if removed {
            self.metrics.route_removed(&self.label);
        }
        while !self.in_flight.is_empty() && self.flush().await.is_ok() {
            tokio::select! {
                () = abandon.cancelled() => break,
                Some(answered) = self.in_flight.next() => self.answers(answered),
                () = self.pool.changed() => {}
            }
        }
        // What is still in flight is dropped with the route: its streams are reset, its jobs stay unsettled and come again.
        if removed {
            tracing::info!(route = %self.label, "a removed route has ended: nothing of it is in flight any more");
        } else {
            self.show();
        }
        let _ = self.flush().await;
    }
}
