//! What the ledger says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::Provider;

/// Everything, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LedgerSnapshot {
    /// APNs' door.
    pub apns: DoorFigures,
    /// FCM's door, without its token endpoint.
    pub fcm: DoorFigures,
    /// The push services' doors, together.
    pub webpush: DoorFigures,
    /// The token endpoint.
    pub tokens: TokenFigures,
    /// Pushes whose details are kept.
    pub pushes_kept: usize,
    /// More pushes came than are kept: details and duplicates are incomplete.
    pub truncated: bool,
}

impl LedgerSnapshot {
    /// A door's figures.
    #[must_use]
    pub fn door(&self, provider: Provider) -> Option<&DoorFigures> {
        match provider {
            Provider::Apns => Some(&self.apns),
            Provider::Fcm => Some(&self.fcm),
            Provider::Webpush => Some(&self.webpush),
        }
    }
}

/// One door's figures, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DoorFigures {
    /// Requests that were whole, answered or not.
    pub received: u64,
    /// Requests that were answered 200.
    pub accepted: u64,
    /// Acceptances beyond a push id's first.
    pub duplicates: u64,
    /// Requests that were answered otherwise, by reason (the provider's word).
    pub rejected: BTreeMap<String, u64>,
    /// Requests that were held back for ever (a fault).
    pub unanswered: u64,
    /// Requests that were reset (a fault), or left unprocessed by a GOAWAY.
    pub reset: u64,
    /// Streams that were refused because the limit was reached.
    pub refused: u64,
    /// Streams that the client reset.
    pub cancelled: u64,
    /// TCP connections.
    pub connections: u64,
    /// Of these, TLS handshakes that ended well.
    pub handshakes: u64,
    /// Of these, TLS handshakes that failed, or offered the wrong protocol.
    pub failed_handshakes: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// The most streams that any one connection had open at once.
    pub max_in_flight: u32,
    /// GOAWAYs sent.
    pub goaways: u64,
    /// What clients did against HTTP/2 or against limits that they had acknowledged.
    pub protocol_violations: u64,
    /// The same, by kind.
    pub violations: BTreeMap<String, u64>,
    /// Pushes that came again before the `Retry-After` of their own last answer was over.
    pub retry_after_violations: u64,
    /// Requests that came more than a second after an answer with `Retry-After` and before it was over, whatever the
    /// push. Counts a door's clients together, so it says something only where one credential uses the door.
    pub requests_in_retry_after: u64,
}

/// The token endpoint's figures, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TokenFigures {
    /// Requests.
    pub fetches: u64,
    /// Tokens given.
    pub granted: u64,
    /// The most requests at once.
    pub max_concurrent: u32,
}

/// One push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushRecord {
    /// By which door it came.
    pub provider: Provider,
    /// Its id.
    pub push: String,
    /// The device address, whole (this is a simulator's: no real device is behind it).
    pub target: String,
    /// Requests for it.
    pub received: u32,
    /// Of these, accepted.
    pub accepted: u32,
    /// The last answer's status.
    pub last_status: u16,
    /// The last answer's reason, where it was not accepted.
    pub last_reason: Option<String>,
    /// The first request's arrival, milliseconds since the Unix epoch.
    pub first_at: u64,
    /// The last request's.
    pub last_at: u64,
    /// What it said, for the first 10,000 of Web Push: these are decrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Which pushes are asked for; what is absent restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushQuery {
    /// Of this door.
    pub provider: Option<Provider>,
    /// With this id.
    pub push: Option<String>,
    /// To this device address.
    pub target: Option<String>,
    /// Accepted at least so often (2: the duplicates).
    pub accepted_at_least: Option<u32>,
    /// Accepted at most so often (0: those that never were).
    pub accepted_at_most: Option<u32>,
    /// At most so many (1,000 unless told).
    pub limit: Option<usize>,
}

/// The pushes asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PushPage {
    /// They, in no order.
    pub pushes: Vec<PushRecord>,
    /// There are more, or there were more than the ledger keeps.
    pub truncated: bool,
}
