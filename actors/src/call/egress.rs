//! Where tasks may call. An address is judged after its name was resolved and right before the connection is made, so that
//! a name can't change its meaning in between (DNS rebinding; OWASP API7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Which addresses may be called.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Refuse private, link-local, metadata and other special addresses.
    pub deny_private: bool,
    /// Allow loopback addresses.
    pub allow_loopback: bool,
    /// Hosts that may be called whatever their address.
    pub allow: Arc<[String]>,
}

impl Egress {
    /// What a node on loopback, or `trinity run`, may call: everything public, and this machine.
    #[must_use]
    pub fn local() -> Egress {
        Egress { deny_private: true, allow_loopback: true, allow: Arc::new([]) }
    }

    /// Whether `host`, resolved to `address`, may be called.
    #[must_use]
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        if !self.deny_private || self.allow.iter().any(|allowed| allowed == host) {
            return true;
        }
        let address = unmapped(address);
        if address.is_loopback() {
            return self.allow_loopback;
        }
        match address {
            IpAddr::V4(v4) => !is_special_v4(v4),
            IpAddr::V6(v6) => !is_special_v6(v6),
        }
    }
}

/// An IPv4 address that hides in an IPv6 one.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Private, shared, link-local (cloud metadata lies there), documentation, multicast and reserved addresses (RFC 6890).
fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && address.octets()[2] == 0)
        || (a == 198 && (b == 18 || b == 19))
}

/// Unique local, link-local, multicast, NAT64 and other special addresses.
fn is_special_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    address.is_unspecified()
        || address.is_multicast()
        || first & 0xFE00 == 0xFC00
        || first & 0xFFC0 == 0xFE80
        || address.segments()[..2] == [0x64, 0xFF9B]
        || address.segments()[..2] == [0x2001, 0xDB8]
        || address.segments()[..6] == [0; 6]
}

/// Resolves names and drops what may not be called.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver(pub Egress);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let permitted: Vec<SocketAddr> = found.into_iter().filter(|a| egress.permits(&host, a.ip())).collect();
            if permitted.is_empty() {
                return Err(format!("{host} has no address that may be called: allow it with egress.allow").into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused_in_every_spelling() {
        let egress = Egress { allow_loopback: false, ..Egress::local() };
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00::8",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "::10.0.0.1",
        ] {
            assert!(!egress.permits("a.test", address.parse().expect("an address")), "{address}");
        }
        for address in ["1.1.1.1", "2606:4700::1111"] {
            assert!(egress.permits("a.test", address.parse().expect("an address")), "{address}");
        }
        assert!(Egress::local().permits("localhost", "127.0.0.1".parse().expect("an address")));
        let listed = Egress { allow: Arc::new(["db.internal".to_owned()]), ..egress };
        assert!(listed.permits("db.internal", "10.0.0.1".parse().expect("an address")));
    }
}
