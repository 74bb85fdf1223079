//! The task of a producer: asks the source for what the consumers want, and keeps them served meanwhile.
//!
//! One loop: send what waits and is wanted; if something is wanted beyond it, ask the source for just that; otherwise
//! wait for demand. While the source works on its answer, consumers come, leave and give back, and are served.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{Notify, mpsc, oneshot};

use super::asks::Asks;
use super::{Closed, Dispatcher, Marker};

/// Orders to a running producer that may wait: they are rare, and whoever gives one can wait.
const ORDERS: usize = 16;

/// What a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Produced<T> {
    /// Events, in order. Fewer than were wanted: the rest is asked for again. None at all: this ask is void, and the next
    /// comes at once. More: they wait in the buffer.
    Events(Vec<T>),
    /// A marker, behind all events given before.
    Marker(Marker),
    /// There will be no more.
    End,
}

/// A source of events.
pub trait Produce: Send {
    /// What it makes.
    type Event: Send;

    /// Gives up to `wanted` events (at least 1 is wanted). Waits until there is one; need not wait for all of them.
    fn produce(&mut self, wanted: usize) -> impl Future<Output = Produced<Self::Event>> + Send;
}

/// How a producer ended.
#[derive(Debug)]
pub enum End {
    /// Its source came to an end, and everything was sent.
    Finished,
    /// It was told to stop.
    Stopped,
    /// No consumer is left, and nobody could add one.
    Deserted,
    /// The source, the dispatcher's key or selector, or the overflow panicked, with this.
    Crashed(Box<dyn Any + Send>),
}

/// What is left of a producer.
#[derive(Debug)]
pub struct Ended<T> {
    /// How it ended.
    pub end: End,
    /// Events that waited in its buffer: whoever starts another producer gives them to its dispatcher first.
    pub left: Vec<T>,
}

enum Order<D> {
    With(Box<dyn FnOnce(&mut D) + Send>),
    Hold(bool),
    Stop,
}

/// The way to a running producer. When all are dropped, a producer without consumers ends.
pub struct Handle<D> {
    orders: mpsc::Sender<Order<D>>,
}

impl<D> Clone for Handle<D> {
    fn clone(&self) -> Self {
        Self { orders: self.orders.clone() }
    }
}

impl<D: Dispatcher> Handle<D> {
    /// Does something with the dispatcher: adds a consumer, sets a marker.
    ///
    /// # Errors
    /// [`Closed`] if the producer has ended.
    pub async fn with<R: Send + 'static>(
        &self,
        what: impl FnOnce(&mut D) -> R + Send + 'static,
    ) -> Result<R, Closed<()>> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::With(Box::new(move |dispatcher| drop(answer.send(what(dispatcher)))))).await?;
        answered.await.map_err(|_| Closed(()))
    }

    /// Holds demand back: asks are noted, and the source is not told of them.
    ///
    /// # Errors
    /// [`Closed`] if the producer has ended.
    pub async fn accumulate(&self) -> Result<(), Closed<()>> {
        self.order(Order::Hold(true)).await
    }

    /// Tells the source of what was held back, each ask for itself, and of everything from now on.
    ///
    /// # Errors
    /// [`Closed`] if the producer has ended.
    pub async fn release(&self) -> Result<(), Closed<()>> {
        self.order(Order::Hold(false)).await
    }

    /// Ends the producer, also in the middle of an ask.
    ///
    /// # Errors
    /// [`Closed`] if the producer has ended.
    pub async fn stop(&self) -> Result<(), Closed<()>> {
        self.order(Order::Stop).await
    }

    async fn order(&self, order: Order<D>) -> Result<(), Closed<()>> {
        self.orders.send(order).await.map_err(|_| Closed(()))
    }
}

/// A source, its dispatcher, and where events go that lose their place.
pub struct Producer<P, D, O> {
    source: P,
    desk: Desk<D, O>,
    asks: Asks,
}

