//! A private RabbitMQ and a look into it over plain AMQP.

use std::ops::{Deref, DerefMut};

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tidegate::source::amqp::PrivateBroker;

/// The broker; ends with the test.
pub struct Broker(PrivateBroker);

impl Broker {
    pub async fn start() -> Self {
        Self(PrivateBroker::start().await.expect("a private broker"))
    }
}

impl Deref for Broker {
    type Target = PrivateBroker;

    fn deref(&self) -> &PrivateBroker {
        &self.0
    }
}

impl DerefMut for Broker {
    fn deref_mut(&mut self) -> &mut PrivateBroker {
        &mut self.0
    }
}

/// A caller's, or an operator's, connection.
pub struct Peer {
    connection: Connection,
}

impl Peer {
    pub async fn connect(uri: &str) -> Self {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await.expect("the broker answers");
        Self { connection }
    }

    pub async fn channel(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    /// Messages that are ready in a queue; `None` if there is no such queue.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        let options = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        let channel = self.channel().await;
        let queue = channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()?;
        Some(queue.message_count())
    }

    pub async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
        let confirm = confirm.await.unwrap();
        assert!(confirm.is_ack() && confirm.take_message().is_none(), "{exchange} {key} takes it");
    }

    /// Takes one message off a queue.
    pub async fn get(&self, queue: &str) -> Option<(BasicProperties, Vec<u8>)> {
        let message = self.channel().await.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()?;
        Some((message.delivery.properties, message.delivery.data))
    }

    pub async fn declare(&self, queue: &str, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel().await.queue_declare(queue.into(), options, table).await.expect("declared");
    }

    pub async fn topic(&self, exchange: &str, queue: &str, key: &str) {
        let channel = self.channel().await;
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default()).await.unwrap();
        self.declare(queue, &[]).await;
        let options = QueueBindOptions::default();
        channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await.unwrap();
    }

    pub async fn delete(&self, queue: &str) {
        self.channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

pub fn text(properties: &BasicProperties, header: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(header)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => Some(format!("{other:?}")),
    }
}
