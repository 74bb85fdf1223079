//! `[outcomes]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::{Meaning, is_loopback, is_token};
use crate::config::section::{Entry, Section};
use crate::config::value::Value;
use crate::outcome::{OutcomeKind, OutcomeSettings, WebhookSettings};

impl Meaning<'_> {
    pub(super) fn outcomes(&mut self, section: &Section, has_amqp: bool) -> Option<OutcomeSettings> {
        let file = self.appended(section.entry("file"));
        let webhook = section.section("webhook").map(|section| self.webhook(section));
        let amqp = section.flag("amqp");
        if amqp == Some(true) && !has_amqp {
            let remedy = "add [source.amqp], or leave it out".to_owned();
            self.wrong(section.entry("amqp"), ("there is no [source.amqp] to publish to".to_owned(), remedy));
        }
        let publish = section.entry("publish");
        let Some(Value::Words(words)) = &publish.value else { return None };
        let sinks = section.entry("file").value.is_some() || webhook.is_some();
        if amqp == Some(false) && !sinks && !words.is_empty() {
            let remedy = "add file or webhook, or say publish = []";
            self.doubt(section.entry("amqp"), "outcomes are told to nobody", remedy);
        }
        let publish = OutcomeKind::ALL.into_iter().filter(|kind| words.iter().any(|word| word == kind.as_str()));
        let webhook = match webhook {
            None => None,
            Some(webhook) => Some(webhook?),
        };
        Some(OutcomeSettings { publish: publish.collect(), amqp: amqp.unwrap_or(has_amqp), file: file?, webhook })
    }

    /// A file that can be appended to. The outer `None`: it is set, and bad.
    fn appended(&mut self, entry: &Entry) -> Option<Option<PathBuf>> {
        let Some(Value::Text(name)) = &entry.value else { return Some(None) };
        let path = self.files.resolve(name);
        let directory = path.parent().map(PathBuf::from).unwrap_or_default();
        let trouble = if path.is_dir() {
            format!("{} is a directory", path.display())
        } else if !directory.is_dir() {
            format!("the directory {} doesn't exist", directory.display())
        } else {
            return Some(Some(path));
        };
        self.wrong(entry, (trouble, "name a file in a directory that exists".to_owned()));
        None
    }

    fn webhook(&mut self, section: &Section) -> Option<WebhookSettings> {
        let url = self.secret(section.entry("url")).filter(|url| self.is_webhook(section.entry("url"), url));
        let token = self.token(section.entry("token"));
        let extra_roots = self.extra_roots(section);
        Some(WebhookSettings { url: url?, token: token?, extra_roots: extra_roots? })
    }

    fn is_webhook(&mut self, entry: &Entry, url: &SecretString) -> bool {
        let parsed = url.expose_secret().parse::<http::Uri>().ok();
        let message = match parsed.as_ref().map(|url| (url.scheme_str(), url.host().unwrap_or_default())) {
            Some((Some("https"), host)) if !host.is_empty() => return true,
            Some((Some("http"), host)) if is_loopback(host) => return true,
            Some((Some("http"), _)) => "outcomes would cross the network in the clear",
            _ => "not an https URL",
        };
        let remedy = "write it like \"https://host/path\"; http:// is for loopback only".to_owned();
        self.wrong(entry, (message.to_owned(), remedy));
        false
    }

    fn token(&mut self, entry: &Entry) -> Option<Option<SecretString>> {
        if entry.value.is_none() {
            return Some(None);
        }
        let token = self.secret(entry)?;
        if !is_token(&token) {
            let remedy = "use visible ASCII characters only: it goes in an HTTP header".to_owned();
            self.wrong(entry, ("has a character that no token can have".to_owned(), remedy));
            return None;
        }
        Some(Some(token))
    }
}