/// What goes on while the source is busy.
struct Desk<D, O> {
    dispatcher: D,
    overflow: O,
    doorbell: Arc<Notify>,
    orders: mpsc::Receiver<Order<D>>,
    /// Whether somebody can still give orders.
    open: bool,
}

impl<P, D, O> Producer<P, D, O>
where
    P: Produce,
    D: Dispatcher<Event = P::Event>,
    O: FnMut(Vec<P::Event>) + Send,
{
    /// Puts a producer together. `overflow` gets the events that lose their place; write `drop` if that is what should
    /// become of them.
    #[must_use]
    pub fn new(source: P, dispatcher: D, overflow: O) -> (Self, Handle<D>) {
        let (sender, orders) = mpsc::channel(ORDERS);
        let doorbell = dispatcher.doorbell();
        let desk = Desk { dispatcher, overflow, doorbell, orders, open: true };
        (Self { source, desk, asks: Asks::default() }, Handle { orders: sender })
    }

    /// Begins with demand held back: see [`Handle::accumulate`].
    #[must_use]
    pub fn accumulating(mut self) -> Self {
        self.asks.hold(true);
        self
    }

    /// Runs until it ends. A panic is caught; consumers see it as a crash. An aborted run drops what waits.
    pub async fn run(mut self) -> Ended<P::Event> {
        let end = match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(end) => end,
            Err(panic) => End::Crashed(panic),
        };
        // The source first: what it holds of others' goes back to them.
        drop(self.source);
        let left = self.desk.dispatcher.close(matches!(end, End::Crashed(_)));
        Ended { end, left }
    }

    async fn work(&mut self) -> End {
        let Self { source, desk, asks } = self;
        loop {
            desk.serve(Vec::new());
            asks.note(desk.dispatcher.wanted());
            let Some(wanted) = asks.next() else {
                match desk.turn(asks, 0).await {
                    Some(end) => return end,
                    None => continue,
                }
            };
            // A source that always has something must not keep its thread to itself.
            tokio::task::consume_budget().await;
            let produced = {
                let mut produce = pin!(async { source.produce(wanted).await });
                loop {
                    tokio::select! {
                        biased;
                        produced = &mut produce => break produced,
                        end = desk.turn(asks, wanted) => if let Some(end) = end { return end },
                    }
                }
            };
            match produced {
                Produced::Events(events) => desk.serve(events),
                Produced::Marker(marker) => desk.dispatcher.mark(marker),
                Produced::End => return desk.finish(asks).await,
            }
        }
    }
}

impl<D: Dispatcher, O: FnMut(Vec<D::Event>)> Desk<D, O> {
    fn serve(&mut self, events: Vec<D::Event>) {
        let lost = self.dispatcher.dispatch(events);
        if !lost.is_empty() {
            (self.overflow)(lost);
        }
    }

    /// Waits for an order or a ring, and does what it says; `asked` is what the source is working on. Says when the
    /// producer is at its end.
    async fn turn(&mut self, asks: &mut Asks, asked: usize) -> Option<End> {
        if !self.open && self.dispatcher.consumers() == 0 {
            return Some(End::Deserted);
        }
        tokio::select! {
            // An order holds before whatever is asked after it.
            biased;
            order = self.orders.recv(), if self.open => match order {
                Some(Order::With(what)) => what(&mut self.dispatcher),
                Some(Order::Hold(held)) => asks.hold(held),
                Some(Order::Stop) => return Some(End::Stopped),
                None => self.open = false,
            },
            () = self.doorbell.notified() => {}
        }
        self.serve(Vec::new());
        asks.note(self.dispatcher.wanted().saturating_sub(asked));
        None
    }

    /// The source is at its end: sends what still waits.
    async fn finish(&mut self, asks: &mut Asks) -> End {
        while self.dispatcher.waiting() > 0 {
            if let Some(end) = self.turn(asks, 0).await {
                return end;
            }
        }
        End::Finished
    }
}
