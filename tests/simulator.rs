//! The simulators behave as PROVIDERS.md says providers do: driven over real sockets, with the `h2` crate as client.

#[path = "simulator/client.rs"]
mod client;

#[path = "simulator/apns.rs"]
mod apns;

#[path = "simulator/fcm.rs"]
mod fcm;

#[path = "simulator/faults.rs"]
mod faults;
