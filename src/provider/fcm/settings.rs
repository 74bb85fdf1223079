//! `[apps.<app>.fcm]`.

use secrecy::SecretString;
use serde::Deserialize;

use crate::provider::Endpoint;

/// One app's FCM route.
#[derive(Debug, Clone)]
pub struct FcmSettings {
    /// Where FCM is.
    pub endpoint: Endpoint,
    /// How Google knows us.
    pub account: ServiceAccount,
}

/// A Google service account's key file, as far as it is used.
#[derive(Debug, Clone, Deserialize)]
pub struct ServiceAccount {
    /// The Firebase project; part of the path of every request.
    pub project_id: String,
    /// The issuer of the assertion.
    pub client_email: String,
    /// The private key's id (`kid`).
    pub private_key_id: Option<String>,
    /// The private key, PEM (PKCS #8, RSA).
    pub private_key: SecretString,
    /// Where the assertion is exchanged for an access token.
    #[serde(default = "google_token_uri")]
    pub token_uri: String,
}

fn google_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}
