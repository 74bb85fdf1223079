//! Which addresses are dialled: those that anybody on the Internet can reach, and no others.
//!
//! A name that is allowed may still have an address that is not: whoever owns it lets it point where he likes, and at
//! another place the next moment (DNS rebinding). So the look-up and the connect are one step: what was looked up is
//! vetted, and what was vetted is dialled; nobody looks the name up again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::provider::http2::{NoAddressAllowed, Resolver};

/// A block of addresses, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(network).checked_shr(shift).unwrap_or(0) == u32::from(address).checked_shr(shift).unwrap_or(0)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(network).checked_shr(shift).unwrap_or(0)
                    == u128::from(address).checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or(())?;
        Ok(Self { address, prefix })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether anybody on the Internet can reach `address` (IANA's special-purpose registries, RFC 6890 and its heirs).
#[must_use]
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)            // this network, private, loopback
            | (100, 64..=127, _)      // shared by carriers
            | (169, 254, _)           // link-local; clouds keep their metadata there
            | (172, 16..=31, _)       // private
            | (192, 0, 0 | 2)         // protocol assignments, documentation
            | (192, 88, 99)           // 6to4 relays
            | (192, 168, _)           // private
            | (198, 18 | 19, _)       // benchmarks
            | (198, 51, 100)          // documentation
            | (203, 0, 113)           // documentation
            | (224.., ..) // multicast, reserved, broadcast
    )
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // The well-known prefix for NAT64 (RFC 6052): as good as the IPv4 address within.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_global_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Only 2000::/3 was ever given out; that leaves out loopback, mapped, local and multicast addresses.
    segments[0] & 0xe000 == 0x2000
        && !(segments[0] == 0x2001 && segments[1] < 0x0200) // protocol assignments: Teredo, benchmarks, ORCHID
        && !(segments[0] == 0x2001 && segments[1] == 0x0db8) // documentation
        && segments[0] != 0x2002 // 6to4: an IPv4 address within
        && !(segments[0] == 0x3fff && segments[1] < 0x1000) // documentation
}

/// A look-up that gives only addresses that may be dialled: global ones, and those of `private`.
pub(super) fn guarded(inner: Resolver, private: Arc<[Network]>) -> Resolver {
    Arc::new(move |host, port| {
        let (looked_up, private) = (inner(host, port), Arc::clone(&private));
        Box::pin(async move {
            let found: Vec<SocketAddr> = looked_up.await?;
            let may = |address: &SocketAddr| {
                let ip = address.ip();
                // A mapped address would be dialled as the IPv4 address within.
                let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
                !mapped && (is_global(ip) || private.iter().any(|network| network.contains(ip)))
            };
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(may).collect();
            match allowed.is_empty() && !found.is_empty() {
                true => Err(io::Error::other(NoAddressAllowed)),
                false => Ok(allowed),
            }
        })
    })
}

#[cfg(test)]
mod tests;
