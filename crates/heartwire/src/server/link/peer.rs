//! A client's address, in less memory.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

/// An address in 24 bytes; a [`SocketAddr`] takes 32. It omits the IPv6 flow label, which is not
/// part of the address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    ip: IpAddr,
    port: u16,
    scope_id: u32,
    /// A balancer on another machine is in between, whatever this address is.
    is_relayed: bool,
}

impl Peer {
    /// A client behind a balancer, which told its address.
    pub(super) fn behind(balancer: SocketAddr, client: SocketAddr) -> Self {
        Self { is_relayed: !Self::from(balancer).is_local(), ..client.into() }
    }

    /// Whether it is on this machine, and nothing on the way to it is elsewhere.
    pub(super) fn is_local(self) -> bool {
        self.ip.to_canonical().is_loopback() && !self.is_relayed
    }
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Self {
        let scope_id = match addr {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(addr) => addr.scope_id(),
        };
        Self { ip: addr.ip(), port: addr.port(), scope_id, is_relayed: false }
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

    #[test]
    fn peer_behind_a_balancer_elsewhere_is_not_local() {
        let [here, there] = ["127.0.0.1:1", "192.0.2.7:1"].map(|addr| addr.parse().unwrap());
        assert!(Peer::from(here).is_local() && Peer::behind(here, here).is_local());
        for (balancer, client) in [(here, there), (there, here), (there, there)] {
            assert!(!Peer::behind(balancer, client).is_local());
        }
    }
}
