//! A request that got no answer, or a connection that could not be made: why, and whether the provider can have seen it.
//!
//! | what happened | [`Sent`] | source |
//! | --- | --- | --- |
//! | no connection; TLS refused; the connection took no more requests | `No` | never written |
//! | RST_STREAM(REFUSED_STREAM) | `No` | RFC 9113, section 8.7 |
//! | GOAWAY, the stream above its last id | `No` | RFC 9113, section 6.8 |
//! | any other reset, connection lost, no answer in time | `Unknown` | |

use std::time::Duration;

use crate::verdict::{ConnectionEffect, Fate, Reason, RouteEffect, Sent, Verdict};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No whole answer within the request's time.
    Timeout,
    /// The connection ended, or went silent, with the request under way.
    ConnectionLost,
    /// The server refused the stream before looking at it.
    RefusedStream,
    /// The server is going away and did not look at the stream.
    GoAway,
    /// The server, or the protocol, broke the stream off; the HTTP/2 error code.
    Reset(u32),
    /// The name has no address, or can't be looked up.
    NameNotResolved,
    /// The name has addresses, and none of them may be dialled.
    AddressNotAllowed,
    /// No TCP connection to any address.
    ConnectFailed,
    /// TLS failed: certificate, name, protocol.
    TlsFailed,
    /// The server doesn't speak HTTP/2 (ALPN).
    NoHttp2,
    /// TLS stands, but the server's first SETTINGS never came.
    HandshakeFailed,
}

impl FailureKind {
    /// The kind's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureKind::Timeout => "timeout",
            FailureKind::ConnectionLost => "connection_lost",
            FailureKind::RefusedStream => "refused_stream",
            FailureKind::GoAway => "goaway",
            FailureKind::Reset(_) => "stream_reset",
            FailureKind::NameNotResolved => "name_not_resolved",
            FailureKind::AddressNotAllowed => "address_not_allowed",
            FailureKind::ConnectFailed => "connect_failed",
            FailureKind::TlsFailed => "tls_failed",
            FailureKind::NoHttp2 => "no_http2",
            FailureKind::HandshakeFailed => "handshake_failed",
        }
    }
}

/// A request without an answer, or a connection that could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// Whether the provider can have seen the request.
    pub sent: Sent,
    /// The reason the server gave with its GOAWAY (`Shutdown`, `IdleTimeout`), if it did.
    pub word: Option<Box<str>>,
    /// What the system or TLS said of it, for logs; at most some hundred characters, no secrets in it.
    pub detail: Option<Box<str>>,
}

impl Failure {
    pub(super) const fn new(kind: FailureKind, sent: Sent) -> Self {
        Self { kind, sent, word: None, detail: None }
    }

    /// Something that ended before a request was on its way.
    pub(super) fn connecting(kind: FailureKind, detail: impl ToString) -> Self {
        Self::new(kind, Sent::No).detailed(detail)
    }

    pub(super) fn detailed(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string().chars().take(300).collect::<String>().into_boxed_str());
        self
    }

    pub(super) fn with_word(mut self, word: Option<Box<str>>) -> Self {
        self.word = word;
        self
    }

    /// What became of a request whose stream ended in `error`.
    pub(super) fn of_stream(error: &h2::Error) -> Self {
        let code = error.reason();
        let failure = if error.is_go_away() && error.is_remote() {
            // h2 ends a stream with the peer's GOAWAY only if it is above the last id (proto/streams, recv_go_away);
            // those below it go on, and end with the connection.
            Self::new(FailureKind::GoAway, Sent::No)
        } else if error.is_reset() && error.is_remote() && code == Some(h2::Reason::REFUSED_STREAM) {
            Self::new(FailureKind::RefusedStream, Sent::No)
        } else if error.is_reset() {
            Self::new(FailureKind::Reset(code.map_or(0, u32::from)), Sent::Unknown)
        } else {
            Self::new(FailureKind::ConnectionLost, Sent::Unknown)
        };
        failure.detailed(error)
    }

    /// The provider's own word, else ours.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.word.as_ref().map_or(Reason::Borrowed(self.kind.as_str()), |word| Reason::Owned(word.to_string()))
    }

    /// What it means for the push, its route and the connection.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let route = match self.kind {
            FailureKind::Timeout => RouteEffect::Slow { pause: None },
            FailureKind::Reset(code) if code == u32::from(h2::Reason::ENHANCE_YOUR_CALM) => {
                RouteEffect::Slow { pause: None }
            }
            _ => RouteEffect::None,
        };
        let connection = match self.kind {
            FailureKind::RefusedStream => ConnectionEffect::Keep,
            FailureKind::Timeout | FailureKind::Reset(_) => ConnectionEffect::Suspect,
            _ => ConnectionEffect::Retire,
        };
        Verdict::of(Fate::Retry { after: Duration::ZERO, sent: self.sent })
            .because(self.reason())
            .on_route(route)
            .on_connection(connection)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(word) = &self.word {
            write!(f, " ({word})")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_surely_not_seen_costs_no_attempt() {
        let verdict = Failure::new(FailureKind::GoAway, Sent::No).with_word(Some("Shutdown".into())).verdict();
        assert_eq!(verdict.fate, Fate::Retry { after: Duration::ZERO, sent: Sent::No });
        assert_eq!(verdict.reason.as_deref(), Some("Shutdown"));
        assert_eq!(verdict.connection, ConnectionEffect::Retire);
        assert_eq!(verdict.route, RouteEffect::None);
    }

    #[test]
    fn a_timeout_slows_the_route_and_casts_suspicion_on_the_connection() {
        let verdict = Failure::new(FailureKind::Timeout, Sent::Unknown).verdict();
        assert_eq!(verdict.fate, Fate::Retry { after: Duration::ZERO, sent: Sent::Unknown });
        assert_eq!(verdict.route, RouteEffect::Slow { pause: None });
        assert_eq!(verdict.connection, ConnectionEffect::Suspect);
        assert_eq!(verdict.reason.as_deref(), Some("timeout"));
    }

    #[test]
    fn a_refused_stream_says_nothing_against_its_connection() {
        let verdict = Failure::new(FailureKind::RefusedStream, Sent::No).verdict();
        assert_eq!(verdict.connection, ConnectionEffect::Keep);
    }
}
