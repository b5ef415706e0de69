//! A client's address, in less memory.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

/// An address in 24 bytes; a [`SocketAddr`] takes 32. It omits the IPv6 flow label, which is not
/// part of the address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    ip: IpAddr,
    port: u16,
    scope_id: u32,
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Self {
        let scope_id = match addr {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(addr) => addr.scope_id(),
        };
        Self { ip: addr.ip(), port: addr.port(), scope_id }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> Self {
        match peer.ip {
            IpAddr::V4(ip) => (ip, peer.port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, peer.port, 0, peer.scope_id).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_out_as_it_went_in() {
        for addr in ["192.0.2.7:80", "[2001:db8::7]:443", "[fe80::1%3]:9"] {
            let addr: SocketAddr = addr.parse().unwrap();
            assert_eq!(SocketAddr::from(Peer::from(addr)), addr);
        }
    }
}
