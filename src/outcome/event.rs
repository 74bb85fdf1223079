//! The outcome of one push (SPEC.md, section 6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::{Push, UnixMillis};
use crate::verdict::Reason;

/// How a push ended. Every push of an accepted job has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The provider accepted it.
    Delivered,
    /// The token is dead: stop using it.
    Unregistered,
    /// This push can never succeed.
    Rejected,
    /// Its time to live passed before it could be sent.
    Expired,
    /// A newer push with the same collapse key took its place.
    Collapsed,
    /// The overload policy dropped it.
    Shed,
    /// Attempts, retry budget or delivery count ended; also a dead letter.
    Failed,
}

impl OutcomeKind {
    /// All kinds, in the order of their [`index`](Self::index).
    pub const ALL: [OutcomeKind; 7] = [
        OutcomeKind::Delivered,
        OutcomeKind::Unregistered,
        OutcomeKind::Rejected,
        OutcomeKind::Expired,
        OutcomeKind::Collapsed,
        OutcomeKind::Shed,
        OutcomeKind::Failed,
    ];

    /// The kind's place in an array of seven.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The kind's name, as events, routing keys and metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OutcomeKind::Delivered => "delivered",
            OutcomeKind::Unregistered => "unregistered",
            OutcomeKind::Rejected => "rejected",
            OutcomeKind::Expired => "expired",
            OutcomeKind::Collapsed => "collapsed",
            OutcomeKind::Shed => "shed",
            OutcomeKind::Failed => "failed",
        }
    }
}

/// How one push ended, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub kind: OutcomeKind,
    /// The provider's own word where there is one, else Tidegate's in snake_case; absent when delivered.
    pub reason: Option<Reason>,
    /// The HTTP status of the last answer.
    pub status: Option<u16>,
    /// Attempts made in all.
    pub attempts: u8,
    /// What the provider calls the push.
    pub provider_id: Option<Box<str>>,
    /// Since when the token is dead, where the provider says so.
    pub since: Option<UnixMillis>,
    /// When it ended.
    pub at: UnixMillis,
}

/// A push and its outcome.
pub struct Ended {
    /// The push.
    pub push: Push,
    /// How it ended.
    pub outcome: Outcome,
}
