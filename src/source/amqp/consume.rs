//! One queue, one channel, one consumer: from the broker's deliveries to the pipeline, and the acks back.
//!
//! ```text
//! broker ──prefetch──▶ waiting ──demand──▶ gate ──▶ pipeline
//!    ▲                    │ can't be read               │ settled tags
//!    │                    ▼                             ▼
//!    │              dead letters, confirmed ──────▶  ledger
//!    └───────────────── acks, coalesced ───────────────┘
//! ```
//!
//! The feed lives as long as its channel. When that is lost, all that was unsettled comes again by itself; the feed's
//! receipts say so to the pipeline, and nothing of this channel is ever acked on another.
//!
//! What was prefetched beyond demand waits here, not decoded, bounded by the window.

mod wire;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::{Acker, Channel, Connection, Consumer};
use tokio_util::sync::CancellationToken;

use super::hands::{Hands, Verdict};
use super::letters;
use super::message::{self, QueueInfo};
use super::receipts::Receipts;
use super::settle::Ledger;
use super::status::Seldom;
use super::supervise::Feeding;
use super::window::{Load, Window};
use crate::job::{Acknowledger, BadJob, Charge, Envelope, MAX_JOB_BYTES, MemoryBudget, Receipt, SourceName};
use crate::source::clocks::Clocks;
use crate::telemetry::JobResult;

/// Jobs decoded and handed over at a time: a hand-over's cost is shared, and no other task waits long.
const CHUNK: usize = 256;

/// How soon a full link is tried again; it holds 256 chunks, so this is rare.
const FULL_LINK: Duration = Duration::from_millis(1);

/// How a feed ended.
#[derive(Debug)]
pub(super) enum End {
    /// As it was told to.
    Closed,
    /// The channel or the consumer was lost.
    Lost(String),
}

type Fault = String;

/// Runs one queue's feed on a new channel until that is lost, or all is closed.
pub(super) async fn feed(
    feeding: &Feeding,
    hands: &mut Hands,
    connection: &Connection,
    lost: &CancellationToken,
) -> End {
    let channel = match connection.create_channel().await {
        Ok(channel) => channel,
        Err(error) => return End::Lost(error.to_string()),
    };
    // Whatever was wrong is over, as far as anybody knows: a queue that is wanted by nobody now is not looked at again.
    feeding.board.queue(feeding.index, |status| status.error = None);
    let mut feed = Feed::new(feeding, hands, channel);
    let end = feed.run(lost).await;
    feed.receipts.lose();
    feed.say_full(false);
    feed.report(Instant::now());
    let receipts = Arc::clone(&feed.receipts);
    feed.hands.lose(receipts);
    end
}

struct Feed<'a> {
    feeding: &'a Feeding,
    channel: Channel,
    consumer: Option<Consumer>,
    consumers: u64,
    /// The first tag that the present consumer may have.
    consumer_since: u64,
    window: Window,
    ledger: Ledger<Acker>,
    receipts: Arc<Receipts>,
    hands: &'a mut Hands,
    waiting: VecDeque<Waiting>,
    /// Decoded and not handed over, because the link was full or demand was withdrawn meanwhile; at most a chunk.
    ready: Vec<Arc<Envelope>>,
    /// Dead letters on their way, at most one for each delivery; each yields the tag to ack.
    dying: FuturesUnordered<BoxFuture<'static, u64>>,
    draining: bool,
    /// When an ack was last sent.
    last_ack: Option<Instant>,
    /// Messages that were no job and were not told of singly.
    unreadable: Unreadable,
    /// Whether the gate was told that the window is full.
    full: bool,
    seldom: Seldom,
}

/// Tells of messages that are no jobs: one line a second, with how many more there were.
#[derive(Default)]
struct Unreadable {
    told: Option<Instant>,
    untold: u64,
}

impl Unreadable {
    const EVERY: Duration = Duration::from_secs(1);

    fn tell(&mut self, queue: &QueueInfo, bad: &BadJob, id: Option<&str>) {
        if self.told.is_some_and(|at| at.elapsed() < Self::EVERY) {
            self.untold += 1;
            return;
        }
        let more = std::mem::take(&mut self.untold);
        self.told = Some(Instant::now());
        tracing::warn!(
            queue = %queue.name, message_id = id, reason = bad.reason, path = bad.path, more_since_the_last_line = more,
            "a message is no job: dead letter"
        );
    }
}

/// A delivery that waits for demand, not decoded.
struct Waiting {
    delivery: Delivery,
    /// What it will take once it is decoded.
    _charge: Charge,
}

/// How many jobs fit if each is as large as a job may be.
fn largest_that_fit(memory: &MemoryBudget) -> u16 {
    u16::try_from(memory.limit() / Envelope::estimate(MAX_JOB_BYTES, 1)).unwrap_or(u16::MAX)
}

