//! Demand: stages that never get more than they asked for. A library of its own, which knows nothing of push.
//!
//! # What demand is
//!
//! Two stages are joined by a [`link`]. Events flow down it in chunks; demand flows up it. The consumer's
//! [`Inlet`] says how many events it would take, the producer's [`Outlet`] may never send more. A consumer that
//! asks for nothing stops the chain, all the way up to the source: that is the whole of back-pressure here.
//!
//! ```text
//!            demand (a limit on a running count)
//!   producer ◀────────────────────────────────── consumer
//!    Outlet  ──────────────────────────────────▶  Inlet
//!            chunks: Vec<T>, and markers
//! ```
//!
//! Demand is kept as QUIC keeps flow-control credit (RFC 9000, section 4.1): not as a series of asks that could be
//! lost or counted twice, but as one number, the count up to which the producer may send. Raising it asks for more;
//! lowering it withdraws demand that was not met yet; saying the same twice changes nothing.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (mut outlet, mut inlet) = tidegate::stage::link(Default::default());
//! let mut events = vec![1, 2, 3];
//! inlet.want(2);
//! assert_eq!((outlet.demand(), outlet.try_send(&mut events)), (2, Ok(2)));
//! assert_eq!((inlet.recv().await, events), (Some(vec![1, 2]), vec![3]));
//! # }
//! ```
//!
//! # How a pipeline is built
//!
//! A **consumer** is a loop over an [`Intake`], which asks by itself: up to `max` events are outstanding, and whenever
//! that has fallen to `min` it asks again ([`Demand`]). Who would rather ask by hand holds the [`Inlet`].
//!
//! A **producer** is a source ([`Produce`]: "give me up to so many") run by a [`Producer`], with a [`Dispatcher`] that
//! knows which consumer gets what: [`Greatest`], [`Partition`] or [`Broadcast`].
//!
//! ```
//! use tidegate::stage::{Demand, Greatest, Intake, Keep, Producer, Work, from_iter};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let mut dispatcher = Greatest::new(100, Keep::First);
//! let mut intake = Intake::of(dispatcher.consumer(), Demand::between(5, 10));
//! let (producer, _handle) = Producer::new(from_iter(0..20_u32), dispatcher, drop);
//! tokio::spawn(producer.run());
//!
//! let mut sum = 0;
//! while let Some(Work::Events(events)) = intake.next().await {
//!     assert!(events.len() <= 5, "in calls of max - min");
//!     sum += events.iter().sum::<u32>();
//! }
//! assert_eq!(sum, 190);
//! # }
//! ```
//!
//! A **producer-consumer** is a source that has an intake; [`Through`] is one made of a closure.
//!
//! ```
//! use tidegate::stage::{Demand, Greatest, Intake, Keep, Producer, Through, Work, from_iter};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let mut numbers = Greatest::new(0, Keep::First);
//! let odd = Through::new(Intake::of(numbers.consumer(), Demand::up_to(10)), |events: &mut Vec<u32>| {
//!     events.drain(..).filter(|number| number % 2 == 1).collect::<Vec<_>>()
//! });
//! let mut odds = Greatest::new(100, Keep::First);
//! let mut intake = Intake::of(odds.consumer(), Demand::up_to(10));
//! let (first, _one) = Producer::new(from_iter(0..10), numbers, drop);
//! let (second, _two) = Producer::new(odd, odds, drop);
//! tokio::spawn(first.run());
//! tokio::spawn(second.run());
//!
//! let mut seen = Vec::new();
//! while let Some(Work::Events(events)) = intake.next().await {
//!     seen.append(events);
//! }
//! assert_eq!(seen, [1, 3, 5, 7, 9]);
//! # }
//! ```
//!
//! # What happens on overload
//!
//! Nothing: a source that gives only what it is asked for rests while nobody asks. Where events come unasked (a surplus,
//! a full partition) they wait in a [`Buffer`], which is bounded. Those that lose their place are handed over, never only
//! counted: the last argument of [`Producer::new`] gets them, and `drop` is a decision one can read.
//!
//! ```
//! use tidegate::stage::{Buffer, Keep};
//! let mut buffer = Buffer::new(2, Keep::Last);
//! assert_eq!(buffer.push(vec!['a', 'b', 'c']), ['a']);
//! assert_eq!(buffer.depth().get(), 2);
//! ```
//!
//! # What happens on a crash
//!
//! A consumer that panics, is aborted or leaves gives back what it had not finished, and what was on its way to it; the
//! dispatcher sends it to another consumer, or keeps it for the next one. An event that has been taken out of a call is
//! its taker's. A producer that panics ends as [`End::Crashed`] with what waited in its buffer, and its consumers end or
//! go on as they subscribed ([`Cancel`]). What its links had on their way is still received. If both ends of a link go, what
//! is on it goes: to survive that, a source must be told what is done, which is not this library's business.
//!
//! # The behaviours, and the tests that show them (in `tests/`)
//!
//! | FLOW.md | behaviour | tests named `flow_…` in |
//! | --- | --- | --- |
//! | 1.1 | never more than asked | `1_1`: link, dispatchers |
//! | 1.2 | calls of max minus min; refill at min | `1_2`: demand |
//! | 1.3 | one at a time | `1_3`: demand |
//! | 1.4 | what waits is served before the source is asked | `1_4`: producer |
//! | 1.5 | bounded buffers, two policies, hand-over, depth | `1_5`: buffer, producer |
//! | 1.6 | accumulated demand, each ask for itself | `1_6`: producer |
//! | 1.7 | no demand stops the chain, a filter does not | `1_7`: link, producer |
//! | 1.8 | the demand of one that left is not asked twice | `1_8`: producer |
//! | 1.9 | three dispatchers | `1_9`: dispatchers, properties |
//! | 1.10 | cancel modes, manual asking, changes while running | `1_10`: demand |
//! | 1.11 | markers in their place, out of overflow's reach | `1_11`: link, buffer, dispatchers, producer |
//! | 1.12 | a crash takes no events with it | `1_12`: link, crash |
//! | 1.13 | demand or events, never both | `1_13`: properties |

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
