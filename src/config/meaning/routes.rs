//! `[apps]` and `[providers]`.

use super::Meaning;
use crate::config::credentials;
use crate::config::section::Section;
use crate::config::value::Value;
use crate::delivery::RouteSettings;
use crate::flow::Rate;
use crate::job::Provider;
use crate::pipeline::AppSettings;
use crate::provider::apns::{ApnsCredential, ApnsSettings};
use crate::provider::fcm::FcmSettings;
use crate::provider::webpush::{self, Padding, Services, WebpushSettings};
use crate::provider::{Endpoint, ProviderSettings};

impl Meaning<'_> {
    pub(super) fn apps(&mut self, root: &Section) -> Option<Vec<AppSettings>> {
        let providers = root.always("providers");
        // Nothing may use them yet; what is wrong with them is said nevertheless.
        for section in [providers.always("apns"), providers.always("fcm")] {
            let _ = (self.endpoint(section), self.limits_of(section));
        }
        let webpush = providers.always("webpush");
        let _ = (self.extra_roots(webpush), self.limits_of(webpush));
        let apps = root.sections("apps");
        if apps.is_empty() {
            let message = "no app is configured: every job will be a dead letter";
            self.report.warning(
                "apps",
                None,
                message,
                "add [apps.<name>.apns], [apps.<name>.fcm] or [apps.<name>.webpush]",
            );
        }
        let apps: Vec<Option<AppSettings>> = apps.iter().map(|app| self.app(app)).collect();
        let mut apps = apps.into_iter().collect::<Option<Vec<_>>>()?;
        apps.sort_by(|one, other| one.name.cmp(&other.name));
        Some(apps)
    }

    fn app(&mut self, section: &Section) -> Option<AppSettings> {
        let apns = section.section("apns").map(|route| {
            let provider = self.apns(route).map(ProviderSettings::Apns);
            (Provider::Apns, provider, self.limits_of(route))
        });
        let fcm = section.section("fcm").map(|route| {
            let provider = self.fcm(route).map(ProviderSettings::Fcm);
            (Provider::Fcm, provider, self.limits_of(route))
        });
        let webpush = section.section("webpush").map(|route| {
            let provider = self.webpush(route).map(ProviderSettings::Webpush);
            (Provider::Webpush, provider, self.limits_of(route))
        });
        let routes =
            [apns, fcm, webpush].into_iter().flatten().map(|(name, provider, limits)| Some((name, provider?, limits?)));
        Some(AppSettings { name: section.name.clone(), routes: routes.collect::<Option<Vec<_>>>()? })
    }

    fn apns(&mut self, section: &Section) -> Option<ApnsSettings> {
        let endpoint = self.endpoint(section);
        let credential = match section.entry("certificate_file").value {
            Some(_) => {
                self.certificate(section).map(|(chain_pem, key_pem)| ApnsCredential::Certificate { chain_pem, key_pem })
            }
            None => self.apns_key(section),
        };
        Some(ApnsSettings { endpoint: endpoint?, topic: section.text("topic")?, credential: credential? })
    }

    fn apns_key(&mut self, section: &Section) -> Option<ApnsCredential> {
        let (key_pem, ()) = self.secret_file(section.entry("key_file"), credentials::p8)?;
        let (key_id, team_id) = (section.text("key_id")?, section.text("team_id")?);
        // Apple names a key's file by its id.
        let file = section.text("key_file").unwrap_or_default();
        let named = file.rsplit('/').next().and_then(|name| name.strip_prefix("AuthKey_")?.strip_suffix(".p8"));
        if let Some(other) = named.filter(|named| named.len() == key_id.len() && *named != key_id) {
            let message = format!("is {key_id:?}, but the file is called after the key {other:?}");
            self.doubt(section.entry("key_id"), &message, "name the key that the file holds, by both");
        }
        Some(ApnsCredential::Token { key_pem, key_id, team_id })
    }

    fn fcm(&mut self, section: &Section) -> Option<FcmSettings> {
        let endpoint = self.endpoint(section);
        let entry = section.entry("service_account_file");
        let account = self.secret_file(entry, |text| Ok(credentials::service_account(text)));
        let account = match account?.1 {
            Ok(account) => account,
            Err(troubles) => {
                let path = section.text("service_account_file").map(|name| self.files.resolve(&name));
                let path = path.unwrap_or_default();
                for (what, remedy) in troubles {
                    self.wrong(entry, (format!("{} {what}", path.display()), remedy));
                }
                return None;
            }
        };
        Some(FcmSettings { endpoint: endpoint?, account })
    }

    fn webpush(&mut self, section: &Section) -> Option<WebpushSettings> {
        let extra_roots = self.extra_roots(section);
        let key = self.secret_file(section.entry("key_file"), credentials::vapid);
        let subject = section.text("subject");
        let entry = section.entry("subject");
        let bad = subject.as_deref().is_some_and(|subject| !webpush::is_subject(subject));
        if bad && !entry.refused {
            let remedy = "write `mailto:name@host` or `https://host/…`, the host with a dot in it";
            self.wrong(entry, ("no push service could turn to that".to_owned(), remedy.to_owned()));
        }
        let hosts = section.words("hosts")?;
        let networks = section.words("private_networks")?;
        let word = section.text("padding");
        Some(WebpushSettings {
            key: key?.0,
            subject: subject.filter(|_| !bad)?,
            extra_roots: extra_roots?,
            services: Services::new(hosts.iter().map(String::as_str)).expect("each was read as one"),
            private_networks: networks.iter().filter_map(|network| network.parse().ok()).collect(),
            padding: Padding::ALL.into_iter().find(|padding| word.as_deref() == Some(padding.as_str()))?,
        })
    }

    fn endpoint(&mut self, section: &Section) -> Option<Endpoint> {
        let extra_roots = self.extra_roots(section);
        let Some(Value::Endpoint { host, port, .. }) = &section.entry("endpoint").value else { return None };
        Some(Endpoint { host: host.clone(), port: *port, extra_roots: extra_roots? })
    }

    fn limits_of(&mut self, section: &Section) -> Option<RouteSettings> {
        let Some(Value::Rate(rate)) = section.entry("rate").value else { return None };
        let (min_concurrency, max_concurrency) = self.concurrency(section.always("concurrency"))?;
        Some(RouteSettings {
            rate,
            burst: section.whole("burst").unwrap_or_else(|| Rate::default_burst(rate)),
            min_concurrency,
            max_concurrency,
            connections: section.whole("connections")?,
            request_timeout: section.duration("request_timeout")?,
            max_attempts: section.whole("max_attempts")?,
            max_dead_percent: section.whole("max_dead_percent")?,
            default_ttl: section.duration("default_ttl")?,
            ordered: section.flag("ordered")?,
        })
    }

    fn concurrency(&mut self, section: &Section) -> Option<(u32, u32)> {
        let (min, max): (u32, u32) = (section.whole("min")?, section.whole("max")?);
        if min > max {
            // Where both are inherited it is said of the provider's own table.
            let here = [section.entry("max"), section.entry("min")];
            let own = here.into_iter().find(|entry| entry.span.is_some() && section.owns(entry));
            if let Some(entry) = own {
                let message = format!("min is {min}, max only {max}");
                self.wrong(entry, (message, "let min be at most max".to_owned()));
            }
            return None;
        }
        Some((min, max))
    }
}
