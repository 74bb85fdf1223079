//! A consumer's side of its subscriptions: asks by itself, cuts what comes into calls, and gives back what was not
//! finished.
//!
//! A consumer is a loop over [`Intake::next`]. The events of a call stay in the intake until the next call: the consumer
//! works on them in place, or takes out what it becomes responsible for. If it panics, is aborted or just leaves, the
//! intake is dropped, and all that is still in it goes back to the producers it came from.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::{Arrival, Demand, Inlet};

/// Orders to a running intake that may wait: they are rare, and whoever gives one can wait.
const ORDERS: usize = 16;

/// What the end of a producer means for its consumer. (A consumer's own end is seen by the producer in any case.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The consumer ends too, however the producer ended.
    Permanent,
    /// The consumer ends too if the producer crashed; a regular end is just the end of this subscription.
    Transient,
    /// The consumer goes on, with its other subscriptions or waiting for a new one.
    Temporary,
}

/// Why an intake has nothing more to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// A producer came to its end, and the subscription to it was [`Cancel::Permanent`].
    Ended,
    /// A producer crashed, and the subscription to it was permanent or [`Cancel::Transient`].
    Crashed,
    /// No subscription is left, and nobody could make a new one.
    Unsubscribed,
}

/// What a consumer has to work on.
#[derive(Debug, PartialEq, Eq)]
pub enum Work<'a, T> {
    /// Events of one producer, in order; never none. What is still in here when the consumer asks for its next work
    /// counts as done. What is in here when it panics or leaves goes back.
    Events(&'a mut Vec<T>),
    /// A marker; all events of the same producer before it are done.
    Marker(super::Marker),
}

enum Order<T> {
    Subscribe(Line<T>),
    Demand(u64, Demand),
    Cancel(u64),
}

/// The way to a running [`Intake`]: new subscriptions.
pub struct Door<T> {
    orders: mpsc::Sender<Order<T>>,
    ids: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl<T> Clone for Door<T> {
    fn clone(&self) -> Self {
        Self { orders: self.orders.clone(), ids: self.ids.clone() }
    }
}

impl<T> Door<T> {
    /// Subscribes the consumer to one more producer. If the consumer is gone, the inlet is dropped, and the producer
    /// sees a consumer leave.
    pub async fn subscribe(&self, inlet: Inlet<T>, demand: Demand, cancel: Cancel) -> Subscription<T> {
        let id = self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let line = Line::new(id, inlet, demand, cancel);
        drop(self.orders.send(Order::Subscribe(line)).await);
        Subscription { id, orders: self.orders.downgrade() }
    }
}

/// One subscription of a running [`Intake`]. Dropping it changes nothing.
pub struct Subscription<T> {
    id: u64,
    orders: mpsc::WeakSender<Order<T>>,
}

impl<T> Subscription<T> {
    /// Asks for more or less at a time from now on; [`Demand::NONE`] withdraws what was asked for and not sent yet.
    /// Means nothing once the subscription has ended.
    pub async fn demand(&self, demand: Demand) {
        self.order(Order::Demand(self.id, demand)).await;
    }

    /// Ends the subscription. What the consumer has not begun goes back.
    pub async fn cancel(self) {
        self.order(Order::Cancel(self.id)).await;
    }

    async fn order(&self, order: Order<T>) {
        if let Some(orders) = self.orders.upgrade() {
            drop(orders.send(order).await);
        }
    }
}

/// One subscription, and what came by it.
struct Line<T> {
    id: u64,
    /// `None` only while the line is being dropped.
    inlet: Option<Inlet<T>>,
    demand: Demand,
    cancel: Cancel,
    /// What the consumer has in hand.
    batch: Vec<T>,
    /// Received, and waiting for its call.
    waiting: VecDeque<T>,
}

impl<T> Drop for Line<T> {
    fn drop(&mut self) {
        if let Some(inlet) = self.inlet.take() {
            let mut unfinished = std::mem::take(&mut self.batch);
            unfinished.extend(self.waiting.drain(..));
            inlet.give_back(unfinished);
        }
    }
}

/// What a line has next.
enum Next {
    Events,
    Marker(super::Marker),
    End { crashed: bool },
}

impl<T> Line<T> {
    fn new(id: u64, inlet: Inlet<T>, demand: Demand, cancel: Cancel) -> Self {
        inlet.want(demand.max());
        Self { id, inlet: Some(inlet), demand, cancel, batch: Vec::new(), waiting: VecDeque::new() }
    }

    fn inlet(&mut self) -> &mut Inlet<T> {
        self.inlet.as_mut().expect("a line has its inlet until it is dropped")
    }

    /// The call is over.
    fn done(&mut self) {
        self.batch.clear();
        let outstanding = self.inlet().outstanding() + self.waiting.len();
        if self.demand.asks_at(outstanding) {
            self.ask();
        }
    }

    /// Asks until `max` is outstanding; withdraws what is above it.
    fn ask(&mut self) {
        let here = self.waiting.len() + self.batch.len();
        let more = self.demand.max().saturating_sub(here);
        self.inlet().want(more);
    }

