//! Provider tokens: JWTs signed with ES256 (Apple, "Establishing a token-based connection to APNs").
//!
//! A proper JWT has base64url without padding and a raw signature. APNs also takes standard base64, padding and DER
//! signatures: Apple's own sample has one. So do we, unless told to be strict.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;

/// A raw P-256 signature, bytes.
const RAW_SIGNATURE: usize = 64;

/// A key that the simulator knows.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct KnownKey {
    pub(in crate::simulator) key_id: String,
    pub(in crate::simulator) team_id: String,
    /// The public key, uncompressed point.
    pub(in crate::simulator) public: Vec<u8>,
}

/// A token whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) key_id: String,
    pub(super) team_id: String,
    /// Seconds since the Unix epoch.
    pub(super) issued_at: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

/// Verifies a token against the known keys; `None` if anything is wrong with it but its age.
pub(super) fn verify(token: &str, keys: &[KnownKey], strict: bool) -> Option<Verified> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&decode(header, strict)?).ok()?;
    let claims: Claims = serde_json::from_slice(&decode(claims, strict)?).ok()?;
    let key = keys.iter().find(|key| key.key_id == header.kid)?;
    if header.alg != "ES256" || claims.iss != key.team_id {
        return None;
    }
    let signature = decode(signature, strict)?;
    let algorithm: &'static dyn VerificationAlgorithm = match signature.len() {
        RAW_SIGNATURE => &ECDSA_P256_SHA256_FIXED,
        _ if strict => return None,
        _ => &ECDSA_P256_SHA256_ASN1,
    };
    UnparsedPublicKey::new(algorithm, &key.public).verify(signed.as_bytes(), &signature).ok()?;
    Some(Verified { key_id: header.kid, team_id: claims.iss, issued_at: claims.iat })
}

fn decode(part: &str, strict: bool) -> Option<Vec<u8>> {
    if strict {
        return URL_SAFE_NO_PAD.decode(part).ok();
    }
    let lax: String = part.trim_end_matches('=').chars().map(url_safe).collect();
    URL_SAFE_NO_PAD.decode(lax).ok()
}

const fn url_safe(symbol: char) -> char {
    match symbol {
        '+' => '-',
        '/' => '_',
        other => other,
    }
}
