//! The order in which addresses are tried.

use core::net::SocketAddr;
use core::time::Duration;

use heartwire_core::Instant;

/// Maximum number of addresses tried in one attempt: enough for a few hosts of both families; the
/// last one starts 1.75 s after the first.
pub(super) const MAX_ADDRESSES: usize = 8;

/// Maximum number of remembered failures: enough for several attempts.
const MAX_FAILURES: usize = 64;

/// How long a failure counts: longer than trying all the others takes, and short enough for the
/// resolver's first address to be the first again after an outage.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Addresses that failed, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct Failures {
    failed: Vec<(SocketAddr, Instant)>,
}

impl Failures {
    pub(super) fn insert(&mut self, address: SocketAddr, now: Instant) {
        self.remove(address);
        if self.failed.len() >= MAX_FAILURES {
            self.failed.remove(0);
        }
        self.failed.push((address, now));
    }

    pub(super) fn remove(&mut self, address: SocketAddr) {
        self.failed.retain(|&(failed, _)| failed != address);
    }

    /// Sorts addresses into the order in which to try them, at most [`MAX_ADDRESSES`]: first those
    /// that have not failed lately, in [`alternating`] order, then the others, the oldest failure
    /// first.
    pub(super) fn in_order(
        &mut self,
        found: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
    ) -> Vec<SocketAddr> {
        self.failed.retain(|&(_, at)| now.saturating_since(at) < REMEMBERED_FOR);
        let mut addresses = alternating(found);
        // 0 for addresses that have not failed. The sort is stable.
        addresses.sort_by_key(|address| {
            self.failed.iter().position(|(failed, _)| failed == address).map_or(0, |at| at + 1)
        });
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }
}

/// Removes duplicates and alternates IPv6 and IPv4 in the resolver's order, which reflects the
/// system's preference: its first address stays first (RFC 8305, section 4). So a family without a
/// route costs one attempt and not all.
fn alternating(found: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut unique = Vec::new();
    for address in found {
        // Resolvers repeat an address for each kind of socket that could use it.
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let begins_v6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == begins_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    while one.len() + other.len() > 0 {
        ordered.extend(one.next());
        ordered.extend(other.next());
    }
    ordered
}

#[cfg(test)]
mod tests;
