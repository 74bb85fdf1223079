//! The consuming connection's life: connect, look at the topology, feed, and all over again.
//!
//! A lost connection ends all feeds; a lost channel or consumer ends one, which begins anew on the same connection.
//! Each is tried again for ever, with growing pauses; the board says what is wrong meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::{Connection, Event};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backoff::Pause;
use super::consume::{self, End};
use super::gate::{Bell, Gate};
use super::hands::Hands;
use super::message::QueueInfo;
use super::names::Names;
use super::status::{Board, SourceState};
use super::{AmqpSettings, Publisher, connect, topology};
use crate::job::{MemoryBudget, RouteTable};
use crate::telemetry::Metrics;

/// A channel that lived this long was no failure of the moment.
const STEADY: Duration = Duration::from_secs(10);

/// What one queue's feed needs, whichever the connection.
#[derive(Clone)]
pub(super) struct Feeding {
    pub(super) index: usize,
    pub(super) queue: QueueInfo,
    pub(super) gate: Arc<Gate>,
    pub(super) bell: Bell,
    pub(super) routes: watch::Receiver<Arc<RouteTable>>,
    pub(super) publisher: Publisher,
    pub(super) names: Names,
    pub(super) settings: Arc<AmqpSettings>,
    pub(super) memory: Arc<MemoryBudget>,
    /// Queues that share the memory's room.
    pub(super) shares: usize,
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Board,
    pub(super) drain: CancellationToken,
    pub(super) close: CancellationToken,
}

/// The supervisor's own view.
pub(super) struct Supervisor {
    pub(super) settings: Arc<AmqpSettings>,
    pub(super) feedings: Vec<Feeding>,
    /// By feeding; lent to its feeds, each in its turn.
    pub(super) hands: Vec<Option<Hands>>,
    pub(super) board: Board,
    pub(super) drain: CancellationToken,
    pub(super) close: CancellationToken,
}

impl Supervisor {
    /// Runs until closed, or drained with nothing left to settle.
    pub(super) async fn run(mut self) {
        let mut pause = Pause::new();
        // Once draining, a lost connection is not made again: its jobs come again by themselves, to somebody else.
        while !self.drain.is_cancelled() {
            let Some(made) = self.drain.run_until_cancelled(self.open()).await else { break };
            let error = match made {
                Ok(connection) => match self.consume(connection, &mut pause).await {
                    End::Closed => break,
                    End::Lost(error) => error,
                },
                Err(error) => error,
            };
            tracing::warn!(%error, "the consuming connection is down; trying again");
            self.board.enter(SourceState::Connecting, Some(error));
            let _ = self.drain.run_until_cancelled(tokio::time::sleep(pause.next())).await;
        }
        self.close.cancelled().await;
        self.board.enter(SourceState::Closed, None);
    }

    async fn open(&self) -> Result<Connection, String> {
        let connection = connect::connect_to_consume(&self.settings).await.map_err(|error| error.to_string())?;
        let last = self.board.read().error;
        self.board.enter(SourceState::Declaring, last);
        let ready = topology::ensure(&connection, &self.settings).await;
        if let Err(error) = ready {
            let _ = connection.close(200, "bye".into()).await;
            return Err(error.to_string());
        }
        Ok(connection)
    }

    async fn consume(&mut self, connection: Connection, pause: &mut Pause) -> End {
        let connection = Arc::new(connection);
        let generation = self.board.connected();
        self.board.enter(SourceState::Consuming, None);
        tracing::info!(generation, "consuming");
        pause.reset();
        let mut events = Box::pin(connection.events_listener());
        // Feeds without a consumer would not notice by themselves.
        let lost = CancellationToken::new();
        let mut feeds = JoinSet::new();
        self.hands.resize_with(self.feedings.len(), || None);
        for (feeding, hands) in self.feedings.iter().zip(&mut self.hands) {
            // None at first, and after a panic.
            let hands = hands.take().unwrap_or_else(|| Hands::new(self.settings.max_prefetch));
            feeds.spawn(keep_feeding(feeding.clone(), hands, Arc::clone(&connection), lost.clone()));
        }
        let mut ends = Vec::new();
        let mut fault = None;
        let mut draining = false;
        while ends.len() < self.feedings.len() {
            tokio::select! {
                Some(ended) = feeds.join_next() => {
                    let end = match ended {
                        Ok((index, hands, end)) => {
                            self.hands[index] = Some(hands);
                            end
                        }
                        Err(panic) => End::Lost(panic.to_string()),
                    };
                    if matches!(end, End::Lost(_)) {
                        lost.cancel();
                    }
                    ends.push(end);
                }
                Some(event) = events.next() => {
                    if let Event::Error(error) = event {
                        fault.get_or_insert(error.to_string());
                        if !connection.status().connected() {
                            lost.cancel();
                        }
                    }
                }
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    self.board.enter(SourceState::Draining, None);
                }
            }
        }
        if connection.status().connected() {
            let _ = connection.close(200, "bye".into()).await;
        }
        let lost = ends.into_iter().find_map(|end| match end {
            End::Lost(error) => Some(error),
            End::Closed => None,
        });
        match lost {
            Some(error) => End::Lost(fault.unwrap_or(error)),
            None => End::Closed,
        }
    }
}

/// Feeds from one queue as long as the connection is there.
async fn keep_feeding(
    feeding: Feeding,
    mut hands: Hands,
    connection: Arc<Connection>,
    lost: CancellationToken,
) -> (usize, Hands, End) {
    let end = feed_on(&feeding, &mut hands, &connection, &lost).await;
    (feeding.index, hands, end)
}

async fn feed_on(feeding: &Feeding, hands: &mut Hands, connection: &Connection, lost: &CancellationToken) -> End {
    let mut pause = Pause::new();
    loop {
        let begun = tokio::time::Instant::now();
        let error = match consume::feed(feeding, hands, connection, lost).await {
            End::Closed => return End::Closed,
            End::Lost(error) => error,
        };
        feeding.board.queue(feeding.index, |status| status.error = Some(error.clone()));
        if lost.is_cancelled() || !connection.status().connected() {
            return End::Lost(error);
        }
        if feeding.drain.is_cancelled() {
            return End::Closed;
        }
        tracing::warn!(queue = %feeding.queue.name, %error, "the channel is lost; opening another");
        if begun.elapsed() > STEADY {
            pause.reset();
        }
        let _ = feeding.drain.run_until_cancelled(tokio::time::sleep(pause.next())).await;
        // The queue may have been deleted; the next consume would only find it missing.
        if let Err(error) = topology::ensure(connection, &feeding.settings).await {
            feeding.board.queue(feeding.index, |status| status.error = Some(error.to_string()));
        }
    }
}
