//! Demand: stages that never get more than they asked for.

mod asks;
mod buffer;
mod demand;
mod dispatcher;
mod intake;
mod link;
mod producer;
#[cfg(test)]
mod tests;
mod through;

pub use buffer::{Buffer, Depth, Keep, Marker};
pub use demand::Demand;
pub use dispatcher::{Broadcast, Dispatcher, Greatest, Partition};
pub use intake::{Cancel, Door, Intake, Over, Subscription, Work};
pub use link::{Arrival, Closed, Inlet, Outlet, link};
pub use producer::{End, Ended, Handle, Produce, Produced, Producer};
pub use through::{FromIter, Through, from_iter};
