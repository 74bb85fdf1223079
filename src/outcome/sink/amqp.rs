//! Outcomes to `<prefix>.outcomes`, routing key `<app>.<provider>.<outcome>`, as JSON arrays.

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::{Event, Sink};
use crate::job::UnixMillis;
use crate::source::amqp::{Names, Publisher, letters};

/// Routing keys have at most 255 bytes; an app's name that is longer is cut.
const MAX_APP: usize = 200;

/// Publishes outcomes, confirmed. A message is all of a batch's events of one routing key, in their order. Nobody need
/// be bound to the exchange: without a queue the broker confirms and drops them.
pub struct AmqpSink {
    publisher: Publisher,
    names: Names,
}

impl AmqpSink {
    /// A sink that publishes by `publisher`.
    #[must_use]
    pub fn new(publisher: Publisher, names: Names) -> Self {
        Self { publisher, names }
    }
}

impl Sink for AmqpSink {
    fn name(&self) -> &'static str {
        "amqp"
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        let now = UnixMillis::now();
        let messages = group(events)
            .into_iter()
            .map(|(key, body)| self.publisher.publish_durably(letters::outcomes(&self.names, key, body.into(), now)));
        join_all(messages).map(drop).boxed()
    }
}

/// One JSON array for each routing key, in the order of their first events.
fn group(events: &[Event]) -> Vec<(String, Vec<u8>)> {
    let mut groups: Vec<(String, Vec<u8>)> = Vec::new();
    for event in events {
        let key = routing_key(event);
        // A batch has at most 256 events of a few apps: a search is cheaper than a table.
        if let Some((_, body)) = groups.iter_mut().find(|(known, _)| *known == key) {
            body.push(b',');
            body.extend_from_slice(&event.json);
        } else {
            groups.push((key, [b"[", &*event.json].concat()));
        }
    }
    for (_, body) in &mut groups {
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
        let text = |(key, body): (String, Vec<u8>)| (key, String::from_utf8(body).unwrap());
        let groups: Vec<_> = group(&events).into_iter().map(text).collect();
        let expected = [
            ("chat.fcm.unregistered".to_owned(), r#"[{"job":"1"},{"job":"3"}]"#.to_owned()),
            ("mail.fcm.failed".to_owned(), r#"[{"job":"2"}]"#.to_owned()),
        ];
        assert_eq!(groups, expected);
    }
}
