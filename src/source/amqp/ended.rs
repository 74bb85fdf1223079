//! What is known of messages that will, or may, come again: a bounded memory, pure.
//!
//! When a channel is lost the broker delivers anew whatever it has read no ack of. Some of that was sent: its ack was on
//! the wire, or waited to be coalesced, or its pushes were under way. The memory keeps what became of each such message
//! by its [`Identity`], and says what to do when it comes again: nothing (ack it), send only the rest, wait, or all anew.
//!
//! Equal messages (no id, the same body, twice) have the same identity, so an identity can have several fates; each is
//! used up by one delivery, and those that have the job sent come first. So as many of the equals are sent as were never
//! sent: at worst one too many, never one too few.
//!
//! It belongs to the process: after its death nothing is remembered, and what was unsettled is sent again.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use lapin::message::Delivery;

use super::message::text;
use super::names;

/// What makes a message itself, hashed with a key of this process's own: message id, timestamp, body, where it was
/// published, and which targets are meant. Two that differ share one once in 2^64 pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity(u64);

impl Identity {
    /// The identity of a message; the same for each of its deliveries.
    pub(super) fn of(delivery: &Delivery, key: &RandomState) -> Self {
        let mut hasher = key.build_hasher();
        let properties = &delivery.properties;
        properties.message_id().as_ref().map(|id| id.as_str()).hash(&mut hasher);
        properties.timestamp().hash(&mut hasher);
        text(properties.headers().as_ref(), names::TARGETS).hash(&mut hasher);
        (delivery.exchange.as_str(), delivery.routing_key.as_str()).hash(&mut hasher);
        delivery.data.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What became of a message whose channel was lost. Ascending: the later, the less is sent for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Nothing of it was sent.
    Untouched,
    /// It is under way still.
    Open,
    /// All ended but these targets.
    Rest(Vec<u16>),
    /// All ended.
    Settled,
}

/// One remembered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    identity: Identity,
    /// Given out ascending: the age.
    serial: u64,
}

impl Ticket {
    /// Which message.
    pub(super) fn identity(self) -> Identity {
        self.identity
    }
}

/// What to do with a message that came again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Send it, or these targets only.
    Send(Option<Vec<u16>>),
    /// Ask again with this ticket.
    Wait(Ticket),
    /// Ack it.
    Ack,
}

#[derive(Debug)]
struct Entry {
    fate: Fate,
    /// A delivery of it waits for its fate.
    awaited: bool,
}

/// The memory.
#[derive(Debug)]
pub(super) struct Ended {
    entries: BTreeMap<Ticket, Entry>,
    /// The same, oldest first.
    ages: BTreeMap<u64, Identity>,
    next: u64,
    bound: usize,
}

impl Ended {
    /// A memory of at most `bound` messages; the oldest is forgotten first, and sent again if it comes again.
    pub(super) fn new(bound: usize) -> Self {
        Self { entries: BTreeMap::new(), ages: BTreeMap::new(), next: 0, bound: bound.max(1) }
    }

    /// Remembers a message.
    pub(super) fn remember(&mut self, identity: Identity, fate: Fate) -> Ticket {
        while self.entries.len() >= self.bound
            && let Some((serial, identity)) = self.ages.pop_first()
        {
            self.entries.remove(&Ticket { identity, serial });
        }
        let ticket = Ticket { identity, serial: self.next };
        self.next += 1;
        self.ages.insert(ticket.serial, identity);
        self.entries.insert(ticket, Entry { fate, awaited: false });
        ticket
    }

    /// A message that was under way is so no more. One that is forgotten stays so.
    pub(super) fn decide(&mut self, ticket: Ticket, fate: Fate) {
        if let Some(entry) = self.entries.get_mut(&ticket) {
            entry.fate = fate;
        }
    }

    /// A message came again: what to do with it. Each fate answers once.
    pub(super) fn again(&mut self, identity: Identity) -> Again {
        let all = Ticket { identity, serial: 0 }..=Ticket { identity, serial: u64::MAX };
        let free = self.entries.range(all).filter(|(_, entry)| !entry.awaited);
        let Some((&ticket, _)) = free.min_by(|(_, a), (_, b)| a.fate.cmp(&b.fate)) else { return Again::Send(None) };
        self.answer(ticket)
    }

    /// What to do with one that waits.
    pub(super) fn answer(&mut self, ticket: Ticket) -> Again {
        if let Some(entry) = self.entries.get_mut(&ticket)
            && entry.fate == Fate::Open
        {
            entry.awaited = true;
            return Again::Wait(ticket);
        }
        self.ages.remove(&ticket.serial);
        match self.entries.remove(&ticket).map(|entry| entry.fate) {
            Some(Fate::Settled) => Again::Ack,
            Some(Fate::Rest(rest)) => Again::Send(Some(rest)),
            Some(Fate::Untouched | Fate::Open) | None => Again::Send(None),
        }
    }

    /// The delivery that waited is lost as well.
    pub(super) fn release(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entries.get_mut(&ticket) {
            entry.awaited = false;
        }
    }
}

#[cfg(test)]
mod tests;
