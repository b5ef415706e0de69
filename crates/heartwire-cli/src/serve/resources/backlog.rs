//! Clients that wait in the kernel to be accepted, as it tells of listening sockets in
//! `/proc/net/tcp`. Linux only.
//!
//! The shards own the sockets, and close them when the server drains; a second descriptor of one
//! would keep it open. So they are looked up by their addresses. The kernel lists listening sockets
//! first, and the rest is not read. The list of a family that no address has is not opened: behind
//! the listening sockets the kernel looks for the next one of that family, past all connections of
//! the other.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::fs::{self, File};
use std::io::Read;
use std::str;

/// Maximum number of clients that a listening socket of the library asks the kernel to hold.
const ASKED: usize = 4096;

/// The lists of the families, and how long an address is in them.
const IPV4: (&str, usize) = ("/proc/self/net/tcp", 8);
const IPV6: (&str, usize) = ("/proc/self/net/tcp6", 32);

/// As much as is read of a list: some four hundred sockets, those of other programs included.
const MAX_LEN: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Backlog {
    addresses: Vec<SocketAddr>,
    limit: usize,
    /// Connections that the kernel has dropped because a backlog was full, in this network
    /// namespace.
    overflows: Option<u64>,
}

impl Backlog {
    /// `None` if this system does not tell.
    pub(super) fn of(addresses: &[SocketAddr]) -> Option<Self> {
        let most = fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
        let limit = most.trim().parse().ok().map(|most: usize| most.min(ASKED))?;
        Some(Self { addresses: addresses.to_vec(), limit, overflows: overflows() })
    }

    /// How many clients wait at the fullest socket, how many may, and how full that is.
    pub(super) fn look(&mut self) -> Option<(usize, usize, u16)> {
        let before = self.overflows;
        self.overflows = overflows();
        let waiting = self.lists().filter_map(|(list, len)| self.waiting(list, len)).max()?;
        let mut fullest = waiting.saturating_mul(1000).checked_div(self.limit).unwrap_or(1000);
        if self.overflows > before && fullest >= 500 {
            // Between the looks it was full. (The kernel counts the overflows of all programs
            // together, so those alone say nothing.)
            fullest = fullest.max(1000);
        }
        Some((waiting, self.limit, u16::try_from(fullest).unwrap_or(u16::MAX)))
    }

    /// The lists that have the sockets.
    fn lists(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let has_ipv4 = self.addresses.iter().any(SocketAddr::is_ipv4);
        let has_ipv6 = self.addresses.iter().any(SocketAddr::is_ipv6);
        [(has_ipv4, IPV4), (has_ipv6, IPV6)]
            .into_iter()
            .filter_map(|(has, list)| has.then_some(list))
    }

    /// The most clients that wait at one of the sockets in this list. `None` if it has none.
    fn waiting(&self, list: &str, address_len: usize) -> Option<usize> {
        let mut file = File::open(list).ok()?;
        let mut text = vec![0; MAX_LEN];
        let mut len = 0;
        // A read returns whole lines, a page of them at most.
        while let Ok(more @ 1..) = file.read(text.get_mut(len..)?) {
            let page = str::from_utf8(text.get(len..len + more)?).ok()?;
            len += more;
            if page.lines().any(|line| socket(line, address_len).is_some_and(|of| of.is_none())) {
                break;
            }
        }
        let text = str::from_utf8(text.get(..len)?).ok()?;
        let listening = text.lines().filter_map(|line| socket(line, address_len)?);
        let own = listening.filter(|(address, _)| {
            self.addresses
                .iter()
                .any(|own| (own.ip(), own.port()) == (address.ip(), address.port()))
        });
        own.map(|(_, waiting)| waiting).max()
    }
}

/// A line about a socket: its address and how many clients wait, if it listens.
#[expect(clippy::option_option, reason = "the first line of the list is about no socket")]
fn socket(line: &str, address_len: usize) -> Option<Option<(SocketAddr, usize)>> {
    /// The state of a listening socket.
    const LISTENS: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let [_, local, _, state, queues] = [(); 5].map(|()| fields.next());
    let (address, port) = local?.split_once(':')?;
    if address.len() != address_len {
        return None;
    }
    if state? != LISTENS {
        return Some(None);
    }
    let (_, waiting) = queues?.split_once(':')?;
    let address = SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?);
    Some(Some((address, usize::from_str_radix(waiting, 16).ok()?)))
}

/// An address in hexadecimal, in words of the machine's byte order.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    if text.len() == 8 {
        return word(0).map(IpAddr::from);
    }
    let mut octets = [0; 16];
    for (chunk, at) in octets.chunks_exact_mut(4).zip((0..32).step_by(8)) {
        chunk.copy_from_slice(&word(at)?);
    }
    Some(IpAddr::V6(Ipv6Addr::from(octets)))
}

/// `ListenOverflows` of this network namespace.
fn overflows() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut all = names.split(' ').zip(values.split(' '));
    all.find(|&(name, _)| name == "ListenOverflows")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn listening_sockets_are_told_from_others() {
        let listening = "   1: 0100007F:1E79 00000000:0000 0A 00000000:00000011 00:00000000 0 0 9";
        let address = SocketAddr::from(([127, 0, 0, 1], 0x1e79));
        #[cfg(target_endian = "little")]
        assert_eq!(socket(listening, 8), Some(Some((address, 17))));
        assert_eq!(socket(&listening.replace(" 0A ", " 01 "), 8), Some(None));
        assert_eq!(socket("  sl  local_address rem_address   st tx_queue rx_queue tr", 8), None);
        assert_eq!(socket("", 8), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn clients_that_wait_are_counted_at_the_fullest_socket() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let address = listener.local_addr().unwrap();
            let other = TcpListener::bind(host).unwrap().local_addr().unwrap();
            let mut backlog = Backlog::of(&[other, address]).unwrap();
            backlog.limit = 4;
            assert_eq!(backlog.look(), Some((0, 4, 0)), "{host}");
            let _waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
            assert_eq!(backlog.look(), Some((3, 4, 750)), "{host}");
        }
    }

    #[test]
    fn only_the_lists_of_the_families_of_the_addresses_are_read() {
        let lists = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|at| at.parse().unwrap()).collect();
            Backlog { addresses, limit: 1, overflows: None }.lists().collect::<Vec<_>>()
        };
        assert_eq!(lists(&["127.0.0.1:1", "0.0.0.0:2"]), [IPV4]);
        assert_eq!(lists(&["[::]:1"]), [IPV6]);
        assert_eq!(lists(&["127.0.0.1:1", "[::1]:1"]), [IPV4, IPV6]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn address_without_a_listening_socket_has_no_backlog() {
        let none = Backlog::of(&["127.0.0.1:1".parse().unwrap()]).unwrap().look();
        assert_eq!(none, None, "no socket listens there");
    }
}
