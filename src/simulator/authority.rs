//! The simulator's own certificate authority: made at a start, or one that was kept from an earlier one.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

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
    issuer: Issuer<'static, KeyPair>,
    identity: Identity,
    root: CertificateDer<'static>,
}

impl Authority {
    /// A fresh one.
    pub(super) fn new() -> Result<Self, SimulatorError> {
        let key = KeyPair::generate().map_err(SimulatorError::Certificate)?;
        let params = params()?;
        let certificate = params.self_signed(&key).map_err(SimulatorError::Certificate)?;
        let identity = Identity { chain_pem: certificate.pem(), key_pem: key.serialize_pem().into() };
        Ok(Self { issuer: Issuer::new(params, key), identity, root: certificate.der().clone() })
    }

    /// One of [`Authority::new`]'s again, from its [identity](Authority::identity). `None`: it isn't one, or its key is
    /// another's.
    pub(super) fn kept(identity: Identity) -> Option<Self> {
        let key = KeyPair::from_pem(identity.key_pem.expose_secret()).ok()?;
        let root = CertificateDer::from_pem_slice(identity.chain_pem.as_bytes()).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&root).ok()?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return None;
        }
        let params = params().ok()?;
        Some(Self { issuer: Issuer::new(params, key), identity, root })
    }

    /// Its certificate and private key.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
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
                roots.add(self.root.clone()).map_err(SimulatorError::Tls)?;
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

/// What an authority's certificate says, and those that it signs say of their issuer.
fn params() -> Result<CertificateParams, SimulatorError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(SimulatorError::Certificate)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Tidegate simulator CA");
    Ok(params)
}
