//! `[source.amqp]`.

use std::time::Duration;

use secrecy::SecretString;

use crate::job::Lane;

/// How RabbitMQ is reached and what is consumed there.
#[derive(Debug, Clone)]
pub struct AmqpSettings {
    /// `amqp://` or `amqps://`, user and password included: a secret.
    pub uri: SecretString,
    /// The prefix of every name of ours. Default `tidegate`.
    pub prefix: String,
    /// Whether exchanges, queues and bindings are declared at start. Default true.
    pub declare: bool,
    /// The queues consumed; empty: the three of ours, one per lane.
    pub queues: Vec<QueueSettings>,
    /// Unsettled jobs per queue, at most. Default 2,000; see ENGINEERING on quorum queues' ceiling.
    pub max_prefetch: u16,
    /// A message redelivered more often than this is a dead letter (poison). Default 100, at most 150: the queue's own
    /// `x-delivery-limit` is 200, the backstop.
    pub max_deliveries: u32,
    /// Further roots of trust (PEM) for `amqps://`.
    pub extra_roots: Option<String>,
    /// A client certificate: chain and key, PEM.
    pub client_certificate: Option<(String, SecretString)>,
    /// The heartbeat proposed to the broker. Default 30 s.
    pub heartbeat: Duration,
}

/// A local broker with everything at its default.
impl Default for AmqpSettings {
    fn default() -> Self {
        Self {
            uri: "amqp://guest:guest@127.0.0.1:5672/%2f".into(),
            prefix: "tidegate".to_owned(),
            declare: true,
            queues: Vec::new(),
            max_prefetch: 2000,
            max_deliveries: 100,
            extra_roots: None,
            client_certificate: None,
            heartbeat: Duration::from_secs(30),
        }
    }
}

/// A queue of somebody else's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// The queue's name, without our prefix.
    pub name: String,
    /// The lane its jobs wait in unless they name one.
    pub lane: Lane,
    /// The app of its jobs that name none.
    pub app: Option<String>,
}
