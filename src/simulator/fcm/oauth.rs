//! The token endpoint (RFC 7523, section 2.1, as Google does it): a signed assertion for an access token.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::json;

use crate::job::UnixMillis;
use crate::simulator::{Reply, Request, Subject, TokenFault};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];

/// The longest an assertion may live, seconds.
const LONGEST: u64 = 3600;

/// How much clocks may differ, seconds.
const SKEW: u64 = 300;

/// Access tokens remembered; beyond that the expired ones are forgotten, and then all.
const MAX_TOKENS: usize = 100_000;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
    iat: u64,
    exp: u64,
}

struct Access {
    project: String,
    until: UnixMillis,
}

/// The endpoint and the tokens that it gave.
pub(super) struct TokenEndpoint {
    uri: String,
    public: Vec<u8>,
    lifetime: Duration,
    given: HashMap<String, Access>,
    /// When the answers end that are underway.
    underway: Vec<Instant>,
}

impl TokenEndpoint {
    /// An endpoint at `uri` for service accounts that all have the key whose public half is `public` (PKCS #1).
    pub(super) fn new(uri: String, public: Vec<u8>, lifetime: Duration) -> Self {
        Self { uri, public, lifetime, given: HashMap::new(), underway: Vec::new() }
    }

    /// The project that `token` may send for.
    pub(super) fn project_of(&self, token: &str, now: UnixMillis) -> Option<&str> {
        self.given.get(token).filter(|access| now < access.until).map(|access| access.project.as_str())
    }

    /// What a request for a token deserves.
    pub(super) fn answer(&mut self, request: &Request, fault: TokenFault) -> Reply {
        let delay = if let TokenFault::Slow { latency } = fault { latency } else { Duration::ZERO };
        self.underway.retain(|end| *end > request.at);
        self.underway.push(request.at + delay);
        let concurrent = u32::try_from(self.underway.len()).unwrap_or(u32::MAX);
        let (status, body) = match fault {
            TokenFault::ServerError { status } => (status, json!({ "error": "internal_failure" })),
            TokenFault::InvalidGrant => grant_error("Invalid grant: account not found"),
            TokenFault::None | TokenFault::Slow { .. } => match self.check(request) {
                Ok(project) => (200, self.give(project, request.wall)),
                Err(description) => grant_error(description),
            },
        };
        let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned())];
        let subject = Subject::Token { concurrent };
        let body = Bytes::from(body.to_string());
        Reply { subject, accepted: status == 200, headers, body, delay, ..Reply::new(status) }
    }

    fn check(&self, request: &Request) -> Result<String, &'static str> {
        let assertion = assertion(request).ok_or("Missing grant type or assertion")?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or("Invalid JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("Invalid JWT")?;
        let header: Header = parse(header).ok_or("Invalid JWT header")?;
        let claims: Claims = parse(claims).ok_or("Invalid JWT claims")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "Invalid JWT signature")?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
        if header.alg != "RS256" || key.verify(signed.as_bytes(), &signature).is_err() {
            return Err("Invalid JWT signature");
        }
        self.check_claims(&claims, request.wall.seconds())?;
        let domain = claims.iss.split_once('@').map(|(_, domain)| domain);
        let project = domain.and_then(|domain| domain.strip_suffix(".iam.gserviceaccount.com"));
        project.map(str::to_owned).ok_or("Invalid grant: account not found")
    }

    fn check_claims(&self, claims: &Claims, now: u64) -> Result<(), &'static str> {
        if claims.aud != self.uri {
            return Err("Invalid JWT: Failed audience check");
        }
        if !claims.scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err("Invalid OAuth scope");
        }
        let lives = claims.exp.saturating_sub(claims.iat) <= LONGEST;
        if !lives || claims.iat > now + SKEW || claims.exp + SKEW < now {
            return Err("Invalid JWT: Token must be a short-lived token and in a reasonable timeframe");
        }
        Ok(())
    }

    fn give(&mut self, project: String, now: UnixMillis) -> serde_json::Value {
        if self.given.len() >= MAX_TOKENS {
            self.given.retain(|_, access| now < access.until);
        }
        if self.given.len() >= MAX_TOKENS {
            self.given.clear();
        }
        let token = format!("simulated-{}", uuid::Uuid::now_v7().simple());
        let until = UnixMillis(now.0.saturating_add(self.lifetime.as_millis() as u64));
        self.given.insert(token.clone(), Access { project, until });
        json!({ "access_token": token, "expires_in": self.lifetime.as_secs(), "token_type": "Bearer" })
    }
}

fn grant_error(description: &str) -> (u16, serde_json::Value) {
    (400, json!({ "error": "invalid_grant", "error_description": description }))
}

fn parse<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The assertion of a form that asks for a JWT bearer grant.
fn assertion(request: &Request) -> Option<String> {
    if request.method != "POST" {
        return None;
    }
    let form = std::str::from_utf8(&request.body).ok()?;
    let value = |name: &str| {
        let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| percent_decoded(value)).next()
    };
    (value("grant_type")?.as_str() == GRANT).then(|| value("assertion")).flatten()
}

/// Decodes `application/x-www-form-urlencoded`; what is malformed stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