    fn poll(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<Next> {
        if self.waiting.is_empty() {
            match std::task::ready!(self.inlet().poll_next(cx)) {
                Some(Arrival::Events(events)) => self.waiting = events.into(),
                Some(Arrival::Marker(marker)) => return Poll::Ready(Next::Marker(marker)),
                None => return Poll::Ready(Next::End { crashed: self.inlet().crashed() }),
            }
        }
        let outstanding = self.inlet().outstanding() + self.waiting.len();
        let call = self.demand.call(outstanding).min(limit.max(1));
        if call >= self.waiting.len() {
            // The whole of it, without moving an event.
            self.batch = std::mem::take(&mut self.waiting).into();
        } else {
            self.batch.extend(self.waiting.drain(..call));
        }
        Poll::Ready(Next::Events)
    }
}

/// Where the events of a consumer come from: any number of producers.
pub struct Intake<T> {
    lines: Vec<Line<T>>,
    orders: mpsc::Receiver<Order<T>>,
    /// Whether somebody can still give orders.
    open: bool,
    /// The line whose events the consumer has in hand.
    current: Option<u64>,
    /// The line that is looked at first.
    turn: usize,
    over: Option<Over>,
}

impl<T> Intake<T> {
    /// An intake without a subscription, and the door by which it gets some, now or while it runs.
    #[must_use]
    pub fn new() -> (Self, Door<T>) {
        let (sender, orders) = mpsc::channel(ORDERS);
        let intake = Self { lines: Vec::new(), orders, open: true, current: None, turn: 0, over: None };
        (intake, Door { orders: sender, ids: std::sync::Arc::default() })
    }

    /// An intake with one subscription for good: [`Cancel::Permanent`].
    #[must_use]
    pub fn of(inlet: Inlet<T>, demand: Demand) -> Self {
        let (mut intake, _) = Self::new();
        intake.open = false;
        intake.lines.push(Line::new(0, inlet, demand, Cancel::Permanent));
        intake
    }

    /// The next work; `None` when there will be none, for the reason [`over`](Self::over) tells. Says by that that the
    /// last work is done. Cancel-safe.
    pub async fn next(&mut self) -> Option<Work<'_, T>> {
        self.next_up_to(usize::MAX).await
    }

    /// As [`next`](Self::next), with at most `limit` events (at least 1).
    pub async fn next_up_to(&mut self, limit: usize) -> Option<Work<'_, T>> {
        self.done();
        match poll_fn(|cx| self.poll(limit, cx)).await {
            Ok((nth, None)) => Some(Work::Events(&mut self.lines[nth].batch)),
            Ok((_, Some(marker))) => Some(Work::Marker(marker)),
            Err(over) => {
                self.over = Some(over);
                self.lines.clear();
                None
            }
        }
    }

    /// Why [`next`](Self::next) said `None`; `None` before it did.
    #[must_use]
    pub fn over(&self) -> Option<Over> {
        self.over
    }

    fn done(&mut self) {
        let current = self.current.take();
        if let Some(line) = self.lines.iter_mut().find(|line| Some(line.id) == current) {
            line.done();
        }
    }

    fn poll(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<Result<(usize, Option<super::Marker>), Over>> {
        if let Some(over) = self.over {
            return Poll::Ready(Err(over));
        }
        self.poll_orders(cx);
        let mut looked_at = 0;
        while looked_at < self.lines.len() {
            let nth = (self.turn + looked_at) % self.lines.len();
            match self.lines[nth].poll(limit, cx) {
                Poll::Pending => looked_at += 1,
                Poll::Ready(Next::End { crashed }) => {
                    let line = self.lines.remove(nth);
                    match (line.cancel, crashed) {
                        (Cancel::Permanent, false) => return Poll::Ready(Err(Over::Ended)),
                        (Cancel::Permanent | Cancel::Transient, true) => return Poll::Ready(Err(Over::Crashed)),
                        _ => looked_at = 0,
                    }
                }
                Poll::Ready(Next::Events) => {
                    self.current = Some(self.lines[nth].id);
                    self.turn = nth + 1;
                    return Poll::Ready(Ok((nth, None)));
                }
                Poll::Ready(Next::Marker(marker)) => return Poll::Ready(Ok((nth, Some(marker)))),
            }
        }
        if self.lines.is_empty() && !self.open { Poll::Ready(Err(Over::Unsubscribed)) } else { Poll::Pending }
    }

    fn poll_orders(&mut self, cx: &mut Context<'_>) {
        while self.open {
            match self.orders.poll_recv(cx) {
                Poll::Ready(Some(order)) => self.obey(order),
                Poll::Ready(None) => self.open = false,
                Poll::Pending => return,
            }
        }
    }

    fn obey(&mut self, order: Order<T>) {
        match order {
            Order::Subscribe(line) => self.lines.push(line),
            Order::Cancel(id) => self.lines.retain(|line| line.id != id),
            Order::Demand(id, demand) => {
                if let Some(line) = self.lines.iter_mut().find(|line| line.id == id) {
                    line.demand = demand;
                    line.ask();
                }
            }
        }
    }
}
