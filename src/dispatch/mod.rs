//! Dispatch: jobs come in, wait as pushes in lanes, and leave by routes as these ask for them.
//!
//! ```text
//! source ──jobs──▶  ┌ route chat/apns   high │ normal │ low ┐ ──pushes──▶ delivery chat/apns
//!  (one link        │                                       │
//!   per lane)       └ route chat/fcm    high │ normal │ low ┘ ──pushes──▶ delivery chat/fcm
//!        ◀── demand, in jobs ──                              ◀── demand, in pushes ──
//! ```
//!
//! - [`Lanes`] is the pure heart: who waits, who goes next. Lanes are weighted, not strict; routes don't mix; wide jobs
//!   are spread; a newer push takes the place of the one it replaces; where a lane may shed, a standing line does.
//! - [`Window`] turns room in pushes into demand in jobs, so that what waits in memory is bounded and the backlog stays
//!   in the broker.
//! - [`Isolation`] sees when a blocked route keeps others from the window they share, and has its pushes parked.
//! - [`LaneSettings`] reach it by a `watch` and hold at once, for what waits too. Routes come and go by [`DoorChange`]s; what
//!   waited for one that went is parked.
//! - [`run`] is the task that owns them. A push leaves it to its route's delivery, or by an [`Exit`] (expired, no such
//!   route, shed, parked, …), which is an outcome or a durable retry: nothing leaves silently.
//!
//! # What it must show, and where
//!
//! The behaviours of FLOW.md, section 2; each has tests in `dispatch/tests` that bear its number.
//!
//! | behaviour | how | shown by |
//! | --- | --- | --- |
//! | 2.1 lanes are weighted, an idle share is used, `high` goes with the next free slot | `lanes` | `flow_2_1_lanes_share_by_their_weights`, `…_an_idle_share_is_used_and_high_goes_next`, `…_high_keeps_its_wait_under_a_flood_and_floors_are_kept` |
//! | 2.2 routes don't mix; a blocked route's surplus is parked when another starves, and only then | `lanes`, `isolation` | `flow_2_2_…` (six); with a broker `tests/promise_05_isolation.rs` |
//! | 2.3 the deadline is checked on entering, on leaving and meanwhile; who would expire leaves at once | `lanes`, `drain` | `flow_2_3_expired_pushes_leave_by_an_exit`, `…_what_would_expire_leaves_at_once_if_the_pace_is_known` |
//! | 2.4 a newer push with the same target and key replaces the waiting one in its place | `slots` | `flow_2_4_…` (four) |
//! | 2.5 shedding where it is allowed: lowest lane first, by waiting time, evenly | `shed` | `flow_2_5_…` (four) |
//! | 2.6 a wide job is spread, not a wall | `line` | `flow_2_6_…` (three) |
//! | 2.7 order per target, within a lane, where a route is `ordered` | `order`, `slots`; `delivery/order`, `flow/away` | `flow_2_7_…` (here five, in `delivery/tests/order` four); over sockets `tests/must_show_flow.rs` |
//!
//! That everything admitted leaves exactly once, whatever happens, is shown by `everything_admitted_leaves_exactly_once`.

mod doors;
mod drain;
mod exit;
mod isolation;
mod lanes;
mod line;
mod order;
mod register;
mod run;
mod settings;
mod shed;
mod slots;
mod stage;
#[cfg(test)]
mod tests;
mod waiting;
mod window;

pub use doors::{DoorChange, KEPT_AFTER_REMOVAL, RouteDoor};
pub use exit::{Exit, Why};
pub use isolation::{Isolation, Parking};
pub use lanes::Lanes;
pub use register::{JobAsk, JobInHand};
pub use settings::{LaneSettings, OnOverload};
pub use shed::Shedding;
pub use stage::{Dispatch, run};
pub use waiting::{Waiting, Waits};
pub use window::Window;
