//! Where a request goes, for a provider that is many servers.

use std::sync::Arc;

/// A server by scheme (always https), host and port (RFC 6454): one server, as far as anybody outside can tell. It is all
/// of an endpoint's URL that may stand in a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Host name in lower case, or an address; an IPv6 address without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
}

/// As RFC 8292, section 2 wants it in `aud`: the port only if it is not 443, an IPv6 address in brackets.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "https://[{}]", self.host)?,
            false => write!(f, "https://{}", self.host)?,
        }
        match self.port {
            443 => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_named_only_if_it_is_not_443() {
        let shown = |host: &str, port| Origin { host: host.into(), port }.to_string();
        assert_eq!(shown("push.example", 443), "https://push.example");
        assert_eq!(shown("push.example", 8443), "https://push.example:8443");
        assert_eq!(shown("::1", 8443), "https://[::1]:8443");
    }
}
