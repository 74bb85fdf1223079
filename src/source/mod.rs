//! Where jobs come from, where they are settled, and who keeps what can't be sent now.
//!
//! A source gives envelopes down a [link](crate::stage::link), never more jobs than were asked for, and takes them
//! back as settled by the [receipt](crate::job::Receipt) they carry. What can't be sent now, or not at all, goes
//! back to the source it came from, as its [`Keeper`]: delayed retries and dead letters are durable there.

pub mod amqp;
mod clocks;
pub mod spool;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::job::Envelope;
use crate::verdict::Reason;

/// Part of a job that its source shall keep.
pub enum Keep {
    /// To come again after a delay.
    Later(Later),
    /// As a dead letter.
    Dead(Dead),
}

/// Part of a job that shall come again.
pub struct Later {
    /// The job.
    pub envelope: Arc<Envelope>,
    /// Which of its targets, ascending.
    pub targets: Vec<u16>,
    /// Attempts made for each of them so far.
    pub attempts: u8,
    /// Not before; the source may round it up.
    pub delay: Duration,
}

/// Part of a job that no retry can help.
pub struct Dead {
    /// The job.
    pub envelope: Arc<Envelope>,
    /// Which of its targets, ascending.
    pub targets: Vec<u16>,
    /// Attempts made for each of them, the most where they differ.
    pub attempts: u8,
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people.
    pub detail: String,
}

/// Who keeps what can't be sent now.
pub trait Keeper: Send + Sync {
    /// Keeps it. The future is ready when it is durable, and not before; trouble on the way (a broker that is down) is
    /// waited out. Never fails: dropped unfinished, the job was not settled and comes again.
    fn keep(&self, keep: Keep) -> BoxFuture<'static, ()>;
}
