//! The credentials that a simulator knows: fresh APNs keys, and one fixed RSA key for service accounts.
//!
//! The RSA key is public (it lies in this repository) and opens nothing but a simulator: making one takes seconds, and
//! the crypto library here can't.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rcgen::{KeyPair, PublicKeyData};
use ring::rsa::KeyPair as RsaKeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};

use super::SimulatorError;
use super::apns::KnownKey;
use super::authority::Identity;
use crate::provider::apns::ApnsCredential;
use crate::provider::fcm::ServiceAccount;

/// The simulator's own RSA key: every simulated service account has it.
const SERVICE_ACCOUNT_KEY: &str = include_str!("simulator-service-account-key.pem");

/// What the key above is called.
const SERVICE_ACCOUNT_KEY_ID: &str = "simulator-service-account-key";

/// Keys and their teams: two of the first team, one of a second. Ten characters each, as Apple's.
const APNS_KEYS: [(&str, &str); 3] =
    [("SIMKEYAAAA", "SIMTEAMONE"), ("SIMKEYBBBB", "SIMTEAMONE"), ("SIMKEYCCCC", "SIMTEAMTWO")];

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

/// Fresh APNs keys.
pub(super) fn apns_keys() -> Result<Vec<ApnsKey>, SimulatorError> {
    APNS_KEYS.into_iter().map(|(key_id, team_id)| apns_key(key_id, team_id)).collect()
}

fn apns_key(key_id: &str, team_id: &str) -> Result<ApnsKey, SimulatorError> {
    let key = KeyPair::generate().map_err(SimulatorError::Certificate)?;
    let public = key.der_bytes().to_vec();
    let known = KnownKey { key_id: key_id.to_owned(), team_id: team_id.to_owned(), public };
    Ok(ApnsKey { known, pem: key.serialize_pem().into() })
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

/// Writes everything that a sender needs into files.
pub(super) fn write(
    directory: &Path,
    ca_pem: &str,
    apns: &ApnsKey,
    client: &Identity,
    account: &ServiceAccount,
) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let account = serde_json::json!({
        "type": "service_account",
        "project_id": account.project_id,
        "client_email": account.client_email,
        "private_key_id": account.private_key_id,
        "private_key": account.private_key.expose_secret(),
        "token_uri": account.token_uri,
    });
    let key_name = format!("AuthKey_{}.p8", apns.known.key_id);
    write_private(&directory.join("ca.pem"), ca_pem)?;
    write_private(&directory.join(key_name), apns.pem.expose_secret())?;
    write_private(&directory.join("client.pem"), &client.chain_pem)?;
    write_private(&directory.join("client-key.pem"), client.key_pem.expose_secret())?;
    write_private(&directory.join("service-account.json"), &format!("{account:#}\n"))
}

/// A file for its owner's eyes only (mode 0600), also if it was there before.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}
