//! FCM, HTTP v1 (Firebase reference, `projects.messages:send`).

mod assertion;
mod auth;
mod exchange;
mod settings;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::auth::{Manners, Tokens};
use self::exchange::TokenEndpoint;
pub use self::settings::{FcmSettings, ServiceAccount};
use super::{Answer, Credential, CredentialError, Protocol, Request, tls};
use crate::job::{Push, UnixMillis};
use crate::verdict::{Fate, Sent, Verdict};

/// Google asks that traffic rise from 0 to its most over at least so long (scale-fcm, "Traffic shaping"; PROVIDERS 2.3).
/// How much of it that is about: see [`Rise`](crate::flow::Rise).
const RISE: Duration = Duration::from_secs(60);

/// One app's FCM protocol, with the task that keeps its access token fresh.
#[derive(Debug)]
pub struct Fcm {
    project: wire::Project,
    tokens: Tokens,
    tls: Arc<ClientConfig>,
}

impl Fcm {
    /// Reads the credential and starts to fetch access tokens, until `shutdown`. Must be called within a runtime.
    ///
    /// # Errors
    /// [`CredentialError`] names the part of the credential that can't be used.
    pub fn start(settings: &FcmSettings, shutdown: CancellationToken) -> Result<Self, CredentialError> {
        Self::start_with(settings, Manners::GOOD, shutdown)
    }

    fn start_with(
        settings: &FcmSettings,
        manners: Manners,
        shutdown: CancellationToken,
    ) -> Result<Self, CredentialError> {
        let endpoint = TokenEndpoint::new(settings)?;
        let tls = tls::http2(settings.endpoint.extra_roots.as_deref(), None)?;
        let project = wire::Project::new(&settings.account.project_id);
        Ok(Self { project, tokens: auth::start(endpoint, manners, shutdown), tls })
    }

    /// Reads the credential as [`Fcm::start`] does, and does nothing with it.
    ///
    /// # Errors
    /// As [`Fcm::start`].
    pub fn check(settings: &FcmSettings) -> Result<(), CredentialError> {
        TokenEndpoint::new(settings).map(drop)
    }

    /// TLS for this route's connections.
    #[must_use]
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl Protocol for Fcm {
    fn request(&self, push: &Push, left: Duration, now: UnixMillis) -> Result<Request, Verdict> {
        let mut request = wire::request(push, left, now, &self.project)?;
        let token = self.tokens.token.borrow();
        let token = token.as_ref().filter(|token| now < token.expires).ok_or_else(no_token)?;
        request.headers.insert(AUTHORIZATION, token.header.clone());
        Ok(request)
    }

    fn verdict(&self, _push: &Push, answer: &Answer) -> Verdict {
        verdict::read(answer, UnixMillis::now())
    }

    fn credential(&self) -> watch::Receiver<Credential> {
        self.tokens.credential.clone()
    }

    fn rises_over(&self) -> Option<Duration> {
        Some(RISE)
    }

    fn renew(&self) {
        self.tokens.asked.notify_one();
    }
}

/// Asked for while the credential is not ready, or in the moment it stopped being so.
fn no_token() -> Verdict {
    Verdict::of(Fate::Retry { after: Duration::from_secs(1), sent: Sent::No }).because("no_access_token")
}
