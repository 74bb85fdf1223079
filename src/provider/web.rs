//! Plain HTTP, off the hot path: token endpoints, webhooks, the doors of other instances.

use std::error::Error;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use super::tls::{self, TlsError};

/// A client to be: with our own TLS, for an address that was configured and no other, so without redirects and proxies.
///
/// # Errors
/// [`TlsError`]: the roots can't be used.
pub fn client(extra_roots: Option<&str>) -> Result<ClientBuilder, TlsError> {
    let tls = tls::any_http(extra_roots)?;
    Ok(Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).no_proxy())
}

/// The innermost cause: what the operating system or the other side said, not that a request failed.
#[must_use]
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
