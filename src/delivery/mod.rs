//! Delivery: one task per route, from a push that is asked for to its outcome.
//!
//! ```text
//!             ┌──────────────── one route ────────────────┐
//! dispatch ──▶│ buffer ─▶ Gate ─▶ request ─▶ http2 stream │──▶ provider
//!    ◀─demand─│   ▲       pace, concurrency, circuit      │
//!             │ Shelf ◀── again soon ◀── dispose ◀─verdict│◀── answer
//!             └──────────────┬───────────┬────────────────┘
//!                  again later│           │outcome ──▶ settlement
//! ```
//!
//! - [`Gate`] is all of flow control asked in one place: how many may go now, whether this push may, and when to ask
//!   again. It reads verdicts for the machines of [`flow`](crate::flow).
//! - A route whose provider is many servers (Web Push) has connections and a gate for each of them (`origins`).
//! - [`Shelf`] holds retries whose delay is short, bounded; longer ones are made durable by the settlement.
//! - Where a route is `ordered`, a target's pushes go one after the other (FLOW.md, 2.7; `order`).
//! - [`run`] is the task. It owns the connections, the attempts under way, the gate and the shelf; nothing is shared.
//! - [`RouteOrders`] reach it by a `watch` and hold at once: new limits, a pause. So does another
//!   [`Client`](crate::provider::Client): what is in flight ends on the old one's connections.

mod gate;
mod order;
mod origins;
mod reading;
mod route;
mod settings;
mod shelf;
mod status;
#[cfg(test)]
mod tests;
mod ways;

pub use gate::{Gate, Halt, Refusal, Tried};
pub use route::{Delivery, run};
pub use settings::{FloorAboveCeiling, RouteOrders, RoutePatch, RouteSettings};
pub use shelf::Shelf;
pub use status::{RouteState, RouteStatus};
