//! APNs, the HTTP/2 provider API (PROVIDERS: Apple, "Sending notification requests to APNs").

mod auth;
mod payload;
mod settings;
#[cfg(test)]
mod tests;
pub(in crate::provider) mod verdict;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use rustls::ClientConfig;
use tokio::sync::watch;

use self::auth::Signer;
pub use self::settings::{ApnsCredential, ApnsSettings};
use super::{Answer, Credential, CredentialError, Protocol, Request, tls};
use crate::job::{Push, UnixMillis};
use crate::verdict::{Fate, RouteEffect, Sent, Verdict};

/// One app's APNs protocol.
#[derive(Debug)]
pub struct Apns {
    topic: wire::Topic,
    /// None: the client certificate says who we are.
    signer: Option<Signer>,
    credential: watch::Sender<Credential>,
    tls: Arc<ClientConfig>,
}

impl Apns {
    /// Reads the credential. Nothing is sent.
    ///
    /// # Errors
    /// [`CredentialError`] names the part of the credential that can't be used.
    pub fn new(settings: &ApnsSettings) -> Result<Self, CredentialError> {
        let roots = settings.endpoint.extra_roots.as_deref();
        let (signer, tls, expires) = match &settings.credential {
            ApnsCredential::Token { key_pem, key_id, team_id } => {
                (Some(Signer::new(key_pem, key_id, team_id)?), tls::http2(roots, None)?, None)
            }
            ApnsCredential::Certificate { chain_pem, key_pem } => {
                let expires = expiry(chain_pem)?;
                (None, tls::http2(roots, Some(tls::Identity { chain_pem, key_pem }))?, Some(expires))
            }
        };
        let (credential, _) = watch::channel(Credential::Ready { expires });
        Ok(Self { topic: wire::Topic::new(&settings.topic), signer, credential, tls })
    }

    /// TLS for this route's connections; with the client certificate, if that is the credential.
    #[must_use]
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl Protocol for Apns {
    fn request(&self, push: &Push, left: Duration, now: UnixMillis) -> Result<Request, Verdict> {
        let mut request = wire::request(push, left, now, &self.topic)?;
        if let Some(signer) = &self.signer {
            let header = signer.authorization(now).ok_or_else(unsigned)?;
            request.headers.insert(AUTHORIZATION, header);
        }
        Ok(request)
    }

    fn verdict(&self, push: &Push, answer: &Answer) -> Verdict {
        let verdict = verdict::read(answer, UnixMillis::now());
        let callers_doing = matches!(verdict.reason.as_deref(), Some("TopicDisallowed" | "MissingTopic" | "BadTopic"));
        if verdict.fate == Fate::Keep && callers_doing && names_its_topic(push) {
            // The credential is good for the app's own topic: one job must not stop all the others.
            return Verdict { fate: Fate::Rejected, route: RouteEffect::Alert, ..verdict };
        }
        verdict
    }

    fn credential(&self) -> watch::Receiver<Credential> {
        self.credential.subscribe()
    }

    fn renew(&self) {
        if let Some(signer) = &self.signer {
            signer.refused();
        }
    }
}

/// Whether the topic of this push was its caller's choice: named, or by the push type's suffix.
fn names_its_topic(push: &Push) -> bool {
    let headers = push.envelope.job.apns.as_ref().map(|section| &section.headers);
    headers.is_some_and(|headers| headers.contains_key("apns-topic") || headers.contains_key("apns-push-type"))
}

/// The system gave no randomness to sign with.
fn unsigned() -> Verdict {
    Verdict::of(Fate::Retry { after: Duration::from_secs(1), sent: Sent::No }).because("token_not_signed")
}

/// When the first certificate of the chain ends.
fn expiry(chain_pem: &str) -> Result<UnixMillis, CredentialError> {
    let chain = tls::certificates(chain_pem).map_err(CredentialError::Certificate)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0])
        .map_err(|error| CredentialError::Certificate(error.to_string()))?;
    let seconds = certificate.validity().not_after.timestamp();
    Ok(UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)))
}