#[expect(clippy::large_enum_variant, reason = "it lives for one turn of the loop, on the stack")]
enum Event {
    Delivery(Option<lapin::Result<Delivery>>),
    Buried(u64),
    Drain,
    Close,
    Woken,
}

impl<'a> Feed<'a> {
    fn new(feeding: &'a Feeding, hands: &'a mut Hands, channel: Channel) -> Self {
        Self {
            feeding,
            channel,
            consumer: None,
            consumers: 0,
            consumer_since: 1,
            window: Window::new(feeding.settings.max_prefetch, largest_that_fit(&feeding.memory)),
            ledger: Ledger::new(),
            receipts: hands.receipts(),
            hands,
            waiting: VecDeque::new(),
            ready: Vec::new(),
            dying: FuturesUnordered::new(),
            draining: false,
            last_ack: None,
            unreadable: Unreadable::default(),
            full: false,
            seldom: Seldom::new(),
        }
    }

    async fn run(&mut self, lost: &CancellationToken) -> End {
        let mut bell = self.feeding.bell.clone();
        loop {
            if let Err(error) = self.turn().await {
                return End::Lost(error);
            }
            let due = self.due();
            let event = tokio::select! {
                delivery = next(&mut self.consumer) => Event::Delivery(delivery),
                Some(tag) = self.dying.next(), if !self.dying.is_empty() => Event::Buried(tag),
                () = self.receipts.rung() => Event::Woken,
                () = bell.rung() => Event::Woken,
                () = self.feeding.drain.cancelled(), if !self.draining => Event::Drain,
                () = self.feeding.close.cancelled() => Event::Close,
                () = lost.cancelled() => return End::Lost("the connection was lost".to_owned()),
                () = tokio::time::sleep_until(due.into()) => Event::Woken,
            };
            let applied = match event {
                Event::Delivery(delivery) => self.take_deliveries(delivery),
                Event::Buried(tag) => {
                    self.settle(&[tag]);
                    Ok(())
                }
                Event::Drain => self.drain().await,
                Event::Close => return self.close().await,
                Event::Woken => Ok(()),
            };
            if let Err(error) = applied {
                return End::Lost(error);
            }
        }
    }

    /// What every turn of the loop does: settle, hand over, adjust the window, ack.
    async fn turn(&mut self) -> Result<(), Fault> {
        if !self.channel.status().connected() {
            return Err("the broker closed the channel".to_owned());
        }
        self.empty_inbox().await?;
        self.look_back().await?;
        self.hand_over();
        if !self.draining {
            let now = Instant::now();
            let change = self.window.adjust(self.load(), now);
            self.change(change).await?;
        }
        self.say_full(!self.draining && self.window.is_full(self.load()));
        self.ack(false).await?;
        self.report(Instant::now());
        Ok(())
    }

    fn say_full(&mut self, full: bool) {
        if full != self.full {
            self.full = full;
            self.feeding.gate.exhausted(full);
        }
    }

    fn load(&self) -> Load {
        Load {
            demand: if self.feeding.gate.is_closed() { 0 } else { self.feeding.gate.demand() },
            held: self.ledger.open() - self.waiting.len() - self.ready.len(),
            waiting: self.waiting.len() + self.ready.len(),
            fit: self.ledger.open() + self.feeding.memory.room().div_ceil(self.feeding.shares.max(1)),
            older: self.ledger.outstanding_before(self.consumer_since),
        }
    }

    /// When there is something to do though nothing happens; at least once a second, to see a channel that died.
    fn due(&self) -> Instant {
        let now = Instant::now();
        let stuck = !self.waiting.is_empty() || !self.ready.is_empty();
        let full = (stuck && !self.draining && self.load().demand > 0).then(|| now + FULL_LINK);
        let times = [self.ledger.due(now), self.window.due(), full, Some(now + Duration::from_secs(1))];
        times.into_iter().flatten().min().expect("one of them is always there")
    }

    /// Takes a delivery, and all that are here already.
    fn take_deliveries(&mut self, first: Option<lapin::Result<Delivery>>) -> Result<(), Fault> {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(delivery) = next {
            match delivery {
                Some(Ok(delivery)) => self.arrived(delivery),
                Some(Err(error)) => return Err(error.to_string()),
                None => {
                    self.consumer = None;
                    self.window.gone();
                    let queue = &self.feeding.queue.name;
                    return Err(format!(
                        "the broker cancelled the consumer of {queue:?}: the queue was deleted, or its leader moved"
                    ));
                }
            }
            taken += 1;
            let more = taken < 2 * CHUNK;
            next = if more { self.consumer.as_mut().and_then(|consumer| consumer.next().now_or_never()) } else { None };
        }
        Ok(())
    }

    fn arrived(&mut self, delivery: Delivery) {
        self.ledger.delivered(delivery.delivery_tag, delivery.acker.clone());
        match self.hands.arrived(delivery) {
            Verdict::Send(delivery) => self.waiting.push_back(self.waiting(delivery)),
            Verdict::Duplicate(tag) => self.duplicate(tag),
            Verdict::Wait => {}
        }
    }

