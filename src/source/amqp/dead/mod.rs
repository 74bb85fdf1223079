//! The dead letters of a broker, for whoever looks after them: one walk through `<prefix>.dead`.
//!
//! ```text
//!             next ──▶ replay   published, confirmed, then acked
//!  queue ──▶ (take)    drop     acked
//!               │      keep     held, unacked, to the walk's end; then given back, all at once, where it was
//!               └──────────────▶ or, if it was given back often or too many are held: put at the queue's end,
//!                                confirmed, then acked
//! ```
//!
//! AMQP can't look into a queue without taking what it looks at. So a walk takes each letter and holds it, for a letter that
//! goes back at once would be the next one that comes. What is held is a number, not bodies: memory is flat however long the
//! queue is. A walk ends after as many letters as were there when it began, so it does not meet what it has put at the
//! end, nor a replayed job that died again.
//!
//! A letter is gone from the queue only when what was to become of it is confirmed. Killed at any moment, a walk loses
//! nothing: the broker gives back what was held, and at most [`WINDOW`] letters are there twice, or are sent again by the next
//! replay.
//!
//! Giving back counts: a quorum queue adds one to `x-delivery-count` whenever a message comes back (by `nack` before
//! RabbitMQ 4.3, by a lost connection always), and throws it away beyond its delivery limit: none before RabbitMQ 4.0, 20 by
//! default since. A look must not do that, so what was delivered [five times](BOUNDS) is put in anew instead.

mod error;
mod letter;
mod taker;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio_util::sync::CancellationToken;

pub use error::DeadError;
use error::no_queue;
pub use letter::DeadLetter;
use taker::Taker;

use super::names::{Names, RETRY_LEVELS};
use super::publish::{Message, PublishError, Publisher};
use super::{AmqpSettings, connect, letters};
use crate::job::{Lane, UnixMillis};

/// Letters on their way to where they shall be, at once: published, not yet acked here.
const WINDOW: usize = 256;

/// How long nothing comes before it is looked whether anything is there.
const IDLE: Duration = Duration::from_secs(1);

/// How often it is looked whether what was given back is there, and for how long without a change.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const STILL: Duration = Duration::from_secs(5);

/// What bounds a walk's grip on letters that stay.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Letters held unacked at the broker, at most; those beyond go to the queue's end.
    held: u64,
    /// How often a letter may have been delivered before it is put in anew instead of given back.
    deliveries: u64,
    /// How long letters are held at most, before they are given back and taken again.
    hold: Duration,
}

/// The broker keeps some 200 bytes for each that is held. Five deliveries are well below 20, RabbitMQ 4's default delivery
/// limit. RabbitMQ closes a channel that has not acked for 30 minutes (`consumer_timeout`).
const BOUNDS: Bounds = Bounds { held: 100_000, deliveries: 5, hold: Duration::from_mins(20) };

/// How long a quorum queue may take to write acks that its channel has read already (see `consume/wire.rs`).
const ACKS_SETTLE: Duration = Duration::from_millis(500);

/// What became of the letters that were to be replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that are in a lane's queue now.
    pub replayed: u64,
    /// Letters that no queue took, and so stay dead; and why the last of them was not taken.
    pub refused: u64,
    /// Why the last of the refused was not taken.
    pub why: Option<String>,
}

/// What was published, and what it means for the letter once it is confirmed.
enum Moved {
    Replayed,
    Renewed,
}

type Moving = BoxFuture<'static, (u64, Moved, Result<(), PublishError>)>;

/// One walk through the dead letters.
pub struct DeadLetters {
    connection: Connection,
    channel: Channel,
    publisher: Publisher,
    close: CancellationToken,
    names: Names,
    bounds: Bounds,
    /// Letters that were there at first.
    found: u64,
    /// The same, and those put in anew.
    there: u64,
    /// How many letters more may be taken.
    left: u64,
    taker: Taker,
    /// Letters given out of which nobody has said yet what shall become of them.
    out: usize,
    moving: FuturesUnordered<Moving>,
    held: u64,
    held_since: Option<Instant>,
    /// The last tag that is held: giving back means all up to it. The broker knows no tag that was acked.
    last: u64,
    /// Letters acked: they are in the queue no more, but for those that were put in anew.
    gone: u64,
    tally: Replayed,
}

