//! `[source.amqp]`.

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};

use super::{Meaning, is_loopback};
use crate::config::nearest::nearest;
use crate::config::section::{Entry, Section};
use crate::config::value::Value;
use crate::job::Lane;
use crate::source::amqp::{AmqpSettings, QueueSettings};

const EXAMPLE: &str = "write it like amqp://user:password@host:5672/%2f";

impl Meaning<'_> {
    pub(super) fn amqp(&mut self, section: &Section, apps: &[Section]) -> Option<AmqpSettings> {
        let uri = self.uri(section.entry("uri"));
        let extra_roots = self.extra_roots(section);
        let client_certificate = self.certificate(section);
        if let Some((_, scheme)) = &uri {
            self.plaintext(section, scheme);
        }
        self.reserved(section.entry("prefix"));
        let queues = self.queues(section.sections("queues"), apps);
        Some(AmqpSettings {
            uri: uri?.0,
            prefix: section.text("prefix")?,
            declare: section.flag("declare")?,
            queues: queues?,
            max_prefetch: section.whole("max_prefetch")?,
            max_deliveries: section.whole("max_deliveries")?,
            extra_roots: extra_roots?,
            client_certificate,
            heartbeat: section.duration("heartbeat")?,
        })
    }

    fn uri(&mut self, entry: &Entry) -> Option<(SecretString, AMQPScheme)> {
        let secret = self.secret(entry)?;
        let text = secret.expose_secret();
        match understand(text) {
            Ok(uri) => {
                if uri.vhost.is_empty() {
                    self.doubt(entry, "names the virtual host \"\"", "end it with /%2f for the default one, \"/\"");
                }
                if uri.scheme == AMQPScheme::AMQP && !is_loopback(&uri.authority.host) {
                    self.doubt(entry, "password and jobs cross the network in the clear", "use amqps://");
                }
                Some((secret, uri.scheme))
            }
            Err((message, remedy)) => {
                let draft = self.report.error(&entry.path, entry.span.as_ref(), message, remedy);
                if let Some(masked) = masked(text) {
                    draft.value(format!("{masked:?}"));
                }
                None
            }
        }
    }

    /// Refuses what has no effect without TLS.
    fn plaintext(&mut self, section: &Section, scheme: &AMQPScheme) {
        for name in ["ca_file", "certificate_file"] {
            let entry = section.entry(name);
            if *scheme == AMQPScheme::AMQP && entry.value.is_some() {
                let message = "has no effect, for uri is not amqps://".to_owned();
                self.wrong(entry, (message, format!("use amqps:// in uri, or leave {name} out")));
            }
        }
    }

    /// RabbitMQ refuses to declare names that start with `amq.` (AMQP 0-9-1, exchange.declare, queue.declare).
    fn reserved(&mut self, entry: &Entry) {
        if matches!(&entry.value, Some(Value::Text(prefix)) if prefix.starts_with("amq.")) {
            let message = "names that start with amq. are the broker's own".to_owned();
            self.wrong(entry, (message, "choose another prefix".to_owned()));
        }
    }

    fn queues(&mut self, sections: &[Section], apps: &[Section]) -> Option<Vec<QueueSettings>> {
        let mut queues: Vec<QueueSettings> = Vec::new();
        let mut complete = true;
        for section in sections {
            let app = section.text("app");
            if let Some(app) = &app {
                self.is_app(section.entry("app"), app, apps);
            }
            let lane = section.text("lane").and_then(|name| Lane::ALL.into_iter().find(|lane| lane.as_str() == name));
            let (Some(name), Some(lane)) = (section.text("name"), lane) else {
                complete = false;
                continue;
            };
            if queues.iter().any(|queue| queue.name == name) {
                let remedy = "leave one of them out".to_owned();
                self.wrong(section.entry("name"), ("the queue is listed twice".to_owned(), remedy));
            }
            queues.push(QueueSettings { name, lane, app });
        }
        complete.then_some(queues)
    }

    fn is_app(&mut self, entry: &Entry, app: &str, apps: &[Section]) {
        let names = || apps.iter().map(|app| app.name.as_str());
        if names().any(|name| name == app) {
            return;
        }
        let remedy = match nearest(app, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if apps.is_empty() => "add the app: no app is configured".to_owned(),
            None => format!("the apps are {}", names().collect::<Vec<_>>().join(", ")),
        };
        self.wrong(entry, ("no app is called so".to_owned(), remedy));
    }
}

/// Parses the URI. What is wrong is said without quoting it: the parser's own words sometimes do.
fn understand(text: &str) -> Result<AMQPUri, (String, String)> {
    let wrong = |message: &str| Err((message.to_owned(), EXAMPLE.to_owned()));
    let Some((scheme, rest)) = text.split_once("://") else { return wrong("not a URI") };
    if !matches!(scheme, "amqp" | "amqps") {
        return wrong("the scheme is neither amqp nor amqps");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    // The AMQP client takes "localhost" for what is no domain name: an IPv6 address would silently be another broker.
    if host.starts_with('[') {
        return wrong("an IPv6 address can't stand there");
    }
    if host.is_empty() || host.starts_with(':') {
        return wrong("names no host");
    }
    match text.parse::<AMQPUri>() {
        Ok(uri) => Ok(uri),
        Err(message) if message.starts_with("Invalid ") || message.starts_with("invalid digit") => {
            wrong("has a parameter that can't be understood")
        }
        Err(message) => wrong(&format!("can't be understood: {message}")),
    }
}

/// The URI with everything covered that may be a password; `None` if nothing is sure.
fn masked(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "amqp" | "amqps"))?;
    let (user_info, place) = rest.rsplit_once('@')?;
    let user = user_info.split(':').next().unwrap_or_default();
    let place = place.split(['?', '#']).next().unwrap_or_default();
    Some(format!("{scheme}://{user}:…@{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_covered_however_the_uri_is_broken() {
        for text in [
            "amqp://guest:hunter2@host:port/%2f",
            "amqp://guest:hunter2@host/%2f?password=hunter2",
            "amqp://guest:hun/ter@hunter2@host",
            "hunter2",
            "hunter2://x@y",
            "amqp://guest:hunter2host",
            "http://guest:hunter2@host",
            "amqp://guest:hunter2@[::1]/%2f",
            "amqp://guest:hunter2@host/%2f?frame_max=hunter2",
            "amqp://guest:hunter2@host/%2f?auth_mechanism=hunter2",
            "amqp://guest:hunter2@ho st/%2f",
            "amqp:hunter2",
        ] {
            let said = format!("{:?} {:?}", masked(text), understand(text).map(|_| "good"));
            assert!(!said.contains("hunter2"), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_masked_can_still_be_recognised() {
        assert_eq!(masked("amqp://ada:pw@rabbit:x/%2f?heartbeat=1").as_deref(), Some("amqp://ada:…@rabbit:x/%2f"));
    }
}
