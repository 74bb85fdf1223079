//! One route's connections.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::Attempt;
use super::backoff::ConnectBackoff;
use super::connect::{self, Destination, Opened, Resolver};
use super::connection::Connection;
use super::failure::{Failure, FailureKind};
use super::line::{ConnectionId, Line};
use super::options::PoolOptions;
use crate::provider::{Endpoint, Request};
use crate::verdict::{ConnectionEffect, Sent};

mod age;

/// How often a lasting lack of connections is told.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Why there can be no pool for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolError {
    /// The host is neither a name nor an address.
    Host(String),
}

impl std::fmt::Display for PoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PoolError::Host(host) = self;
        write!(f, "`{host}` is neither a host name nor an address")
    }
}

impl std::error::Error for PoolError {}

/// A snapshot for metrics and status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections in use.
    pub open: usize,
    /// Those of them that have answered.
    pub proven: usize,
    /// One is being opened.
    pub connecting: bool,
    /// Connections that only finish what they carry.
    pub draining: usize,
    /// Streams in flight on all of them.
    pub in_flight: usize,
    /// Streams that the connections in use may carry at once, as the servers' limits are now.
    pub stream_limit: usize,
    /// Why the last connection could not be opened or ended early; empty once one has answered since.
    pub last_failure: Option<String>,
}

/// One route's connections to one endpoint. It belongs to one task; must be used within a tokio runtime.
pub struct Pool {
    destination: Destination,
    authority: Authority,
    options: Arc<PoolOptions>,
    connections: Vec<Connection>,
    connecting: Option<AbortOnDropHandle<Result<Opened, Failure>>>,
    backoff: ConnectBackoff,
    bell: Arc<Notify>,
    last_id: u64,
    /// Growth was asked for and not granted: `changed` wakes the owner when it may ask again.
    unmet: bool,
    /// The old connection whose successor is being opened.
    replaces: Option<ConnectionId>,
    last_failure: Option<Failure>,
    /// When an operator was last told that there is no connection.
    last_said: Option<Instant>,
}

impl Pool {
    /// A pool without connections. `tls` offers `h2` alone (see [`crate::provider::tls::http2`]).
    ///
    /// # Errors
    /// [`PoolError`] if the endpoint's host can't be one.
    pub fn new(endpoint: &Endpoint, tls: Arc<ClientConfig>, options: PoolOptions) -> Result<Self, PoolError> {
        Self::with_resolver(endpoint, tls, options, connect::system_resolver())
    }

