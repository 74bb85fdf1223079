//! What one queue's feed has in hand, over all its channels: which message each delivery tag is, and, of the channels
//! that were lost, what becomes of the jobs that the pipeline still had of them.
//!
//! ```text
//!           arrived ──▶ held ──settled──▶ recent
//!                         │ the channel is lost │
//!                         ▼                     ▼
//!  late receipts ──▶ lost, open ──fate──▶    ended    ◀── comes again: ack, send the rest, wait, send
//! ```
//!
//! A receipt's jobs are known by a weak pointer too: one that the pipeline let go without a word was not sent.
//!
//! How much: at most the window is held, and at most a window's worth of acks can be on the wire unread, because the broker
//! counts those as unsettled and delivers no more; the double, because a consumer may have a predecessor. Both are
//! remembered at a loss, so [`LOSSES`] in a row are. Deliveries that wait for a fate are not charged to the memory budget:
//! their jobs' first deliveries are still, and they are at most a window's too.
//!
//! What is not remembered: the attempts that were made of a part that comes again (it starts with those its message names),
//! and anything at all after the process's death. Several processes on one queue do not know of each other: what one had
//! under way when its connection was lost, another may get, and send.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::Notify;

use super::ended::{Again, Ended, Fate, Identity, Ticket};
use super::message::format_targets;
use super::names;
use super::receipts::{Inbox, Receipts};
use crate::job::Envelope;

/// Losses of a channel in quick succession that are remembered whole.
const LOSSES: usize = 4;

/// How often jobs of lost channels are looked through for those that were let go without a word, which is rare.
const SCAN_EVERY: Duration = Duration::from_millis(100);

/// What is in hand.
pub(super) struct Hands {
    key: RandomState,
    bell: Arc<Notify>,
    held: HashMap<u64, Held>,
    /// Settled on this channel, the last ones: their acks wait, are on the wire, or have arrived; nothing says which.
    recent: VecDeque<Identity>,
    waiting: Vec<(Ticket, Delivery)>,
    lost: Vec<Lost>,
    /// When lost jobs are next looked through for those let go; at once after a loss.
    next_scan: Option<Instant>,
    ended: Ended,
    /// Acks that the broker may not have read, at most.
    unread: usize,
}

/// One delivery, unsettled.
struct Held {
    identity: Identity,
    /// Dangling until it is decoded.
    envelope: Weak<Envelope>,
    /// The part of it that is to be sent, if it came again partly done.
    rest: Option<Vec<u16>>,
}

/// The jobs that the pipeline has of a channel that was lost.
struct Lost {
    receipts: Arc<Receipts>,
    open: HashMap<u64, (Ticket, Held)>,
}

/// What to do with a delivery.
#[expect(clippy::large_enum_variant, reason = "moved once, on the stack")]
pub(super) enum Verdict {
    /// Hand it down.
    Send(Delivery),
    /// Ack this tag: what it stands for has ended.
    Duplicate(u64),
    /// Nothing yet.
    Wait,
}

impl Hands {
    /// Empty hands, for windows of at most so many.
    pub(super) fn new(max_prefetch: u16) -> Self {
        let unread = 2 * usize::from(max_prefetch.max(1));
        Self {
            key: RandomState::new(),
            bell: Arc::default(),
            held: HashMap::new(),
            recent: VecDeque::new(),
            waiting: Vec::new(),
            lost: Vec::new(),
            next_scan: None,
            ended: Ended::new(LOSSES * 2 * unread),
            unread,
        }
    }

    /// A new channel's receipts. Those of a lost channel ring the same bell.
    pub(super) fn receipts(&self) -> Arc<Receipts> {
        Arc::new(Receipts::new(Arc::clone(&self.bell)))
    }

    /// A delivery came.
    pub(super) fn arrived(&mut self, delivery: Delivery) -> Verdict {
        let identity = Identity::of(&delivery, &self.key);
        // Only what the broker itself calls a redelivery can be one: an equal message is another job.
        let again = if delivery.redelivered { self.ended.again(identity) } else { Again::Send(None) };
        self.judge(identity, delivery, again)
    }

