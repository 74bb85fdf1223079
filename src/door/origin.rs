//! Keeps web pages from steering through a browser that can reach the door.
//!
//! - A page of another origin may not change anything (cross-site request forgery): browsers name the page's origin in
//!   `Origin` (RFC 6454, section 7), and it must be this door.
//! - A foreign name that resolves to this machine does not make its page one of ours (DNS rebinding): where no token is
//!   asked for, `Host` must be a loopback name or the address that is listened on. Where one is, the door may have any
//!   name, for the page does not have the token.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};

use super::Problem;

/// Whether a request with these headers may change something.
///
/// # Errors
/// Why not.
pub fn check(headers: &HeaderMap, listen: SocketAddr, tokens: bool) -> Result<(), Problem> {
    let host = host(headers).ok_or_else(|| {
        // RFC 9112, section 3.2.
        let title = "the request needs one Host header, with a name and perhaps a port";
        Problem::new(StatusCode::BAD_REQUEST, title, "send the Host header that names this door")
    })?;
    if !tokens && !is_ours(&host, listen) {
        return Err(refused("the Host header names neither loopback nor the address that is listened on"));
    }
    let same = |origin: &str| origin.split_once("://").is_some_and(|(_, at)| at.eq_ignore_ascii_case(host.as_str()));
    let foreign = headers.get_all(header::ORIGIN).iter().any(|origin| !origin.to_str().is_ok_and(same));
    if foreign { Err(refused("the Origin header names another site")) } else { Ok(()) }
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok()?;
    hosts.next().is_none().then_some(host)
}

fn is_ours(host: &Authority, listen: SocketAddr) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback() || ip == listen.ip())
}

fn refused(title: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, title, "call the door directly, by its own address")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(listen: &str, tokens: bool, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header's value"));
        }
        check(&map, listen.parse().expect("an address"), tokens).is_ok()
    }

    #[test]
    fn only_this_door_may_be_meant_and_only_its_own_pages_may_ask() {
        let here = "127.0.0.1:8080";
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.2"] {
            assert!(checked(here, false, &[("host", host)]), "{host}");
        }
        for host in ["rebound.example:8080", "localhost.example", "127.0.0.1.example", "10.0.0.1", "", "a@localhost b"]
        {
            assert!(!checked(here, false, &[("host", host)]), "{host}");
        }
        assert!(!checked(here, false, &[]));
        assert!(!checked(here, false, &[("host", "localhost"), ("host", "localhost")]));
        let from = |origin| checked(here, false, &[("host", "localhost:8080"), ("origin", origin)]);
        assert!(from("http://localhost:8080"));
        for origin in ["null", "http://localhost:3000", "http://localhost", "http://evil.example", "localhost:8080", ""]
        {
            assert!(!from(origin), "{origin}");
        }
        assert!(!checked(here, true, &[("host", "door.example"), ("origin", "https://evil.example")]));
    }

    #[test]
    fn a_door_with_tokens_may_have_any_name() {
        assert!(checked("0.0.0.0:8080", true, &[("host", "tidegate.internal:8080")]));
        assert!(checked("0.0.0.0:8080", true, &[("host", "door.example"), ("origin", "https://door.example")]));
    }
}
