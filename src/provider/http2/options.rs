//! What can be set about a pool.

use std::time::Duration;

use http::HeaderName;

use super::MAX_ANSWER_BYTES;

/// Limits and times of one route's pool. Every time is more than zero.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Connections in use at once, at most; those that only finish what they carry can be as many again.
    pub max_connections: usize,
    /// Streams at once on one connection, at most; the server's limit holds too.
    pub max_streams: usize,
    /// Streams at once on a connection that has not answered yet. APNs allows one until it has seen a valid token.
    pub first_streams: usize,
    /// From sending a request to the end of its answer; then the stream is reset.
    pub request_timeout: Duration,
    /// For each address: TCP, TLS, and the server's first SETTINGS.
    pub connect_timeout: Duration,
    /// A connection that carried nothing for so long is closed.
    pub idle_timeout: Duration,
    /// A connection that has been open for so long, or for up to a quarter less, is replaced.
    pub max_age: Duration,
    /// With streams open, a PING goes out after so long a silence.
    pub ping_after: Duration,
    /// A connection that is silent for so long after a PING is lost.
    pub pong_within: Duration,
    /// While a new connection has not answered, no other is opened, but for no longer than this: some requests are never
    /// answered (PROVIDERS 1.6, "silent streams"), and one of them must not stop growth.
    pub proof_patience: Duration,
    /// Whether a server that doesn't choose h2 is spoken to in HTTP/1.1, one request at a time on each connection.
    pub http1: bool,
    /// An answer's body is cut off here, bytes.
    pub max_answer: usize,
    /// Headers whose values differ with every request: put into HPACK's table by a connection's first request only, so
    /// that they don't drive out what repeats (PROVIDERS 1.2).
    pub volatile_headers: Vec<HeaderName>,
}

impl PoolOptions {
    /// What suits APNs: idle connections are kept for 10 minutes.
    #[must_use]
    pub fn apns(max_connections: usize, request_timeout: Duration) -> Self {
        Self {
            max_connections,
            // More than APNs ever advertised (1,500): its own limit is what counts.
            max_streams: 2_000,
            first_streams: 1,
            request_timeout,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            // Apple wants connections kept, and has no limit to their age; an hour finds what DNS says by now.
            max_age: Duration::from_secs(3_600),
            ping_after: Duration::from_secs(10),
            pong_within: Duration::from_secs(10),
            proof_patience: Duration::from_secs(2),
            http1: false,
            max_answer: MAX_ANSWER_BYTES,
            volatile_headers: ["apns-id", "apns-expiration", "apns-collapse-id"].map(HeaderName::from_static).to_vec(),
        }
    }

    /// What suits FCM: it closes an idle connection after 240 s and punishes pings, so we close before that.
    #[must_use]
    pub fn fcm(max_connections: usize, request_timeout: Duration) -> Self {
        Self {
            idle_timeout: Duration::from_secs(180),
            volatile_headers: Vec::new(),
            ..Self::apns(max_connections, request_timeout)
        }
    }

    /// What suits one push service among many, who may wish us ill: answers are cut short, an idle connection goes soon.
    #[must_use]
    pub fn webpush(max_connections: usize, request_timeout: Duration) -> Self {
        Self {
            max_streams: 1_000,
            idle_timeout: Duration::from_secs(90),
            http1: true,
            // Push services answer with some hundred bytes; thousands of answers may be under way.
            max_answer: 4 * 1024,
            volatile_headers: Vec::new(),
            ..Self::apns(max_connections, request_timeout)
        }
    }
}
