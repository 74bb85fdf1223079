//! RabbitMQ, AMQP 0-9-1.

mod settings;

pub use settings::{AmqpSettings, QueueSettings};
