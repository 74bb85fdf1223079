//! Web Push: RFC 8030, encrypted by RFC 8291, signed by RFC 8292.
//!
//! The one provider that is many servers, and servers that a stranger chose: a subscription's endpoint is a URL that its
//! browser's vendor gave out, or somebody who would like to see what is in the operator's network. So every attempt has an
//! [origin](crate::provider::Origin), each origin has connections, limits and a breaker of its own (see
//! [`delivery`](crate::delivery)), and two guards stand before a connect: what the URL says ([`Services`]), and what
//! address its name has at that moment ([`is_global`]).
//!
//! ```text
//!  endpoint ──read──▶ origin, path        p256dh, auth ─┐
//!     │                  │                              ▼
//!     │ not allowed      │ VAPID token     payload ──encrypt──▶ body
//!     ▼                  ▼
//!  rejected          authorization
//! ```

mod address;
mod auth;
mod encrypt;
mod endpoint;
mod payload;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use ring::rand::SystemRandom;
use rustls::ClientConfig;
use tokio::sync::watch;

pub use self::address::{Network, is_global};
use self::auth::Signer;
pub use self::auth::{check_key, is_subject, new_key};
use self::endpoint::Endpoint;
pub use self::endpoint::{EndpointRefusal, Services};
pub use self::settings::{Padding, WebpushSettings};
use super::http2::{Pool, PoolError, PoolOptions, Resolver};
use super::{Answer, Credential, CredentialError, Origin, Protocol, Request, tls};
use crate::job::{Push, Subscription, Target, UnixMillis};
use crate::verdict::{Fate, Sent, Verdict};

/// One app's Web Push protocol.
#[derive(Debug)]
pub struct Webpush {
    signer: Signer,
    services: Services,
    padding: Padding,
    random: SystemRandom,
    credential: watch::Sender<Credential>,
}

impl Webpush {
    /// Reads the credential. Nothing is sent.
    ///
    /// # Errors
    /// [`CredentialError`] names the part of the credential that can't be used.
    pub fn new(settings: &WebpushSettings) -> Result<Self, CredentialError> {
        let (credential, _) = watch::channel(Credential::Ready { expires: None });
        Ok(Self {
            signer: Signer::new(&settings.key, &settings.subject)?,
            services: settings.services.clone(),
            padding: settings.padding,
            random: SystemRandom::new(),
            credential,
        })
    }

    /// The public half of the VAPID key, base64url: what a page gives to `pushManager.subscribe`.
    #[must_use]
    pub fn public_key(&self) -> &str {
        self.signer.public()
    }

    fn endpoint(&self, push: &Push) -> Result<Endpoint, Verdict> {
        let subscription = subscription(push)?;
        endpoint::read(&subscription.endpoint, &self.services)
            .map_err(|refusal| Verdict::of(Fate::Rejected).because(refusal.as_str()))
    }
}

fn subscription(push: &Push) -> Result<&Subscription, Verdict> {
    match push.target() {
        Target::Webpush(subscription) => Ok(subscription),
        _ => Err(Verdict::of(Fate::Rejected).because("bad_target")),
    }
}

impl Protocol for Webpush {
    fn request(&self, push: &Push, left: Duration, now: UnixMillis) -> Result<Request, Verdict> {
        let endpoint = self.endpoint(push)?;
        let authorization = self.signer.authorization(&endpoint.origin, now).ok_or_else(unsigned)?;
        let mut request = wire::request(push, subscription(push)?, endpoint, left, self.padding, &self.random)?;
        request.headers.insert(AUTHORIZATION, authorization);
        Ok(request)
    }

    fn origin(&self, push: &Push) -> Result<Option<Origin>, Verdict> {
        self.endpoint(push).map(|endpoint| Some(endpoint.origin))
    }

    fn verdict(&self, _push: &Push, answer: &Answer) -> Verdict {
        verdict::read(answer, UnixMillis::now())
    }

    fn credential(&self) -> watch::Receiver<Credential> {
        self.credential.subscribe()
    }

    /// No service asks for that: a token that is refused is refused for what it says.
    fn renew(&self) {}
}

/// Encrypts `plaintext` for a subscription (RFC 8291), filled up with zeros to `padded` bytes if it is shorter: the body of
/// a push. `None`: it has more than 3,993 bytes, or the subscription's keys are none.
#[must_use]
pub fn encrypt(plaintext: &[u8], padded: usize, subscription: &Subscription) -> Option<Vec<u8>> {
    let to = wire::recipient(subscription)?;
    encrypt::encrypt(plaintext, padded, &to, &SystemRandom::new()).ok()
}

/// The system gave no randomness to sign with.
fn unsigned() -> Verdict {
    Verdict::of(Fate::Retry { after: Duration::from_secs(1), sent: Sent::No }).because("token_not_signed")
}

/// Makes connections to origins, and to none whose addresses are not allowed.
#[derive(Clone)]
pub struct Dialler {
    tls: Arc<ClientConfig>,
    resolver: Resolver,
}

impl Dialler {
    /// With the system's look-up of names.
    ///
    /// # Errors
    /// The roots of trust can't be used.
    pub fn new(settings: &WebpushSettings) -> Result<Self, CredentialError> {
        Self::with_resolver(settings, super::http2::system_resolver())
    }

    /// The same with another look-up. What it finds is vetted all the same.
    ///
    /// # Errors
    /// As [`Dialler::new`].
    pub fn with_resolver(settings: &WebpushSettings, resolver: Resolver) -> Result<Self, CredentialError> {
        let tls = Arc::new(tls::any_http(settings.extra_roots.as_deref())?);
        let private = settings.private_networks.clone().into();
        Ok(Self { tls, resolver: address::guarded(resolver, private) })
    }

    /// Whether a host is one of the browsers' vendors': no stranger says where its name leads.
    #[must_use]
    pub fn is_known(&self, origin: &Origin) -> bool {
        endpoint::is_known(&origin.host)
    }

    /// A pool without connections for one origin.
    ///
    /// # Errors
    /// The origin's host can't be one.
    pub fn pool(&self, origin: &Origin, connections: u32, request_timeout: Duration) -> Result<Pool, PoolError> {
        let endpoint = super::Endpoint { host: origin.host.to_string(), port: origin.port, extra_roots: None };
        let options = PoolOptions::webpush(connections as usize, request_timeout);
        Pool::with_resolver(&endpoint, Arc::clone(&self.tls), options, Arc::clone(&self.resolver))
    }
}
