//! Session ids, which are never reused.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// Maximum number of shards of one server.
pub(super) const MAX_SHARDS: usize = 1 << 8;
/// Maximum number of sessions of one shard.
pub(super) const MAX_SLOTS: u32 = 1 << 24;

/// The id of a session, unique in its server. It is never reused, so a late command to a session
/// that has ended cannot reach another one.
///
/// It consists of a shard, a slot in that shard, and a generation that counts the uses of the slot.
/// A slot whose generations are used up is retired.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    pub(super) fn new(shard: u8, slot: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(shard) << 24 | u64::from(slot % MAX_SLOTS))
    }

    /// The id that [`as_u64`](Self::as_u64) would give as this number.
    pub(super) const fn of(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn shard(self) -> usize {
        usize::try_from(self.0 >> 24 & 0xff).unwrap_or(usize::MAX)
    }

    pub(super) fn slot(self) -> u32 {
        u32::try_from(self.0 & u64::from(MAX_SLOTS - 1)).unwrap_or(u32::MAX)
    }

    /// Its shard and slot as one number: each session is at its place for all its life.
    pub(super) fn place(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }

    pub(super) fn generation(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    /// A part of a time, from none to nearly all: evenly spread, and always the same for this id.
    pub(super) fn share_of(self, time: Duration) -> Duration {
        // The last steps of SplitMix64, after which ids that follow each other are far apart.
        let mut mixed = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = u128::from((mixed ^ mixed >> 31) >> 32);
        let nanos = time.as_nanos().saturating_mul(share) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The id as one number, different for each session of a server.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// `shard-slot-generation`, such as `0-17-3`.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.shard(), self.slot(), self.generation())
    }
}

/// An id as [`Display`](fmt::Display) writes it.
impl FromStr for SessionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut parts = text.split('-').map(str::parse::<u32>);
        let (Some(Ok(shard)), Some(Ok(slot)), Some(Ok(generation)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAnId);
        };
        let shard = u8::try_from(shard).map_err(|_| NotAnId)?;
        let id = Self::new(shard, slot, generation);
        // Neither a slot that is too high, nor another way of writing it.
        if slot < MAX_SLOTS && id.to_string() == text { Ok(id) } else { Err(NotAnId) }
    }
}

/// A text that is no [`SessionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session's id is three numbers with hyphens, such as 0-17-3")
    }
}

impl core::error::Error for NotAnId {}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

#[cfg(test)]
mod tests;
