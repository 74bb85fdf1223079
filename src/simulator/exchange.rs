//! What the protocol half of the simulator and the provider half say to each other.

use std::time::Instant;

use bytes::Bytes;

use crate::job::UnixMillis;

/// One request, whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which connection it came by, counted from 1.
    pub connection: u64,
    /// Its stream on that connection.
    pub stream: u32,
    /// `:method`.
    pub method: String,
    /// `:path`.
    pub path: String,
    /// `:authority`.
    pub authority: String,
    /// The other headers, in the order sent, names in lower case, repeats kept.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The client certificate of the connection, DER.
    pub client_certificate: Option<Bytes>,
    /// When it was complete, on the monotonic clock.
    pub at: Instant,
    /// When it was complete, on the wall clock (which tests may move).
    pub wall: UnixMillis,
}

impl Request {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a connection's MAX_CONCURRENT_STREAMS shall be after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamLimit {
    /// As it is.
    Keep,
    /// The door's full limit (APNs: a valid token was accepted).
    Full,
    /// This many (APNs: 1 after an error).
    To(u32),
}

/// What a request deserves.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside `:status`, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty: END_STREAM comes with the headers.
    pub body: Bytes,
    /// Whether the provider took responsibility for the push (ledger: accepted).
    pub accepted: bool,
    /// The device address the request was for (ledger), where it could be read.
    pub target: Option<String>,
    /// What identifies the push across re-sends (ledger: duplicates): APNs `apns-id`, for FCM the door's choice.
    pub push: Option<String>,
    /// A word for what was wrong (ledger: by reason).
    pub reason: Option<String>,
    /// The connection's stream limit from now on.
    pub stream_limit: StreamLimit,
    /// Close the connection gracefully after this answer: GOAWAY with this debug data.
    pub goaway: Option<String>,
}

/// One provider's behaviour, apart from the protocol below it. One door serves all connections of one listener.
pub trait Door: Send {
    /// The stream limit a new connection is given first.
    fn first_stream_limit(&self, client_certificate: bool) -> u32;

    /// The limit after [`StreamLimit::Full`].
    fn full_stream_limit(&self) -> u32;

    /// What `request` deserves. Time is in the request.
    fn answer(&mut self, request: &Request) -> Reply;

    /// A connection ended; what was kept for it can go.
    fn closed(&mut self, connection: u64);
}
