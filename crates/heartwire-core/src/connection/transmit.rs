//! Bytes that a connection has to write.

use crate::codec;
use crate::frame::{self, Kind};
use crate::v1;

/// A few bytes to write, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
    is_news: bool,
}

impl Transmit {
    /// A header and the body of a v1 beat.
    const MAX_LEN: usize = frame::HEADER_LEN + v1::BEAT_LEN;
    pub(super) const NOTHING: Self = Self { bytes: [0; Self::MAX_LEN], len: 0, is_news: false };

    pub(super) fn header(header: [u8; frame::HEADER_LEN]) -> Self {
        Self::of([&header, &[]], 8)
    }

    pub(super) fn beat(beat: &v1::Beat, is_news: bool) -> Self {
        let body = beat.encode();
        let header = codec::header(Kind::Heart, body.len()).unwrap_or(frame::BEAT);
        Self { is_news, ..Self::of([&header, &body], 40) }
    }

    fn of(parts: [&[u8]; 2], len: u8) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        Self { bytes, len, is_news: false }
    }

    /// The beat of v1 in these bytes.
    pub(super) fn as_beat(&self) -> Option<v1::Beat> {
        let body = self.as_ref().get(frame::HEADER_LEN..)?.first_chunk()?;
        Some(v1::Beat::decode(body))
    }

    /// Whether it reports a change, such as another promise, that the peer should read at once: see
    /// [`Connection::pad`](crate::Connection::pad).
    #[must_use]
    pub const fn is_news(&self) -> bool {
        self.is_news
    }
}

/// Nothing to write.
impl Default for Transmit {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl AsRef<[u8]> for Transmit {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