    /// Looks whether deliveries that came again, and wait for what becomes of the job's first one, can go on.
    async fn look_back(&mut self) -> Result<(), Fault> {
        // From the back: they came first, and stay in order.
        for verdict in self.hands.look(Instant::now()).into_iter().rev() {
            match verdict {
                Verdict::Send(delivery) if self.draining => self.give_back(vec![delivery.delivery_tag]).await?,
                Verdict::Send(delivery) => self.waiting.push_front(self.waiting(delivery)),
                Verdict::Duplicate(tag) => self.duplicate(tag),
                Verdict::Wait => {}
            }
        }
        Ok(())
    }

    fn waiting(&self, delivery: Delivery) -> Waiting {
        let bytes = Envelope::estimate(delivery.data.len(), 1);
        Waiting { delivery, _charge: self.feeding.memory.charge_ahead(bytes) }
    }

    /// Acks what came again and had ended.
    fn duplicate(&mut self, tag: u64) {
        let feeding = self.feeding;
        tracing::debug!(queue = %feeding.queue.name, tag, "came again and had ended: acked, not sent");
        feeding.metrics.jobs(SourceName::Amqp, feeding.queue.lane, JobResult::Duplicate, 1);
        self.settle(&[tag]);
    }

    /// Hands over what is wanted; what can't be read becomes a dead letter on the way.
    fn hand_over(&mut self) {
        while !self.draining {
            self.decode();
            match self.feeding.gate.try_send(&mut self.ready) {
                Ok(0) | Err(_) => return,
                Ok(sent) => {
                    let feeding = self.feeding;
                    feeding.metrics.jobs(SourceName::Amqp, feeding.queue.lane, JobResult::Accepted, sent as u64);
                }
            }
        }
    }

    /// Decodes as many as are wanted, in chunks.
    fn decode(&mut self) {
        let wanted = self.feeding.gate.demand().min(CHUNK);
        if self.ready.len() >= wanted || self.waiting.is_empty() {
            return;
        }
        let now = Clocks::now();
        let routes = Arc::clone(&self.feeding.routes.borrow());
        while self.ready.len() < wanted
            && let Some(Waiting { delivery, .. }) = self.waiting.pop_front()
        {
            let tag = delivery.delivery_tag;
            let body = Bytes::from(delivery.data);
            let acknowledger = Arc::clone(&self.receipts) as Arc<dyn Acknowledger>;
            let receipt = Receipt { acknowledger, tag };
            let limit = self.feeding.settings.max_deliveries;
            let queue = &self.feeding.queue;
            match message::read(&delivery.properties, body.clone(), queue, &routes, receipt, limit, now) {
                Ok(envelope) => {
                    envelope.charge_to(&self.feeding.memory);
                    self.hands.decoded(tag, &envelope);
                    self.ready.push(envelope);
                }
                Err(bad) => {
                    let feeding = self.feeding;
                    let id = delivery.properties.message_id().as_ref().map(|id| id.as_str());
                    self.unreadable.tell(queue, &bad, id);
                    feeding.metrics.jobs(SourceName::Amqp, queue.lane, JobResult::Dead, 1);
                    let letter =
                        letters::unreadable(&feeding.names, &queue.name, &delivery.properties, body, &bad, now.wall);
                    let publisher = feeding.publisher.clone();
                    self.dying.push(
                        async move {
                            publisher.publish_durably(letter).await;
                            tag
                        }
                        .boxed(),
                    );
                }
            }
        }
    }

    fn settle(&mut self, tags: &[u64]) {
        let now = Instant::now();
        let mut count = 0;
        for tag in tags {
            self.hands.settled(*tag);
            count += usize::from(self.ledger.settle(*tag, now));
        }
        self.window.settled(count);
    }

    fn report(&mut self, now: Instant) {
        if self.receipts.is_live() && !self.seldom.now(now) {
            return;
        }
        let feeding = self.feeding;
        let load = self.load();
        let live = self.receipts.is_live();
        let prefetch = if live { self.window.current() } else { 0 };
        // Settled here is not settled there before the ack is sent.
        let unsettled = load.held + self.ledger.unsent();
        feeding.board.queue(feeding.index, |status| {
            status.prefetch = prefetch;
            status.demand = load.demand;
            (status.unsettled, status.waiting) = if live { (unsettled, load.waiting) } else { (0, 0) };
        });
        let status = feeding.board.read();
        let lane = feeding.queue.lane;
        feeding.metrics.demand(SourceName::Amqp, lane, status.demand(lane));
        feeding.metrics.unsettled(SourceName::Amqp, lane, status.unsettled(lane));
    }
}

async fn next(consumer: &mut Option<Consumer>) -> Option<lapin::Result<Delivery>> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}
