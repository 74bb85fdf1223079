//! `[outcomes]`.

use std::path::PathBuf;

use secrecy::SecretString;

use super::OutcomeKind;

/// Which outcomes are told, and to whom.
#[derive(Debug, Clone)]
pub struct OutcomeSettings {
    /// The kinds that are sent. Default: all but `delivered` and `collapsed`.
    pub publish: Vec<OutcomeKind>,
    /// To the AMQP exchange `<prefix>.outcomes`.
    pub amqp: bool,
    /// To an NDJSON file, appended.
    pub file: Option<PathBuf>,
    /// To a webhook.
    pub webhook: Option<WebhookSettings>,
}

/// Where outcomes are POSTed.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// `https://`, or `http://` on loopback. It may carry a secret in its query, so it is never logged whole.
    pub url: SecretString,
    /// Sent as `authorization: Bearer …`.
    pub token: Option<SecretString>,
    /// Further roots of trust, PEM.
    pub extra_roots: Option<String>,
}
