//! Connections, streams, GOAWAY, and what was surely not sent.
//!
//! A [`Pool`] holds one route's connections to one endpoint. It belongs to one task, the route's delivery, which asks
//! it how much [room](Pool::room) there is, [sends](Pool::send) at most that much, and asks it to
//! [grow](Pool::grow) when that was not enough. Every connection has a task of its own that drives the protocol; the
//! two share a handful of atomic numbers (see `line`) and a bell, nothing else.
//!
//! ```text
//!             room, send, grow                  SendRequest
//!  delivery ───────────────────▶ Pool ─────────────────────────▶ connection's task ──▶ h2 ──▶ stream ──▶ TLS ──▶ TCP
//!           ◀───────────────────      ◀─────────────────────────        (drives, pings)      (coalesces,
//!             Attempt, changed          limit, GOAWAY, end: bell                              watches frames)
//! ```
//!
//! Invariants:
//! - No request goes out before the server's first SETTINGS; a new connection carries one until that one is answered;
//!   no connection ever carries more than the server's limit of the moment, or gets more bodies than its window takes.
//! - Connections are opened one at a time, only on demand, with backoff; each by a fresh look-up of the name. Old ones
//!   are replaced one at a time.
//! - Of every request without an answer it is said whether the provider can have seen it ([`Failure::sent`]).
//! - A stream that is given up is reset; a connection that is silent is pinged, and given up if it stays so.
//!
//! Where the options allow it, a server that doesn't choose h2 is spoken to in HTTP/1.1 (`http1`): connections that carry one
//! request at a time, and for the rest are as the others.
//!
//! It knows nothing of pushes or of what answers mean.

mod attempt;
mod backoff;
mod connect;
mod connection;
mod failure;
mod frames;
mod http1;
mod io;
mod keepalive;
mod line;
mod options;
mod pool;
mod task;

pub use attempt::{Attempt, Finished};
pub(super) use connect::system_resolver;
pub use connect::{NoAddressAllowed, Resolver};
pub use failure::{Failure, FailureKind};
pub use line::ConnectionId;
pub use options::PoolOptions;
pub use pool::{Pool, PoolError, PoolStatus};

/// A body is cut off here: a provider's answer has some hundred bytes, and what we can't trust must not fill memory.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
