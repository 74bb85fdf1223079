//! The assertion a service account proves itself with: a JWT signed with RS256 (PROVIDERS 2.1).

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::ServiceAccount;
use crate::job::UnixMillis;
use crate::provider::CredentialError;
use crate::provider::jwt;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// Google's maximum.
const VALID_SECONDS: u64 = 3_600;

/// Signs assertions of one account.
pub(super) struct Asserter {
    key: RsaKeyPair,
    random: SystemRandom,
    email: String,
    key_id: Option<String>,
    audience: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

impl Asserter {
    pub(super) fn new(account: &ServiceAccount) -> Result<Self, CredentialError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.expose_secret().as_bytes())
            .map_err(|_| CredentialError::AccountKeyNotPkcs8)?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|error| CredentialError::AccountKeyNotRsa(error.to_string()))?;
        Ok(Self {
            key,
            random: SystemRandom::new(),
            email: account.client_email.clone(),
            key_id: account.private_key_id.clone(),
            audience: account.token_uri.clone(),
        })
    }

    /// An assertion made at `now`. None if the system gives no randomness.
    pub(super) fn assertion(&self, now: UnixMillis) -> Option<String> {
        let header = Header { alg: "RS256", typ: "JWT", kid: self.key_id.as_deref() };
        let claims = Claims {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.audience,
            iat: now.seconds(),
            exp: now.seconds() + VALID_SECONDS,
        };
        let sign = |message: &[u8]| {
            let mut signature = vec![0; self.key.public().modulus_len()];
            self.key.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature).map(|()| signature)
        };
        jwt::compact(&header, &claims, sign).ok()
    }
}

/// The key stays unseen.
impl std::fmt::Debug for Asserter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asserter").field("email", &self.email).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use secrecy::SecretString;

    use super::*;

    /// A throw-away key, made for these tests.
    const KEY: &str = include_str!("test_key.pem");

    fn account(key: &str) -> ServiceAccount {
        ServiceAccount {
            project_id: "chat".to_owned(),
            client_email: "push@chat.test".to_owned(),
            private_key_id: Some("k1".to_owned()),
            private_key: SecretString::from(key.to_owned()),
            token_uri: "https://token.test/token".to_owned(),
        }
    }

    #[test]
    fn an_assertion_is_what_google_asks_for() {
        let asserter = Asserter::new(&account(KEY)).expect("a good key");
        let token = asserter.assertion(UnixMillis(1_800_000_000_999)).expect("signed");
        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("three parts") };
        let decode = |part| URL_SAFE_NO_PAD.decode(part).expect("unpadded base64url");
        let json = |part| serde_json::from_slice::<serde_json::Value>(&decode(part)).expect("JSON");
        assert_eq!(json(header), serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let expected = serde_json::json!({
            "iss": "push@chat.test", "scope": SCOPE, "aud": "https://token.test/token",
            "iat": 1_800_000_000_u64, "exp": 1_800_003_600_u64,
        });
        assert_eq!(json(claims), expected);
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, include_bytes!("test_key.pub.der"));
        public.verify(format!("{header}.{claims}").as_bytes(), &decode(signature)).expect("signed with the key");
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_is_shown() {
        assert_eq!(Asserter::new(&account("CANARY")).err(), Some(CredentialError::AccountKeyNotPkcs8));
        let ecdsa = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let error = Asserter::new(&account(&ecdsa)).expect_err("not RSA");
        assert!(matches!(error, CredentialError::AccountKeyNotRsa(_)));
        let asserter = Asserter::new(&account(KEY)).expect("a good key");
        let shown = format!("{asserter:?} {error} {error:?} {:?}", account(KEY));
        assert!(!KEY.lines().chain(ecdsa.lines()).any(|line| shown.contains(line)), "{shown}");
    }
}
