//! Flow control: small pure machines with one idiom, `now` in, a small answer out.
//!
//! | machine | question it answers | shown by |
//! | --- | --- | --- |
//! | [`Away`] | who of one target's pushes is kept durably, and who must not go before them | `flow_2_7_…` |
//! | [`Pace`] | how many may go now, so that a rate is never passed by more than its burst (GCRA) | `flow_3_1_…`, `flow_3_2_…` |
//! | [`Ramp`] | what part of its limits a route may use that comes back | `flow_3_1_a_ramp_…`, `tests/flow_outage.rs` |
//! | [`Rise`] | what part of its rate a route may use that begins from nothing | `flow_3_3_a_rise_…` |
//! | [`Throttle`] | which devices must wait, and how long | `flow_3_1_a_throttled_device_…` |
//! | [`Concurrency`], [`Latency`], [`Refusals`] | how many may be under way at once, as the provider's answers suggest | `flow_3_3_…` |
//! | [`Breaker`] | whether the provider is worth asking | `flow_3_5_…`, `tests/flow_outage.rs` |
//! | [`Backoff`] | how long to wait before the next attempt | `flow_3_6_a_delay_…` |
//! | [`RetryBudget`] | how many retries the route may afford | `flow_3_6_…`, `tests/flow_outage.rs` |
//! | [`Circuit`] | whether the route may be used at all, and when to try it again with one push | `flow_3_8_…` |
//! | [`MassDeath`] | whether so many dead tokens can be believed | `flow_3_9_…` |
//!
//! Two behaviours live elsewhere: connections (3.4) in `provider/http2` (`tests/http2_pool.rs`: `flow_3_4_…`), the shelf (3.7) in
//! `delivery/shelf.rs` (`flow_3_7_…` there).
//!
//! No task, clock, socket, log or random source lives in here: time and random samples are arguments. So each can be
//! tested under any clock, simulated, and shown. The one place that asks all of them is the delivery's gate.

mod away;
mod backoff;
mod breaker;
mod budget;
mod circuit;
mod concurrency;
mod deaths;
mod latency;
mod ramp;
mod rate;
mod refusals;
mod rise;
#[cfg(test)]
mod tests;
mod throttle;
mod window;

pub use away::{Away, Traveller};
pub use backoff::Backoff;
pub use breaker::{Breaker, Health};
pub use budget::RetryBudget;
pub use circuit::{Circuit, CircuitState};
pub use concurrency::{Concurrency, Load, Signal};
pub use deaths::{Life, MassDeath, Ruling};
pub use latency::Latency;
pub use ramp::Ramp;
pub use rate::{Pace, Rate};
pub use refusals::Refusals;
pub use rise::Rise;
pub use throttle::Throttle;
pub use window::{Counts, Window};
