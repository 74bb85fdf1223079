//! TLS to the providers: always verified, always HTTP/2.
//!
//! Trusted are the system's roots and those the operator names. The crypto provider is named here and not taken from
//! the process: two in one graph make `ClientConfig::builder()` panic (ENGINEERING 6.2).

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};

/// Why TLS can't be set up. Texts name the part that is wrong, never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// The further roots of trust are no PEM certificates.
    ExtraRoots(String),
    /// The system has no roots that can be read, and no others were named.
    NoRoots(String),
    /// The client certificate chain is no PEM certificates.
    Certificate(String),
    /// The client certificate's private key can't be read.
    Key,
    /// The client certificate and its key don't belong together, or the key is of a kind that is not supported.
    Mismatch(String),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::ExtraRoots(why) => write!(f, "the extra roots of trust can't be read as PEM certificates: {why}"),
            TlsError::NoRoots(why) => {
                write!(f, "no roots of trust: the system's can't be read ({why}), name a CA file")
            }
            TlsError::Certificate(why) => write!(f, "the client certificate can't be read as PEM: {why}"),
            TlsError::Key => write!(
                f,
                "the client certificate's private key can't be read: PEM with PKCS #8, PKCS #1 or SEC 1 is needed"
            ),
            TlsError::Mismatch(why) => write!(f, "the client certificate and its private key can't be used: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// A client certificate.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate and its chain, PEM.
    pub chain_pem: &'a str,
    /// The private key, PEM.
    pub key_pem: &'a SecretString,
}

/// A configuration for HTTP/2 connections (ALPN `h2` alone, TLS 1.2 and 1.3).
///
/// # Errors
/// [`TlsError`]: roots, certificate or key can't be used.
pub fn http2(extra_roots: Option<&str>, identity: Option<Identity<'_>>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = verified(extra_roots, identity)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A configuration for whatever HTTP the other side speaks (token endpoints).
///
/// # Errors
/// [`TlsError`]: the roots can't be used.
pub fn any_http(extra_roots: Option<&str>) -> Result<ClientConfig, TlsError> {
    let mut config = verified(extra_roots, None)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn verified(extra_roots: Option<&str>, identity: Option<Identity<'_>>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots(extra_roots)?);
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(identity.chain_pem).map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret().as_bytes()).map_err(|_| TlsError::Key)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Mismatch(error.to_string()))
}

/// The system's roots and `extra`. That the system has none is an error only if there are no others.
fn roots(extra: Option<&str>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    if let Some(pem) = extra {
        for certificate in certificates(pem).map_err(TlsError::ExtraRoots)? {
            store.add(certificate).map_err(|error| TlsError::ExtraRoots(error.to_string()))?;
        }
    }
    let system = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        let why = system.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(why));
    }
    Ok(store)
}

/// The certificates in a PEM text, at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err("it holds no certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_certificates_is_refused() {
        let error = http2(Some("not a certificate"), None).expect_err("no certificate in it");
        assert_eq!(error, TlsError::ExtraRoots("it holds no certificate".to_owned()));
    }

    #[test]
    fn a_key_that_cant_be_read_is_named_and_not_shown() {
        let pair = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        let key = SecretString::from("CANARY".to_owned());
        let identity = Identity { chain_pem: &pair.cert.pem(), key_pem: &key };
        let error = http2(Some(&pair.cert.pem()), Some(identity)).expect_err("no key");
        assert_eq!(error, TlsError::Key);
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let one = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        let two = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        let key = SecretString::from(two.signing_key.serialize_pem());
        let identity = Identity { chain_pem: &one.cert.pem(), key_pem: &key };
        let error = http2(Some(&one.cert.pem()), Some(identity)).expect_err("they don't belong together");
        assert!(matches!(error, TlsError::Mismatch(_)), "{error}");
    }

    #[test]
    fn only_http2_is_offered_to_a_provider() {
        let pair = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        let config = http2(Some(&pair.cert.pem()), None).expect("a configuration");
        assert_eq!(config.alpn_protocols, [b"h2".to_vec()]);
    }
}
