//! The simulator's own certificate authority, made at every start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;

use super::SimulatorError;

/// The names that the servers' certificates bear.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain_pem: String,
    pub(super) key_pem: secrecy::SecretString,
}

/// A certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A fresh one.
    pub(super) fn new() -> Result<Self, SimulatorError> {
        let mut params = CertificateParams::new(Vec::new()).map_err(SimulatorError::Certificate)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Tidegate simulator CA");
        let key = KeyPair::generate().map_err(SimulatorError::Certificate)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(SimulatorError::Certificate)?;
        Ok(Self { issuer })
    }

    /// Its certificate, PEM.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client certificate whose common name is `topic`.
    pub(super) fn client(&self, topic: &str) -> Result<Identity, SimulatorError> {
        let mut params = CertificateParams::new(Vec::new()).map_err(SimulatorError::Certificate)?;
        params.distinguished_name.push(DnType::CommonName, topic);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(SimulatorError::Certificate)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(SimulatorError::Certificate)?;
        Ok(Identity { chain_pem: certificate.pem(), key_pem: key.serialize_pem().into() })
    }

    /// A server's TLS: this protocol list, and client certificates of this authority if `clients`.
    pub(super) fn server(&self, protocols: &[&[u8]], clients: bool) -> Result<Arc<ServerConfig>, SimulatorError> {
        let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(SimulatorError::Certificate)?;
        params.distinguished_name.push(DnType::CommonName, "Tidegate simulator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(SimulatorError::Certificate)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(SimulatorError::Certificate)?;
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(SimulatorError::Tls)?;
        let builder = match clients {
            false => builder.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(self.issuer.der().clone()).map_err(SimulatorError::Tls)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.allow_unauthenticated().build().map_err(SimulatorError::Verifier)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| SimulatorError::Key)?;
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).map_err(SimulatorError::Tls)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}
