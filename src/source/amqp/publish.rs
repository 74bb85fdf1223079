//! Publishing, confirmed: one task, one connection, one channel.
//!
//! lapin numbers a publish and writes it under two separate locks, so two tasks on one channel can cross and get each
//! other's confirms. Hence exactly one task publishes, one message at a time; only the waiting for confirms is
//! pipelined, at most [`WINDOW`] of them. Its connection is not the consumer's: a broker that is short of memory stops
//! reading from publishing connections, acks included.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::backoff::Pause;
use super::{AmqpSettings, connect};

/// Publishes that wait for their confirm at once. A confirm of many scans all of them, so more is not faster.
const WINDOW: usize = 1000;

/// Publishes that wait for the task. Callers beyond it wait in `publish`.
const REQUESTS: usize = 1024;

/// How often an idle connection is looked at, besides the events it sends.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The exchange; empty: the default exchange, whose routing keys are queue names.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// Properties and headers. Whoever makes them says whether the message is persistent.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
    /// Whether a message that no queue takes is an error.
    pub mandatory: bool,
}

/// Why a message is not known to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// There is no connection now; nothing was sent.
    Unavailable(String),
    /// The connection was lost before the confirm: the broker may have it.
    Unconfirmed(String),
    /// The broker refused to store it: the queue is full, or has no leader now.
    Refused,
    /// No queue is bound that takes it.
    Unroutable {
        /// The exchange it was published to.
        exchange: String,
        /// The routing key that led nowhere.
        routing_key: String,
    },
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "not connected: {why}"),
            Self::Unconfirmed(why) => write!(f, "not confirmed, may be stored or not: {why}"),
            Self::Refused => {
                f.write_str("the broker refused to store it (nack): is the queue full, or its quorum lost?")
            }
            Self::Unroutable { exchange, routing_key } => write!(
                f,
                "no queue takes it: exchange {exchange:?}, routing key {routing_key:?}; declare the queue or its binding"
            ),
        }
    }
}

impl std::error::Error for PublishError {}

/// The publishing connection's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PublisherState {
    /// Not connected; why, after the first failure.
    Connecting {
        /// The last error.
        error: Option<String>,
    },
    /// Connected.
    Ready,
    /// Connected, and the broker takes nothing now (`connection.blocked`): it is short of memory or disk.
    Blocked {
        /// The broker's own words.
        reason: String,
    },
    /// Told to stop.
    Closed,
}

/// Publishes. Clones share the one task; when the last is gone, the task ends.
#[derive(Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<PublisherState>,
}

struct Request {
    message: Message,
    reply: oneshot::Sender<Result<(), PublishError>>,
}

impl Publisher {
    /// Starts the task. It connects at once and never gives up, until `close` is cancelled or nobody holds a
    /// `Publisher` any more. It declares nothing: see [`declare`](super::declare).
    #[must_use]
    pub fn start(settings: Arc<AmqpSettings>, close: CancellationToken) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (state, watched) = watch::channel(PublisherState::Connecting { error: None });
        tokio::spawn(supervise(settings, inbox, state, close));
        Self { requests, state: watched }
    }

    /// The connection's state, and its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<PublisherState> {
        self.state.clone()
    }

    /// Waits until the connection is there.
    ///
    /// # Errors
    /// The last connect error, once there is one: the caller decides whether to wait on.
    pub async fn connected(&self) -> Result<(), PublishError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, PublisherState::Connecting { error: None })).await;
        match settled.as_deref() {
            Ok(PublisherState::Ready | PublisherState::Blocked { .. }) => Ok(()),
            Ok(PublisherState::Connecting { error }) => {
                Err(PublishError::Unavailable(error.clone().unwrap_or_default()))
            }
            Ok(PublisherState::Closed) | Err(_) => Err(closed()),
        }
    }

    /// Publishes once. Ready when the broker has confirmed it.
    ///
    /// # Errors
    /// [`PublishError`]; only after `Unconfirmed` the broker may have the message all the same.
    pub fn publish(&self, message: Message) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        let requests = self.requests.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            requests.send(Request { message, reply }).await.map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(PublishError::Unconfirmed("the connection was lost".to_owned())))
        }
    }

    /// Publishes until the broker has confirmed it, however long that takes: a lost broker, a full queue, a missing
    /// binding are waited out, and reported. Pending for ever once the publisher is closed: what was not kept was not
    /// settled either, and comes again.
    pub async fn publish_durably(&self, message: Message) {
        let mut pause = Pause::new();
        loop {
            match self.publish(message.clone()).await {
                Ok(()) => return,
                Err(_) if *self.state.borrow() == PublisherState::Closed => return std::future::pending().await,
                Err(error) => {
                    // The first failure may be a broker's restart; one that lasts is somebody's concern.
                    if pause.failures() == 3 {
                        let (exchange, key) = (&message.exchange, &message.routing_key);
                        tracing::warn!(exchange, key, %error, "a message can't be published; trying on");
                    }
                    tokio::time::sleep(pause.next()).await;
                }
            }
        }
    }
}

fn closed() -> PublishError {
    PublishError::Unavailable("the publisher is closed".to_owned())
}

