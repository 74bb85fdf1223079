//! A connection's decisions: what is answered when, what goes wrong on purpose. Synchronous; `now` is an argument.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::chance::scripted_limit;
use super::due::Due;
use super::session::{Event, Incoming, Session};
use super::{Hall, Peer, Script};
use crate::http2::{ErrorCode, hpack};
use crate::job::UnixMillis;
use crate::simulator::ledger::Entry;
use crate::simulator::{Circumstances, Door, Reply, Request, StreamLimit};

/// How long a connection sleeps that has no reason to wake.
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);

/// How the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// When what is open is answered.
    Drained,
    /// At once.
    Now,
    /// Not from our side: new streams are ignored.
    Lingering,
}

/// What every answer in fast mode is.
struct Fast {
    block: Bytes,
    body: Bytes,
}

/// One connection.
pub(super) struct Driver {
    peer: Peer,
    door: Rc<RefCell<dyn Door>>,
    pub(super) session: Session,
    pub(super) script: Arc<Script>,
    pub(super) random: fastrand::Rng,
    /// Answers that are not due yet, the next one on top.
    due: BinaryHeap<Reverse<Due>>,
    counted: u64,
    /// Whole requests that a stall holds.
    held: VecDeque<Incoming>,
    pub(super) entries: Vec<Entry>,
    /// Requests answered blindly since the last entries.
    blind: u64,
    reported_most: u32,
    /// The first so many streams came before the script in force.
    before_script: u32,
    /// The script's stream limit now, where it has one.
    scripted_limit: Option<u32>,
    /// The door's full limit holds (a valid token was accepted).
    full: bool,
    last_request: Instant,
    end: Option<End>,
    fast: Option<Fast>,
}

impl Driver {
    pub(super) fn new(peer: Peer, hall: &Hall, now: Instant) -> Self {
        let script = Arc::clone(&hall.script.borrow());
        let door = hall.door.borrow();
        let first = door.first_stream_limit(peer.certificate.is_some());
        let full = first == door.full_stream_limit();
        let scripted_limit = scripted_limit(&script, now);
        let limit = scripted_limit.filter(|_| full).unwrap_or(first);
        let fast = hall.fast.then(|| {
            let reply = door.fast_reply();
            Fast { block: block(&reply), body: reply.body }
        });
        Self {
            session: Session::new(limit, door.header_list_limit()),
            random: fastrand::Rng::with_seed(hall.seed ^ peer.number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            peer,
            door: Rc::clone(&hall.door),
            script,
            due: BinaryHeap::new(),
            counted: 0,
            held: VecDeque::new(),
            entries: Vec::new(),
            blind: 0,
            reported_most: 0,
            before_script: 0,
            scripted_limit,
            full,
            last_request: now,
            end: None,
            fast,
        }
    }

    /// Where bytes from the socket go.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        self.session.input()
    }

    /// What is to be written.
    pub(super) fn out(&mut self) -> &mut BytesMut {
        &mut self.session.out
    }

