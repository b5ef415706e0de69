//! A range of IP addresses.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// A range of addresses that begin with the same bits, such as `10.0.0.0/8`; without bits it is one
/// address. An IPv4-mapped IPv6 address counts as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// A text is no [`Network`], or it has more bits than its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkError;

impl Network {
    /// The addresses whose first `bits` are those of `addr`. `None` if an address of its family has
    /// fewer bits.
    #[must_use]
    pub fn new(addr: IpAddr, bits: u8) -> Option<Self> {
        /// The prefix of IPv4-mapped addresses.
        const MAPPED: u8 = 96;
        if bits > if addr.is_ipv4() { 32 } else { 128 } {
            return None;
        }
        let (addr, bits) = match addr.to_canonical() {
            canonical if canonical.is_ipv4() == addr.is_ipv4() => (addr, bits),
            canonical if bits >= MAPPED => (canonical, bits - MAPPED),
            _ => (addr, bits),
        };
        Some(Self { first: masked(addr, bits), bits })
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        addr.is_ipv4() == self.first.is_ipv4() && masked(addr, self.bits) == self.first
    }
}

/// An address with all bits but the first `bits` at zero.
fn masked(addr: IpAddr, bits: u8) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => {
            let mask = u32::MAX.checked_shl(u32::from(32_u8.saturating_sub(bits)));
            IpAddr::V4((addr.to_bits() & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(u32::from(128_u8.saturating_sub(bits)));
            IpAddr::V6((addr.to_bits() & mask.unwrap_or(0)).into())
        }
    }
}

impl From<IpAddr> for Network {
    fn from(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        Self { first: addr, bits: if addr.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| NetworkError)?;
        let Some(bits) = bits else { return Ok(addr.into()) };
        // `parse` takes a sign too.
        let bits = bits.bytes().all(|byte| byte.is_ascii_digit()).then(|| bits.parse());
        bits.and_then(Result::ok).and_then(|bits| Self::new(addr, bits)).ok_or(NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, bits } = self;
        if *self == Self::from(*first) { first.fmt(f) } else { write!(f, "{first}/{bits}") }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address or ADDRESS/BITS, such as 192.0.2.7 or 10.0.0.0/8")
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn network_has_the_addresses_that_begin_like_it() {
        for (of, has, has_not) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.1", "9.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::c000:207"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "::ffff:11.0.0.0"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
        ] {
            let addr = |text: &str| text.parse().unwrap();
            assert!(network(of).contains(addr(has)), "{of} {has}");
            assert!(!network(of).contains(addr(has_not)), "{of} {has_not}");
        }
    }

    #[test]
    fn network_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "::1", "2001:db8::/32", "0.0.0.0/0"] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("10.1.2.3/8").to_string(), "10.0.0.0/8");
        for text in ["", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "host", "1/8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
