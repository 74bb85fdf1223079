//! Takes letters off the queue: one consumer after the other on one channel.
//!
//! A consumer gets no more than its prefetch, and what is held, or waits for a confirm, uses that up. So one that is used up
//! is cancelled, and the next one begins where it ended; what it gave out stays unacked. Not sooner: what a quorum queue sends
//! while its consumer is cancelled can come after cancel-ok, and nobody would look at it. (`basic.get` needs none of that, but
//! makes a consumer of its own of each letter: giving back 60,000 took RabbitMQ 3.10 minutes.)

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

/// Letters that the first consumer may have unacked: it is not known yet how large they are.
const FIRST: u16 = 128;

/// And those of the others, at most. A new consumer takes the broker several disk writes, so many letters should share it.
const MOST: u16 = 1000;

/// Bytes of the letters that are taken before they are wanted, if none is larger than the largest so far.
const BYTES: usize = 32 << 20;

pub(super) struct Taker {
    queue: String,
    /// Letters that a consumer may have unacked, at most.
    most: u16,
    /// And those that the present one may have.
    prefetch: u16,
    consumer: Option<Consumer>,
    cancelled: bool,
    consumers: u64,
    /// Bytes of the largest body so far.
    largest: usize,
    /// The last tag that came.
    last: u64,
    /// The first tag that the present consumer may have.
    since: u64,
    /// Letters of the present consumer that were given out and not acked, and those of them that are held.
    unacked: u64,
    held: u64,
}

impl Taker {
    pub(super) fn new(queue: String, prefetch: u16) -> Self {
        let most = prefetch.max(1);
        Self {
            queue,
            most,
            prefetch: most,
            consumer: None,
            cancelled: false,
            consumers: 0,
            largest: 1,
            last: 0,
            since: 1,
            unacked: 0,
            held: 0,
        }
    }

    /// Makes sure that there is a consumer which can get something; of `left` letters, if those are fewer.
    pub(super) async fn ready(&mut self, channel: &Channel, left: u64) -> lapin::Result<()> {
        match &self.consumer {
            None => {
                self.prefetch = u16::try_from(left).unwrap_or(u16::MAX).min(self.room()).max(1);
                channel.basic_qos(self.prefetch, BasicQosOptions { global: false }).await?;
                self.consumers += 1;
                let tag = format!("tidegate-dead-{}-{}", std::process::id(), self.consumers);
                let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
                let consumer = channel.basic_consume(queue, tag.as_str().into(), options, FieldTable::default());
                self.consumer = Some(consumer.await?);
                (self.cancelled, self.since) = (false, self.last + 1);
                (self.unacked, self.held) = (0, 0);
            }
            Some(consumer) if !self.cancelled && self.unacked >= u64::from(self.prefetch) => {
                channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
                self.cancelled = true;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// What comes next. `Ok(None)`: a consumer has ended that was told to; there will be another. Pending as long as nothing
    /// comes. Cancel-safe.
    pub(super) async fn next(&mut self) -> lapin::Result<Option<Delivery>> {
        let Some(consumer) = &mut self.consumer else { return Ok(None) };
        match consumer.next().await {
            Some(delivery) => {
                let delivery = delivery?;
                self.last = delivery.delivery_tag;
                self.unacked += 1;
                self.largest = self.largest.max(delivery.data.len());
                Ok(Some(delivery))
            }
            // After cancel-ok the stream ends by itself; or the broker ended it, and the next try says why.
            None => {
                self.consumer = None;
                Ok(None)
            }
        }
    }

    fn room(&self) -> u16 {
        let fit = u16::try_from(BYTES / self.largest).unwrap_or(u16::MAX);
        let bound = if self.consumers == 0 { FIRST } else { MOST };
        self.most.min(bound).min(fit)
    }

    pub(super) fn hold(&mut self, tag: u64) {
        self.held += u64::from(tag >= self.since);
    }

    pub(super) fn acked(&mut self, tag: u64) {
        self.unacked -= u64::from(tag >= self.since);
    }

    pub(super) fn gave_back(&mut self) {
        self.unacked -= self.held;
        self.held = 0;
    }
}
