//! Dispatch: jobs come in, wait as pushes in lanes, and leave by routes as these ask for them.
//!
//! ```text
//! source ──jobs──▶  ┌ route chat/apns   high │ normal │ low ┐ ──pushes──▶ delivery chat/apns
//!  (one link        │                                       │
//!   per lane)       └ route chat/fcm    high │ normal │ low ┘ ──pushes──▶ delivery chat/fcm
//!        ◀── demand, in jobs ──                              ◀── demand, in pushes ──
//! ```
//!
//! - [`Lanes`] is the pure heart: who waits, who goes next. Lanes are weighted, not strict; routes don't mix.
//! - [`Window`] turns room in pushes into demand in jobs, so that what waits in memory is bounded and the backlog stays
//!   in the broker.
//! - [`run`] is the task that owns both. A push leaves it to its route's delivery, or by an [`Exit`] (expired, no such
//!   route, …), which is an outcome: nothing leaves silently.

mod drain;
mod exit;
mod isolation;
mod lanes;
mod line;
mod run;
mod settings;
mod shed;
mod slots;
mod stage;
#[cfg(test)]
mod tests;
mod window;

pub use exit::{Exit, Why};
pub use isolation::{Isolation, Parking};
pub use lanes::Lanes;
pub use settings::{LaneSettings, OnOverload};
pub use stage::{Dispatch, RouteDoor, run};
pub use window::Window;
