//! Limits per address: how many clients may connect from one address, and how fast.

use core::net::IpAddr;
use core::num::NonZeroU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::collections::{HashMap, VecDeque, hash_map};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use heartwire_core::Instant;
use heartwire_core::internal::Gcra;

use crate::server::event::Refusal;
use crate::server::limits::Admission;

/// A rate with a burst: a token bucket that holds `burst` connections and is refilled with
/// `per_second` of them each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a rate is these two numbers")]
pub struct Rate {
    /// The sustained rate.
    pub per_second: NonZeroU32,
    /// The most at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// With zeros raised to one, for constants.
    pub(in crate::server) const fn of(per_second: u32, burst: u32) -> Self {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Self { per_second, burst },
            (_, _) => Self { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN },
        }
    }

    fn buckets(self) -> Gcra {
        Gcra::new(self.per_second, self.burst)
    }
}

/// Why a client is refused because of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressRefusal {
    /// Its address has reached its maximum number of sessions.
    Sessions,
    /// Too many clients have connected from its address lately. One can connect after
    /// `retry_after`.
    AcceptRatePerAddress { retry_after: Duration },
    /// Too many clients have connected lately, from all addresses together. One can connect after
    /// `retry_after`.
    AcceptRate { retry_after: Duration },
}

impl From<AddressRefusal> for Refusal {
    fn from(refusal: AddressRefusal) -> Self {
        match refusal {
            AddressRefusal::Sessions => Self::AddressSessions,
            AddressRefusal::AcceptRatePerAddress { .. } | AddressRefusal::AcceptRate { .. } => {
                Self::ArrivalRate
            }
        }
    }
}

/// A place among the clients of an address, to be returned with [`leave`](AddressCounts::leave)
/// when its client has gone.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Entered {
    /// False if its address was not counted. (It may be counted by now, because of other clients.)
    counted: bool,
}

/// An IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4(u32),
    V6(u64),
}

impl Prefix {
    fn of(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self::V4(addr.to_bits()),
            IpAddr::V6(addr) => {
                let [a, b, c, d, ..] = addr.segments();
                let words = [a, b, c, d].map(u64::from);
                Self::V6(words.into_iter().fold(0, |prefix, word| prefix << 16 | word))
            }
        }
    }
}

/// Counts the clients of each address; shared by all shards. Entering and leaving take constant
/// time.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct AddressCounts {
    limits: RwLock<Admission>,
    /// When the token bucket of all addresses is full.
    full_at: AtomicU64,
    addresses: Mutex<Addresses>,
}

#[derive(Debug, Default)]
struct Addresses {
    entries: HashMap<Prefix, Entry>,
    /// Addresses without sessions, and when their buckets are full at the latest. Each address is
    /// here at most once.
    left: VecDeque<(Instant, Prefix)>,
    /// Clients were admitted without being counted, and the log says so.
    is_full: bool,
}

/// An address that has sessions, or whose bucket is not full.
#[derive(Debug, Default)]
struct Entry {
    /// When its bucket is full.
    full_at: u64,
    sessions: u32,
    /// It is in `left`, though its clients may have come back.
    has_left: bool,
}

impl AddressCounts {
    /// Counts without any clients.
    pub(crate) fn new(limits: Admission) -> Self {
        let limits = RwLock::new(limits);
        Self { limits, full_at: AtomicU64::new(0), addresses: Mutex::default() }
    }

    /// From now on clients are subject to these limits; those that were admitted stay.
    pub(crate) fn set(&self, limits: Admission) {
        let mut current = self.limits.write().unwrap_or_else(PoisonError::into_inner);
        // A bucket that was emptied at a low rate would be full far too late at a higher one.
        if current.accept_rate != limits.accept_rate {
            self.full_at.store(0, Relaxed);
        }
        if current.accept_rate_per_address != limits.accept_rate_per_address {
            self.lock().entries.values_mut().for_each(|entry| entry.full_at = 0);
        }
        *current = limits;
    }