impl DeadLetters {
    /// Begins a walk through the letters that are there now, at most `most` of them. `ahead`: how many may be asked
    /// for before they are wanted, at least 1; few where they will be wanted slowly, for what is taken is held.
    ///
    /// # Errors
    /// [`DeadError`]; nothing was taken.
    pub async fn open(settings: &AmqpSettings, most: u64, ahead: u16) -> Result<Self, DeadError> {
        let names = Names::new(settings.prefix.as_str());
        let connection = connect::connect(settings, "dead letters").await.map_err(DeadError::Connect)?;
        let channel = connection.create_channel().await?;
        let look = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        let queue = channel.queue_declare(names.dead().into(), look, FieldTable::default()).await;
        let taker = Taker::new(names.dead(), ahead);
        let there = u64::from(queue.map_err(|error| no_queue(&names, &error))?.message_count());
        let close = CancellationToken::new();
        let publisher = Publisher::start(Arc::new(settings.clone()), close.clone());
        let connected = publisher.connected().await;
        connected.map_err(|error| DeadError::Lost(error.to_string()))?;
        Ok(Self {
            connection,
            channel,
            publisher,
            close,
            names,
            bounds: BOUNDS,
            found: there,
            there,
            left: there.min(most),
            taker,
            out: 0,
            moving: FuturesUnordered::new(),
            held: 0,
            held_since: None,
            last: 0,
            gone: 0,
            tally: Replayed::default(),
        })
    }

