//! What a feed says to the broker: acks and returns, consumers that come and go.

use std::time::{Duration, Instant};

use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;

use super::super::receipts::Inbox;
use super::super::window::Change;
use super::{End, Fault, Feed};

impl Feed<'_> {
    /// Takes in what the pipeline settled or gave back.
    pub(super) async fn empty_inbox(&mut self) -> Result<(), Fault> {
        let Inbox { settled, returned, .. } = self.receipts.take();
        self.settle(&settled);
        self.give_back(returned).await
    }

    pub(super) async fn give_back(&mut self, tags: Vec<u64>) -> Result<(), Fault> {
        for tag in tags {
            self.hands.returned(tag);
            if let Some(acker) = self.ledger.take(tag) {
                let options = BasicNackOptions { requeue: true, ..Default::default() };
                sent(acker.nack(options).await)?;
            }
        }
        Ok(())
    }

    pub(super) async fn ack(&mut self, all: bool) -> Result<(), Fault> {
        for ack in self.ledger.flush(Instant::now(), all) {
            sent(ack.acker.ack(BasicAckOptions { multiple: ack.multiple }).await)?;
            self.last_ack = Some(Instant::now());
        }
        Ok(())
    }

    pub(super) async fn change(&mut self, change: Change) -> Result<(), Fault> {
        match change {
            Change::Keep => Ok(()),
            Change::Cancel => self.cancel().await,
            Change::GiveBack => self.return_waiting().await,
            Change::Consume(prefetch) => {
                self.cancel().await?;
                self.consume(prefetch).await
            }
        }
    }

    /// Cancels the consumer and takes what was on its way from it.
    async fn cancel(&mut self) -> Result<(), Fault> {
        let Some(mut consumer) = self.consumer.take() else { return Ok(()) };
        let cancelled = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
        cancelled.map_err(|error| error.to_string())?;
        // After cancel-ok the stream ends by itself.
        while let Some(delivery) = consumer.next().await {
            self.arrived(delivery.map_err(|error| error.to_string())?);
        }
        // All that is out is a former consumer's now.
        self.consumer_since = self.ledger.next_tag();
        Ok(())
    }

    async fn consume(&mut self, prefetch: u16) -> Result<(), Fault> {
        debug_assert!(prefetch > 0, "0 means unlimited to the broker");
        let text = |error: lapin::Error| error.to_string();
        self.channel.basic_qos(prefetch, BasicQosOptions { global: false }).await.map_err(text)?;
        // A tag of its own each time: a quorum queue would count messages of a former consumer of the same tag on.
        self.consumers += 1;
        let tag = format!("tidegate-{}-{}", std::process::id(), self.consumers);
        let queue = &*self.feeding.queue.name;
        let consumer = self
            .channel
            .basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .map_err(|error| explain(queue, &error))?;
        self.consumer_since = self.ledger.next_tag();
        self.consumer = Some(consumer);
        self.feeding.board.queue(self.feeding.index, |status| status.error = None);
        Ok(())
    }

    /// No new jobs; what was prefetched and not handed over goes back. Acks go on.
    pub(super) async fn drain(&mut self) -> Result<(), Fault> {
        self.draining = true;
        self.cancel().await?;
        self.window.gone();
        self.return_waiting().await
    }

    async fn return_waiting(&mut self) -> Result<(), Fault> {
        let ready = std::mem::take(&mut self.ready);
        let waiting = std::mem::take(&mut self.waiting);
        // The last first: the broker puts each back at the head of the queue.
        let mut tags: Vec<u64> = ready.iter().map(|envelope| envelope.origin.receipt.tag).collect();
        tags.extend(waiting.iter().map(|waiting| waiting.delivery.delivery_tag));
        tags.reverse();
        self.give_back(tags).await
    }

    pub(super) async fn close(&mut self) -> End {
        if !self.draining
            && let Err(error) = self.drain().await
        {
            return End::Lost(error);
        }
        let last = async {
            self.empty_inbox().await?;
            self.ack(true).await?;
            self.let_acks_arrive().await?;
            self.channel.close(200, "drained".into()).await.map_err(|error| error.to_string())
        };
        match last.await {
            Ok(()) => End::Closed,
            Err(error) => End::Lost(error),
        }
    }
}

/// How long a quorum queue is given to take in acks that the broker has read. Its channel hands acks to the queue's log
/// without waiting, keeps back those beyond 32 that the log has not taken yet, and forgets them when it is closed
/// (`rabbit_fifo_client`, soft limit); no answer says when all are through.
const ACKS_SETTLE: Duration = Duration::from_millis(500);

impl Feed<'_> {
    /// Waits until acks sent a moment ago have had their effect, so that what is settled does not come again.
    async fn let_acks_arrive(&mut self) -> Result<(), Fault> {
        if self.last_ack.is_none_or(|at| at.elapsed() > 2 * ACKS_SETTLE) {
            return Ok(());
        }
        // The broker reads a channel in order: with this answer it has read the acks.
        let read = self.channel.basic_qos(1, BasicQosOptions { global: false }).await;
        read.map_err(|error| error.to_string())?;
        tokio::time::sleep(ACKS_SETTLE).await;
        Ok(())
    }
}

/// An acker that did nothing is one of a channel that is gone.
fn sent(acked: lapin::Result<bool>) -> Result<(), Fault> {
    match acked {
        Ok(true) => Ok(()),
        Ok(false) => Err("the channel was lost".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn explain(queue: &str, error: &lapin::Error) -> Fault {
    let said = error.to_string();
    if said.contains("NOT_FOUND") {
        return format!("queue {queue:?} is missing at the broker; declare it, or set source.amqp.declare = true");
    }
    format!("queue {queue:?} can't be consumed: {said}")
}
