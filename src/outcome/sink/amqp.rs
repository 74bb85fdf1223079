//! Outcomes to `<prefix>.outcomes`, routing key `<app>.<provider>.<outcome>`, as JSON arrays.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::{Event, Sink, Trouble, Troubles};
use crate::job::UnixMillis;
use crate::source::amqp::{Names, PublishError, Publisher, letters};
use crate::telemetry::Metrics;

/// Routing keys have at most 255 bytes; an app's name that is longer is cut.
const MAX_APP: usize = 200;

/// Publishes outcomes, confirmed. A message is all of a batch's events of one routing key, in their order. Nobody need
/// be bound to the exchange: what no queue takes is told to nobody, which is counted and said once a minute, and holds
/// nothing back.
pub struct AmqpSink {
    publisher: Publisher,
    names: Names,
    troubles: Troubles,
    metrics: Arc<Metrics>,
}

impl AmqpSink {
    /// A sink that publishes by `publisher`.
    #[must_use]
    pub fn new(publisher: Publisher, names: Names, troubles: Troubles, metrics: Arc<Metrics>) -> Self {
        Self { publisher, names, troubles, metrics }
    }

    async fn tell(&self, key: String, body: Vec<u8>, events: usize, now: UnixMillis) {
        let mut trouble = Trouble::new(self.name(), &self.troubles, Duration::from_secs(10));
        let message = letters::outcomes(&self.names, key, body.into(), now);
        loop {
            match self.publisher.publish(message.clone()).await {
                Ok(()) => return trouble.over(),
                Err(PublishError::Unroutable { exchange, routing_key }) => {
                    self.metrics.unheard(self.name(), events);
                    self.troubles.unheard(&exchange, &routing_key);
                    return;
                }
                Err(error) => trouble.wait(&error.to_string()).await,
            }
        }
    }
}

impl Sink for AmqpSink {
    fn name(&self) -> &'static str {
        "amqp"
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        let now = UnixMillis::now();
        let messages = group(events).into_iter().map(move |(key, body, events)| self.tell(key, body, events, now));
        join_all(messages).map(drop).boxed()
    }
}

/// One JSON array for each routing key, in the order of their first events; and of how many.
fn group(events: &[Event]) -> Vec<(String, Vec<u8>, usize)> {
    let mut groups: Vec<(String, Vec<u8>, usize)> = Vec::new();
    for event in events {
        let key = routing_key(event);
        // A batch has at most 256 events of a few apps: a search is cheaper than a table.
        if let Some((_, body, events)) = groups.iter_mut().find(|(known, ..)| *known == key) {
            *events += 1;
            body.push(b',');
            body.extend_from_slice(&event.json);
        } else {
            groups.push((key, [b"[", &*event.json].concat(), 1));
        }
    }
    for (_, body, _) in &mut groups {
        body.push(b']');
    }
    groups
}

fn routing_key(event: &Event) -> String {
    let app = &event.app;
    let end = (0..=MAX_APP.min(app.len())).rev().find(|end| app.is_char_boundary(*end)).unwrap_or(0);
    format!("{}.{}.{}", &app[..end], event.provider, event.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Provider;
    use crate::outcome::OutcomeKind;

    fn event(app: &str, kind: OutcomeKind, json: &'static str) -> Event {
        Event { app: app.into(), provider: Provider::Fcm, kind, json: json.as_bytes().into() }
    }

    #[test]
    fn events_of_one_routing_key_are_one_array_in_order() {
        let events = [
            event("chat", OutcomeKind::Unregistered, r#"{"job":"1"}"#),
            event("mail", OutcomeKind::Failed, r#"{"job":"2"}"#),
            event("chat", OutcomeKind::Unregistered, r#"{"job":"3"}"#),
        ];
        let text = |(key, body, count): (String, Vec<u8>, usize)| (key, String::from_utf8(body).unwrap(), count);
        let groups: Vec<_> = group(&events).into_iter().map(text).collect();
        let expected = [
            ("chat.fcm.unregistered".to_owned(), r#"[{"job":"1"},{"job":"3"}]"#.to_owned(), 2),
            ("mail.fcm.failed".to_owned(), r#"[{"job":"2"}]"#.to_owned(), 1),
        ];
        assert_eq!(groups, expected);
    }
}
