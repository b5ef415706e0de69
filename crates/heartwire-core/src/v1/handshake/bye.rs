//! BYE: the last frame of an end that closes a connection on purpose.

#[cfg(any(feature = "alloc", test))]
use alloc::vec::Vec;
use core::time::Duration;

use super::map::{Body, Map, cut, entries};
use super::resume::{position, put_position};
use crate::frame::Kind;
use crate::resume::Position;
use crate::time;
use crate::violation::Violation;

/// Longest body of a BYE.
pub const MAX_BYE_LEN: u32 = 512;
/// Longest explanation in a BYE, in bytes. Longer ones are cut when they are encoded.
pub const MAX_DETAIL_LEN: usize = 256;

/// BYE: the last frame of an end, before it closes a connection on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bye<'a> {
    /// Why.
    pub code: ByeCode,
    /// Whether and when the other end should connect again.
    pub retry: RetryHint,
    /// A human-readable explanation; empty if there is none.
    pub detail: &'a str,
    /// In a session that can be resumed: up to where the sender has taken over what came, which is
    /// final.
    pub taken: Option<Position>,
}

/// Why an end closes the connection. The numbers are those in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByeCode {
    /// 0: it has nothing more to send.
    Done,
    /// 1: it is being shut down.
    Draining,
    /// 2: the two ends cannot agree on a contract.
    Conflict,
    /// 3: the two ends have no protocol version in common.
    Version,
    /// 4: the token is missing, or not valid for this name.
    Unauthorized,
    /// 5: a newer session has this client's name.
    TakenOver,
    /// 6: another client has that name.
    NameInUse,
    /// 7: two clients take the same name, or the same session, from each other again and again.
    Fighting,
    /// 8: the other end sends beats far more often than agreed.
    TooFast,
    /// 9: the other end broke the protocol.
    Protocol,
    /// 10: there is no room.
    Full,
    /// 11: the other end does not read.
    SlowReader,
    /// 12: the application ended the session.
    Kicked,
    /// 13: the session that the client wants to go on with is gone, and it wants no other.
    NotResumable,
    /// Any other number: a later version's reason, or from 1,000 on a private one.
    Other(u32),
}

impl ByeCode {
    const ALL: [(Self, u32, &'static str); 14] = [
        (Self::Done, 0, "done"),
        (Self::Draining, 1, "draining"),
        (Self::Conflict, 2, "conflict"),
        (Self::Version, 3, "version"),
        (Self::Unauthorized, 4, "unauthorized"),
        (Self::TakenOver, 5, "taken_over"),
        (Self::NameInUse, 6, "name_in_use"),
        (Self::Fighting, 7, "fighting"),
        (Self::TooFast, 8, "too_fast"),
        (Self::Protocol, 9, "protocol"),
        (Self::Full, 10, "full"),
        (Self::SlowReader, 11, "slow_reader"),
        (Self::Kicked, 12, "kicked"),
        (Self::NotResumable, 13, "not_resumable"),
    ];

    /// A short name that does not change between versions, for logs and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(code, ..)| *code == self).map_or("other", |&(_, _, name)| name)
    }

    /// The number in the frame.
    #[must_use]
    pub fn number(self) -> u32 {
        if let Self::Other(number) = self {
            return number;
        }
        Self::ALL.iter().find(|(code, ..)| *code == self).map_or(0, |&(_, number, _)| number)
    }

    fn of_number(number: u32) -> Self {
        let known = Self::ALL.iter().find(|&&(_, of, _)| of == number);
        known.map_or(Self::Other(number), |&(code, ..)| code)
    }
}

/// Whether and when to connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a client must know what to do with each")]
pub enum RetryHint {
    /// Do not connect again: it would be rejected.
    Never,
    /// When the client's own backoff says so.
    AtWill,
    /// At a random time between these.
    Within {
        /// The shortest wait.
        earliest: Duration,
        /// The longest wait.
        latest: Duration,
    },
}

