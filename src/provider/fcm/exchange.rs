//! The token endpoint: one assertion in, one access token out, or why not (PROVIDERS 2.1).

use std::time::Duration;

use http::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::FcmSettings;
use super::assertion::Asserter;
use crate::job::UnixMillis;
use crate::provider::CredentialError;
use crate::provider::web::{self, root_cause};
use crate::verdict::Reason;

/// From connecting to the whole answer: token endpoints answer within a second.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer longer than this is none: tokens have one or two KiB.
const MAX_ANSWER: usize = 64 * 1024;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The issuer refuses the account (`invalid_grant`): an operator must see to it.
    Refused(Reason),
    /// It may pass: no connection, no answer, 5xx, 429, an answer that can't be read.
    MayPass(String),
}

/// An access token, fresh.
pub(super) struct Fresh {
    /// `Bearer …`, marked sensitive.
    pub(super) header: HeaderValue,
    /// How long it is valid.
    pub(super) lifetime: Duration,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

/// The way to one account's token endpoint.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    client: Client,
    url: Url,
    asserter: Asserter,
}

impl TokenEndpoint {
    pub(super) fn new(settings: &FcmSettings) -> Result<Self, CredentialError> {
        let url =
            Url::parse(&settings.account.token_uri).map_err(|error| CredentialError::TokenUri(error.to_string()))?;
        if url.scheme() != "https" {
            return Err(CredentialError::TokenUri("it must begin with https://".to_owned()));
        }
        // The assertion is a secret: it goes to the address that was configured and nowhere else.
        let client = web::client(settings.endpoint.extra_roots.as_deref())?
            .https_only(true)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| CredentialError::Client(error.to_string()))?;
        Ok(Self { client, url, asserter: Asserter::new(&settings.account)? })
    }

    /// Asks for a token once.
    pub(super) async fn fetch(&self, now: UnixMillis) -> Result<Fresh, Trouble> {
        let may_pass = |text: &str| Trouble::MayPass(text.to_owned());
        let assertion = self.asserter.assertion(now).ok_or_else(|| may_pass("the assertion can't be signed"))?;
        let form = [("grant_type", GRANT), ("assertion", &assertion)];
        let answer = self.client.post(self.url.clone()).form(&form).send().await;
        // reqwest's errors name the address, not what was sent there.
        let mut answer = answer.map_err(|error| may_pass(&root_cause(&error)))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| may_pass(&root_cause(&error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(may_pass("the answer is too long"));
            }
        }
        read(status, &body)
    }
}

/// Reads the endpoint's answer.
fn read(status: StatusCode, body: &[u8]) -> Result<Fresh, Trouble> {
    if status == StatusCode::OK {
        let unreadable = || Trouble::MayPass("the answer has no token".to_owned());
        let granted: Granted = serde_json::from_slice(body).map_err(|_| unreadable())?;
        let header = HeaderValue::try_from(format!("Bearer {}", granted.access_token.expose_secret()));
        let mut header = header.map_err(|_| unreadable())?;
        header.set_sensitive(true);
        return Ok(Fresh { header, lifetime: Duration::from_secs(granted.expires_in) });
    }
    let passes = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || !status.is_client_error();
    if passes {
        return Err(Trouble::MayPass(format!("HTTP {}", status.as_u16())));
    }
    let word = serde_json::from_slice::<Denied>(body).ok().map(|denied| denied.error);
    let word = word.filter(|word| word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic()));
    Err(Trouble::Refused(word.map_or(Reason::Borrowed("token_refused"), Reason::Owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(status: u16, body: &str) -> Trouble {
        read(StatusCode::from_u16(status).expect("a status"), body.as_bytes()).err().expect("no token")
    }

    #[test]
    fn refusals_and_what_may_pass_are_told_apart() {
        let refused = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
        assert_eq!(trouble(400, refused), Trouble::Refused("invalid_grant".into()));
        assert_eq!(trouble(401, "<html>"), Trouble::Refused("token_refused".into()));
        for status in [302, 408, 429, 500, 502, 503] {
            assert!(matches!(trouble(status, refused), Trouble::MayPass(_)), "{status}");
        }
        for body in ["", "{}", r#"{"access_token":"a\nb","expires_in":1}"#, r#"{"access_token":"CANARY"}"#] {
            let trouble = trouble(200, body);
            assert!(matches!(&trouble, Trouble::MayPass(_)) && !format!("{trouble:?}").contains("CANARY"));
        }
    }

    #[test]
    fn a_token_is_kept_out_of_sight() {
        let fresh = read(StatusCode::OK, br#"{"access_token":"CANARY","expires_in":3599,"token_type":"Bearer"}"#);
        let fresh = fresh.expect("a token");
        assert_eq!((fresh.header.as_bytes(), fresh.lifetime.as_secs()), (&b"Bearer CANARY"[..], 3_599));
        assert!(!format!("{:?}", fresh.header).contains("CANARY"));
    }
}
