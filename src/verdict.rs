//! What a provider said of one attempt.
//!
//! A provider's answer is read once, at the edge, into three small closed answers: what it means for this push
//! ([`Fate`]), for its route ([`RouteEffect`]) and for the connection it came by ([`ConnectionEffect`]). Nothing behind
//! the edge looks at a status code or a reason again; they are kept only to be reported.

use std::borrow::Cow;
use std::time::Duration;

use crate::job::UnixMillis;

/// A reason, in the provider's own word where there is one (`BadDeviceToken`), else Tidegate's in snake_case (`timeout`).
/// An open set: what is not known is kept as it came.
pub type Reason = Cow<'static, str>;

/// One attempt's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it means for this push.
    pub fate: Fate,
    /// What it means for the route.
    pub route: RouteEffect,
    /// What it means for the connection it came by.
    pub connection: ConnectionEffect,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why, unless it was accepted.
    pub reason: Option<Reason>,
}

/// What an attempt means for its push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The provider accepted it.
    Accepted {
        /// What the provider calls it (`apns-id`, FCM's message name).
        provider_id: Option<Box<str>>,
    },
    /// The address is dead: stop using it.
    Unregistered {
        /// Since when, where the provider says so; a registration newer than this is alive.
        since: Option<UnixMillis>,
    },
    /// This push can never succeed.
    Rejected,
    /// Try again, not before `after` from now.
    Retry {
        /// The least delay; the provider's own word or the table's floor. Backoff may make it longer.
        after: Duration,
        /// What became of this attempt.
        sent: Sent,
    },
    /// Renew the credential and try again at once, at most once a push; a second time it is [`Fate::Keep`].
    Resign,
    /// Nothing is wrong with the push: the route's credential or configuration is broken. It is kept until that is mended.
    Keep,
}

/// Whether a provider may have acted on an attempt that it did not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Surely not processed (never written, refused, above a GOAWAY's last stream): costs no attempt, can't double.
    No,
    /// Answered, with a refusal that may pass: costs an attempt, can't double.
    Refused,
    /// Written, and never answered: costs an attempt, and the retry may double it.
    Unknown,
}

/// What an attempt means for its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteEffect {
    /// Nothing.
    None,
    /// The provider is overloaded: fewer at once, and nothing at all for `pause` where one is given.
    Slow {
        /// `Retry-After`, or the table's default.
        pause: Option<Duration>,
    },
    /// Only this device is throttled. Never slows the route.
    SlowDevice,
    /// Something is wrong that an operator should see; pushes go on.
    Alert,
    /// The same, and it is the address: it lives, for another topic or project. One of them is its caller's mistake,
    /// many are the operator's, so that they count among the dead (FLOW.md, 3.9).
    Misaddressed,
    /// The credential or configuration is broken: park the route and raise an alarm.
    Park,
}

/// What an attempt means for its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEffect {
    /// Nothing.
    Keep,
    /// Use it for nothing new; what is in flight may end.
    Retire,
    /// Retire it if its answers were of this kind three times in a row.
    Suspect,
}

impl Verdict {
    /// A verdict that concerns the push alone.
    #[must_use]
    pub const fn of(fate: Fate) -> Self {
        Self { fate, route: RouteEffect::None, connection: ConnectionEffect::Keep, status: None, reason: None }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Reason>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the HTTP status of the answer.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same with an effect on the route.
    #[must_use]
    pub const fn on_route(mut self, effect: RouteEffect) -> Self {
        self.route = effect;
        self
    }

    /// The same with an effect on the connection.
    #[must_use]
    pub const fn on_connection(mut self, effect: ConnectionEffect) -> Self {
        self.connection = effect;
        self
    }
}
