//! Who may enter: bearer tokens, compared in constant time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};

use super::Problem;

/// Which of the tokens was used; kept with the request for whoever counts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Token(pub(super) usize);

/// Lets requests through that carry one of the tokens (RFC 6750, section 2.1); all, where there are none.
pub async fn guard(State(tokens): State<Arc<Vec<SecretString>>>, mut request: Request, next: Next) -> Response {
    if tokens.is_empty() {
        return next.run(request).await;
    }
    if let Some(token) = find(&tokens, request.headers()) {
        request.extensions_mut().insert(token);
        return next.run(request).await;
    }
    let remedy = "send one of http.tokens as `authorization: Bearer …`";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed", remedy);
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

fn find(tokens: &[SecretString], headers: &HeaderMap) -> Option<Token> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    // All are compared, so that the time does not tell which one it was.
    let mut found = None;
    for (nth, token) in tokens.iter().enumerate() {
        if same(token.expose_secret(), given.trim()) {
            found = Some(Token(nth));
        }
    }
    found
}

/// Compares in a time that depends on nothing but the lengths: digests of both are compared by a MAC's verification.
fn same(token: &str, given: &str) -> bool {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, token.as_bytes());
    let tag = ring::hmac::sign(&key, token.as_bytes());
    ring::hmac::verify(&key, given.as_bytes(), tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_token_fits() {
        let tokens: Vec<SecretString> = ["one", "two-and-more"].map(Into::into).into();
        let found = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header's value"));
            find(&tokens, &headers).map(|token| token.0)
        };
        assert_eq!((found("Bearer one"), found("bearer two-and-more")), (Some(0), Some(1)));
        for wrong in
            ["Bearer", "Bearer ", "one", "Basic one", "Bearer on", "Bearer onee", "Bearer two", "Bearer one two"]
        {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert_eq!(find(&tokens, &HeaderMap::new()), None);
    }
}