    fn limits(&self) -> Admission {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a client from `addr`. Pass the result to [`leave`](Self::leave).
    ///
    /// # Errors
    ///
    /// [`AddressRefusal`]; a refused client does not count, so that refused attempts keep no client
    /// out.
    pub(crate) fn enter(&self, addr: IpAddr, now: Instant) -> Result<Entered, AddressRefusal> {
        let limits = self.limits();
        self.enter_with(addr, &limits, now, || self.take_of_all(limits.accept_rate, now))
    }

    fn enter_with(
        &self,
        addr: IpAddr,
        limits: &Admission,
        now: Instant,
        take_of_all: impl FnOnce() -> Result<(), AddressRefusal>,
    ) -> Result<Entered, AddressRefusal> {
        let &Admission { max_per_address, accept_rate_per_address, max_addresses, .. } = limits;
        if max_per_address.is_none() && accept_rate_per_address.is_none() {
            take_of_all()?;
            return Ok(Entered { counted: false });
        }
        let mut addresses = self.lock();
        addresses.forget_idle(now);
        let has_room = addresses.has_room(max_addresses);
        match addresses.entries.entry(Prefix::of(addr)) {
            hash_map::Entry::Occupied(mut entry) => {
                let entry = entry.get_mut();
                if max_per_address.is_some_and(|most| entry.sessions >= most.get()) {
                    return Err(AddressRefusal::Sessions);
                }
                let full_at = take(accept_rate_per_address, entry.full_at, now)
                    .map_err(|retry_after| AddressRefusal::AcceptRatePerAddress { retry_after })?;
                take_of_all()?;
                entry.full_at = full_at;
                entry.sessions += 1;
            }
            // The first client of an address is within any limit.
            hash_map::Entry::Vacant(entry) => {
                take_of_all()?;
                if !has_room {
                    addresses.say_full(max_addresses);
                    return Ok(Entered { counted: false });
                }
                let full_at = take(accept_rate_per_address, 0, now).unwrap_or_default();
                entry.insert(Entry { full_at, sessions: 1, has_left: false });
            }
        }
        Ok(Entered { counted: true })
    }

    /// Counts a connection from a balancer in the rate for all addresses.
    ///
    /// # Errors
    ///
    /// [`AddressRefusal::AcceptRate`].
    pub(crate) fn enter_unknown(&self, now: Instant) -> Result<Entered, AddressRefusal> {
        self.take_of_all(self.limits().accept_rate, now)?;
        Ok(Entered { counted: false })
    }

    /// Counts the client of such a connection, whose address is known by now.
    ///
    /// # Errors
    ///
    /// As for [`enter`](Self::enter), and only for the limits of its address.
    pub(crate) fn enter_known(
        &self,
        addr: IpAddr,
        now: Instant,
    ) -> Result<Entered, AddressRefusal> {
        self.enter_with(addr, &self.limits(), now, || Ok(()))
    }

    /// Counts a client from `addr` as gone.
    pub(crate) fn leave(&self, addr: IpAddr, entered: Entered, now: Instant) {
        if !entered.counted {
            return;
        }
        let mut addresses = self.lock();
        addresses.forget_idle(now);
        let Addresses { entries, left, .. } = &mut *addresses;
        let prefix = Prefix::of(addr);
        let Some(entry) = entries.get_mut(&prefix) else { return };
        entry.sessions = entry.sessions.saturating_sub(1);
        if entry.sessions > 0 || entry.has_left {
            return;
        }
        if entry.full_at <= now.as_nanos() {
            entries.remove(&prefix);
            return;
        }
        entry.has_left = true;
        let rate = self.limits().accept_rate_per_address;
        let refill = rate.map_or(Duration::ZERO, |rate| rate.buckets().refill());
        left.push_back((now.saturating_add(refill), prefix));
    }

    /// Counts a connection in the rate for all addresses.
    fn take_of_all(&self, rate: Option<Rate>, now: Instant) -> Result<(), AddressRefusal> {
        if rate.is_none() {
            // Without a write, which would take the cache line from other shards.
            return Ok(());
        }
        let mut wait = Duration::ZERO;
        let take = |full_at| match take(rate, full_at, now) {
            Ok(full_at) => Some(full_at),
            Err(retry_after) => {
                wait = retry_after;
                None
            }
        };
        match self.full_at.fetch_update(Relaxed, Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(AddressRefusal::AcceptRate { retry_after: wait }),
        }
    }

    /// Ignores poisoning: nothing that runs under the lock panics.
    fn lock(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addresses {
    /// Checks two addresses of `left`. At most one is added per call, so the number of expired ones
    /// shrinks.
    fn forget_idle(&mut self, now: Instant) {
        for _ in 0..2 {
            let Some(&(_, prefix)) = self.left.front().filter(|&&(at, _)| at <= now) else {
                return;
            };
            self.left.pop_front();
            let hash_map::Entry::Occupied(mut entry) = self.entries.entry(prefix) else { continue };
            if entry.get().sessions > 0 {
                entry.get_mut().has_left = false;
            } else if entry.get().full_at <= now.as_nanos() {
                entry.remove();
            } else {
                let full_at = Instant::from_nanos(entry.get().full_at);
                self.left.push_back((full_at, prefix));
            }
        }
    }

    fn has_room(&mut self, most: usize) -> bool {
        // At half of the room, so that it is not logged again and again.
        self.is_full &= self.entries.len() > most / 2;
        self.entries.len() < most
    }

    fn say_full(&mut self, most: usize) {
        if !self.is_full {
            self.is_full = true;
            tracing::warn!(
                addresses = most,
                "clients connect from more addresses than are counted: further ones are only \
                 subject to the limits for all"
            );
        }
    }
}

/// Takes one connection from a bucket that will be full at `full_at`. Returns when it will be full
/// then, or how long the connection has to wait. Without a rate it changes nothing.
fn take(rate: Option<Rate>, full_at: u64, now: Instant) -> Result<u64, Duration> {
    let Some(rate) = rate else { return Ok(full_at) };
    rate.buckets().take(Instant::from_nanos(full_at), now).map(Instant::as_nanos)
}

#[cfg(test)]
mod tests;
