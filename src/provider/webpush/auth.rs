//! VAPID (RFC 8292): who we are, said in a token that is signed once for each push service and then shared.
//!
//! A token is good for 12 hours and used for 6: Apple refuses senders that renew it more than once an hour, everybody
//! refuses more than 24 hours. A clock that jumps makes a new one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::job::UnixMillis;
use crate::provider::{CredentialError, Origin, jwt};

/// How long a token is good; at most 24 hours (RFC 8292, section 2).
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// How long it is used.
const FRESH_FOR: Duration = Duration::from_secs(6 * 3600);
/// A clock that goes back by more than this makes a token whose end is too far off, at a strict service.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// Tokens kept, at most: four times the origins that a route may have at once. Beyond it the oldest is forgotten.
const KEPT: usize = 256;

/// Signs with one key, and keeps the tokens in use.
pub(super) struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    subject: String,
    /// `k=…`, the public half.
    public: String,
    tokens: Mutex<HashMap<Origin, Token>>,
}

struct Token {
    minted: UnixMillis,
    header: HeaderValue,
}

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl Signer {
    /// `key`: PEM (PKCS #8), or the private key alone in base64url, as most libraries for Web Push print it.
    pub(super) fn new(key: &SecretString, subject: &str) -> Result<Self, CredentialError> {
        check_subject(subject)?;
        let random = SystemRandom::new();
        let key = read(key.expose_secret(), &random)?;
        let public = URL_SAFE_NO_PAD.encode(key.public_key());
        Ok(Self { key, random, subject: subject.to_owned(), public, tokens: Mutex::default() })
    }

    /// The public key, base64url: what a page gives to `pushManager.subscribe`.
    pub(super) fn public(&self) -> &str {
        &self.public
    }

    /// The `authorization` header for `origin` at `now`; a new one if it is time. None if the system gives no randomness.
    pub(super) fn authorization(&self, origin: &Origin, now: UnixMillis) -> Option<HeaderValue> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = tokens.get(origin);
        if let Some(token) =
            in_use.filter(|token| now.since(token.minted) < FRESH_FOR && token.minted.since(now) <= SKEW)
        {
            return Some(token.header.clone());
        }
        let Some(header) = self.mint(origin, now) else {
            // Without randomness the old token may still do.
            return in_use.map(|token| token.header.clone());
        };
        if tokens.len() >= KEPT && !tokens.contains_key(origin) {
            let oldest = tokens.iter().min_by_key(|(_, token)| token.minted).map(|(origin, _)| origin.clone());
            oldest.map(|oldest| tokens.remove(&oldest));
        }
        tokens.insert(origin.clone(), Token { minted: now, header: header.clone() });
        Some(header)
    }

    fn mint(&self, origin: &Origin, now: UnixMillis) -> Option<HeaderValue> {
        let header = Header { typ: "JWT", alg: "ES256" };
        let claims = Claims { aud: &origin.to_string(), exp: now.seconds() + LIFETIME.as_secs(), sub: &self.subject };
        let sign = |message: &[u8]| self.key.sign(&self.random, message).map(|signature| signature.as_ref().to_vec());
        let token = jwt::compact(&header, &claims, sign).ok()?;
        let mut value =
            HeaderValue::try_from(format!("vapid t={token}, k={}", self.public)).expect("base64url is visible ASCII");
        value.set_sensitive(true);
        Some(value)
    }
}

/// Whether `key` can be a VAPID key; its public half, base64url.
///
/// # Errors
/// [`CredentialError::VapidKey`].
pub fn check_key(key: &SecretString) -> Result<String, CredentialError> {
    read(key.expose_secret(), &SystemRandom::new()).map(|key| URL_SAFE_NO_PAD.encode(key.public_key()))
}

/// A new VAPID key, PEM (PKCS #8).
#[must_use]
pub fn new_key() -> SecretString {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
    key.expect("it takes randomness and nothing else, without which no TLS would work either").serialize_pem().into()
}

/// Whether a push service could turn to it: RFC 8292, section 2.1, and what Apple makes of it, no blanks, no angle
/// brackets, a host that others can reach.
#[must_use]
pub fn is_subject(subject: &str) -> bool {
    check_subject(subject).is_ok()
}

/// The key and the tokens stay unseen.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).field("subject", &self.subject).finish_non_exhaustive()
    }
}

fn read(text: &str, random: &SystemRandom) -> Result<EcdsaKeyPair, CredentialError> {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    if let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()) {
        return EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), random)
            .map_err(|error| CredentialError::VapidKey(error.to_string()));
    }
    let raw = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let raw = raw.ok().filter(|raw| raw.len() == 32);
    let raw = raw.ok_or_else(|| CredentialError::VapidKey("neither of the two forms".to_owned()))?;
    let refused = || CredentialError::VapidKey("out of the curve's range".to_owned());
    let private = p256::SecretKey::from_slice(&raw).map_err(|_| refused())?;
    let public = p256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&private.public_key(), false);
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &raw, public.as_bytes(), random).map_err(|_| refused())
}

fn check_subject(subject: &str) -> Result<(), CredentialError> {
    let plain = subject.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'\\'));
    let host = match (subject.strip_prefix("mailto:"), subject.strip_prefix("https://")) {
        (Some(address), _) => address.rsplit_once('@').filter(|(name, _)| !name.is_empty()).map(|(_, host)| host),
        (_, Some(rest)) => rest.split(['/', '?', '#', ':']).next(),
        _ => None,
    };
    let reachable = host.is_some_and(|host| host.contains('.') && !host.starts_with('.') && !host.ends_with('.'));
    if plain && reachable && subject.len() <= 255 { Ok(()) } else { Err(CredentialError::VapidSubject) }
}

#[cfg(test)]
mod tests;
