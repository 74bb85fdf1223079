//! Which source a command means, where there may be two.

use clap::ValueEnum;
use serde::Serialize;

/// A source of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// The embedded durable queue, behind the HTTP door.
    Spool,
    /// RabbitMQ.
    Amqp,
}

impl Source {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Source::Spool => "spool",
            Source::Amqp => "amqp",
        }
    }
}
