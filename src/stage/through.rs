//! Ready-made sources: an iterator, and a producer-consumer.

use super::{Intake, Produce, Produced, Work};

/// A source that counts an iterator out.
#[derive(Debug, Clone)]
pub struct FromIter<I>(I);

/// Gives the items of an iterator, as they are wanted.
pub fn from_iter<I: IntoIterator>(items: I) -> FromIter<I::IntoIter> {
    FromIter(items.into_iter())
}

impl<I: Iterator + Send> Produce for FromIter<I>
where
    I::Item: Send,
{
    type Event = I::Item;

    async fn produce(&mut self, wanted: usize) -> Produced<I::Item> {
        let events: Vec<I::Item> = self.0.by_ref().take(wanted).collect();
        if events.is_empty() { Produced::End } else { Produced::Events(events) }
    }
}

/// A producer-consumer: what comes in, changed, goes out.
///
/// It begins a call only when something is wanted of it, and with no more events than are wanted. Where one event becomes
/// many, the surplus waits in the producer's buffer; where all are filtered out, it goes on with the next call, so
/// a filter stalls nothing. Markers go through. If the change panics, the events of the call go back upstream, as far as
/// it had not taken them out.
///
/// What has to wait, or to know more than the events of one call, implements [`Produce`] over an [`Intake`] itself.
pub struct Through<T, F> {
    intake: Intake<T>,
    change: F,
}

impl<T, U, F: FnMut(&mut Vec<T>) -> Vec<U>> Through<T, F> {
    /// A producer-consumer that makes of each call's events what `change` makes of them.
    #[must_use]
    pub fn new(intake: Intake<T>, change: F) -> Self {
        Self { intake, change }
    }
}

impl<T: Send, U: Send, F: FnMut(&mut Vec<T>) -> Vec<U> + Send> Produce for Through<T, F> {
    type Event = U;

    async fn produce(&mut self, wanted: usize) -> Produced<U> {
        loop {
            match self.intake.next_up_to(wanted).await {
                Some(Work::Events(events)) => {
                    let made = (self.change)(events);
                    if !made.is_empty() {
                        return Produced::Events(made);
                    }
                }
                Some(Work::Marker(marker)) => return Produced::Marker(marker),
                None => return Produced::End,
            }
        }
    }
}
