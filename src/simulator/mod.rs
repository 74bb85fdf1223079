//! Provider simulators: APNs and FCM as servers, with faults.
//!
//! ```text
//! socket ─ TLS ─ HTTP/2 (frames, streams, limits, faults) ─▶ Door::answer (APNs, FCM, OAuth: what a request deserves) ─▶ reply
//!                                     └────▶ ledger (what arrived, what was accepted, what was doubled, who broke the protocol)
//! ```

mod apns;
mod exchange;
mod fcm;

pub use exchange::{Door, Reply, Request, StreamLimit};
