//! Provider simulators: APNs, FCM and five push services of browsers as servers, with faults.
//!
//! ```text
//! socket ─ TLS ─ HTTP/2 (frames, streams, limits, faults) ─▶ Door::answer (APNs, FCM, OAuth, Web Push: what a request deserves) ─▶ reply
//!                                     └────▶ ledger (what arrived, what was accepted, what was doubled, who broke the protocol)
//! ```
//!
//! [`start`] binds all doors and the ledger's page on loopback, with certificates of a fresh authority and fresh
//! credentials; [`start_again`] with those of an earlier start. Everything runs on the simulator's own threads, each with
//! a single-threaded runtime: one thread owns a door and all its connections, so nothing is shared and nothing is locked,
//! and a test's paused clock or busy runtime does not slow the provider.

mod apns;
mod authority;
mod connection;
mod credentials;
mod exchange;
mod faults;
mod fcm;
mod http1;
mod ledger;
mod listener;
mod page;
mod quota;
mod running;
mod settings;
mod span;
mod webpush;

pub use exchange::{Circumstances, Door, Farewell, Injected, Reply, Request, StreamLimit, Subject};
pub use faults::{
    CredentialState, DeadTokens, Faults, GoAway, Latency, Mute, Quota, Reset, ResetCode, ServerError, Slow,
    StreamLimitAt, Throttle, TokenFault, Window,
};
pub use ledger::{DoorFigures, FCM_ID_KEY, LedgerSnapshot, MAX_PUSHES, PushPage, PushQuery, PushRecord, TokenFigures};
pub use running::{PROJECT, Simulator, SimulatorError, TOPIC, start, start_again};
pub use settings::{
    ApnsDoorSettings, FcmDoorSettings, OnExcess, SimulatorSettings, WebpushDoorSettings, WebpushSettings,
};
pub use webpush::PushService;
