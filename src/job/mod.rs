//! The job: what a caller enqueues, and what it becomes on its way.
//!
//! ```text
//! bytes ──decode──▶ Job ──admit──▶ Envelope (one per job, shared) ──▶ Push (one per target, 16 bytes)
//! ```
//!
//! A [`Job`] is the wire form, read strictly: one content, one app, 1 to 1,000 targets. An [`Envelope`] is a job that a
//! source has accepted: it knows where it came from, when, in which lane it waits and by which routes it leaves. A
//! [`Push`] is one job × one target; it is small and owns nothing but a share of its envelope, so that a fan-out job of
//! 1,000 targets costs one body, not a thousand.
//!
//! This module knows nothing of providers' protocols, sources or time-outs; it is the lowest layer.

mod budget;
mod clock;
mod codec;
mod envelope;
#[cfg(test)]
pub(crate) mod fixture;
mod lane;
mod order;
mod schema;
mod target;
mod wire;

pub use budget::{Charge, MemoryBudget};
pub use clock::UnixMillis;
pub use codec::{BadJob, Defaults, MAX_JOB_BYTES, MAX_TARGETS, decode, is_traceparent};
pub use envelope::{
    Acknowledger, Envelope, MAX_HELD, NOW, Origin, Push, Receipt, RouteId, RouteTable, Routes, SourceName,
};
pub use lane::Lane;
pub use order::OrderKeys;
pub use schema::schema;
pub use target::{BadTarget, FcmTarget, Provider, Subscription, Target, TargetHash};
pub use wire::{ApnsSection, Job, MAX_TTL_SECONDS, Notification};
