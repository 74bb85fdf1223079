//! Dispatchers: who of several consumers gets which events.
//!
//! | dispatcher | an event goes to | the pace is set by |
//! | --- | --- | --- |
//! | [`Greatest`] | the consumer with the greatest demand | all consumers together |
//! | [`Partition`] | the consumer of its partition, as its key says | each partition for itself |
//! | [`Broadcast`] | every consumer that selects it | the slowest consumer |
//!
//! A dispatcher is plain data: it waits for nothing and asks nobody. [`Dispatcher::dispatch`] sends what is wanted and
//! keeps the rest in its [`Buffer`](super::Buffer); [`Dispatcher::wanted`] says how much more its consumers would take.
//! Either something waits or something is wanted, never both (for [`Partition`]: in each partition). A
//! [`Producer`](super::Producer) does the waiting and asking.

mod broadcast;
mod greatest;
mod partition;

pub use broadcast::Broadcast;
pub use greatest::Greatest;
#[cfg(test)]
pub(super) use greatest::shares;
pub use partition::Partition;

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Marker, Outlet};

/// Who of several consumers gets which events.
pub trait Dispatcher: Send {
    /// What is dispatched.
    type Event: Send;

    /// Events that the consumers would take beyond those that wait here: what the source may be asked for.
    fn wanted(&mut self) -> usize;

    /// Takes events in (possibly none) and sends what is wanted, older events first. Returns those that lost their
    /// place in the buffer, and those that a consumer gave back which nobody else can take.
    #[must_use = "these events are in the caller's hands"]
    fn dispatch(&mut self, events: Vec<Self::Event>) -> Vec<Self::Event>;

    /// Sends a marker to every consumer, behind all events that were dispatched before.
    fn mark(&mut self, marker: Marker);

    /// Rung when a consumer asks for something, leaves, or has room again.
    fn doorbell(&self) -> Arc<Notify>;

    /// How many consumers there are.
    fn consumers(&self) -> usize;

    /// Events that wait.
    fn waiting(&self) -> usize;

    /// Lets all consumers go, and gives out what waits, oldest first. They get what was sent to them; after that they
    /// see a regular end, or a crash.
    #[must_use = "these events are in the caller's hands"]
    fn close(&mut self, crashed: bool) -> Vec<Self::Event>;
}

/// Ends links.
fn end<T>(outlets: impl IntoIterator<Item = Outlet<T>>, crashed: bool) {
    for outlet in outlets {
        if crashed {
            outlet.crash();
        }
    }
}
