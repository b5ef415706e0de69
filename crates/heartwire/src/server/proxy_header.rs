//! The header of the PROXY protocol, with which a balancer tells a client's address: version 1, a
//! line of text, or version 2, which is binary.
//!
//! It is parsed as it comes, and not one byte behind it is taken: what follows, TLS or a frame, is
//! read from the socket as without a header.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::reason::ProxyFault;

/// The longest header of version 1, as specified.
const MAX_V1_LEN: usize = 107;

/// What a header of version 1 begins with.
const V1: &[u8] = b"PROXY ";

/// What a header of version 2 begins with.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of what every header of version 2 has.
const V2_LEN: usize = 16;

/// The longest addresses that are kept, those of IPv6. Those of Unix sockets are skipped.
const MAX_ADDRESSES_LEN: u16 = 36;

/// Maximum bytes of addresses and extensions in a header of version 2. A client's name and its
/// certificate's subject take a few hundred; chains of certificates are not sent.
const MAX_REST_LEN: u16 = 4096;

/// What the log says of a header that came from an unlisted address.
pub(super) const PROXY_HINT: &str =
    "; if this is a balancer of yours, list its address with --proxy-from (`proxy_from`)";

/// The bytes of a header that have come.
#[derive(Debug)]
pub(super) struct ProxyHeader {
    kept: [u8; MAX_V1_LEN],
    len: usize,
    /// Bytes of extensions that were skipped.
    skipped: usize,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// That of a client at this address.
    Client(SocketAddr),
    /// The balancer's own, such as a health check; or it does not tell.
    Balancer,
}

/// Whether the first bytes of a client, at least 8, are the beginning of a header.
pub(super) fn looks_like_proxy(first: &[u8]) -> bool {
    first.starts_with(V1) || V2.get(..8).is_some_and(|start| first.starts_with(start))
}

impl ProxyHeader {
    pub(super) const fn new() -> Self {
        Self { kept: [0; MAX_V1_LEN], len: 0, skipped: 0 }
    }

    /// Whether nothing has come.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes the header still has at least: so many can be read without taking one behind
    /// it.
    pub(super) fn at_least(&self) -> usize {
        let kept = self.kept();
        match kept.first() {
            // A header of version 1 has 15 bytes and more.
            None => V2.len(),
            Some(b'P') => match V1.len().checked_sub(kept.len()) {
                Some(left @ 1..) => left,
                _ => v1_at_least(kept),
            },
            Some(_) => match V2_LEN.checked_sub(kept.len()) {
                Some(left @ 1..) => left,
                _ => {
                    let rest = usize::from(rest_len(kept));
                    let kept_len = V2_LEN + rest.min(MAX_ADDRESSES_LEN.into());
                    match kept_len.checked_sub(kept.len()) {
                        Some(left @ 1..) => left,
                        _ => (V2_LEN + rest).saturating_sub(kept.len() + self.skipped),
                    }
                }
            },
        }
    }

    /// Takes the next bytes, at most [`at_least`](Self::at_least) of them. Returns the source when
    /// the header is complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Source>, ProxyFault> {
        let end = self.len + bytes.len();
        let keeps = self.keeps();
        match self.kept.get_mut(self.len..end).filter(|_| keeps) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.skipped += bytes.len(),
        }
        let kept = self.kept();
        let begins = |with: &[u8]| {
            let len = kept.len().min(with.len());
            kept.get(..len) == with.get(..len)
        };
        if begins(V1) {
            if kept.contains(&b'\n') {
                return v1(kept).map(Some).ok_or(ProxyFault::Malformed);
            }
            // What is missing of the shortest is known, so the longest is found before it is full.
            let is_too_long = kept.len() + self.at_least() > MAX_V1_LEN;
            return if is_too_long { Err(ProxyFault::TooLong) } else { Ok(None) };
        }
        if !begins(V2) {
            return Err(ProxyFault::Missing);
        }
        if kept.len() < V2_LEN {
            return Ok(None);
        }
        if rest_len(kept) > MAX_REST_LEN {
            return Err(ProxyFault::TooLong);
        }
        if self.at_least() > 0 {
            return Ok(None);
        }
        v2(kept).map(Some).ok_or(ProxyFault::Malformed)
    }

    /// Whether the next bytes are kept.
    fn keeps(&self) -> bool {
        let kept = self.kept();
        let is_whole = kept.len() >= V2_LEN
            && kept.starts_with(V2)
            && kept.len() - V2_LEN >= rest_len(kept).min(MAX_ADDRESSES_LEN).into();
        !is_whole
    }

    fn kept(&self) -> &[u8] {
        self.kept.get(..self.len).unwrap_or_default()
    }
}

/// How many bytes a line of version 1 still has at least: a space and a character for each missing
/// field, and the end of the line. (That of an unknown source may lack its other fields.)
fn v1_at_least(kept: &[u8]) -> usize {
    let has = |fields: &[u8]| kept.starts_with(fields);
    let end = if kept.ends_with(b"\r") { 1 } else { 2 };
    if has(b"PROXY TCP4 ") || has(b"PROXY TCP6 ") {
        let spaces = kept.iter().filter(|&&byte| byte == b' ').count();
        return 2 * 5_usize.saturating_sub(spaces) + end;
    }
    end
}

/// The length of addresses and extensions in a header of version 2.
fn rest_len(kept: &[u8]) -> u16 {
    match kept.get(14..V2_LEN) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

fn v1(line: &[u8]) -> Option<Source> {
    let line = core::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut fields = line.split(' ').skip(1);
    let family = fields.next()?;
    if family == "UNKNOWN" {
        return Some(Source::Balancer);
    }
    let [from, to, from_port, to_port] = [(); 4].map(|()| fields.next());
    let from: IpAddr = match family {
        "TCP4" => {
            let _: Ipv4Addr = to?.parse().ok()?;
            from?.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            let _: Ipv6Addr = to?.parse().ok()?;
            from?.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    let _ = port(to_port?)?;
    let from_port = port(from_port?)?;
    fields.next().is_none().then(|| Source::client(from, from_port))
}

/// `parse` alone takes a sign too, and leading zeros, which the specification does not allow.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port: &u16| port.to_string() == text)
}

fn v2(kept: &[u8]) -> Option<Source> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    let (&command, &family) = (kept.get(V2.len())?, kept.get(V2.len() + 1)?);
    let addresses = kept.get(V2_LEN..)?;
    match (command, family) {
        (LOCAL, _) => Some(Source::Balancer),
        // Unspecified, and streams of Unix sockets.
        (PROXY, 0x00 | 0x31) => Some(Source::Balancer),
        (PROXY, 0x11) => {
            let &[a, b, c, d, _, _, _, _, high, low, _, _] = addresses.first_chunk()?;
            let from = Ipv4Addr::new(a, b, c, d);
            Some(Source::client(from.into(), u16::from_be_bytes([high, low])))
        }
        (PROXY, 0x21) => {
            let all: &[u8; 36] = addresses.first_chunk()?;
            let (from, [high, low, ..]) = (all.first_chunk::<16>()?, all.last_chunk::<4>()?);
            Some(Source::client((*from).into(), u16::from_be_bytes([*high, *low])))
        }
        (_, _) => None,
    }
}

impl Source {
    fn client(addr: IpAddr, port: u16) -> Self {
        Self::Client((addr.to_canonical(), port).into())
    }
}

#[cfg(test)]
mod tests;
