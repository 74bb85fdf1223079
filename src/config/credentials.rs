//! Whether a credential can be used, as far as that shows without asking its issuer.
//!
//! Each check takes texts and answers what is wrong in words that hold nothing of the text.

use std::time::{Duration, SystemTime};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde_json::Value;

use super::files::Trouble;
use crate::provider::fcm::ServiceAccount;
use crate::provider::webpush;

fn trouble<T>(what: &str, remedy: &str) -> Result<T, Trouble> {
    Err((what.to_owned(), remedy.to_owned()))
}

/// An APNs authentication key: PKCS #8, P-256.
pub(super) fn p8(pem: &str) -> Result<(), Trouble> {
    const REMEDY: &str = "use the AuthKey_….p8 file as Apple gave it (PKCS #8, P-256)";
    let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()) else {
        return trouble("holds no PKCS #8 private key (\"BEGIN PRIVATE KEY\")", REMEDY);
    };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der(), &SystemRandom::new());
    match pair {
        Ok(_) => Ok(()),
        Err(_) => trouble("is not a key of the curve P-256", REMEDY),
    }
}

/// A VAPID key: PEM with PKCS #8, or the private key alone in base64url; P-256.
pub(super) fn vapid(text: &str) -> Result<(), Trouble> {
    const REMEDY: &str =
        "make one with `tidegate vapid-keys`, or use the one that your pages subscribe with (its private half)";
    match webpush::check_key(&text.into()) {
        Ok(_) => Ok(()),
        Err(_) => trouble(
            "holds no P-256 private key, neither PEM (PKCS #8, with its public half) nor 32 bytes in base64url",
            REMEDY,
        ),
    }
}

/// Roots of trust: at least one certificate, all of them readable.
pub(super) fn roots(pem: &str) -> Result<(), Trouble> {
    const REMEDY: &str = "name a PEM file of CA certificates (\"BEGIN CERTIFICATE\")";
    let mut store = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let Ok(certificate) = certificate else { return trouble("holds a certificate that is broken", REMEDY) };
        if store.add(certificate).is_err() {
            return trouble("holds a certificate that can't be a root of trust", REMEDY);
        }
    }
    if store.is_empty() { trouble("holds no certificate", REMEDY) } else { Ok(()) }
}

/// A certificate chain that is in force at `now`.
pub(super) fn chain(pem: &str, now: SystemTime) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    const REMEDY: &str = "name a PEM file, the certificate first, then its chain";
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let Ok(certificates) = certificates else { return trouble("holds a certificate that is broken", REMEDY) };
    let Some(first) = certificates.first() else { return trouble("holds no certificate", REMEDY) };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(first) else {
        return trouble("holds a certificate that is broken", REMEDY);
    };
    let ends = parsed.validity().not_after.timestamp();
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    if u64::try_from(ends).unwrap_or(0) < now {
        return trouble(&format!("holds a certificate that ended {}", parsed.validity().not_after), "renew it");
    }
    Ok(certificates)
}

/// A certificate that ends sooner than this is warned of.
const SOON: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What is to be said of the time in which a certificate is in force, if anything.
pub(super) fn force(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    let now = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let left = validity.not_after.timestamp().saturating_sub(now);
    match () {
        () if validity.not_before.timestamp() > now => {
            Some(format!("holds a certificate that is not in force before {}", validity.not_before))
        }
        () if (0..i64::try_from(SOON.as_secs()).ok()?).contains(&left) => {
            let days = left / (24 * 3_600);
            Some(format!("holds a certificate that ends in {days} days, {}", validity.not_after))
        }
        () => None,
    }
}

/// The first end that has passed among roots of trust that were [found good](roots).
pub(super) fn ended_root(pem: &str, now: SystemTime) -> Option<String> {
    let now = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()?;
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).find_map(|certificate| {
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
        let ends = parsed.validity().not_after;
        (ends.timestamp() < now).then(|| ends.to_string())
    })
}

/// A private key that can sign.
pub(super) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Trouble> {
    const REMEDY: &str = "name a PEM file with an unencrypted RSA, ECDSA or Ed25519 key";
    if pem.contains("ENCRYPTED") {
        return trouble("is encrypted", REMEDY);
    }
    let Ok(key) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else {
        return trouble("holds no private key", REMEDY);
    };
    match rustls::crypto::ring::sign::any_supported_type(&key) {
        Ok(_) => Ok(key),
        Err(_) => trouble("holds a private key that can't be used", REMEDY),
    }
}

/// Whether the key is the certificate's.
pub(super) fn belong_together(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<(), Trouble> {
    let matched =
        rustls::crypto::ring::sign::any_supported_type(key).and_then(|key| CertifiedKey::new(chain, key).keys_match());
    match matched {
        Ok(()) => Ok(()),
        Err(_) => trouble("is not the key of the certificate", "name the key that the certificate was made for"),
    }
}

/// A Google service account's key file. All that is wrong with it is found.
pub(super) fn service_account(json: &str) -> Result<ServiceAccount, Vec<Trouble>> {
    const REMEDY: &str = "use the key file as Google gave it (Firebase console, Service accounts)";
    let one = |what: String| vec![(what, REMEDY.to_owned())];
    let value: Value = serde_json::from_str(json)
        .map_err(|error| one(format!("is not JSON (line {}, column {})", error.line(), error.column())))?;
    let Some(account) = value.as_object() else { return Err(one("is not a JSON object".to_owned())) };
    let kind = account.get("type").and_then(Value::as_str).unwrap_or("service_account");
    if kind != "service_account" {
        return Err(one("is a credential of another type than service_account".to_owned()));
    }
    let mut troubles = Vec::new();
    for field in ["project_id", "client_email", "private_key"] {
        match account.get(field) {
            None => troubles.extend(one(format!("lacks {field}"))),
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(_) => troubles.extend(one(format!("has a {field} that is no text"))),
        }
    }
    for field in ["private_key_id", "token_uri"] {
        if account.get(field).is_some_and(|value| !value.is_string()) {
            troubles.extend(one(format!("has a {field} that is no text")));
        }
    }
    if let Some(Value::String(pem)) = account.get("private_key")
        && !is_rsa(pem)
    {
        troubles.extend(one("has a private_key that is no PKCS #8 RSA key of 2048 bits and more".to_owned()));
    }
    if let Some(Value::String(url)) = account.get("token_uri")
        && !url.parse::<http::Uri>().is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some())
    {
        troubles.extend(one("has a token_uri that is no https URL".to_owned()));
    }
    if !troubles.is_empty() {
        return Err(troubles);
    }
    serde_json::from_value(value).map_err(|_| one("is not a service account's key file".to_owned()))
}

fn is_rsa(pem: &str) -> bool {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .is_ok_and(|key| RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).is_ok())
}
