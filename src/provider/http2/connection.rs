//! One connection as the pool holds it: what it may carry now, and how a request gets onto it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::uri::{Authority, Parts, Scheme};
use http::{Method, Uri};
use tokio::time::Instant;

use super::attempt::Attempt;
use super::connect::{Opened, Requests};
use super::failure::{Failure, FailureKind};
use super::http1;
use super::line::{Line, Slot};
use super::options::PoolOptions;
use crate::provider::Request;
use crate::verdict::ConnectionEffect;

/// So many suspect answers in a row retire a connection (PROVIDERS 1.6: after N consecutive `InternalServerError`).
const SUSPICIONS: u8 = 3;

/// A connection of the pool.
pub(super) struct Connection {
    pub(super) line: Arc<Line>,
    /// None: nothing new goes out on it.
    requests: Option<Requests>,
    /// From when on it is replaced.
    pub(super) old_at: Instant,
    /// Whether it has carried a request: the first one fills HPACK's table.
    used: bool,
    /// It has answered, and the backoff knows.
    pub(super) counted: bool,
    suspicions: u8,
    /// The size of a large body of late: the largest, decaying by an eighth with each request. At least 1.
    large_body: usize,
}

impl Connection {
    pub(super) fn new(Opened { line, requests }: Opened, old_at: Instant) -> Self {
        Self { line, requests: Some(requests), old_at, used: false, counted: false, suspicions: 0, large_body: 1 }
    }

    /// Streams it may carry at once, now.
    pub(super) fn limit(&self, options: &PoolOptions) -> usize {
        if self.requests.is_none() || self.line.is_closed() || self.line.is_going_away() {
            return 0;
        }
        let limit = self.line.limit().min(options.max_streams);
        if self.line.is_proven() { limit } else { limit.min(options.first_streams) }
    }

    /// Streams it could take now: within the stream limit, and with bodies that fit into the window. What doesn't fit
    /// would only wait in h2, out of anybody's reach, while another connection could carry it.
    pub(super) fn room(&self, options: &PoolOptions) -> usize {
        let in_flight = self.line.in_flight();
        let streams = self.limit(options).saturating_sub(in_flight);
        let bodies = self.line.window() / self.large_body;
        // A server may wait for the window to be used up before it gives any back: one always fits.
        streams.min(if in_flight == 0 { bodies.max(1) } else { bodies })
    }

    /// What an answer, or the lack of one, meant for it. True if it is given up because of that, by us.
    pub(super) fn note(&mut self, effect: ConnectionEffect) -> bool {
        match effect {
            ConnectionEffect::Keep => self.suspicions = 0,
            ConnectionEffect::Retire => self.suspicions = SUSPICIONS,
            ConnectionEffect::Suspect => self.suspicions = self.suspicions.saturating_add(1),
        }
        if self.suspicions < SUSPICIONS || !self.is_in_use() {
            return false;
        }
        self.retire();
        !self.line.is_going_away() && !self.line.is_closed()
    }

    /// It is given nothing new. Once what it carries has ended, h2 closes it by itself, for nobody holds it any more.
    pub(super) fn retire(&mut self) {
        self.requests = None;
        self.line.release();
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.requests.is_some()
    }

    /// Until when others wait for it to be proven, if that is after `now`.
    pub(super) fn on_probation_until(&self, patience: Duration, now: Instant) -> Option<Instant> {
        let hopeful = self.is_in_use() && !self.line.is_proven();
        hopeful.then(|| self.line.opened_at() + patience).filter(|until| *until > now)
    }

    pub(super) fn send(&mut self, request: Request, authority: &Authority, options: &PoolOptions) -> Attempt {
        if let Some(Requests::Http1(requests)) = &self.requests {
            let slot = Slot::take(&self.line);
            let answer = http1::send(requests, request, authority, options.max_answer, &self.line);
            return Attempt::http1(answer, slot, options);
        }
        let Request { path, mut headers, body } = request;
        if self.used {
            for name in &options.volatile_headers {
                // h2 doesn't put a sensitive value into HPACK's table, and still uses the name if that is in it.
                if let Some(value) = headers.get_mut(name) {
                    value.set_sensitive(true);
                }
            }
        }
        self.used = true;
        self.large_body = body.len().max(self.large_body * 7 / 8).max(1);
        self.line.hand(body.len());
        let slot = Slot::take(&self.line);
        match self.start(uri(authority, path), headers, body) {
            Ok(response) => Attempt::started(response, slot, options),
            Err(error) => {
                self.retire();
                let kind = if error.is_go_away() { FailureKind::GoAway } else { FailureKind::ConnectionLost };
                let failure = Failure::connecting(kind, &error).with_word(self.line.goaway_word());
                Attempt::unsent(failure, self.line.id)
            }
        }
    }

    fn start(
        &mut self,
        uri: Uri,
        headers: http::HeaderMap,
        body: Bytes,
    ) -> Result<h2::client::ResponseFuture, h2::Error> {
        let Some(Requests::Http2(requests)) = &mut self.requests else {
            unreachable!("a connection with room is in use, and HTTP/1.1 goes another way")
        };
        // When the limit fell under what is in flight, h2 queues one stream and takes no other through the same
        // handle until that one is open. Our count is below the limit, so this passes soon: go by a fresh handle.
        let ready = futures::future::poll_fn(|cx| requests.poll_ready(cx)).now_or_never();
        let mut fresh;
        let requests = match ready {
            Some(result) => {
                result?;
                requests
            }
            None => {
                fresh = requests.clone();
                &mut fresh
            }
        };
        let mut message = http::Request::new(());
        *message.method_mut() = Method::POST;
        *message.uri_mut() = uri;
        *message.headers_mut() = headers;
        let (response, mut stream) = requests.send_request(message, body.is_empty())?;
        if !body.is_empty() {
            // Fails only if the stream has ended already; the response says how.
            let _ = stream.send_data(body, true);
        }
        Ok(response)
    }
}

fn uri(authority: &Authority, path: http::uri::PathAndQuery) -> Uri {
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).expect("scheme, authority and path make a URI")
}
