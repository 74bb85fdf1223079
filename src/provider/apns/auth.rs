//! APNs token authentication: one JWT per key, minted rarely and shared (PROVIDERS 1.4).
//!
//! ```text
//!  minted            not again before          minted anew          Apple: too old
//!    ●───────────────────┼──────────────────────────●───────────────────┤
//!    0                20 min                      45 min              60 min
//! ```
//!
//! Apple refuses a token older than an hour, and more than one new token in 20 minutes. The one exception: it has
//! refused the token as expired, which within 45 minutes means that a clock has jumped; then a new one is minted at
//! once, but not more than once a minute. ring's ECDSA is randomised, so the token is shared, not minted twice.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::job::UnixMillis;
use crate::provider::CredentialError;
use crate::provider::jwt;

/// A token is used for so long.
const FRESH_FOR: Duration = Duration::from_secs(45 * 60);
/// A clock that goes back by more than this makes a token one from the future, which Apple refuses too.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// After a refusal no new token is minted within this time of the last one.
const REMINT_AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// When to mint: pure, time is an argument.
#[derive(Debug, Default)]
struct MintClock {
    minted: Option<UnixMillis>,
    refused: bool,
}

impl MintClock {
    fn is_due(&self, now: UnixMillis) -> bool {
        let Some(minted) = self.minted else { return true };
        let (age, ahead) = (now.since(minted), minted.since(now));
        let distance = age.max(ahead);
        age >= FRESH_FOR || ahead > SKEW || (self.refused && distance >= REMINT_AFTER_REFUSAL)
    }

    fn minted(&mut self, now: UnixMillis) {
        *self = Self { minted: Some(now), refused: false };
    }

    fn refused(&mut self) {
        self.refused = true;
    }
}

/// Signs with one key, and keeps the token in use.
pub(super) struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    key_id: String,
    team_id: String,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    clock: MintClock,
    header: Option<HeaderValue>,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl Signer {
    pub(super) fn new(key_pem: &SecretString, key_id: &str, team_id: &str) -> Result<Self, CredentialError> {
        check_identifier("key_id", key_id)?;
        check_identifier("team_id", team_id)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(key_pem.expose_secret().as_bytes())
            .map_err(|_| CredentialError::SigningKeyNotPkcs8)?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
            .map_err(|error| CredentialError::SigningKeyNotP256(error.to_string()))?;
        Ok(Self { key, random, key_id: key_id.to_owned(), team_id: team_id.to_owned(), current: Mutex::default() })
    }

    /// The `authorization` header in use at `now`; a new one if it is time. None if the system gives no randomness.
    pub(super) fn authorization(&self, now: UnixMillis) -> Option<HeaderValue> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.clock.is_due(now) || current.header.is_none() {
            // Without randomness the old token may still do.
            if let Some(header) = self.mint(now) {
                current.header = Some(header);
                current.clock.minted(now);
            }
        }
        current.header.clone()
    }

    /// Apple refused the token in use.
    pub(super) fn refused(&self) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clock.refused();
    }

    fn mint(&self, now: UnixMillis) -> Option<HeaderValue> {
        let header = Header { alg: "ES256", kid: &self.key_id };
        let claims = Claims { iss: &self.team_id, iat: now.seconds() };
        let sign = |message: &[u8]| self.key.sign(&self.random, message).map(|signature| signature.as_ref().to_vec());
        let token = jwt::compact(&header, &claims, sign).ok()?;
        let mut value = HeaderValue::try_from(format!("bearer {token}")).expect("base64url is visible ASCII");
        value.set_sensitive(true);
        Some(value)
    }
}

/// The key and the token stay unseen.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).field("team_id", &self.team_id).finish_non_exhaustive()
    }
}

