//! Flow control: small pure machines with one idiom, `now` in, a small answer out.
//!
//! | machine | question it answers |
//! | --- | --- |
//! | [`Pace`] | how many may go now, so that a rate is never passed by more than its burst (GCRA) |
//! | [`Concurrency`] | how many may be under way at once, as the provider's answers suggest |
//! | [`Circuit`] | whether the route may be used at all, and when to try it again with one push |
//! | [`Backoff`] | how long to wait before the next attempt |
//!
//! No task, clock, socket, log or random source lives in here: time and random samples are arguments. So each can be
//! tested under any clock, simulated, and shown. The one place that asks all of them is the delivery's gate.

mod backoff;
mod circuit;
mod concurrency;
mod rate;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use circuit::{Circuit, CircuitState};
pub use concurrency::{Concurrency, Signal};
pub use rate::{Pace, Rate};
