//! The addresses that clients connect from: ports of 127/8 that are chosen here, because the kernel
//! looks for a free one the longer the fewer there are.

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;

/// Ports of an address. Those below are left to other programs.
const PORTS: Range<u16> = 10_000..60_000;

/// Addresses of a server's clients.
const PER_PAIR: u32 = 256;

/// The first one; lower ones are left to other programs.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// How many servers have clients of their own addresses.
pub(super) const PAIRS_MAX: u32 = (1 << 24) / PER_PAIR - (1 << 16) / PER_PAIR;

/// The addresses of one server's clients, one after the other; no two servers have the same.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    first: u32,
    next: u32,
}

impl Sources {
    pub(super) fn new(pair: u32) -> Self {
        Self { first: u32::from(FIRST) + pair % PAIRS_MAX * PER_PAIR, next: 0 }
    }
}

impl Iterator for Sources {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        let ports = u32::from(PORTS.end - PORTS.start);
        let (address, port) = (self.next / ports, self.next % ports);
        // The last one is 127.255.255.255, which is no address of a client.
        if address >= PER_PAIR - 1 {
            return None;
        }
        self.next += 1;
        let port = PORTS.start + u16::try_from(port).ok()?;
        Some((Ipv4Addr::from(self.first + address), port).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_two_servers_are_different() {
        let at = |pair, number| Sources::new(pair).nth(number).unwrap().to_string();
        assert_eq!(at(0, 0), "127.1.0.1:10000");
        assert_eq!(at(0, 49_999), "127.1.0.1:59999");
        assert_eq!(at(0, 50_000), "127.1.0.2:10000");
        assert_eq!(at(1, 0), "127.1.1.1:10000");
        assert_eq!(at(PAIRS_MAX - 1, 0), "127.255.255.1:10000");
    }

    #[test]
    fn addresses_end_before_those_of_the_next_server() {
        let last = Sources::new(0).last().unwrap().to_string();
        assert_eq!(last, "127.1.0.255:59999");
    }
}