async fn supervise(
    settings: Arc<AmqpSettings>,
    mut inbox: mpsc::Receiver<Request>,
    state: watch::Sender<PublisherState>,
    close: CancellationToken,
) {
    let mut pause = Pause::new();
    loop {
        let error = tokio::select! {
            () = close.cancelled() => break,
            opened = open(&settings) => match opened {
                Ok((connection, channel)) => {
                    state.send_replace(PublisherState::Ready);
                    pause.reset();
                    let end = serve(&connection, &channel, &mut inbox, &state, &close).await;
                    let _ = connection.close(200, "bye".into()).now_or_never();
                    match end {
                        End::Closed => break,
                        End::Lost(error) => error,
                    }
                }
                Err(error) => error,
            },
        };
        tracing::warn!(%error, "the publishing connection is down");
        state.send_replace(PublisherState::Connecting { error: Some(error.clone()) });
        if refuse(&mut inbox, &error, pause.next(), &close).await.is_break() {
            break;
        }
    }
    state.send_replace(PublisherState::Closed);
}

async fn open(settings: &AmqpSettings) -> Result<(Connection, Channel), String> {
    let connection = connect::connect(settings, "publish").await.map_err(|error| error.to_string())?;
    let channel = connection.create_channel().await.map_err(|error| error.to_string())?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| error.to_string())?;
    Ok((connection, channel))
}

/// While there is no connection, every publish is answered so at once; those who can wait do so by themselves.
async fn refuse(
    inbox: &mut mpsc::Receiver<Request>,
    error: &str,
    span: Duration,
    close: &CancellationToken,
) -> std::ops::ControlFlow<()> {
    let end = tokio::time::sleep(span);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = close.cancelled() => return std::ops::ControlFlow::Break(()),
            () = &mut end => return std::ops::ControlFlow::Continue(()),
            request = inbox.recv() => match request {
                None => return std::ops::ControlFlow::Break(()),
                Some(request) => drop(request.reply.send(Err(PublishError::Unavailable(error.to_owned())))),
            },
        }
    }
}

enum End {
    Closed,
    Lost(String),
}

type Reply = oneshot::Sender<Result<(), PublishError>>;

async fn serve(
    connection: &Connection,
    channel: &Channel,
    inbox: &mut mpsc::Receiver<Request>,
    state: &watch::Sender<PublisherState>,
    close: &CancellationToken,
) -> End {
    let mut events = Box::pin(connection.events_listener());
    let mut confirms: FuturesUnordered<BoxFuture<'_, Option<String>>> = FuturesUnordered::new();
    // The one publish that is being written; a broker that reads nothing holds it, and nothing else, up.
    let mut writing: Option<BoxFuture<'_, Written>> = None;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        let room = writing.is_none() && confirms.len() < WINDOW;
        tokio::select! {
            () = close.cancelled() => return End::Closed,
            _ = look.tick() => if !channel.status().connected() || !connection.status().connected() {
                return End::Lost("the channel is closed".to_owned());
            },
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(reason, "the broker takes no messages now");
                    state.send_replace(PublisherState::Blocked { reason });
                }
                Some(Event::ConnectionUnblocked) => drop(state.send_replace(PublisherState::Ready)),
                Some(Event::Error(error)) => return End::Lost(error.to_string()),
                Some(_) => {}
                None => return End::Lost("the connection ended".to_owned()),
            },
            written = async { writing.as_mut().expect("guarded").await }, if writing.is_some() => {
                writing = None;
                match written {
                    Written::Sent(confirm) => confirms.push(confirm),
                    Written::Failed(error) => return End::Lost(error),
                }
            }
            Some(lost) = confirms.next(), if !confirms.is_empty() => {
                if let Some(error) = lost {
                    return End::Lost(error);
                }
            }
            request = inbox.recv(), if room => match request {
                None => return End::Closed,
                Some(request) => writing = Some(write(channel, request).boxed()),
            },
        }
    }
}

enum Written {
    Sent(BoxFuture<'static, Option<String>>),
    Failed(String),
}

async fn write(channel: &Channel, Request { message, reply }: Request) -> Written {
    let options = BasicPublishOptions { mandatory: message.mandatory, ..Default::default() };
    let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
    match channel.basic_publish(exchange, key, options, &message.body, message.properties).await {
        Ok(confirm) => {
            let (exchange, routing_key) = (message.exchange, message.routing_key);
            Written::Sent(confirmed(confirm, exchange, routing_key, reply).boxed())
        }
        Err(error) => {
            let error = error.to_string();
            let _ = reply.send(Err(PublishError::Unconfirmed(error.clone())));
            Written::Failed(error)
        }
    }
}

/// Waits for one confirm and passes it on. The error, if the channel was lost.
async fn confirmed(
    confirm: lapin::PublisherConfirm,
    exchange: String,
    routing_key: String,
    reply: Reply,
) -> Option<String> {
    let (answer, lost) = match confirm.await {
        Ok(Confirmation::Ack(None)) => (Ok(()), None),
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
            (Err(PublishError::Unroutable { exchange, routing_key }), None)
        }
        Ok(Confirmation::Nack(None)) => (Err(PublishError::Refused), None),
        Ok(Confirmation::NotRequested) => {
            let error = "the channel is not in confirm mode".to_owned();
            (Err(PublishError::Unconfirmed(error.clone())), Some(error))
        }
        Err(error) => (Err(PublishError::Unconfirmed(error.to_string())), Some(error.to_string())),
    };
    let _ = reply.send(answer);
    lost
}
