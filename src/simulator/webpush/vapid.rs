//! Who sends: `authorization: vapid t=…, k=…` (RFC 8292), checked as strictly as the strictest service does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;

use super::service::Refusal;

/// A token may end so many seconds from now, at most.
const LONGEST: u64 = 24 * 3600;

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
    sub: String,
}

/// Checks a header of a push to `origin` for a subscription of `key`; `now` in seconds.
pub(super) fn check(header: Option<&str>, origin: &str, key: &[u8], now: u64) -> Result<(), Refusal> {
    let missing = Refusal::Token("missing_authorization");
    let parameters = header.and_then(|header| header.strip_prefix("vapid ")).ok_or(missing)?;
    let parameter = |name: &str| {
        let mut all = parameters.split(',').filter_map(|part| part.trim().split_once('='));
        all.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let (token, public) = parameter("t").zip(parameter("k")).ok_or(missing)?;
    let public = URL_SAFE_NO_PAD.decode(public).map_err(|_| Refusal::Token("bad_public_key"))?;
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Token("bad_token"))?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Token("bad_token"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| Refusal::Token("bad_signature"))?;
    claims(signed, origin, now).map_err(Refusal::Token)?;
    if public == key { Ok(()) } else { Err(Refusal::OtherKey) }
}

fn claims(signed: &str, origin: &str, now: u64) -> Result<(), &'static str> {
    let (header, claims) = signed.split_once('.').ok_or("bad_token")?;
    let header: Header = read(header)?;
    let claims: Claims = read(claims)?;
    let has_subject = claims.sub.starts_with("mailto:") || claims.sub.starts_with("https://");
    if header.alg != "ES256" || header.typ != "JWT" {
        return Err("bad_algorithm");
    }
    if claims.aud != origin {
        return Err("bad_audience");
    }
    if claims.exp <= now || claims.exp > now + LONGEST {
        return Err("bad_expiry");
    }
    if has_subject { Ok(()) } else { Err("bad_subject") }
}

fn read<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| "bad_token")?;
    serde_json::from_slice(&bytes).map_err(|_| "bad_token")
}
