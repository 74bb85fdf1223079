//! Events POSTed to a URL as a JSON array, in order, until it answers 2xx.
//!
//! A receiver that is down holds back settlement, and so, in the end, the source: nothing is lost, and the log says why.
//! A receiver may see a batch twice (its answer was lost), so it should know an outcome by `job` and `target`.

use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::ExposeSecret;

use super::{Event, Sink, Trouble, Troubles};
use crate::outcome::WebhookSettings;
use crate::provider::web;

/// From sending a batch to the whole answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A webhook.
pub struct WebhookSink {
    client: reqwest::Client,
    settings: WebhookSettings,
    /// What may be shown of the URL.
    origin: String,
    troubles: Troubles,
}

impl WebhookSink {
    /// A sink that POSTs to the configured URL.
    ///
    /// # Errors
    /// If its roots of trust can't be read, or the URL is none.
    pub fn new(settings: WebhookSettings, troubles: Troubles) -> Result<Self, String> {
        let url: reqwest::Url = settings.url.expose_secret().parse().map_err(|_| "the webhook's URL is none")?;
        let client = web::client(settings.extra_roots.as_deref())
            .map_err(|error| error.to_string())?
            .timeout(TIMEOUT)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.without_url().to_string())?;
        Ok(Self { client, settings, origin: url.origin().ascii_serialization(), troubles })
    }

    async fn post(&self, body: bytes::Bytes) -> Result<(), String> {
        let mut request = self.client.post(self.settings.url.expose_secret()).body(body);
        request = request.header("content-type", "application/json");
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_client_error() => Err(format!(
                "it answered {status}: a matter of its configuration or ours; the batch is kept and sent again"
            )),
            status => Err(format!("it answered {status}")),
        }
    }
}

impl Sink for WebhookSink {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        let body = super::json_array(events);
        Box::pin(async move {
            let mut trouble = Trouble::new(self.name(), &self.troubles, Duration::from_secs(60));
            while let Err(error) = self.post(body.clone()).await {
                trouble.wait(&format!("{}: {error}", self.origin)).await;
            }
            trouble.over();
        })
    }
}
