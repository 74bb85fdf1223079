//! How pushes end: deciding, telling, keeping, settling.
//!
//! - [`dispose`] is the table: a verdict and what is left to a push say what is done with it.
//! - [`Book`] knows which jobs are in hand and what must be durable before each may be settled.
//! - [`run`] is the settlement task. It owns the book, counts outcomes, remembers the last of them for who asks, gathers events into batches for the
//!   [sinks](Sink), has retries and dead letters kept, and only then settles the job at its source.
//!
//! ```text
//! delivery, dispatch ──Resolution──▶ run ──events──▶ sinks ──durable──▶ settle ──▶ source
//!                                     └───keeps────▶ Keeper ──durable──────┘
//! ```

mod book;
mod dispose;
mod event;
mod recent;
mod resolution;
mod settings;
mod sink;
mod stage;
mod tally;
mod tap;
#[cfg(test)]
mod tests;
mod trace;
mod wire;

pub use book::{Book, Due, Step};
pub use dispose::{Disposition, Left, SHORT_DELAY, dispose};
pub use event::{Ended, Outcome, OutcomeKind};
pub use recent::{Left as PushLeft, Past, PastAsk, REMEMBERED};
pub use resolution::Resolution;
pub use settings::{OutcomeSettings, WebhookSettings};
pub use sink::{AmqpSink, Event, FileSink, Sink, Troubles, WebhookSink};
pub use stage::{Keepers, Settlement, run};
pub use tally::{ReasonCount, Tally};
pub use tap::{Heard, Listener, Overheard, Tap};
pub use wire::{schema, to_json};
