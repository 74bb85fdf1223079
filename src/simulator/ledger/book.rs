//! The books themselves: entries in, figures out. Pure; time is in the entries.

use std::collections::HashMap;
use std::collections::hash_map;
use std::time::{Duration, Instant};

use super::{DoorFigures, LedgerSnapshot, MAX_PUSHES, PushPage, PushQuery, PushRecord};
use crate::job::{Provider, UnixMillis};
use crate::simulator::{Reply, Subject};

/// How long after an answer with `Retry-After` requests may still come that were on their way.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// The most pushes a page has unless its asker says otherwise.
const PAGE: usize = 1000;

/// Something that happened.
#[derive(Debug)]
pub(in crate::simulator) enum Entry {
    /// A TCP connection came.
    Connected,
    /// Its TLS handshake ended well.
    Handshake,
    /// Its TLS handshake did not.
    HandshakeFailed,
    /// It is over.
    Disconnected,
    /// The most streams it has had open at once.
    InFlight(u32),
    /// The client broke the protocol.
    Violation(&'static str),
    /// A request was answered.
    Push(Box<PushEntry>),
    /// So many requests were accepted without a look at them.
    Fast(u64),
    /// A request will never be answered.
    Unanswered,
    /// A request was reset.
    Reset,
    /// A stream was refused.
    Refused,
    /// The client reset a stream.
    Cancelled,
    /// A GOAWAY was sent.
    GoAway,
    /// An access token was asked for.
    Token {
        /// And given.
        granted: bool,
        /// Requests for one at that moment.
        concurrent: u32,
    },
}

impl Entry {
    /// What a reply means for the book.
    pub(in crate::simulator) fn answered(reply: &Reply, at: Instant, wall: UnixMillis) -> Self {
        if let Subject::Token { concurrent } = reply.subject {
            return Entry::Token { granted: reply.accepted, concurrent };
        }
        Entry::Push(Box::new(PushEntry {
            push: reply.push.clone(),
            target: reply.target.clone(),
            accepted: reply.accepted,
            status: reply.status,
            reason: reply.reason.clone(),
            retry_after: reply.retry_after,
            message: reply.message.clone(),
            at,
            wall,
        }))
    }
}

/// A request that was answered.
#[derive(Debug)]
pub(in crate::simulator) struct PushEntry {
    pub(in crate::simulator) push: Option<String>,
    pub(in crate::simulator) target: Option<String>,
    pub(in crate::simulator) accepted: bool,
    pub(in crate::simulator) status: u16,
    pub(in crate::simulator) reason: Option<String>,
    /// Nobody shall come back before that.
    pub(in crate::simulator) retry_after: Option<Duration>,
    /// What it said.
    pub(in crate::simulator) message: Option<String>,
    pub(in crate::simulator) at: Instant,
    pub(in crate::simulator) wall: UnixMillis,
}

#[derive(Debug)]
struct Kept {
    target: Box<str>,
    received: u32,
    accepted: u32,
    last_status: u16,
    last_reason: Option<Box<str>>,
    first_at: UnixMillis,
    last_at: UnixMillis,
    not_before: Option<Instant>,
    message: Option<Box<str>>,
}

/// One door's closure: set by an answer with `Retry-After`.
#[derive(Debug, Clone, Copy)]
struct Closure {
    from: Instant,
    until: Instant,
}

/// One door's book.
#[derive(Debug, Default)]
struct Door {
    figures: DoorFigures,
    closure: Option<Closure>,
    pushes: HashMap<Box<str>, Kept>,
}

/// All doors' books.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Book {
    apns: Door,
    fcm: Door,
    webpush: Door,
    tokens: super::TokenFigures,
    truncated: bool,
}

impl Book {
    /// Enters what happened at a door.
    pub(in crate::simulator) fn enter(&mut self, provider: Provider, entry: Entry) {
        let room = self.kept() < MAX_PUSHES;
        let door = match provider {
            Provider::Apns => &mut self.apns,
            Provider::Fcm => &mut self.fcm,
            Provider::Webpush => &mut self.webpush,
        };
        let figures = &mut door.figures;
        match entry {
            Entry::Connected => {
                figures.connections += 1;
                figures.open_connections += 1;
            }
            Entry::Handshake => figures.handshakes += 1,
            Entry::HandshakeFailed => figures.failed_handshakes += 1,
            Entry::Disconnected => figures.open_connections = figures.open_connections.saturating_sub(1),
            Entry::InFlight(streams) => figures.max_in_flight = figures.max_in_flight.max(streams),
            Entry::Violation(kind) => {
                figures.protocol_violations += 1;
                *figures.violations.entry(kind.to_owned()).or_default() += 1;
            }
            Entry::Push(push) => self.truncated |= !door.push(*push, room),
            Entry::Fast(requests) => {
                figures.received += requests;
                figures.accepted += requests;
            }
            Entry::Unanswered => {
                figures.received += 1;
                figures.unanswered += 1;
            }
            Entry::Reset => {
                figures.received += 1;
                figures.reset += 1;
            }
            Entry::Refused => figures.refused += 1,
            Entry::Cancelled => figures.cancelled += 1,
            Entry::GoAway => figures.goaways += 1,
            Entry::Token { granted, concurrent } => {
                self.tokens.fetches += 1;
                self.tokens.granted += u64::from(granted);
                self.tokens.max_concurrent = self.tokens.max_concurrent.max(concurrent);
            }
        }
    }

