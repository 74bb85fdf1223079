//! The credentials that a simulator knows: its authority, APNs keys, a client certificate and a VAPID key, fresh or kept in a folder,
//! and one fixed RSA key for service accounts.
//!
//! The RSA key is public (it lies in this repository) and opens nothing but a simulator: making one takes seconds, and
//! the crypto library here can't.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use ring::rsa::KeyPair as RsaKeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use secrecy::{ExposeSecret, SecretString};

use super::SimulatorError;
use super::apns::KnownKey;
use super::authority::{Authority, Identity};
use crate::provider::apns::ApnsCredential;
use crate::provider::fcm::ServiceAccount;

/// The simulator's own RSA key: every simulated service account has it.
const SERVICE_ACCOUNT_KEY: &str = include_str!("simulator-service-account-key.pem");

/// What the key above is called.
const SERVICE_ACCOUNT_KEY_ID: &str = "simulator-service-account-key";

/// Keys and their teams: two of the first team, one of a second. Ten characters each, as Apple's.
const APNS_KEYS: [(&str, &str); 3] =
    [("SIMKEYAAAA", "SIMTEAMONE"), ("SIMKEYBBBB", "SIMTEAMONE"), ("SIMKEYCCCC", "SIMTEAMTWO")];

/// The files of the authority and of the client certificate.
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const CLIENT: &str = "client.pem";
const CLIENT_KEY: &str = "client-key.pem";
/// The VAPID key.
pub(super) const VAPID: &str = "vapid.pem";

/// An APNs key as its owner has it.
#[derive(Clone)]
pub(super) struct ApnsKey {
    pub(super) known: KnownKey,
    pub(super) pem: SecretString,
}

impl ApnsKey {
    /// As the pipeline takes it.
    pub(super) fn credential(&self) -> ApnsCredential {
        ApnsCredential::Token {
            key_pem: self.pem.clone(),
            key_id: self.known.key_id.clone(),
            team_id: self.known.team_id.clone(),
        }
    }
}

/// Everything that is made at a start unless it was kept.
pub(super) struct Credentials {
    pub(super) authority: Authority,
    /// As [`APNS_KEYS`]; the first one is written and kept.
    pub(super) apns_keys: Vec<ApnsKey>,
    /// The client certificate.
    pub(super) client: Identity,
    /// The VAPID key that the browsers' subscriptions are made for.
    pub(super) vapid: VapidKey,
}

/// A VAPID key as its owner has it.
pub(super) struct VapidKey {
    /// The public half, uncompressed point.
    pub(super) public: Vec<u8>,
    pub(super) pem: SecretString,
}

impl Credentials {
    /// Fresh ones; the client certificate is for `topic`.
    pub(super) fn new(topic: &str) -> Result<Self, SimulatorError> {
        let authority = Authority::new()?;
        let client = authority.client(topic)?;
        let keys = APNS_KEYS.into_iter().map(|(key_id, team_id)| Ok(apns_key(key_id, team_id, new_key()?)));
        let vapid = vapid_key(&new_key()?);
        Ok(Self { apns_keys: keys.collect::<Result<_, SimulatorError>>()?, authority, client, vapid })
    }

    /// Those that [`write`](Credentials::write) left in a folder. `None`, if any of them is missing or can't be read:
    /// half of them would only puzzle.
    pub(super) fn kept(directory: &Path) -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
        let identity = |chain: &str, key: &str| Some(Identity { chain_pem: read(chain)?, key_pem: read(key)?.into() });
        let authority = Authority::kept(identity(CA, CA_KEY)?)?;
        let client = identity(CLIENT, CLIENT_KEY)?;
        CertificateDer::from_pem_slice(client.chain_pem.as_bytes()).ok()?;
        KeyPair::from_pem(client.key_pem.expose_secret()).ok()?;
        let first = KeyPair::from_pem_and_sign_algo(&read(&key_file(APNS_KEYS[0].0))?, &PKCS_ECDSA_P256_SHA256).ok()?;
        let vapid = vapid_key(&KeyPair::from_pem_and_sign_algo(&read(VAPID)?, &PKCS_ECDSA_P256_SHA256).ok()?);
        let mut first = Some(first);
        let keys = APNS_KEYS.into_iter().map(|(key_id, team_id)| {
            let key = first.take().map_or_else(new_key, Ok)?;
            Ok(apns_key(key_id, team_id, key))
        });
        Some(Self { apns_keys: keys.collect::<Result<_, SimulatorError>>().ok()?, authority, client, vapid })
    }

    /// Writes everything that a sender needs into files, and the authority's private key, which the simulator needs to
    /// be the same one again.
    pub(super) fn write(&self, directory: &Path, account: &ServiceAccount) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let account = serde_json::json!({
            "type": "service_account",
            "project_id": account.project_id,
            "client_email": account.client_email,
            "private_key_id": account.private_key_id,
            "private_key": account.private_key.expose_secret(),
            "token_uri": account.token_uri,
        });
        let (authority, apns) = (self.authority.identity(), &self.apns_keys[0]);
        write_private(&directory.join(CA), &authority.chain_pem)?;
        write_private(&directory.join(CA_KEY), authority.key_pem.expose_secret())?;
        write_private(&directory.join(key_file(&apns.known.key_id)), apns.pem.expose_secret())?;
        write_private(&directory.join(CLIENT), &self.client.chain_pem)?;
        write_private(&directory.join(CLIENT_KEY), self.client.key_pem.expose_secret())?;
        write_private(&directory.join(VAPID), self.vapid.pem.expose_secret())?;
        write_private(&directory.join("service-account.json"), &format!("{account:#}\n"))
    }
}

fn key_file(key_id: &str) -> String {
    format!("AuthKey_{key_id}.p8")
}

fn new_key() -> Result<KeyPair, SimulatorError> {
    KeyPair::generate().map_err(SimulatorError::Certificate)
}

fn apns_key(key_id: &str, team_id: &str, key: KeyPair) -> ApnsKey {
    let public = key.der_bytes().to_vec();
    let known = KnownKey { key_id: key_id.to_owned(), team_id: team_id.to_owned(), public };
    ApnsKey { known, pem: key.serialize_pem().into() }
}

fn vapid_key(key: &KeyPair) -> VapidKey {
    VapidKey { public: key.der_bytes().to_vec(), pem: key.serialize_pem().into() }
}

/// The public half of the service accounts' key, DER, PKCS #1.
pub(super) fn service_account_public() -> Result<Vec<u8>, SimulatorError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(SERVICE_ACCOUNT_KEY.as_bytes()).map_err(|_| SimulatorError::Key)?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| SimulatorError::Key)?;
    Ok(key.public().as_ref().to_vec())
}

/// A service account of `project`.
pub(super) fn service_account(project: &str, token_uri: &str) -> ServiceAccount {
    ServiceAccount {
        project_id: project.to_owned(),
        client_email: format!("sender@{project}.iam.gserviceaccount.com"),
        private_key_id: Some(SERVICE_ACCOUNT_KEY_ID.to_owned()),
        private_key: SERVICE_ACCOUNT_KEY.into(),
        token_uri: token_uri.to_owned(),
    }
}

/// A file for its owner's eyes only (mode 0600), also if it was there before.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}
