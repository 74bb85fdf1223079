//! JSON Web Tokens in the compact form (RFC 7515, section 7.1): `base64url(header).base64url(claims).base64url(signature)`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// The token of `header` and `claims`; `sign` signs the first two parts.
///
/// # Errors
/// What `sign` says.
pub(crate) fn compact<E>(
    header: &impl Serialize,
    claims: &impl Serialize,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let mut token = part(header);
    token.push('.');
    token.push_str(&part(claims));
    let signature = sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

fn part(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("structs of strings and numbers are JSON");
    URL_SAFE_NO_PAD.encode(json)
}
