//! What sets one provider apart from another: how an attempt is put, what its answer means, and the credential.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::Origin;
use crate::job::{Push, UnixMillis};
use crate::verdict::{Reason, Verdict};

/// One attempt, ready for the wire. `:method` is POST, `:scheme` https, `:authority` the endpoint's.
#[derive(Debug, Clone)]
pub struct Request {
    /// `:path`.
    pub path: http::uri::PathAndQuery,
    /// The other headers. Secrets among them are marked sensitive.
    pub headers: http::HeaderMap,
    /// The body; shared by the targets of a fan-out job where it is the same for all of them.
    pub body: Bytes,
}

/// A provider's answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, cut off at 64 KiB.
    pub body: Bytes,
}

/// The state of a route's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Being obtained for the first time, or again after a time of trouble that may pass: pushes wait.
    Pending,
    /// Usable; until when, where that is known (a client certificate, an access token).
    Ready {
        /// When it ends by itself.
        expires: Option<UnixMillis>,
    },
    /// Refused by whoever issues it (`invalid_grant`): no push goes out until that is mended.
    Broken {
        /// The issuer's own word.
        reason: Reason,
    },
}

/// One route's protocol: pure but for the credential that it reads. Nothing in here waits.
pub trait Protocol: Send + Sync + 'static {
    /// Puts one attempt.
    ///
    /// # Errors
    /// The verdict, if the push can't be put at all (payload too large, a header that can't be one, …).
    fn request(&self, push: &Push, left: Duration, now: UnixMillis) -> Result<Request, Verdict>;

    /// Which server `push` goes to, where a provider is many; `None`: the one endpoint.
    ///
    /// # Errors
    /// The verdict, if it goes to none.
    fn origin(&self, push: &Push) -> Result<Option<Origin>, Verdict> {
        let _ = push;
        Ok(None)
    }

    /// Reads the answer to an attempt of `push`. The one place where this provider's statuses and reasons are looked at.
    fn verdict(&self, push: &Push, answer: &Answer) -> Verdict;

    /// The credential's state, and its changes.
    fn credential(&self) -> watch::Receiver<Credential>;

    /// Over what time the traffic of a route that begins shall rise to its rate; `None`: the provider asks for nothing of
    /// the kind.
    fn rises_over(&self) -> Option<Duration> {
        None
    }

    /// Asks for a fresh credential, because the provider refused the one in use. Many calls make one renewal.
    fn renew(&self);
}