impl<'a> Bye<'a> {
    /// A BYE without an explanation.
    #[must_use]
    pub const fn new(code: ByeCode, retry: RetryHint) -> Self {
        Self { code, retry, detail: "", taken: None }
    }

    /// Adds an explanation, cut to [`MAX_DETAIL_LEN`] bytes.
    #[must_use]
    pub const fn detail(mut self, detail: &'a str) -> Self {
        self.detail = detail;
        self
    }

    /// Adds up to where the sender has taken over what came.
    #[must_use]
    pub const fn taken(mut self, taken: Option<Position>) -> Self {
        self.taken = taken;
        self
    }

    /// The whole frame.
    #[cfg(any(feature = "alloc", test))]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_vec(None)
    }

    /// Writes the whole frame to the start of `out`, and returns its length; `None` if it has no
    /// room there.
    #[must_use]
    pub fn encode_to(&self, out: &mut [u8]) -> Option<usize> {
        self.write_whole(None, out)
    }

    /// The whole frame, with [grease](super::Hello#grease) as `seed` says.
    #[cfg(any(feature = "alloc", test))]
    #[must_use]
    pub fn encode_greased(&self, seed: u64) -> Vec<u8> {
        self.to_vec(Some(seed))
    }

    /// As [`encode_to`](Self::encode_to), with [grease](super::Hello#grease) as `seed` says.
    #[must_use]
    pub fn encode_greased_to(&self, seed: u64, out: &mut [u8]) -> Option<usize> {
        self.write_whole(Some(seed), out)
    }

    /// Decodes the body of a frame. The caller has checked in its header that it is not longer than
    /// [`MAX_BYE_LEN`].
    ///
    /// # Errors
    ///
    /// [`Violation::BadBye`] if it is not as specified.
    #[doc(hidden)]
    // Once per connection: in line it would take stack at every frame.
    #[inline(never)]
    pub fn decode(body: &'a [u8]) -> Result<Self, Violation> {
        Self::read(body).ok_or(Violation::BadBye)
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let (mut numbers, mut detail, mut taken) = ([None; 4], "", None);
        entries(body, |key, d| {
            match key {
                0..=3 => *numbers.get_mut(usize::try_from(key).ok()?)? = Some(d.u32()?),
                4 => detail = d.text(MAX_DETAIL_LEN)?,
                5 => taken = Some(position(d)?),
                _ => d.skip()?,
            }
            Some(())
        })?;
        let [code, retry, earliest, latest] = numbers;
        let retry = match (u8::try_from(retry?).ok()?, earliest, latest) {
            (0, _, _) => RetryHint::Never,
            (2, Some(earliest), Some(latest)) if earliest <= latest => {
                let [earliest, latest] =
                    [earliest, latest].map(|millis| Duration::from_millis(millis.into()));
                RetryHint::Within { earliest, latest }
            }
            (2, _, _) => return None,
            _ => RetryHint::AtWill,
        };
        let code = ByeCode::of_number(code?);
        Some(Self { code, retry, detail, taken })
    }
}

impl Body for Bye<'_> {
    const KIND: Kind = Kind::Bye;

    fn fill(&self, map: &mut Map<'_>) {
        map.number(0, Some(self.code.number()));
        let (retry, window) = match self.retry {
            RetryHint::Never => (0_u8, None),
            RetryHint::AtWill => (1, None),
            RetryHint::Within { earliest, latest } => (2, Some((earliest, latest))),
        };
        map.number(1, Some(retry));
        if let Some((earliest, latest)) = window {
            map.number(2, Some(time::millis(earliest)));
            map.number(3, Some(time::millis(latest.max(earliest))));
        }
        let detail = cut(self.detail, MAX_DETAIL_LEN);
        map.text(4, Some(detail).filter(|detail| !detail.is_empty()));
        put_position(map, 5, self.taken);
    }
}

#[cfg(test)]
mod tests;
