//! From values to [`Settings`]: what one value means beside the others, and what the files it names hold.
//!
//! Every function here looks at all it can before it gives up, so that all problems come out together. `None` always
//! means that a problem was reported.

mod amqp;
mod fit;
mod http;
mod outcomes;
mod routes;
mod spool;

use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};

use super::credentials;
use super::files::{Files, Text, Trouble};
use super::report::Report;
use super::section::{Entry, Section};
use super::tree::Span;
use super::value::Value;
use crate::dispatch::{LaneSettings, OnOverload};
use crate::job::Lane;
use crate::pipeline::{LimitSettings, Settings};

/// What is needed to understand a configuration.
pub(super) struct Meaning<'a> {
    pub files: Files<'a>,
    pub report: &'a mut Report,
    pub now: SystemTime,
}

impl Meaning<'_> {
    /// The settings that `root` means.
    pub(super) fn settings(&mut self, root: &Section) -> Option<Settings> {
        let http = self.http(root.always("http"));
        let limits = limits(root.always("limits"));
        let amqp = root.always("source").section("amqp").map(|section| self.amqp(section, root.sections("apps")));
        let spool = root.always("source").section("spool").map(|section| self.spool(section));
        if amqp.is_none() && spool.is_none() {
            let remedy = "add [source.spool], or [source.amqp] with its uri";
            self.report.warning("source", None, "there is no source: no job will ever come", remedy);
        }
        let outcomes = self.outcomes(root.always("outcomes"), amqp.is_some());
        let lanes = root.always("lanes");
        let lanes = Lane::ALL.map(|lane| self.lane(lanes.always(lane.as_str())));
        let apps = self.apps(root);
        let amqp = match amqp {
            None => None,
            Some(amqp) => Some(amqp?),
        };
        let spool = match spool {
            None => None,
            Some(spool) => Some(spool?),
        };
        let [high, normal, low] = lanes;
        let settings = Settings {
            http: http?,
            limits: limits?,
            amqp,
            spool,
            outcomes: outcomes?,
            lanes: [high?, normal?, low?],
            apps: apps?,
        };
        self.fit(root, &settings);
        Some(settings)
    }

    fn lane(&mut self, section: &Section) -> Option<LaneSettings> {
        let word = section.text("on_overload");
        let on_overload = OnOverload::ALL.into_iter().find(|policy| word.as_deref() == Some(policy.as_str()));
        let (max_age, entry) = (section.entry("max_age"), section.entry("on_overload"));
        if on_overload.is_some_and(|policy| policy != OnOverload::Wait) && max_age.value.is_none() && !max_age.refused {
            let trouble =
                ("sheds by age, and there is no max_age".to_owned(), format!("add max_age to [{}]", section.path));
            self.wrong(entry, trouble);
            return None;
        }
        if on_overload == Some(OnOverload::Wait) && !entry.refused && max_age.value.is_some() {
            let remedy = "set on_overload to \"shed_oldest\" or \"shed_newest\", or leave max_age out";
            self.doubt(max_age, "has no effect while on_overload is \"wait\"", remedy);
        }
        Some(LaneSettings {
            weight: section.whole("weight")?,
            max_waiting: section.whole("max_waiting")?,
            max_age: section.duration("max_age"),
            on_overload: on_overload?,
        })
    }

    /// Reports what is wrong with the value of `entry`.
    fn wrong(&mut self, entry: &Entry, trouble: Trouble) {
        let draft = self.report.error(&entry.path, entry.span.as_ref(), trouble.0, trouble.1);
        match &entry.value {
            Some(Value::Secret(_) | Value::Secrets(_)) | None => {}
            Some(value) => draft.value(value.toml()),
        }
    }

    /// Warns of the value of `entry`.
    fn doubt(&mut self, entry: &Entry, message: &str, remedy: &str) {
        self.report.warning(&entry.path, entry.span.as_ref(), message, remedy);
    }

    /// The file that `entry` names, if it names one, and what `check` finds in it, if it finds it good.
    fn file<T>(&mut self, entry: &Entry, check: impl FnOnce(&str) -> Result<T, Trouble>) -> Option<(Text, T)> {
        let Some(Value::Text(name)) = &entry.value else { return None };
        let shown = self.files.resolve(name).display().to_string();
        let checked = self.files.read(name).and_then(|file| match check(&file.text) {
            Ok(found) => Ok((file, found)),
            Err((what, remedy)) => Err((format!("{shown} {what}"), remedy)),
        });
        checked.map_err(|trouble| self.wrong(entry, trouble)).ok()
    }

    /// Like [`file`](Self::file), for a file that holds a secret: warns if everyone may read it.
    fn secret_file<T>(
        &mut self,
        entry: &Entry,
        check: impl FnOnce(&str) -> Result<T, Trouble>,
    ) -> Option<(SecretString, T)> {
        let (file, found) = self.file(entry, check)?;
        if file.world_readable {
            self.exposed(entry, entry.span.as_ref());
        }
        Some((file.text.into(), found))
    }

    fn exposed(&mut self, entry: &Entry, span: Option<&Span>) {
        let message = "every user of this machine may read the file";
        self.report.warning(&entry.path, span, message, "chmod 600, and give it to the user that runs tidegate");
    }

    /// The roots of trust in the file that `ca_file` names. The outer `None`: it is set, and bad.
    fn extra_roots(&mut self, section: &Section) -> Option<Option<String>> {
        let entry = section.entry("ca_file");
        if entry.value.is_none() {
            return Some(None);
        }
        let (file, ()) = self.file(entry, credentials::roots)?;
        if let Some(ended) = credentials::ended_root(&file.text, self.now) {
            self.doubt(entry, &format!("trusts a certificate that ended {ended}"), "take it out, or renew the file");
        }
        Some(Some(file.text))
    }

    /// A chain and its key, if both are set and belong together.
    fn certificate(&mut self, section: &Section) -> Option<(String, SecretString)> {
        let (chain_entry, key) = (section.entry("certificate_file"), section.entry("private_key_file"));
        let now = self.now;
        let chain = self.file(chain_entry, |pem| credentials::chain(pem, now));
        if let Some(doubt) = chain.as_ref().and_then(|(_, chain)| credentials::force(&chain[0], now)) {
            self.doubt(chain_entry, &doubt, "renew it in time; a changed file is taken on without a restart");
        }
        let private = self.secret_file(key, credentials::private_key);
        let ((file, chain), (key_pem, private)) = (chain?, private?);
        match credentials::belong_together(chain, &private) {
            Ok(()) => Some((file.text, key_pem)),
            Err(trouble) => {
                self.wrong(key, trouble);
                None
            }
        }
    }

    /// The secret that `entry` holds or points to; `None` also if it is not set.
    fn secret(&mut self, entry: &Entry) -> Option<SecretString> {
        let Some(Value::Secret(written)) = &entry.value else { return None };
        self.follow(entry, written, entry.span.as_ref())
    }

    fn follow(&mut self, entry: &Entry, written: &SecretString, span: Option<&Span>) -> Option<SecretString> {
        match self.files.secret(written) {
            Ok((secret, world_readable)) => {
                if world_readable {
                    self.exposed(entry, span);
                }
                Some(secret)
            }
            Err((what, remedy)) => {
                self.report.error(&entry.path, span, what, remedy);
                None
            }
        }
    }
}

/// Whether a secret can be sent as a bearer token (RFC 6750, section 2.1, and what servers let pass beyond it).
fn is_token(secret: &SecretString) -> bool {
    let text = secret.expose_secret();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn limits(section: &Section) -> Option<LimitSettings> {
    let memory = match section.entry("memory").value.as_ref()? {
        Value::Size(bytes) => *bytes,
        _ => unreachable!("the table of keys says that it is a size"),
    };
    Some(LimitSettings { memory, drain_timeout: section.duration("drain_timeout")? })
}
