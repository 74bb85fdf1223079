//! Who may push, by token or certificate; what a connection has shown so far.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use x509_parser::prelude::{FromDer, X509Certificate};

use super::checks::Wanted;
use super::provider_token::{KnownKey, Verified, verify};
use super::{Rejection, reject};
use crate::job::UnixMillis;
use crate::simulator::{ApnsDoorSettings, CredentialState, Request};

/// How old a token may be.
const OLDEST: u64 = 3600;

/// How far in the future a token may be issued: clocks differ.
const SKEW: u64 = 60;

/// Verified tokens remembered; beyond that all are forgotten and verified again.
const MAX_VERIFIED: usize = 256;

const INVALID: Rejection = reject(403, "InvalidProviderToken");
const EXPIRED: Rejection = reject(403, "ExpiredProviderToken");

/// What a connection has shown.
#[derive(Debug, Default)]
struct Shown {
    team_id: String,
    key_id: String,
    /// Tokens it came with.
    tokens: Vec<Box<str>>,
    /// When it came with a new one.
    updated: Option<Instant>,
    /// It saw an expired token.
    wedged: bool,
}

/// The judge of credentials.
pub(super) struct Authorisation {
    keys: Vec<KnownKey>,
    strict: bool,
    update_interval: Duration,
    wedge: bool,
    verified: HashMap<Box<str>, Verified>,
    shown: HashMap<u64, Shown>,
}

impl Authorisation {
    pub(super) fn new(settings: &ApnsDoorSettings, keys: Vec<KnownKey>) -> Self {
        Self {
            keys,
            strict: settings.strict_jwt,
            update_interval: settings.token_update_interval,
            wedge: settings.wedge_after_expiry,
            verified: HashMap::new(),
            shown: HashMap::new(),
        }
    }

    /// Whether the request may push; its bundle id.
    pub(super) fn authorise(
        &mut self,
        request: &Request,
        wanted: &Wanted<'_>,
        state: CredentialState,
    ) -> Result<String, Rejection> {
        if let Some(certificate) = &request.client_certificate {
            return by_certificate(certificate, wanted, state);
        }
        let header = request.header("authorization").ok_or(reject(403, "MissingProviderToken"))?;
        let (scheme, token) = header.split_once(' ').ok_or(reject(403, "MissingProviderToken"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(reject(403, "MissingProviderToken"));
        }
        self.by_token(token, request, state)?;
        Ok(wanted.bundle.unwrap_or_default().to_owned())
    }

    /// A connection ended.
    pub(super) fn closed(&mut self, connection: u64) {
        self.shown.remove(&connection);
    }

    fn by_token(&mut self, token: &str, request: &Request, state: CredentialState) -> Result<(), Rejection> {
        let verified = self.verify(token).ok_or(INVALID)?;
        let shown = self.shown.entry(request.connection).or_default();
        if shown.wedged {
            return Err(EXPIRED);
        }
        let age = age(&verified, request.wall);
        match (state, age) {
            (CredentialState::Refused, _) | (_, None) => return Err(INVALID),
            (CredentialState::Expired, _) | (_, Some(OLDEST..)) => {
                shown.wedged = self.wedge;
                return Err(EXPIRED);
            }
            (CredentialState::AsTheyAre, Some(_)) => {}
        }
        shown.accept(&verified, token, request.at, self.update_interval)
    }

    fn verify(&mut self, token: &str) -> Option<Verified> {
        if let Some(known) = self.verified.get(token) {
            return Some(known.clone());
        }
        let verified = verify(token, &self.keys, self.strict)?;
        if self.verified.len() >= MAX_VERIFIED {
            self.verified.clear();
        }
        self.verified.insert(token.into(), verified.clone());
        Some(verified)
    }
}

/// A token's age, seconds; `None` if it is from the future.
fn age(verified: &Verified, now: UnixMillis) -> Option<u64> {
    (verified.issued_at <= now.seconds() + SKEW).then(|| now.seconds().saturating_sub(verified.issued_at))
}

impl Shown {
    /// One team and one key a connection, and not a new token every moment.
    fn accept(&mut self, token: &Verified, text: &str, now: Instant, interval: Duration) -> Result<(), Rejection> {
        if self.tokens.is_empty() {
            self.team_id.clone_from(&token.team_id);
            self.key_id.clone_from(&token.key_id);
        }
        if self.team_id != token.team_id {
            return Err(INVALID);
        }
        if self.key_id != token.key_id {
            return Err(reject(403, "UnrelatedKeyIdInToken"));
        }
        if self.tokens.iter().any(|known| **known == *text) {
            return Ok(());
        }
        if self.updated.is_some_and(|at| now.saturating_duration_since(at) < interval) {
            return Err(reject(429, "TooManyProviderTokenUpdates"));
        }
        self.updated = Some(now);
        self.tokens.push(text.into());
        Ok(())
    }
}

fn by_certificate(der: &[u8], wanted: &Wanted<'_>, state: CredentialState) -> Result<String, Rejection> {
    if state != CredentialState::AsTheyAre {
        return Err(reject(403, "BadCertificate"));
    }
    if wanted.push_type.is_some_and(|push_type| push_type.name == "location") {
        return Err(reject(400, "TopicDisallowed"));
    }
    let topic = common_name(der).ok_or(reject(403, "BadCertificate"))?;
    match wanted.bundle {
        Some(bundle) if bundle != topic => Err(reject(400, "TopicDisallowed")),
        _ => Ok(topic),
    }
}

fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}
