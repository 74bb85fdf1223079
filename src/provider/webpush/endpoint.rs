//! Endpoints are URLs that a stranger chose: which of them are spoken to.
//!
//! A subscription comes from a browser, and so from whoever says that he is one. What he names here we would connect to
//! from within the operator's network. So:
//!
//! - `https` alone, no user or password, no port but 443, and only the hosts of [known push services](KNOWN) and those
//!   that the operator added ([`Services`]).
//! - A host is taken only as it will be used: whatever a URL parser would rewrite (`0x7f.1`, `%6c`, `ｅ`, `\`) is refused,
//!   so that nobody can read two hosts in one text.
//! - Which *addresses* are dialled is looked at again when they are dialled: see [`address`](super::address).

use std::sync::Arc;

use http::uri::PathAndQuery;

use crate::provider::Origin;

/// The push services of the browsers (PROVIDERS.md, 3.4). A leading dot stands for every host below.
pub(super) const KNOWN: [&str; 5] = [
    "fcm.googleapis.com",
    "android.googleapis.com",
    ".push.services.mozilla.com",
    ".push.apple.com",
    ".notify.windows.com",
];

/// The longest endpoint, bytes.
const LONGEST: usize = 2048;

/// Where one subscription is served.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) origin: Origin,
    /// A secret: whoever has it can push.
    pub(super) path: PathAndQuery,
}

/// Why an endpoint is not spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointRefusal {
    /// Not a URL, or one that two parsers could read in two ways.
    Malformed,
    /// Another scheme than `https`.
    NotHttps,
    /// It has a user or a password.
    Credentials,
    /// The host is no push service that is known, or that the operator added.
    Host,
    /// Another port than 443 or the one that the operator named.
    Port,
}

impl EndpointRefusal {
    /// The outcome's reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EndpointRefusal::Malformed => "endpoint_malformed",
            EndpointRefusal::NotHttps => "endpoint_not_https",
            EndpointRefusal::Credentials => "endpoint_has_credentials",
            EndpointRefusal::Host => "endpoint_host_not_allowed",
            EndpointRefusal::Port => "endpoint_port_not_allowed",
        }
    }
}

/// Which push services may be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services(Vec<Service>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    host: Hosts,
    /// 443 unless the operator named one.
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Any,
    One(Box<str>),
    /// Every host that ends so; it begins with a dot.
    Below(Box<str>),
}

impl Services {
    /// The known ones, and `further`: `host`, `*.domain` or `*`, each with `:port` or without.
    ///
    /// # Errors
    /// The first that is no such entry.
    pub fn new<'a>(further: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let known = KNOWN.iter().map(|name| Service {
            host: if name.starts_with('.') { Hosts::Below((*name).into()) } else { Hosts::One((*name).into()) },
            port: 443,
        });
        let further = further.into_iter().map(|entry| Service::read(entry).ok_or_else(|| entry.to_owned()));
        Ok(Self(known.chain(further.collect::<Result<Vec<_>, _>>()?).collect()))
    }

    /// The entries that the operator added, as they are written.
    pub(in crate::provider) fn further(&self) -> impl Iterator<Item = String> {
        self.0.iter().skip(KNOWN.len()).map(|service| format!("{:?}:{}", service.host, service.port))
    }

    fn allows(&self, origin: &Origin) -> Result<(), EndpointRefusal> {
        let mut host_is_known = false;
        for service in self.0.iter().filter(|service| service.host.has(&origin.host)) {
            if service.port == origin.port {
                return Ok(());
            }
            host_is_known = true;
        }
        Err(if host_is_known { EndpointRefusal::Port } else { EndpointRefusal::Host })
    }
}

impl Service {
    fn read(entry: &str) -> Option<Self> {
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (entry, 443),
        };
        let host = match host {
            "*" => Hosts::Any,
            name => match name.strip_prefix('*') {
                Some(domain) => {
                    Hosts::Below(domain.strip_prefix('.').and_then(plain_host).map(|host| format!(".{host}"))?.into())
                }
                None => Hosts::One(plain_host(name)?.into()),
            },
        };
        (port != 0).then_some(Self { host, port })
    }
}

impl Hosts {
    fn has(&self, host: &str) -> bool {
        match self {
            Hosts::Any => true,
            Hosts::One(name) => **name == *host,
            // Not the bare domain: the dot belongs to the suffix.
            Hosts::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }
}

/// Whether a host is a known push service's.
pub(super) fn is_known(host: &str) -> bool {
    KNOWN.iter().any(|known| if known.starts_with('.') { host.ends_with(known) } else { host == *known })
}

/// Reads an endpoint, and refuses it if it is not one of `services`.
pub(super) fn read(text: &str, services: &Services) -> Result<Endpoint, EndpointRefusal> {
    use EndpointRefusal::{Credentials, Malformed, NotHttps};
    // A URL parser would mend these, each parser in its own way.
    if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(Malformed);
    }
    let (scheme, rest) = text.split_once("://").ok_or(Malformed)?;
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(NotHttps);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Credentials);
    }
    let written = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => &authority[..address.len() + 2],
        Some(_) => return Err(Malformed),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let host = plain_host(written).ok_or(Malformed)?;
    let url = reqwest::Url::parse(text).map_err(|_| Malformed)?;
    let parsed = url.host_str().unwrap_or_default();
    if parsed.trim_start_matches('[').trim_end_matches(']') != host || url.fragment().is_some() {
        return Err(Malformed);
    }
    let origin = Origin { host: Arc::from(host), port: url.port_or_known_default().ok_or(Malformed)? };
    services.allows(&origin)?;
    let path = match url.query() {
        None => PathAndQuery::try_from(url.path()),
        Some(query) => PathAndQuery::try_from(format!("{}?{query}", url.path())),
    };
    Ok(Endpoint { origin, path: path.map_err(|_| Malformed)? })
}

/// A host in the one form in which nothing is left to be rewritten: labels of letters, digits and dashes in lower case,
/// an IPv4 address of four numbers, or an IPv6 address (in brackets; returned without them, and as it is shortened).
fn plain_host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().ok().and_then(|address| {
            // Rust writes mapped addresses with dots, URLs don't; and none of them is ever dialled.
            address.to_ipv4_mapped().is_none().then(|| address.to_string())
        });
    }
    let host = text.to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = host.len() <= 253 && host.split('.').all(label);
    // A last label of digits is an address in one of its odd forms (`127.1`, `2130706433`), unless it is a plain one.
    let last = host.rsplit('.').next().unwrap_or_default();
    let odd =
        last.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && host.parse::<std::net::Ipv4Addr>().is_err();
    (fits && !odd).then_some(host)
}

#[cfg(test)]
mod tests;