fn check_identifier(key: &'static str, value: &str) -> Result<(), CredentialError> {
    let ten = value.len() == 10 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if ten { Ok(()) } else { Err(CredentialError::NotTenCharacters(key)) }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    const START: UnixMillis = UnixMillis(1_800_000_000_000);

    fn after(minutes: u64) -> UnixMillis {
        UnixMillis(START.0 + minutes * 60_000)
    }

    fn pair() -> rcgen::KeyPair {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
    }

    fn signer(pair: &rcgen::KeyPair) -> Signer {
        Signer::new(&SecretString::from(pair.serialize_pem()), "ABC123DEFG", "TEAM123456").expect("a good key")
    }

    fn json(part: &str) -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("unpadded base64url")).expect("JSON")
    }

    #[test]
    fn a_token_is_what_apple_asks_for() {
        let pair = pair();
        let header = signer(&pair).authorization(START).expect("a token");
        assert!(header.is_sensitive());
        let token = header.to_str().expect("ASCII").strip_prefix("bearer ").expect("lower case");
        let parts: Vec<_> = token.split('.').collect();
        let [head, claims, signature] = parts[..] else { panic!("three parts") };
        assert_eq!(json(head), serde_json::json!({"alg": "ES256", "kid": "ABC123DEFG"}));
        assert_eq!(json(claims), serde_json::json!({"iss": "TEAM123456", "iat": 1_800_000_000_u64}));
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("unpadded base64url");
        assert_eq!(signature.len(), 64, "raw r and s");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key_raw());
        public.verify(format!("{head}.{claims}").as_bytes(), &signature).expect("signed with the key");
    }

    #[test]
    fn a_token_is_shared_for_45_minutes() {
        let signer = signer(&pair());
        let first = signer.authorization(START);
        assert_eq!(signer.authorization(after(44)), first);
        let second = signer.authorization(after(45));
        assert_ne!(second, first);
        assert_eq!(signer.authorization(after(89)), second);
    }

    #[test]
    fn a_refused_token_is_minted_anew_at_most_once_a_minute() {
        let signer = signer(&pair());
        let first = signer.authorization(START);
        for _ in 0..1_000 {
            signer.refused();
        }
        assert_eq!(signer.authorization(UnixMillis(START.0 + 59_999)), first);
        let second = signer.authorization(after(1));
        assert_ne!(second, first);
        assert_eq!(signer.authorization(after(30)), second, "one refusal, one new token");
    }

    #[test]
    fn a_clock_that_jumps_makes_a_new_token() {
        let signer = signer(&pair());
        let first = signer.authorization(after(600));
        assert_eq!(signer.authorization(after(596)), first, "a small correction of the clock");
        let second = signer.authorization(after(60));
        assert_ne!(second, first, "the old one is from the future now");
        assert_ne!(signer.authorization(after(600)), second);
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_is_shown() {
        let wrong = |pem: &str| {
            let error = Signer::new(&SecretString::from(pem.to_owned()), "ABC123DEFG", "TEAM123456");
            error.expect_err("a bad key")
        };
        assert_eq!(wrong("CANARY"), CredentialError::SigningKeyNotPkcs8);
        let sec1 = pair().serialize_pem().replace("PRIVATE KEY", "EC PRIVATE KEY");
        assert_eq!(wrong(&sec1), CredentialError::SigningKeyNotPkcs8);
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key").serialize_pem();
        assert!(matches!(wrong(&p384), CredentialError::SigningKeyNotP256(_)));
        for text in [wrong("CANARY").to_string(), wrong(&p384).to_string()] {
            assert!(!text.contains("CANARY") && !p384.lines().any(|line| text.contains(line)), "{text}");
        }
        let key = SecretString::from(pair().serialize_pem());
        assert_eq!(Signer::new(&key, "short", "TEAM123456").err(), Some(CredentialError::NotTenCharacters("key_id")));
    }

    #[test]
    fn debug_shows_no_secret() {
        let pair = pair();
        let signer = signer(&pair);
        let header = signer.authorization(START).expect("a token");
        let shown = format!("{signer:?} {header:?}");
        let token = header.to_str().expect("ASCII");
        assert!(!shown.contains(&token[7..]) && !shown.contains("eyJ"), "{shown}");
    }
}