    /// Looks at what was heard of lost channels' jobs, and at the deliveries that wait for it; those that can go on.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Verdict> {
        if self.lost.is_empty() && self.waiting.is_empty() {
            return Vec::new();
        }
        let scan = self.next_scan.is_none_or(|at| at <= now);
        if scan {
            self.next_scan = Some(now + SCAN_EVERY);
        }
        let ended = &mut self.ended;
        self.lost.retain_mut(|lost| lost.hear(ended, scan));
        let mut verdicts = Vec::new();
        for (ticket, delivery) in std::mem::take(&mut self.waiting) {
            let again = self.ended.answer(ticket);
            let identity = ticket.identity();
            match self.judge(identity, delivery, again) {
                Verdict::Wait => {}
                verdict => verdicts.push(verdict),
            }
        }
        verdicts
    }

    fn judge(&mut self, identity: Identity, mut delivery: Delivery, again: Again) -> Verdict {
        let tag = delivery.delivery_tag;
        match again {
            Again::Wait(ticket) => {
                self.waiting.push((ticket, delivery));
                Verdict::Wait
            }
            Again::Ack => {
                self.put_by(identity);
                Verdict::Duplicate(tag)
            }
            Again::Send(rest) => {
                if let Some(rest) = &rest {
                    select(&mut delivery, rest);
                }
                self.held.insert(tag, Held { identity, envelope: Weak::new(), rest });
                Verdict::Send(delivery)
            }
        }
    }

    /// A delivery was decoded.
    pub(super) fn decoded(&mut self, tag: u64, envelope: &Arc<Envelope>) {
        if let Some(held) = self.held.get_mut(&tag) {
            held.envelope = Arc::downgrade(envelope);
        }
    }

    /// A delivery of this channel was settled.
    pub(super) fn settled(&mut self, tag: u64) {
        if let Some(held) = self.held.remove(&tag) {
            self.put_by(held.identity);
        }
    }

    /// A delivery of this channel goes back to the broker.
    pub(super) fn returned(&mut self, tag: u64) {
        self.held.remove(&tag);
    }

    /// The channel is lost, and with it these receipts.
    pub(super) fn lose(&mut self, receipts: Arc<Receipts>) {
        for identity in self.recent.drain(..) {
            self.ended.remember(identity, Fate::Settled);
        }
        let mut open = HashMap::new();
        for (tag, held) in self.held.drain() {
            open.insert(tag, (self.ended.remember(held.identity, Fate::Open), held));
        }
        for (ticket, _) in self.waiting.drain(..) {
            self.ended.release(ticket);
        }
        self.next_scan = None;
        self.lost.push(Lost { receipts, open });
    }

    fn put_by(&mut self, identity: Identity) {
        if self.recent.len() >= self.unread {
            self.recent.pop_front();
        }
        self.recent.push_back(identity);
    }
}

impl Lost {
    /// Takes in what was said; false once there is nothing more to hear.
    fn hear(&mut self, ended: &mut Ended, scan: bool) -> bool {
        // In this order: whoever lets a job go has said before what became of it.
        let is_gone = |held: &Held| scan && held.envelope.strong_count() == 0;
        let gone: Vec<u64> = self.open.iter().filter(|(_, (_, held))| is_gone(held)).map(|(tag, _)| *tag).collect();
        let Inbox { settled, partly, returned } = self.receipts.take();
        for tag in settled {
            self.decide(tag, ended, |_| Fate::Settled);
        }
        for (tag, rest) in partly {
            self.decide(tag, ended, |_| Fate::Rest(rest));
        }
        for tag in returned.into_iter().chain(gone) {
            self.decide(tag, ended, |held| held.rest.map_or(Fate::Untouched, Fate::Rest));
        }
        !self.open.is_empty()
    }

    fn decide(&mut self, tag: u64, ended: &mut Ended, fate: impl FnOnce(Held) -> Fate) {
        if let Some((ticket, held)) = self.open.remove(&tag) {
            ended.decide(ticket, fate(held));
        }
    }
}

/// Has a message mean these targets only.
fn select(delivery: &mut Delivery, targets: &[u16]) {
    let mut headers: FieldTable = delivery.properties.headers().clone().unwrap_or_default();
    headers.insert(names::TARGETS.into(), AMQPValue::LongString(format_targets(targets).into()));
    delivery.properties = std::mem::take(&mut delivery.properties).with_headers(headers);
}

#[cfg(test)]
mod tests;
