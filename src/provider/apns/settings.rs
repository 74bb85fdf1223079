//! `[apps.<app>.apns]`.

use secrecy::SecretString;

use crate::provider::Endpoint;

/// One app's APNs route.
#[derive(Debug, Clone)]
pub struct ApnsSettings {
    /// Where APNs is.
    pub endpoint: Endpoint,
    /// The app's bundle id; `apns-topic` is this and the push type's suffix.
    pub topic: String,
    /// How Apple knows us.
    pub credential: ApnsCredential,
}

/// An APNs credential, PEM texts.
#[derive(Debug, Clone)]
pub enum ApnsCredential {
    /// Token authentication: a JWT signed with ES256.
    Token {
        /// The `.p8` file's text (PKCS #8, P-256).
        key_pem: SecretString,
        /// Ten characters.
        key_id: String,
        /// Ten characters.
        team_id: String,
    },
    /// A client certificate in the TLS handshake.
    Certificate {
        /// The certificate and its chain.
        chain_pem: String,
        /// The private key (PKCS #8, PKCS #1 or SEC 1).
        key_pem: SecretString,
    },
}