    /// The same with another look-up of names than the system's.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn with_resolver(
        endpoint: &Endpoint,
        tls: Arc<ClientConfig>,
        options: PoolOptions,
        resolver: Resolver,
    ) -> Result<Self, PoolError> {
        let bad_host = || PoolError::Host(endpoint.host.clone());
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| bad_host())?;
        let destination = Destination {
            host: endpoint.host.clone(),
            port: endpoint.port,
            name,
            tls: TlsConnector::from(tls),
            resolver,
        };
        Ok(Self {
            authority: authority(endpoint).ok_or_else(bad_host)?,
            destination,
            options: Arc::new(options),
            connections: Vec::new(),
            connecting: None,
            backoff: ConnectBackoff::default(),
            bell: Arc::new(Notify::new()),
            last_id: 0,
            unmet: false,
            replaces: None,
            last_failure: None,
            last_said: None,
        })
    }

    /// Changes how many connections may be in use, and how long an answer to what is sent from now on may take. No
    /// connection is dropped: those that are too many, the youngest, take nothing new and end when they carry nothing.
    pub fn set_limits(&mut self, max_connections: usize, request_timeout: Duration) {
        if (self.options.max_connections, self.options.request_timeout) == (max_connections, request_timeout) {
            return;
        }
        self.options = Arc::new(PoolOptions { max_connections, request_timeout, ..(*self.options).clone() });
        self.trim();
    }

    fn trim(&mut self) {
        let in_use = self.connections.iter_mut().filter(|connection| connection.is_in_use());
        in_use.skip(self.options.max_connections).for_each(Connection::retire);
    }

    /// How many requests could be sent now. It can shrink at any time by what the server says.
    #[must_use]
    pub fn room(&self) -> usize {
        self.connections.iter().map(|connection| connection.room(&self.options)).sum()
    }

    /// Says that `wanted` requests could be sent now if there were room for them. Opens one more connection if there
    /// is not, and if the limits, a connection that is just coming up, and the backoff permit it; else
    /// [`changed`](Self::changed) tells when to ask again.
    pub fn grow(&mut self, wanted: usize) {
        self.sweep();
        let now = Instant::now();
        let in_use = self.connections.iter().filter(|connection| connection.is_in_use()).count();
        self.unmet = wanted > self.room() && in_use < self.options.max_connections;
        if self.unmet && self.may_open(now) {
            self.unmet = false;
            self.open();
        }
    }

    fn may_open(&self, now: Instant) -> bool {
        // Those that only finish what they carry are bounded too: a server that says GOAWAY after each request must
        // not make us hold sockets without end.
        self.connecting.is_none()
            && self.connections.len() < 2 * self.options.max_connections
            && self.backoff.closed_until(now).is_none()
            && self.on_probation_until(now).is_none()
    }

    fn open(&mut self) {
        let options = Arc::clone(&self.options);
        let bell = Arc::clone(&self.bell);
        let first_streams = options.first_streams;
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        let line = move || Line::new(id, first_streams, Arc::clone(&bell));
        let opening = connect::open(self.destination.clone(), options, line);
        self.connecting = Some(AbortOnDropHandle::new(tokio::spawn(opening)));
    }

    /// Sends a request on the connection that has the most room.
    ///
    /// # Errors
    /// The request itself, if there is no [room](Self::room). That can be so right after there was some: the server may
    /// have gone away or lowered its limit in between.
    #[expect(clippy::result_large_err, reason = "the request goes back by value, to be sent later")]
    pub fn send(&mut self, request: Request) -> Result<Attempt, Request> {
        let options = &self.options;
        let best = self.connections.iter_mut().max_by_key(|connection| connection.room(options));
        let Some(connection) = best.filter(|connection| connection.room(options) > 0) else { return Err(request) };
        Ok(connection.send(request, &self.authority, options))
    }

    /// Notes what an answer, or the lack of one, meant for the connection it came by.
    pub fn note(&mut self, connection: ConnectionId, effect: ConnectionEffect) {
        let Some(connection) = self.connections.iter_mut().find(|known| known.line.id == connection) else { return };
        if connection.note(effect) {
            // Opening another at once, to hear the same there, would be a storm of connects.
            self.backoff.failed(Instant::now(), fastrand::f64());
        }
    }

    /// Waits until room may have grown, a connection was opened or lost, or growth that was not granted may be asked
    /// for again. Also closes idle connections and replaces old ones. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            let bell = Arc::clone(&self.bell);
            let wake_at = self.wake_at(Instant::now());
            let opened = async {
                match &mut self.connecting {
                    Some(opening) => opening.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                opened = opened => {
                    self.connecting = None;
                    self.opened(opened.unwrap_or_else(|error| {
                        Err(Failure::connecting(FailureKind::ConnectFailed, error))
                    }));
                    return;
                }
                () = bell.notified() => {
                    self.sweep();
                    return;
                }
                () = sleep_until_some(wake_at) => {
                    let now = Instant::now();
                    self.sweep();
                    self.close_idle(now);
                    self.replace_old(now);
                    if self.unmet && self.may_open(now) {
                        return;
                    }
                }
            }
        }
    }

    /// When there is something to do by time alone.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let idle = self
            .connections
            .iter()
            .filter(|connection| connection.is_in_use() && connection.line.in_flight() == 0)
            .map(|connection| connection.line.last_used() + self.options.idle_timeout);
        let in_use = self.connections.iter().filter(|connection| connection.is_in_use()).count();
        // An attempt may end without anybody ringing here: look again after a whole idle time.
        let later = (in_use > 0).then(|| now + self.options.idle_timeout);
        let retry = self.unmet.then(|| self.backoff.closed_until(now)).flatten();
        let patience = self.unmet.then(|| self.on_probation_until(now)).flatten();
        idle.chain(later).chain(retry).chain(patience).chain(self.ages_at(now)).min()
    }

    /// Until when growth waits for a new connection to be proven.
    fn on_probation_until(&self, now: Instant) -> Option<Instant> {
        let patience = self.options.proof_patience;
        self.connections.iter().filter_map(|connection| connection.on_probation_until(patience, now)).max()
    }

    fn opened(&mut self, result: Result<Opened, Failure>) {
        match result {
            Ok(opened) => {
                let old_at = age::old_at(Instant::now(), self.options.max_age, fastrand::f64());
                self.connections.push(Connection::new(opened, old_at));
                self.replaced();
                // Fewer may be allowed by now than when it was begun.
                self.trim();
            }
            Err(failure) => self.failed(failure),
        }
    }

    fn failed(&mut self, failure: Failure) {
        let now = Instant::now();
        self.replaces = None;
        self.backoff.failed(now, fastrand::f64());
        if self.last_said.is_none_or(|at| now >= at + SAY_EVERY) {
            self.last_said = Some(now);
            let (host, port) = (&self.destination.host, self.destination.port);
            tracing::warn!(host, port, %failure, "no connection to the provider; trying on");
        }
        self.last_failure = Some(failure);
    }

    /// Settles what the lines say: what was proven, what is going away, what has ended.
    fn sweep(&mut self) {
        for connection in &mut self.connections {
            if connection.line.has_served() && !connection.counted {
                connection.counted = true;
                self.backoff.served();
                self.last_failure = None;
                if self.last_said.take().is_some() {
                    tracing::info!(host = self.destination.host, "the provider answers again");
                }
            }
        }
        let mut early = Vec::new();
        for connection in &mut self.connections {
            let ends = connection.line.is_going_away() || connection.line.is_closed();
            if ends && connection.is_in_use() {
                connection.retire();
                if !connection.line.is_proven() {
                    early.push(Arc::clone(&connection.line));
                }
            }
        }
        for line in early {
            let failure = Failure::new(FailureKind::ConnectionLost, Sent::No).with_word(line.goaway_word());
            self.failed(match line.end() {
                Some(end) => failure.detailed(end),
                None => failure,
            });
        }
        self.connections.retain(|connection| !connection.line.is_closed());
    }

    fn close_idle(&mut self, now: Instant) {
        let idle_timeout = self.options.idle_timeout;
        for connection in &mut self.connections {
            let idle = connection.line.in_flight() == 0 && now >= connection.line.last_used() + idle_timeout;
            if idle && connection.is_in_use() {
                connection.retire();
            }
        }
    }

    /// How many connections in a row could not be made, or ended before they had answered, while there is none in use;
    /// 0 if there is one. Changes only within [`changed`](Self::changed) and [`grow`](Self::grow).
    #[must_use]
    pub fn unreachable(&self) -> u32 {
        let in_use = self.connections.iter().any(Connection::is_in_use);
        if in_use { 0 } else { self.backoff.failures().into() }
    }

    /// Why the last connection could not be opened or ended early; `None` once one has answered since.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let mut status = PoolStatus {
            connecting: self.connecting.is_some(),
            last_failure: self.last_failure.as_ref().map(ToString::to_string),
            ..PoolStatus::default()
        };
        for connection in self.connections.iter().filter(|connection| !connection.line.is_closed()) {
            status.in_flight += connection.line.in_flight();
            status.stream_limit += connection.limit(&self.options);
            if connection.is_in_use() && !connection.line.is_going_away() {
                status.open += 1;
                status.proven += usize::from(connection.line.is_proven());
            } else {
                status.draining += 1;
            }
        }
        status
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.connections.iter_mut().for_each(Connection::retire);
    }
}

/// Host and port as `:authority` has them: the port only if it is not 443, an IPv6 address in brackets.
fn authority(endpoint: &Endpoint) -> Option<Authority> {
    let host = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    match endpoint.port {
        443 => host.parse().ok(),
        port => format!("{host}:{port}").parse().ok(),
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
