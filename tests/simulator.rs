//! The simulators behave as PROVIDERS.md says providers do: driven over real sockets, with the `h2` crate as client.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

#[path = "simulator/client.rs"]
mod client;

#[path = "simulator/apns.rs"]
mod apns;

#[path = "simulator/fcm.rs"]
mod fcm;

#[path = "simulator/faults.rs"]
mod faults;

#[path = "simulator/again.rs"]
mod again;
