//! What sessions were admitted with, and how long that is valid: tokens and client certificates.

use core::num::NonZeroU32;
use core::time::Duration;

use heartwire_core::Instant;

/// How often a shard looks at credentials that end at some time, at the least: the wall clock can
/// be changed, and an end can come sooner then.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// When a credential ends, in whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Until(NonZeroU32);

impl Until {
    /// It does not end. So does none that is valid until the year 2106.
    pub(crate) const NEVER: Self = Self(NonZeroU32::MAX);

    pub(crate) fn at(secs: u64) -> Self {
        let secs = u32::try_from(secs).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(secs).unwrap_or(NonZeroU32::MIN))
    }

    /// Whether it has ended, at so many seconds since 1970.
    pub(crate) fn is_over(self, wall: u64) -> bool {
        self != Self::NEVER && u64::from(self.0.get()) <= wall
    }

    /// How long it is until then.
    fn left(self, wall: u64) -> Option<Duration> {
        let left = u64::from(self.0.get()).saturating_sub(wall);
        (self != Self::NEVER).then(|| Duration::from_secs(left))
    }
}

/// A line of a token file. Its number stays the same when the file is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenId(pub(crate) NonZeroU32);

/// What one client was admitted with: a token, a certificate, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Its token.
    pub(super) token: Option<TokenId>,
    /// When that ends.
    pub(super) until: Until,
    /// When its certificate expires, if it has one.
    pub(super) certificate: Option<Until>,
}

impl Grant {
    pub(super) const NONE: Self = Self { token: None, until: Until::NEVER, certificate: None };

    /// When the first of them ends.
    fn ends(&self) -> Until {
        self.certificate.map_or(self.until, |certificate| certificate.min(self.until))
    }
}

/// What a shard's sessions were admitted with, by slot. Empty on a server that asks for none.
///
/// They are looked through in portions, from time to time and when the tokens have changed: no turn
/// takes long, and a session costs nothing between two looks.
#[derive(Debug)]
pub(super) struct Grants {
    by_slot: Vec<Grant>,
    /// The slot that is looked at next, while they are looked through.
    next: Option<usize>,
    /// When they are to be looked through again.
    look_at: Option<Instant>,
    /// The earliest end that was found.
    soonest: Until,
    /// How many changes of the tokens, and of the settings of TLS, this shard has noticed.
    changes: [u64; 2],
    /// Whether certificates are verified again in this look.
    verifies: bool,
}

impl Grants {
    pub(super) const fn new(changes: [u64; 2]) -> Self {
        let (next, look_at, soonest) = (None, None, Until::NEVER);
        Self { by_slot: Vec::new(), next, look_at, soonest, changes, verifies: false }
    }

    /// What the session in this slot was admitted with.
    pub(super) fn get(&self, slot: u32) -> Grant {
        self.by_slot.get(index(slot)).copied().unwrap_or(Grant::NONE)
    }

    /// Keeps what the session in this slot was admitted with.
    pub(super) fn set(&mut self, slot: u32, grant: Grant, now: Instant, wall: u64) {
        let slot = index(slot);
        if self.by_slot.len() <= slot && grant != Grant::NONE {
            self.by_slot.resize(slot.saturating_add(1), Grant::NONE);
        }
        if let Some(kept) = self.by_slot.get_mut(slot) {
            *kept = grant;
        }
        self.look_again(grant.ends(), now, wall);
    }

    /// Forgets a session that is gone.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(kept) = self.by_slot.get_mut(index(slot)) {
            *kept = Grant::NONE;
        }
    }

    /// Begins to look through them if there were so many changes, and more than before.
    pub(super) fn notice_changes(&mut self, changes: [u64; 2]) {
        if self.changes != changes {
            let [_, before] = core::mem::replace(&mut self.changes, changes);
            let [_, tls] = changes;
            self.verifies |= before != tls;
            self.begin();
        }
    }

    /// Whether there is something to look at. Begins to look through them when it is time.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.next.is_none() && self.look_at.is_some_and(|at| at <= now) {
            self.begin();
        }
        self.is_looking()
    }

    fn begin(&mut self) {
        (self.next, self.look_at, self.soonest) = (Some(0), None, Until::NEVER);
    }

    /// Whether a look is going on.
    pub(super) const fn is_looking(&self) -> bool {
        self.next.is_some()
    }

    /// When the next look begins.
    pub(super) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Whether certificates are verified again in the look that is going on.
    pub(super) const fn verifies(&self) -> bool {
        self.verifies
    }

    /// The next session to look at, among the next `most` slots. `None` at the end of them.
    pub(super) fn next(&mut self, most: &mut usize, now: Instant, wall: u64) -> Option<u32> {
        while let (Some(at), Some(left)) = (self.next, most.checked_sub(1)) {
            *most = left;
            let Some(grant) = self.by_slot.get(at) else {
                (self.next, self.verifies) = (None, false);
                let soonest = self.soonest;
                self.look_again(soonest, now, wall);
                return None;
            };
            self.next = Some(at + 1);
            if *grant != Grant::NONE {
                return u32::try_from(at).ok();
            }
        }
        None
    }

    /// Notes until when the token of a session is valid, which was just looked at.
    pub(super) fn keep_until(&mut self, slot: u32, until: Until) {
        if let Some(kept) = self.by_slot.get_mut(index(slot)) {
            kept.until = until;
            self.soonest = self.soonest.min(kept.ends());
        }
    }

    /// Looks through them when one ends then.
    fn look_again(&mut self, until: Until, now: Instant, wall: u64) {
        let Some(left) = until.left(wall) else { return };
        let at = now.saturating_add(left.min(LOOK_EVERY));
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_takes_12_bytes_and_a_server_without_tokens_keeps_none() {
        assert_eq!(size_of::<Grant>(), 12);
        let mut grants = Grants::new([0; 2]);
        grants.set(1_000, Grant::NONE, Instant::from_nanos(0), 0);
        grants.forget(7);
        assert_eq!((grants.by_slot.capacity(), grants.look_at()), (0, None));
    }
}