    /// How many letters were there when the walk began.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found
    }

    /// What became of replayed letters so far.
    #[must_use]
    pub fn tally(&self) -> &Replayed {
        &self.tally
    }

    /// The next letter; `None`: the walk is over. Each must go to [`replay`](Self::replay), [`drop`](Self::drop) or
    /// [`keep`](Self::keep).
    ///
    /// # Errors
    /// [`DeadError::Lost`].
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, DeadError> {
        if self.held_since.is_some_and(|since| since.elapsed() > self.bounds.hold)
            && self.out == 0
            && self.moving.is_empty()
        {
            // They come again: first in line, so the walk goes on behind them.
            self.left += self.held;
            self.give_back().await?;
        }
        while self.left > 0 {
            self.taker.ready(&self.channel, self.left).await?;
            tokio::select! {
                taken = self.taker.next() => if let Some(delivery) = taken? {
                    return Ok(Some(self.taken(delivery)));
                },
                Some(moved) = self.moving.next(), if !self.moving.is_empty() => self.apply(moved).await?,
                // Empty before its time: somebody else takes letters, too.
                () = tokio::time::sleep(IDLE) => if self.moving.is_empty() && self.ready(&self.channel).await? == 0 {
                    self.left = 0;
                },
            }
        }
        Ok(None)
    }

    fn taken(&mut self, delivery: Delivery) -> DeadLetter {
        self.left -= 1;
        self.out += 1;
        let (key, body) = (delivery.routing_key.as_str(), Bytes::from(delivery.data));
        DeadLetter::read(delivery.properties, key, body, delivery.delivery_tag)
    }

    /// How many letters nobody has taken.
    async fn ready(&self, channel: &Channel) -> Result<u64, DeadError> {
        let look = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        let queue = channel.queue_declare(self.names.dead().into(), look, FieldTable::default()).await;
        Ok(u64::from(queue.map_err(|error| no_queue(&self.names, &error))?.message_count()))
    }

    /// Sends a letter once more: to the queue it came by, else to that of its lane. Waits while [`WINDOW`] are on their way.
    ///
    /// # Errors
    /// [`DeadError::Lost`].
    pub async fn replay(&mut self, letter: DeadLetter) -> Result<(), DeadError> {
        self.out -= 1;
        let (tag, publisher) = (letter.tag, self.publisher.clone());
        let (first, second) = self.ways(&letter);
        self.moved(async move {
            let mut published = publisher.publish(first).await;
            if let (Err(PublishError::Unroutable { .. }), Some(second)) = (&published, second) {
                published = publisher.publish(second).await;
            }
            (tag, Moved::Replayed, published)
        })
        .await
    }

    /// Takes a letter out of the queue for good.
    ///
    /// # Errors
    /// [`DeadError::Lost`].
    pub async fn drop(&mut self, letter: DeadLetter) -> Result<(), DeadError> {
        self.out -= 1;
        self.ack(letter.tag).await
    }

    /// Leaves a letter dead. It is back in the queue when the walk ends.
    ///
    /// # Errors
    /// [`DeadError::Lost`].
    pub async fn keep(&mut self, letter: DeadLetter) -> Result<(), DeadError> {
        self.out -= 1;
        if letter.deliveries < self.bounds.deliveries && self.held < self.bounds.held {
            self.hold(letter.tag);
            return Ok(());
        }
        let (tag, publisher) = (letter.tag, self.publisher.clone());
        let again = letters::dead_again(&self.names, &letter.routing_key, &letter.properties, letter.body);
        self.moved(async move { (tag, Moved::Renewed, publisher.publish(again).await) }).await
    }

    /// Waits until `until`, and acks meanwhile what is confirmed.
    ///
    /// # Errors
    /// [`DeadError::Lost`].
    pub async fn wait(&mut self, until: Instant) -> Result<(), DeadError> {
        let end = tokio::time::sleep_until(until.into());
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                Some(moved) = self.moving.next(), if !self.moving.is_empty() => self.apply(moved).await?,
            }
        }
    }

    /// Waits for what is on its way, gives back what is held, and ends.
    ///
    /// # Errors
    /// [`DeadError::Lost`]: what was on its way may be there twice.
    pub async fn close(mut self) -> Result<Replayed, DeadError> {
        while let Some(moved) = self.moving.next().await {
            self.apply(moved).await?;
        }
        self.give_back().await?;
        if self.gone > 0 {
            // The broker reads a channel in order: with this answer it has read the acks.
            self.channel.basic_qos(1, BasicQosOptions { global: false }).await?;
            tokio::time::sleep(ACKS_SETTLE).await;
        }
        // What came and was not given out goes back with the channel.
        let _ = self.channel.close(200, "done".into()).await;
        self.back().await?;
        let _ = self.connection.close(200, "done".into()).await;
        self.close.cancel();
        Ok(self.tally)
    }

    /// Waits until what was given back is in the queue, so that the next walk finds it: the broker takes its time over many.
    async fn back(&self) -> Result<(), DeadError> {
        let channel = self.connection.create_channel().await?;
        let (mut before, mut changed) = (0, Instant::now());
        loop {
            let ready = self.ready(&channel).await?;
            if ready != before {
                (before, changed) = (ready, Instant::now());
            }
            // If somebody else has taken some they will never be as many.
            if ready + self.gone >= self.there || changed.elapsed() > STILL {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Where a letter may go: where it came from, and if that is no more, where its priority says.
    fn ways(&self, letter: &DeadLetter) -> (Message, Option<Message>) {
        let lane = letter.priority().and_then(|name| Lane::ALL.into_iter().find(|lane| lane.as_str() == name));
        let own = self.names.lane(lane.unwrap_or(Lane::Normal));
        let ours = |queue: &String| {
            *queue == self.names.dead() || RETRY_LEVELS.into_iter().any(|level| *queue == self.names.retry(level))
        };
        let now = UnixMillis::now();
        let to = |queue: &str| letters::replay(queue, &letter.properties, letter.body.clone(), now);
        let first = Some(&letter.queue).filter(|queue| !queue.is_empty() && !ours(queue));
        match first {
            Some(queue) if *queue != own => (to(queue), Some(to(&own))),
            _ => (to(&own), None),
        }
    }

    async fn moved(
        &mut self,
        moving: impl Future<Output = (u64, Moved, Result<(), PublishError>)> + Send + 'static,
    ) -> Result<(), DeadError> {
        self.moving.push(moving.boxed());
        // Polled at least once, so that it is under way; and those that are through are done with.
        while let Some(Some(moved)) = self.moving.next().now_or_never() {
            self.apply(moved).await?;
        }
        while self.moving.len() >= WINDOW {
            let moved = self.moving.next().await.expect("there are some");
            self.apply(moved).await?;
        }
        Ok(())
    }

    /// What follows when a letter has, or has not, got where it should.
    async fn apply(
        &mut self,
        (tag, moved, published): (u64, Moved, Result<(), PublishError>),
    ) -> Result<(), DeadError> {
        match published {
            Ok(()) => {
                self.ack(tag).await?;
                match moved {
                    Moved::Replayed => self.tally.replayed += 1,
                    // As many as before.
                    Moved::Renewed => self.there += 1,
                }
                Ok(())
            }
            Err(error @ (PublishError::Unavailable(_) | PublishError::Unconfirmed(_))) => {
                Err(DeadError::Lost(error.to_string()))
            }
            Err(error) => {
                if matches!(moved, Moved::Replayed) {
                    self.tally.refused += 1;
                    self.tally.why = Some(error.to_string());
                }
                self.hold(tag);
                Ok(())
            }
        }
    }

    fn hold(&mut self, tag: u64) {
        self.held += 1;
        self.last = self.last.max(tag);
        self.taker.hold(tag);
        self.held_since.get_or_insert_with(Instant::now);
    }

    async fn ack(&mut self, tag: u64) -> Result<(), DeadError> {
        self.gone += 1;
        self.taker.acked(tag);
        Ok(self.channel.basic_ack(tag, BasicAckOptions { multiple: false }).await?)
    }

    async fn give_back(&mut self) -> Result<(), DeadError> {
        if self.held > 0 {
            (self.held, self.held_since) = (0, None);
            self.taker.gave_back();
            let all = BasicNackOptions { multiple: true, requeue: true };
            self.channel.basic_nack(self.last, all).await?;
        }
        Ok(())
    }
}
