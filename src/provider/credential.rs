//! What can be wrong with a credential before it is used. Texts name the part, never what stands in it.

use super::tls::TlsError;

/// A credential that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialError {
    /// The APNs signing key is no PEM with a PKCS #8 private key.
    SigningKeyNotPkcs8,
    /// The APNs signing key is of another kind than P-256, or is damaged; ring's word for it.
    SigningKeyNotP256(String),
    /// An identifier that must have ten letters and digits has not; its key in the configuration.
    NotTenCharacters(&'static str),
    /// The service account's `private_key` is no PEM with a PKCS #8 private key.
    AccountKeyNotPkcs8,
    /// The service account's `private_key` is not RSA of 2,048 to 8,192 bits, or is damaged; ring's word for it.
    AccountKeyNotRsa(String),
    /// The service account's `token_uri` can't be used.
    TokenUri(String),
    /// The VAPID key can't be used; why, without what stands in it.
    VapidKey(String),
    /// The VAPID subject is no address that a push service could turn to.
    VapidSubject,
    /// A client certificate can't be read.
    Certificate(String),
    /// TLS can't be set up.
    Tls(TlsError),
    /// The client for the token endpoint can't be set up.
    Client(String),
}

impl std::fmt::Display for CredentialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CredentialError::SigningKeyNotPkcs8 => f.write_str(
                "the APNs key file must be PEM with a PKCS #8 private key (`BEGIN PRIVATE KEY`), as Apple's .p8 files are",
            ),
            CredentialError::SigningKeyNotP256(why) => {
                write!(f, "the APNs key must be an ECDSA key on the curve P-256 with its public half ({why})")
            }
            CredentialError::NotTenCharacters(key) => write!(f, "`{key}` must be ten letters and digits"),
            CredentialError::AccountKeyNotPkcs8 => f.write_str(
                "the service account's `private_key` must be PEM with a PKCS #8 private key (`BEGIN PRIVATE KEY`)",
            ),
            CredentialError::AccountKeyNotRsa(why) => {
                write!(f, "the service account's `private_key` must be an RSA key of at least 2,048 bits ({why})")
            }
            CredentialError::TokenUri(why) => write!(f, "the service account's `token_uri` can't be used: {why}"),
            CredentialError::VapidKey(why) => write!(
                f,
                "the VAPID key must be a P-256 private key, PEM (PKCS #8) with its public half, or 32 bytes in base64url ({why})"
            ),
            CredentialError::VapidSubject => {
                f.write_str("the VAPID `subject` must be `mailto:name@host` or `https://host/…`, the host with a dot in it")
            }
            CredentialError::Certificate(why) => write!(f, "the client certificate can't be read: {why}"),
            CredentialError::Tls(error) => error.fmt(f),
            CredentialError::Client(why) => write!(f, "the client for the token endpoint can't be set up: {why}"),
        }
    }
}

impl std::error::Error for CredentialError {}

impl From<TlsError> for CredentialError {
    fn from(error: TlsError) -> Self {
        CredentialError::Tls(error)
    }
}
