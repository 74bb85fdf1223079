//! To the broker: each job a message, confirmed.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::lines::{Letter, Line};
use super::{End, Sent, refuse, tell};
use crate::source::amqp::{self, AmqpSettings, Names, PublishError, Publisher, PublisherState, QueueSettings};

/// Jobs whose confirms are waited for at once.
const WINDOW: usize = 500;

/// Sends the lines to the broker, and waits for their confirms.
///
/// # Errors
/// Why the broker can't be used; nothing was sent.
pub(super) async fn enqueue(settings: AmqpSettings, lines: mpsc::Receiver<Line>) -> Result<Sent, String> {
    amqp::declare(&settings).await.map_err(|error| error.to_string())?;
    let (names, queues) = (Names::new(settings.prefix.as_str()), settings.queues.clone());
    let close = CancellationToken::new();
    let publisher = Publisher::start(Arc::new(settings), close.clone());
    publisher.connected().await.map_err(|error| error.to_string())?;
    let sent = Office { publisher, names, queues }.send(lines).await;
    close.cancel();
    Ok(sent)
}

/// A letter's line, and whether the broker has it.
type Confirm = BoxFuture<'static, (usize, Result<(), PublishError>)>;

struct Office {
    publisher: Publisher,
    names: Names,
    /// Queues of somebody else's making; empty: ours, behind the exchange.
    queues: Vec<QueueSettings>,
}

impl Office {
    /// Sends until the lines end, or the broker does not take one: what is on its way is waited for then.
    async fn send(&self, mut lines: mpsc::Receiver<Line>) -> Sent {
        let mut sent = Sent::default();
        let mut confirms: FuturesUnordered<Confirm> = FuturesUnordered::new();
        let mut state = self.publisher.state();
        let (mut open, mut last) = (true, 0);
        while open || !confirms.is_empty() {
            tokio::select! {
                line = lines.recv(), if open && confirms.len() < WINDOW => match line {
                    None => open = false,
                    Some(Line::Job(letter)) => {
                        last = letter.line;
                        match self.post(letter) {
                            Ok(confirm) => confirms.push(confirm),
                            Err(why) => refuse(&mut sent, last, why),
                        }
                    }
                    Some(Line::Bad(line, bad)) => refuse(&mut sent, line, bad),
                    Some(Line::Broken(error)) => (open, sent.end) = (false, End::Broken(error)),
                },
                Some((line, confirmed)) = confirms.next(), if !confirms.is_empty() => match confirmed {
                    Ok(()) => sent.enqueued += 1,
                    Err(error) => {
                        tell(format_args!("error: line {line}: {error}"));
                        (open, sent.end) = (false, End::Lost(last));
                    }
                },
                Ok(()) = state.changed() => if let PublisherState::Blocked { reason } = &*state.borrow_and_update() {
                    tell(format_args!("waiting: the broker takes no messages now ({reason})"));
                },
            }
        }
        sent
    }

    /// To the exchange, or straight to the queue of somebody else's making that is meant for it.
    fn post(&self, letter: Letter) -> Result<Confirm, String> {
        let Letter { line, id, app, lane, body, .. } = letter;
        if self.queues.is_empty() {
            let confirm = amqp::enqueue(&self.publisher, &self.names, lane, &id, body);
            return Ok(confirm.map(move |confirmed| (line, confirmed)).boxed());
        }
        let fits =
            |queue: &&QueueSettings| queue.lane == lane && queue.app.as_ref().is_none_or(|theirs| *theirs == app);
        let queue = self.queues.iter().find(fits);
        let queue = queue.ok_or_else(|| format!("no queue of source.amqp.queues is of lane {lane} and app {app}"))?;
        let confirm = amqp::enqueue_to(&self.publisher, &queue.name, &id, body);
        Ok(confirm.map(move |confirmed| (line, confirmed)).boxed())
    }
}
