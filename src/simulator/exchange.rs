//! What the protocol half of the simulator and the provider half say to each other.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Faults;
use super::quota::whole_seconds;
use crate::job::{Provider, UnixMillis};

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

/// What a reply is about (ledger).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A push.
    Push,
    /// An access token, and how many requests for one there were at that moment.
    Token {
        /// With this one.
        concurrent: u32,
    },
}

/// A fault that the protocol half drew for a request, and that the door puts into its provider's words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Injected {
    /// 429 though nothing is wrong.
    Throttle(super::Throttle),
    /// 5xx though nothing is wrong.
    ServerError(super::ServerError),
}

/// Under which circumstances a request is answered.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The faults in force.
    pub faults: &'a Faults,
    /// What was drawn for this request, in place of an acceptance.
    pub injected: Option<Injected>,
}

/// What a request deserves.
#[derive(Debug, Clone)]
pub struct Reply {
    /// What it is about.
    pub subject: Subject,
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
    /// Nobody shall come back before that (ledger: `Retry-After` violations).
    pub retry_after: Option<Duration>,
    /// How much longer than usual it takes.
    pub delay: Duration,
    /// The body begins and never ends (HTTP/2 only).
    pub endless: bool,
    /// What the push said, where the door can read it and shall remember it (ledger).
    pub message: Option<String>,
}

impl Reply {
    /// A bare reply about a push.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            subject: Subject::Push,
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            accepted: false,
            target: None,
            push: None,
            reason: None,
            stream_limit: StreamLimit::Keep,
            goaway: None,
            retry_after: None,
            delay: Duration::ZERO,
            endless: false,
            message: None,
        }
    }
}

/// The words of a GOAWAY: its error code and its debug data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// The error code (RFC 9113, section 7).
    pub code: u32,
    /// The debug data.
    pub debug: String,
}

/// One provider's behaviour, apart from the protocol below it. One door serves all connections of one listener, on one
/// thread.
pub trait Door {
    /// Whose door it is.
    fn provider(&self) -> Provider;

    /// Whether HTTP/1.1 is spoken too.
    fn speaks_http1(&self) -> bool;

    /// The stream limit a new connection is given first.
    fn first_stream_limit(&self, _client_certificate: bool) -> u32 {
        self.full_stream_limit()
    }

    /// The limit after [`StreamLimit::Full`].
    fn full_stream_limit(&self) -> u32;

    /// MAX_HEADER_LIST_SIZE, bytes, where the provider announces one.
    fn header_list_limit(&self) -> Option<u32> {
        None
    }

    /// How long a connection may be without a request.
    fn idle_timeout(&self) -> Duration;

    /// What a connection is told that was.
    fn idle_farewell(&self) -> Farewell;

    /// What a client is told that opens more streams than it may; `None`: the surplus stream is refused, that is all.
    fn on_excess(&self) -> Option<Farewell>;

    /// The debug data for a GOAWAY with this reason, in the provider's form.
    fn debug_data(&self, reason: &str) -> String {
        reason.to_owned()
    }

    /// The answer to any push in fast mode.
    fn fast_reply(&self) -> Reply;

    /// Whether a request is a push: faults fall on pushes alone.
    fn is_push(&self, path: &str) -> bool;

    /// What `request` deserves. Time is in the request.
    fn answer(&mut self, request: &Request, circumstances: Circumstances<'_>) -> Reply;

    /// A connection ended; what was kept for it can go.
    fn closed(&mut self, connection: u64);
}

/// Puts what was drawn into the reply's `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(reply: &mut Reply, injected: Option<Injected>, now: UnixMillis) {
    let (wait, as_date) = match injected {
        Some(Injected::Throttle(throttle)) => (throttle.retry_after, throttle.as_date),
        Some(Injected::ServerError(error)) => (error.retry_after, false),
        None => (None, false),
    };
    if let Some(wait) = wait {
        put_retry_after(reply, wait, as_date, now);
    }
}

/// Puts `Retry-After` into a reply, rounded up to whole seconds.
pub(super) fn put_retry_after(reply: &mut Reply, wait: Duration, as_date: bool, now: UnixMillis) {
    let seconds = whole_seconds(wait);
    let (text, wait) = match as_date {
        false => (seconds.to_string(), Duration::from_secs(seconds)),
        true => {
            let at = now.seconds() + seconds;
            (http_date(at), Duration::from_millis((at * 1000).saturating_sub(now.0)))
        }
    };
    reply.headers.push(("retry-after", text));
    reply.retry_after = Some(wait);
}

/// An HTTP date (RFC 9110, section 5.6.7) of seconds since the Unix epoch.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // RFC 3339 does the calendar: `2026-11-24T14:50:00Z`.
    let text = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
    let day = DAYS[(seconds / 86_400 % 7) as usize];
    let month = text[5..7].parse::<usize>().map_or("Jan", |month| MONTHS[month - 1]);
    format!("{day}, {} {month} {} {} GMT", &text[8..10], &text[..4], &text[11..19])
}
