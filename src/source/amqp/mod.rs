//! RabbitMQ, AMQP 0-9-1 (SPEC.md, section 4).
//!
//! Two connections: one consumes and acks, the other publishes (retries, dead letters, outcomes), because a broker that
//! is short of memory stops reading from those that publish. Each has a supervisor of its own that makes it again
//! whenever it is lost, and never gives up.
//!
//! | file | what |
//! | --- | --- |
//! | `settings`, `names` | what is configured; what everything is called |
//! | `connect`, `leash` | one connection: TLS or nothing, errors that say what to do; the end of a vain try |
//! | `topology` | exchanges, queues, bindings; what differs |
//! | `supervise`, `backoff`, `status` | connections' lives, and what is seen of them |
//! | `consume`, `gate`, `window` | one queue's feed; the lane's way in; its prefetch |
//! | `receipts`, `settle` | settled jobs come in, coalesced acks go out |
//! | `hands`, `ended` | what is in hand, over all channels; what must not be sent again |
//! | `message`, `letters` | what we read, what we write |
//! | `publish`, `keeper`, `enqueue` | confirmed publishing and its users |
//! | `dead` | the dead letters, for whoever looks after them |
//! | `private_broker` | a broker of one's own, for the demo and the tests |

mod backoff;
mod connect;
mod consume;
mod dead;
mod ended;
mod enqueue;
mod gate;
mod hands;
mod keeper;
mod leash;
pub(crate) mod letters;
mod message;
mod names;
mod private_broker;
mod publish;
mod receipts;
mod settings;
mod settle;
mod status;
mod supervise;
mod topology;
mod window;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use connect::ConnectError;
pub use dead::{DeadError, DeadLetter, DeadLetters, Replayed};
pub use enqueue::{enqueue, enqueue_to};
pub use keeper::AmqpKeeper;
pub use names::{Names, RETRY_LEVELS, RetryLevel};
pub use private_broker::{BrokerError, BrokerTls, PrivateBroker};
pub use publish::{Message, PublishError, Publisher, PublisherState};
pub use settings::{AmqpSettings, QueueSettings};
pub use status::{QueueStatus, SourceState, SourceStatus};
pub use topology::{TopologyError, declare, delete, inspect};

use crate::job::{Envelope, Lane, MemoryBudget, RouteTable};
use crate::source::Keeper;
use crate::stage::Outlet;
use crate::telemetry::Metrics;
use gate::{Bell, Gate};
use message::QueueInfo;
use status::Board;
use supervise::{Feeding, Supervisor};

/// The running source.
pub struct AmqpSource {
    board: Board,
    publisher: Publisher,
    names: Names,
    drain: CancellationToken,
    close: CancellationToken,
    supervisor: JoinHandle<()>,
}

impl AmqpSource {
    /// Starts it. Nothing is waited for: [`status`](Self::status) says how far it is.
    ///
    /// `outlets` are by [`Lane::index`]; a job goes down the outlet of its queue's lane. `drain` stops intake: the
    /// consumers are cancelled, what was not handed over goes back, acks go on until [`close`](Self::close). What is held
    /// is charged to `memory`, and no more is asked for than it has room for.
    ///
    /// Needs a tokio runtime.
    #[must_use]
    pub fn start(
        settings: AmqpSettings,
        routes: watch::Receiver<Arc<RouteTable>>,
        outlets: [Outlet<Arc<Envelope>>; 3],
        memory: Arc<MemoryBudget>,
        metrics: Arc<Metrics>,
        drain: CancellationToken,
    ) -> Self {
        let settings = Arc::new(settings);
        let drain = drain.child_token();
        let names = Names::new(settings.prefix.as_str());
        let close = CancellationToken::new();
        let queues = queues(&settings, &names);
        let board = Board::new(queues.iter().map(idle).collect());
        let publisher = Publisher::start(Arc::clone(&settings), close.clone());
        report_publisher(&publisher, board.clone());
        let shares = queues.len();
        let bell = Bell::of(&outlets, &close);
        let mut lane = Lane::ALL.into_iter();
        let gates = outlets.map(|outlet| {
            let lane = lane.next().expect("as many lanes as outlets");
            Arc::new(Gate::new(outlet, queues.iter().filter(|queue| queue.lane == lane).count()))
        });
        let feedings = queues
            .into_iter()
            .enumerate()
            .map(|(index, queue)| Feeding {
                index,
                gate: Arc::clone(&gates[queue.lane.index()]),
                queue,
                bell: bell.clone(),
                routes: routes.clone(),
                publisher: publisher.clone(),
                names: names.clone(),
                settings: Arc::clone(&settings),
                memory: Arc::clone(&memory),
                shares,
                metrics: Arc::clone(&metrics),
                board: board.clone(),
                drain: drain.clone(),
                close: close.clone(),
            })
            .collect();
        let supervisor = Supervisor {
            hands: Vec::new(),
            settings,
            feedings,
            board: board.clone(),
            drain: drain.clone(),
            close: close.clone(),
        };
        Self { board, publisher, names, drain, close, supervisor: tokio::spawn(supervisor.run()) }
    }

    /// The source's state, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        self.board.watch()
    }

    /// Who publishes, for outcomes.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// What everything is called.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Who keeps retries and dead letters.
    #[must_use]
    pub fn keeper(&self) -> Arc<dyn Keeper> {
        Arc::new(AmqpKeeper::new(self.publisher(), self.names.clone()))
    }

    /// Waits for what must not happen before [`close`](Self::close): the end of a task of its own, because of a bug.
    /// Cancel-safe.
    pub async fn broken(&mut self) -> String {
        let mut publisher = self.publisher.state();
        let gone = async { while publisher.changed().await.is_ok() {} };
        tokio::select! {
            ended = &mut self.supervisor => match ended {
                Ok(()) => "the AMQP source ended by itself".to_owned(),
                Err(panic) => format!("the AMQP source panicked: {panic}"),
            },
            () = gone => "the AMQP publisher ended by itself".to_owned(),
        }
    }

    /// Sends the last acks, returns what is not settled, and closes both connections.
    pub async fn close(self) {
        self.drain.cancel();
        self.close.cancel();
        // A broker that hangs must not hold up the exit; what it did not hear of comes again.
        let patience = std::time::Duration::from_secs(5);
        let abort = self.supervisor.abort_handle();
        if tokio::time::timeout(patience, self.supervisor).await.is_err() {
            abort.abort();
        }
    }
}

fn queues(settings: &AmqpSettings, names: &Names) -> Vec<QueueInfo> {
    if settings.queues.is_empty() {
        return Lane::ALL.map(|lane| QueueInfo { name: names.lane(lane).into(), lane, app: None }).into();
    }
    let own = |queue: &QueueSettings| QueueInfo {
        name: queue.name.as_str().into(),
        lane: queue.lane,
        app: queue.app.clone(),
    };
    settings.queues.iter().map(own).collect()
}

fn idle(queue: &QueueInfo) -> QueueStatus {
    QueueStatus {
        name: queue.name.to_string(),
        lane: queue.lane,
        prefetch: 0,
        demand: 0,
        unsettled: 0,
        waiting: 0,
        error: None,
    }
}

/// Writes the publisher's state beside the consumer's.
fn report_publisher(publisher: &Publisher, board: Board) {
    let mut state = publisher.state();
    tokio::spawn(async move {
        loop {
            board.publisher(state.borrow_and_update().clone());
            if state.changed().await.is_err() {
                return;
            }
        }
    });
}
