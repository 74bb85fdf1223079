//! Exchanges, queues and bindings: what we declare, and what it means when the broker's differ.
//!
//! ```text
//! callers ─▶ P.jobs (topic) ─<lane>, <lane>.#─▶ P.jobs.<lane> ──too often delivered──▶ P.dead (fanout) ─▶ P.dead
//!                                                    ▲
//! P.retry.<delay> (fanout) ─▶ P.retry.<delay> ─ttl, by the default exchange─┘
//! ```
//!
//! A retry is published with the name of the queue it came from as its routing key. The retry queue dead-letters to
//! the default exchange without a routing key of its own, so the original key brings each job back to just that
//! queue, whichever it was. Dead-lettering is at-least-once everywhere, which needs `reject-publish`: with the default
//! overflow the broker falls back to at-most-once without a word (RabbitMQ, "Quorum Queues", dead lettering).

use std::fmt;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ExchangeKind};

use super::names::{Names, RETRY_LEVELS, RetryLevel};
use super::{AmqpSettings, ConnectError};
use crate::job::Lane;

/// How often a quorum queue delivers a message before it gives it up to the dead letters. Far above
/// `max_deliveries`: the judgement is ours, the broker's limit is the net below it. A crash counts for every
/// prefetched message, so a low limit would throw away innocent jobs.
const DELIVERY_LIMIT: u32 = 200;

/// Why the broker does not have what we need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopologyError {
    /// It is there, made differently.
    Differs(String),
    /// It is not there, and we may not make it.
    Missing(String),
    /// The user may not.
    Denied(String),
    /// The connection was lost on the way, or never made.
    Lost(String),
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Differs(text) | Self::Missing(text) | Self::Denied(text) | Self::Lost(text)) = self;
        f.write_str(text)
    }
}

impl TopologyError {
    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn parts(&self) -> (String, String) {
        let text = self.to_string();
        // As the texts below are made: what is wrong ends with the first of these.
        let end = [". Delete it", "; "].into_iter().filter_map(|end| text.find(end)).min();
        let (what, remedy) = text.split_at(end.unwrap_or(text.len()));
        (what.to_owned(), remedy.trim_start_matches([';', '.', ' ']).to_owned())
    }
}

impl std::error::Error for TopologyError {}

