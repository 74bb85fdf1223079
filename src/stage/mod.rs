//! Demand: stages that never get more than they asked for.
//!
//! Two stages are joined by a [`link`]. Events flow down it in chunks; demand flows up it. The consumer's
//! [`Inlet`] says how many events it would take, the producer's [`Outlet`] may never send more. A consumer that
//! asks for nothing stops the chain, all the way up to the broker: that is the whole of back-pressure here.
//!
//! ```text
//!            demand (a limit on a running count)
//!   producer ◀────────────────────────────────── consumer
//!    Outlet  ──────────────────────────────────▶  Inlet
//!            chunks: Vec<T>
//! ```
//!
//! Demand is kept as QUIC keeps flow-control credit (RFC 9000, section 4.1): not as a series of asks that could be
//! lost or counted twice, but as one number, the count up to which the producer may send. Raising it asks for more;
//! lowering it withdraws demand that was not met yet; saying the same twice changes nothing.
//!
//! Nothing in here knows of push.

mod link;
#[cfg(test)]
mod tests;

pub use link::{Closed, Inlet, Outlet, link};