    fn kept(&self) -> usize {
        self.apns.pushes.len() + self.fcm.pushes.len() + self.webpush.pushes.len()
    }

    /// The figures.
    pub(in crate::simulator) fn snapshot(&self) -> LedgerSnapshot {
        LedgerSnapshot {
            apns: self.apns.figures.clone(),
            fcm: self.fcm.figures.clone(),
            webpush: self.webpush.figures.clone(),
            tokens: self.tokens,
            pushes_kept: self.kept(),
            truncated: self.truncated,
        }
    }

    /// The pushes asked for.
    pub(in crate::simulator) fn pushes(&self, query: &PushQuery) -> PushPage {
        let limit = query.limit.unwrap_or(PAGE).min(MAX_PUSHES);
        let doors = [(Provider::Apns, &self.apns), (Provider::Fcm, &self.fcm), (Provider::Webpush, &self.webpush)];
        let doors = doors.into_iter().filter(|(provider, _)| query.provider.is_none_or(|asked| asked == *provider));
        let mut found = doors.flat_map(|(provider, door)| door.find(provider, query));
        let pushes: Vec<_> = found.by_ref().take(limit).collect();
        PushPage { pushes, truncated: self.truncated || found.next().is_some() }
    }
}

impl Door {
    /// Enters an answered request; false if there was no room for its details.
    fn push(&mut self, entry: PushEntry, room: bool) -> bool {
        self.figures.received += 1;
        match (entry.accepted, &entry.reason) {
            (true, _) => self.figures.accepted += 1,
            (false, Some(reason)) => *self.figures.rejected.entry(reason.clone()).or_default() += 1,
            (false, None) => *self.figures.rejected.entry(entry.status.to_string()).or_default() += 1,
        }
        self.closure(&entry);
        let Some(push) = &entry.push else { return true };
        match self.pushes.entry(push.as_str().into()) {
            hash_map::Entry::Occupied(mut kept) => kept.get_mut().again(&entry, &mut self.figures),
            hash_map::Entry::Vacant(place) if room => {
                place.insert(Kept::first(&entry));
            }
            hash_map::Entry::Vacant(_) => return false,
        }
        true
    }

    fn closure(&mut self, entry: &PushEntry) {
        if let Some(closure) = self.closure {
            let late = entry.at > closure.from + ON_THEIR_WAY && entry.at < closure.until;
            self.figures.requests_in_retry_after += u64::from(late);
        }
        if let Some(wait) = entry.retry_after {
            let until = entry.at + wait;
            let open = self.closure.filter(|closure| entry.at < closure.until);
            let from = open.map_or(entry.at, |closure| closure.from);
            let until = open.map_or(until, |closure| closure.until.max(until));
            self.closure = Some(Closure { from, until });
        }
    }

    fn find<'a>(&'a self, provider: Provider, query: &'a PushQuery) -> impl Iterator<Item = PushRecord> + 'a {
        // An id that is asked for is looked up, not searched.
        let one = query.push.as_deref().map(|push| self.pushes.get_key_value(push));
        let all = one.is_none().then(|| self.pushes.iter());
        let found = one.flatten().into_iter().chain(all.into_iter().flatten());
        found.filter(|(_, kept)| kept.fits(query)).map(move |(push, kept)| kept.record(provider, push))
    }
}

impl Kept {
    fn first(entry: &PushEntry) -> Self {
        Self {
            target: entry.target.as_deref().unwrap_or_default().into(),
            received: 1,
            accepted: entry.accepted.into(),
            last_status: entry.status,
            last_reason: entry.reason.as_deref().map(Into::into),
            first_at: entry.wall,
            last_at: entry.wall,
            not_before: entry.retry_after.map(|wait| entry.at + wait),
            message: entry.message.as_deref().map(Into::into),
        }
    }

    fn again(&mut self, entry: &PushEntry, figures: &mut DoorFigures) {
        figures.duplicates += u64::from(entry.accepted && self.accepted > 0);
        figures.retry_after_violations += u64::from(self.not_before.is_some_and(|until| entry.at < until));
        self.received += 1;
        self.accepted += u32::from(entry.accepted);
        self.last_status = entry.status;
        self.last_reason = entry.reason.as_deref().map(Into::into);
        self.last_at = entry.wall;
        self.not_before = entry.retry_after.map(|wait| entry.at + wait);
    }

    fn fits(&self, query: &PushQuery) -> bool {
        query.target.as_deref().is_none_or(|target| target == &*self.target)
            && query.accepted_at_least.is_none_or(|least| self.accepted >= least)
            && query.accepted_at_most.is_none_or(|most| self.accepted <= most)
    }

    fn record(&self, provider: Provider, push: &str) -> PushRecord {
        PushRecord {
            provider,
            push: push.to_owned(),
            target: self.target.to_string(),
            received: self.received,
            accepted: self.accepted,
            last_status: self.last_status,
            last_reason: self.last_reason.as_deref().map(str::to_owned),
            first_at: self.first_at.0,
            last_at: self.last_at.0,
            message: self.message.as_deref().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests;
