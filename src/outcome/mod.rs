//! How a push ends: deciding (`dispose`), settling, retrying, dead letters and the sinks that tell callers.

mod event;
mod settings;
mod sink;
mod wire;

pub use event::{Ended, Outcome, OutcomeKind};
pub use settings::{OutcomeSettings, WebhookSettings};
pub use sink::{Event, Sink};
pub use wire::{schema, to_json};
