//! Provider simulators: APNs and FCM as servers, with faults.
//!
//! ```text
//! socket ─ TLS ─ HTTP/2 (frames, streams, limits, faults) ─▶ Door::answer (APNs, FCM, OAuth: what a request deserves) ─▶ reply
//!                                     └────▶ ledger (what arrived, what was accepted, what was doubled, who broke the protocol)
//! ```

mod exchange;
mod faults;
mod ledger;
mod settings;
mod span;

pub use exchange::{Circumstances, Door, Farewell, Injected, Reply, Request, StreamLimit, Subject};
pub use faults::{
    CredentialState, DeadTokens, Faults, GoAway, Latency, Quota, Reset, ResetCode, ServerError, Slow, StreamLimitAt,
    Throttle, TokenFault, Window,
};
pub use ledger::{DoorFigures, FCM_ID_KEY, LedgerSnapshot, MAX_PUSHES, PushPage, PushQuery, PushRecord, TokenFigures};
pub use settings::{ApnsDoorSettings, FcmDoorSettings, OnExcess, SimulatorSettings};
