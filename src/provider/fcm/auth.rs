//! The access token of one service account: one task fetches it, everybody reads it.
//!
//! ```text
//!            ┌──────────── renew(), 5 min before the end ───────────┐
//!            ▼                                                      │
//!  Pending ──fetch──▶ token ─────────────────────────────────▶ Ready (expires)
//!            │  ▲
//!            │  └─ 5xx, no answer: again after 1 s doubling to 60 s; a token that is still valid stays in use
//!            └──── refused (invalid_grant): Broken; again after 60 s, or when asked
//! ```
//!
//! There is one task, so there is one fetch at a time whatever the number of those who ask (PROVIDERS 6 names two
//! crates that storm the endpoint). Nobody on the way of a push ever waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::HeaderValue;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::exchange::{Fresh, TokenEndpoint, Trouble};
use crate::flow::Backoff;
use crate::job::UnixMillis;
use crate::provider::Credential;

/// A token is replaced so long before its end, and up to [`JITTER`] earlier.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// So that many instances don't ask in the same second.
const JITTER: Duration = Duration::from_secs(60);

/// How the endpoint is treated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// Two fetches that were asked for are at least so far apart.
    pub(super) apart: Duration,
    /// After a refusal: an account that was mended is in use at most this late.
    pub(super) after_refusal: Duration,
    /// After trouble that may pass.
    pub(super) after_trouble: Backoff,
}

impl Manners {
    pub(super) const GOOD: Self = Self {
        apart: Duration::from_secs(10),
        after_refusal: Duration::from_secs(60),
        after_trouble: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) },
    };
}

/// A token in use.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    /// `Bearer …`, marked sensitive.
    pub(super) header: HeaderValue,
    pub(super) expires: UnixMillis,
}

/// What the refresher publishes, and how it is asked.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) token: watch::Receiver<Option<AccessToken>>,
    pub(super) credential: watch::Receiver<Credential>,
    pub(super) asked: Arc<Notify>,
}

/// Starts the refresher; it ends with `shutdown`, or when nobody reads any more.
pub(super) fn start(endpoint: TokenEndpoint, manners: Manners, shutdown: CancellationToken) -> Tokens {
    let (token, token_reader) = watch::channel(None);
    let (credential, credential_reader) = watch::channel(Credential::Pending);
    let asked = Arc::new(Notify::new());
    let refresher =
        Refresher { endpoint, manners, token, credential, asked: Arc::clone(&asked), expires: None, troubles: 0 };
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = refresher.run() => {}
        }
    });
    Tokens { token: token_reader, credential: credential_reader, asked }
}

struct Refresher {
    endpoint: TokenEndpoint,
    manners: Manners,
    token: watch::Sender<Option<AccessToken>>,
    credential: watch::Sender<Credential>,
    asked: Arc<Notify>,
    /// When the token in use ends, if one is.
    expires: Option<Instant>,
    /// Fetches in a row that failed and may pass.
    troubles: u8,
}

/// How long to wait after a fetch, and whether it may be cut short by being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    until: Instant,
    asked_from: Option<Instant>,
}

impl Refresher {
    async fn run(mut self) {
        while !self.token.is_closed() {
            let fetched = self.endpoint.fetch(UnixMillis::now()).await;
            let now = Instant::now();
            let pause = match fetched {
                Ok(fresh) => self.publish(fresh, now),
                Err(trouble) => self.troubled(trouble, now),
            };
            self.pause(pause).await;
        }
    }

    fn publish(&mut self, fresh: Fresh, now: Instant) -> Pause {
        let end = UnixMillis(UnixMillis::now().0 + u64::try_from(fresh.lifetime.as_millis()).unwrap_or(u64::MAX / 2));
        self.expires = Some(now + fresh.lifetime);
        self.troubles = 0;
        self.token.send_replace(Some(AccessToken { header: fresh.header, expires: end }));
        self.credential.send_replace(Credential::Ready { expires: Some(end) });
        // What was asked meanwhile was asked about the token before this one, and so is what comes within `apart`.
        Pause {
            until: now + refresh_after(fresh.lifetime, fastrand::f64()),
            asked_from: Some(now + self.manners.apart),
        }
    }

    fn troubled(&mut self, trouble: Trouble, now: Instant) -> Pause {
        let in_use = self.expires.is_some_and(|at| at > now);
        match trouble {
            Trouble::Refused(reason) => {
                tracing::error!(%reason, in_use, "the token endpoint refuses the service account");
                if !in_use {
                    self.withdraw(Credential::Broken { reason });
                }
                Pause { until: now + self.manners.after_refusal, asked_from: Some(now + self.manners.apart) }
            }
            Trouble::MayPass(text) => {
                self.troubles = self.troubles.saturating_add(1);
                tracing::warn!(text, in_use, troubles = self.troubles, "no access token");
                if !in_use {
                    self.withdraw(Credential::Pending);
                }
                let delay =
                    self.manners.after_trouble.delay(self.troubles, Duration::ZERO, 0.5 + fastrand::f64() / 2.0);
                Pause { until: now + delay, asked_from: None }
            }
        }
    }

    /// Takes the token out of use.
    fn withdraw(&mut self, credential: Credential) {
        self.expires = None;
        self.token.send_replace(None);
        self.credential.send_replace(credential);
    }

    /// Waits. A token that ends meanwhile is taken out of use, and so is one that somebody asks to replace.
    async fn pause(&mut self, pause: Pause) {
        let asked = Arc::clone(&self.asked);
        loop {
            tokio::select! {
                () = asking(&asked, pause.asked_from, self.expires.is_some()) => {
                    if self.expires.is_some() {
                        // No push burns an attempt on a token that is known to be refused.
                        self.withdraw(Credential::Pending);
                    }
                    return;
                }
                () = sleep_until_some(self.expires) => self.withdraw(Credential::Pending),
                () = sleep_until(pause.until) => return,
                () = self.token.closed() => return,
            }
        }
    }
}

/// Until somebody asks for another token, not before `from`. With a token in use, what is asked before that was asked
/// about the one before it, and is forgotten.
async fn asking(asked: &Notify, from: Option<Instant>, in_use: bool) {
    let Some(from) = from else { return std::future::pending().await };
    if in_use {
        sleep_until(from).await;
        let _ = asked.notified().now_or_never();
        asked.notified().await;
    } else {
        asked.notified().await;
        sleep_until(from).await;
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// When to fetch the next token, counted from the last: 5 to 6 minutes early, a short-lived one at half of its life.
fn refresh_after(lifetime: Duration, sample: f64) -> Duration {
    let early = EARLY + JITTER.mul_f64(sample);
    lifetime.saturating_sub(early).max(lifetime / 2).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_five_to_six_minutes_early_or_at_half_its_life() {
        let after = |lifetime, sample| refresh_after(Duration::from_secs(lifetime), sample).as_secs();
        assert_eq!((after(3_600, 0.0), after(3_600, 1.0)), (3_300, 3_240));
        assert_eq!(after(300, 0.5), 150);
        assert_eq!(after(0, 0.5), 1, "never in a tight loop");
    }
}