    /// What happened since the last call.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        if self.blind > 0 {
            self.entries.push(Entry::Fast(std::mem::take(&mut self.blind)));
        }
        if self.session.most() > self.reported_most {
            self.reported_most = self.session.most();
            self.entries.push(Entry::InFlight(self.reported_most));
        }
        std::mem::take(&mut self.entries)
    }

    /// Whether the socket shall be closed, once everything is written.
    pub(super) fn is_over(&self) -> bool {
        match self.end {
            Some(End::Now) => true,
            Some(End::Drained) => self.session.open() == 0,
            Some(End::Lingering) | None => false,
        }
    }

    /// When time itself has something to do here.
    pub(super) fn wake(&self) -> Instant {
        let now = Instant::now();
        let due = self.due.peek().map(|Reverse(due)| due.at);
        let stall = self.stall_end(now).filter(|_| !self.held.is_empty());
        let steps = self.script.faults.stream_limits.iter().map(|step| self.script.since + step.at);
        let step = steps.filter(|at| *at > now).min();
        let is_idle = self.end.is_none() && self.session.open() == 0;
        let idle = is_idle.then(|| self.last_request + self.door.borrow().idle_timeout());
        [due, stall, step, idle].into_iter().flatten().min().unwrap_or(now + NOTHING_TO_DO)
    }

    /// Other faults hold from now on.
    pub(super) fn rescript(&mut self, script: Arc<Script>) {
        self.script = script;
        self.before_script = self.session.highest().div_ceil(2);
    }

    /// Does what time asks for.
    pub(super) fn advance(&mut self, now: Instant) {
        let limit = scripted_limit(&self.script, now);
        if limit != self.scripted_limit {
            self.scripted_limit = limit;
            if self.full {
                self.full_limit();
            }
        }
        if self.stall_end(now).is_none() {
            let wall = UnixMillis::now();
            while let Some(incoming) = self.held.pop_front() {
                if self.session.is_open(incoming.stream) {
                    self.process(incoming, now, wall);
                }
            }
        }
        while self.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.due.pop() else { break };
            self.send(due.stream, due.reply);
        }
        let idle = self.door.borrow().idle_timeout();
        if self.end.is_none() && self.session.open() == 0 && now >= self.last_request + idle {
            let farewell = self.door.borrow().idle_farewell();
            self.go_away(self.session.highest(), ErrorCode(farewell.code), &farewell.debug, End::Drained);
        }
    }

    /// Reads what the socket brought.
    pub(super) fn receive(&mut self, now: Instant) {
        let wall = UnixMillis::now();
        loop {
            match self.session.receive() {
                Ok(Some(event)) => self.apply(event, now, wall),
                Ok(None) => return,
                Err(fatal) => {
                    self.entries.push(Entry::Violation(fatal.detail));
                    let last = self.session.highest();
                    return self.go_away(last, fatal.code, fatal.detail, End::Now);
                }
            }
        }
    }

    fn apply(&mut self, event: Event, now: Instant, wall: UnixMillis) {
        match event {
            Event::Request(incoming) => self.request(incoming, now, wall),
            Event::Cancelled(_) => self.entries.push(Entry::Cancelled),
            Event::Violation(kind) => self.entries.push(Entry::Violation(kind)),
            Event::Excess(stream) => self.excess(stream),
        }
    }

    fn excess(&mut self, stream: u32) {
        self.entries.push(Entry::Violation("more streams than the limit acknowledged"));
        self.entries.push(Entry::Refused);
        let farewell = self.door.borrow().on_excess();
        match farewell {
            None => self.session.reset(stream, ErrorCode::REFUSED_STREAM),
            Some(farewell) if self.end.is_none() => {
                let last = stream.saturating_sub(2);
                self.go_away(last, ErrorCode(farewell.code), &farewell.debug, End::Drained);
            }
            Some(_) => {}
        }
    }

    fn request(&mut self, incoming: Incoming, now: Instant, wall: UnixMillis) {
        self.last_request = now;
        let stream = incoming.stream;
        if self.is_mute(stream) {
            self.session.go_mute();
            self.entries.push(Entry::Unanswered);
        } else if self.is_unprocessed(stream) {
            self.entries.push(Entry::Reset);
        } else if self.stall_end(now).is_some() {
            self.held.push_back(incoming);
        } else {
            self.process(incoming, now, wall);
        }
        self.scripted_goaway(stream);
    }

    fn is_mute(&self, stream: u32) -> bool {
        let here = self.script.faults.mute.filter(|mute| mute.connection == self.peer.number);
        here.is_some_and(|mute| stream.div_ceil(2) > mute.after_streams)
    }

    /// How many streams the script's GOAWAY lets through, counted from the connection's beginning.
    fn served(&self) -> Option<u32> {
        let goaway = self.script.faults.goaway.as_ref()?;
        Some(self.before_script + goaway.after_streams.saturating_sub(goaway.unprocessed))
    }

    fn is_unprocessed(&self, stream: u32) -> bool {
        self.served().is_some_and(|served| stream.div_ceil(2) > served)
    }

    fn scripted_goaway(&mut self, stream: u32) {
        let (Some(goaway), Some(served)) = (&self.script.faults.goaway, self.served()) else { return };
        if self.end.is_some() || stream.div_ceil(2) < self.before_script + goaway.after_streams.max(1) {
            return;
        }
        let last = (served * 2).saturating_sub(1);
        let debug = self.door.borrow().debug_data(&goaway.reason);
        let end = if goaway.linger { End::Lingering } else { End::Drained };
        let (code, twice) = (ErrorCode(goaway.code), goaway.twice);
        self.go_away(last, code, &debug, end);
        if twice {
            self.go_away(last, code, &debug, end);
        }
    }

    fn go_away(&mut self, last: u32, code: ErrorCode, debug: &str, end: End) {
        self.session.go_away(last, code, debug);
        self.entries.push(Entry::GoAway);
        self.end = Some(end);
    }

    fn stall_end(&self, now: Instant) -> Option<Instant> {
        let elapsed = self.script.elapsed(now);
        let ends = self.script.faults.stalls.iter().filter_map(|window| window.end_if_within(elapsed));
        ends.max().map(|end| self.script.since + end)
    }

    /// Gives a whole request what it deserves, or what the script has for it.
    fn process(&mut self, incoming: Incoming, now: Instant, wall: UnixMillis) {
        if incoming.oversized {
            let reply = Reply { reason: Some("HeaderListTooLarge".to_owned()), ..Reply::new(431) };
            self.entries.push(Entry::answered(&reply, now, wall));
            return self.send(incoming.stream, reply);
        }
        let stream = incoming.stream;
        if self.fast.is_some() && incoming.fields.is_empty() {
            return self.send_fast(stream);
        }
        let request = self.read(incoming, now, wall);
        let is_push = self.door.borrow().is_push(&request.path);
        if is_push && self.fast.is_some() {
            self.session.go_blind();
            self.full_limit();
            return self.send_fast(stream);
        }
        if is_push && self.is_lost(stream) {
            return;
        }
        let injected = if is_push { self.draw_injected(now) } else { None };
        let circumstances = Circumstances { faults: &self.script.faults, injected };
        let reply = self.door.borrow_mut().answer(&request, circumstances);
        self.entries.push(Entry::answered(&reply, now, wall));
        let delay = reply.delay + if is_push { self.draw_latency() } else { Duration::ZERO };
        if delay.is_zero() {
            return self.send(stream, reply);
        }
        self.counted += 1;
        self.due.push(Reverse(Due { at: now + delay, nth: self.counted, stream, reply }));
    }

    fn read(&self, incoming: Incoming, at: Instant, wall: UnixMillis) -> Request {
        let mut request = Request {
            connection: self.peer.number,
            stream: incoming.stream,
            method: String::new(),
            path: String::new(),
            authority: String::new(),
            headers: Vec::with_capacity(incoming.fields.len()),
            body: incoming.body,
            client_certificate: self.peer.certificate.clone(),
            at,
            wall,
        };
        for (name, value) in incoming.fields {
            match name.as_str() {
                ":method" => request.method = value,
                ":path" => request.path = value,
                ":authority" => request.authority = value,
                ":scheme" => {}
                _ => request.headers.push((name, value)),
            }
        }
        request
    }

    fn send_fast(&mut self, stream: u32) {
        let Some(fast) = &self.fast else { return };
        self.session.respond(stream, fast.block.clone(), fast.body.clone());
        self.blind += 1;
    }

    fn send(&mut self, stream: u32, reply: Reply) {
        match reply.endless {
            true => self.session.begin(stream, block(&reply)),
            false => self.session.respond(stream, block(&reply), reply.body),
        }
        match reply.stream_limit {
            StreamLimit::Keep => {}
            StreamLimit::Full => self.full_limit(),
            StreamLimit::To(limit) => {
                self.full = false;
                self.session.limit_streams(limit);
            }
        }
        if let Some(debug) = reply.goaway.filter(|_| self.end.is_none()) {
            self.go_away(self.session.highest(), ErrorCode::NO_ERROR, &debug, End::Drained);
        }
    }

    fn full_limit(&mut self) {
        self.full = true;
        let limit = self.scripted_limit.unwrap_or_else(|| self.door.borrow().full_stream_limit());
        self.session.limit_streams(limit);
    }
}

fn block(reply: &Reply) -> Bytes {
    let mut block = BytesMut::with_capacity(128);
    hpack::encode_status(reply.status, &mut block);
    reply.headers.iter().for_each(|(name, value)| hpack::encode_field(name, value, &mut block));
    block.freeze()
}