impl From<ConnectError> for TopologyError {
    fn from(error: ConnectError) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Declares our topology on a connection of its own. For commands that only publish.
///
/// # Errors
/// [`TopologyError`]; what was declared before it stays.
pub async fn declare(settings: &AmqpSettings) -> Result<(), TopologyError> {
    let connection = super::connect::connect(settings, "declare").await?;
    let result = ensure(&connection, settings).await;
    let _ = connection.close(200, "done".into()).await;
    result
}

/// Deletes our exchanges and queues with whatever is in them; own queues stay. For demos on a broker of somebody else's.
///
/// # Errors
/// [`TopologyError`]; what was deleted before it is gone.
pub async fn delete(settings: &AmqpSettings) -> Result<(), TopologyError> {
    let connection = super::connect::connect(settings, "delete").await?;
    let channel = connection.create_channel().await.map_err(|error| TopologyError::Lost(error.to_string()))?;
    for piece in pieces(settings).into_iter().filter(|piece| !piece.foreign) {
        let deleted = match piece.kind {
            Kind::Exchange(_) => channel.exchange_delete(name(&piece), ExchangeDeleteOptions::default()).await,
            Kind::Queue(_) => channel.queue_delete(name(&piece), QueueDeleteOptions::default()).await.map(drop),
            Kind::Binding { .. } => Ok(()),
        };
        deleted.map_err(|error| explain(&error, &piece))?;
    }
    let _ = connection.close(200, "done".into()).await;
    Ok(())
}

/// Makes sure that all we use is there: declares it, or with `declare = false` looks.
pub(super) async fn ensure(connection: &Connection, settings: &AmqpSettings) -> Result<(), TopologyError> {
    for piece in pieces(settings) {
        declare_piece(connection, &piece, !settings.declare || piece.foreign).await?;
    }
    Ok(())
}

/// Declares a piece, or with `passive` looks whether it is there.
async fn declare_piece(connection: &Connection, piece: &Piece, passive: bool) -> Result<(), TopologyError> {
    // Each on a channel of its own: the broker closes a channel with the first thing that does not fit.
    let channel = connection.create_channel().await.map_err(|error| TopologyError::Lost(error.to_string()))?;
    let result = match &piece.kind {
        Kind::Exchange(kind) => {
            let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
            channel.exchange_declare(name(piece), kind.clone(), options, FieldTable::default()).await
        }
        Kind::Queue(arguments) => {
            let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
            channel.queue_declare(name(piece), options, arguments.clone()).await.map(drop)
        }
        Kind::Binding { .. } if passive => Ok(()),
        Kind::Binding { exchange, key } => {
            let (exchange, key) = (exchange.as_str().into(), key.as_str().into());
            channel.queue_bind(name(piece), exchange, key, QueueBindOptions::default(), FieldTable::default()).await
        }
    };
    result.map_err(|error| explain(&error, piece))?;
    let _ = channel.close(200, "done".into()).await;
    Ok(())
}

/// What of the topology is not at the broker as we need it, piece by piece; empty: all is. Nothing is made: what is missing
/// and would be declared at start is no trouble. Bindings can't be looked at by AMQP, and are not.
///
/// # Errors
/// [`TopologyError::Lost`]: the broker could not be asked.
pub async fn inspect(settings: &AmqpSettings) -> Result<Vec<TopologyError>, TopologyError> {
    let connection = super::connect::connect(settings, "check").await?;
    let mut amiss = Vec::new();
    for piece in pieces(settings) {
        match look(&connection, &piece).await {
            Ok(true) if settings.declare && !piece.foreign => amiss.extend(compare(&connection, &piece).await.err()),
            Ok(false) if settings.declare && !piece.foreign => {}
            Ok(true) => {}
            Ok(false) => amiss.push(missing(&piece)),
            Err(error @ TopologyError::Lost(_)) => return Err(error),
            Err(error) => amiss.push(error),
        }
    }
    let _ = connection.close(200, "done".into()).await;
    Ok(amiss)
}

/// Whether a piece is there.
async fn look(connection: &Connection, piece: &Piece) -> Result<bool, TopologyError> {
    match declare_piece(connection, piece, true).await {
        Ok(()) => Ok(true),
        Err(TopologyError::Missing(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Declares what is there: that changes nothing, and says what differs.
async fn compare(connection: &Connection, piece: &Piece) -> Result<(), TopologyError> {
    match piece.kind {
        Kind::Binding { .. } => Ok(()),
        _ => declare_piece(connection, piece, false).await,
    }
}

struct Piece {
    kind: Kind,
    name: String,
    /// Somebody else's: looked at, never declared.
    foreign: bool,
}

enum Kind {
    Exchange(ExchangeKind),
    Queue(FieldTable),
    Binding { exchange: String, key: String },
}

fn name(piece: &Piece) -> lapin::types::ShortString {
    piece.name.as_str().into()
}

fn pieces(settings: &AmqpSettings) -> Vec<Piece> {
    let names = Names::new(settings.prefix.as_str());
    let exchange = |name: String, kind| Piece { kind: Kind::Exchange(kind), name, foreign: false };
    let queue = |name: String, arguments| Piece { kind: Kind::Queue(arguments), name, foreign: false };
    let binding = |name: String, exchange: String, key: String| Piece {
        kind: Kind::Binding { exchange, key },
        name,
        foreign: false,
    };
    let mut pieces = vec![
        exchange(names.dead(), ExchangeKind::Fanout),
        queue(names.dead(), quorum()),
        binding(names.dead(), names.dead(), String::new()),
        exchange(names.outcomes(), ExchangeKind::Topic),
    ];
    for level in RETRY_LEVELS {
        let name = names.retry(level);
        pieces.push(exchange(name.clone(), ExchangeKind::Fanout));
        pieces.push(queue(name.clone(), retry_arguments(level)));
        pieces.push(binding(name.clone(), name, String::new()));
    }
    if settings.queues.is_empty() {
        pieces.push(exchange(names.jobs(), ExchangeKind::Topic));
        for lane in Lane::ALL {
            pieces.push(queue(names.lane(lane), lane_arguments(&names)));
            pieces.push(binding(names.lane(lane), names.jobs(), lane.to_string()));
            pieces.push(binding(names.lane(lane), names.jobs(), format!("{lane}.#")));
        }
    }
    for own in &settings.queues {
        pieces.push(Piece { kind: Kind::Queue(FieldTable::default()), name: own.name.clone(), foreign: true });
    }
    pieces
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn dead_lettering(exchange: &str) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(exchange));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

fn lane_arguments(names: &Names) -> FieldTable {
    let mut arguments = dead_lettering(&names.dead());
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongUInt(DELIVERY_LIMIT));
    arguments
}

fn retry_arguments(level: RetryLevel) -> FieldTable {
    let mut arguments = dead_lettering("");
    let millis = u32::try_from(level.delay.as_millis()).expect("an hour of milliseconds fits 32 bits");
    arguments.insert("x-message-ttl".into(), AMQPValue::LongUInt(millis));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn called(piece: &Piece) -> String {
    match &piece.kind {
        Kind::Exchange(kind) => format!("exchange {:?} ({kind:?})", piece.name),
        Kind::Queue(_) => format!("queue {:?}", piece.name),
        Kind::Binding { exchange, key } => format!("binding of {:?} to {exchange:?} by {key:?}", piece.name),
    }
}

fn missing(piece: &Piece) -> TopologyError {
    let remedy = if piece.foreign {
        "source.amqp.queues names it: make it first, or take it out there"
    } else {
        "make it first, or set source.amqp.declare = true"
    };
    TopologyError::Missing(format!("{} is missing at the broker; {remedy}", called(piece)))
}

fn explain(error: &lapin::Error, piece: &Piece) -> TopologyError {
    let what = called(piece);
    let said = error.to_string();
    if said.contains("PRECONDITION_FAILED") {
        return TopologyError::Differs(differs(&what, &said));
    }
    if said.contains("NOT_FOUND") {
        return missing(piece);
    }
    if said.contains("ACCESS_REFUSED") {
        return TopologyError::Denied(format!(
            "the broker's user may not declare or see {what} ({said}); give it the permissions (configure, write, read), \
             or make the topology yourself and set source.amqp.declare = false"
        ));
    }
    TopologyError::Lost(format!("{what}: {said}"))
}

/// RabbitMQ says `inequivalent arg 'x' for queue 'q' in vhost '/': received 'a' but current is 'b'`, in two spellings.
fn differs(what: &str, said: &str) -> String {
    let quoted = |marker: &str| {
        let (_, rest) = said.split_once(marker)?;
        let rest = rest.trim_start_matches("the value ").trim_start();
        match rest.strip_prefix('\'') {
            Some(rest) => rest.split('\'').next(),
            None => rest.split([' ', ',']).next(),
        }
    };
    let argument = quoted("inequivalent arg ").unwrap_or("of unknown name");
    let ours = quoted("received ").unwrap_or("?");
    let theirs = quoted("current is ").unwrap_or("?");
    format!(
        "{what} exists with a different {argument}: there it is {theirs}, we need {ours}. Delete it (when it is empty), \
         choose another source.amqp.prefix, or set source.amqp.declare = false and keep it as it is"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_argument_and_both_values() {
        let said = "protocol error: AMQP soft error: PRECONDITION-FAILED: PRECONDITION_FAILED - inequivalent arg \
                    'x-delivery-limit' for queue 'tidegate.jobs.high' in vhost '/': received '200' but current is '100'";
        let text = differs("queue \"tidegate.jobs.high\"", said);
        for part in ["tidegate.jobs.high", "x-delivery-limit", "there it is 100, we need 200", "declare = false"] {
            assert!(text.contains(part), "{text}");
        }
        let said = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value \
                    '5' of type 'signedint'";
        assert!(differs("q", said).contains("there it is 5, we need none"), "{}", differs("q", said));
    }
}
