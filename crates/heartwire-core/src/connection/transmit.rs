//! Bytes that a connection has to write.

use crate::codec;
use crate::frame::{self, Kind};
use crate::resume::Position;
use crate::v1;

/// A few bytes to write, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
    is_news: bool,
}

impl Transmit {
    /// A header and the body of a beat in a session that can be resumed.
    const MAX_LEN: usize = frame::HEADER_LEN + v1::RESUMABLE_BEAT_LEN;
    pub(super) const NOTHING: Self = Self { bytes: [0; Self::MAX_LEN], len: 0, is_news: false };

    pub(super) fn header(header: [u8; frame::HEADER_LEN]) -> Self {
        Self::of([&header, &[], &[]])
    }

    /// A beat of v1; `taken` in a session that can be resumed.
    pub(super) fn beat(beat: &v1::Beat, taken: Option<Position>, is_news: bool) -> Self {
        let position = taken.map(Position::encode);
        let position = position.as_ref().map_or(&[][..], |position| position.as_slice());
        Self { is_news, ..Self::frame(Kind::Heart, [&beat.encode(), position]) }
    }

    /// An ACK for everything that came before a position.
    pub(super) fn ack(taken: Position) -> Self {
        Self::frame(Kind::Ack, [&taken.encode(), &[]])
    }

    fn frame(kind: Kind, [first, rest]: [&[u8]; 2]) -> Self {
        let body_len = first.len() + rest.len();
        let header = codec::header(kind, body_len).unwrap_or(frame::BEAT);
        Self::of([&header, first, rest])
    }

    /// These bytes, which have at most [`MAX_LEN`](Self::MAX_LEN).
    fn of(parts: [&[u8]; 3]) -> Self {
        let mut made = Self::NOTHING;
        let len = codec::join(&mut made.bytes, &parts);
        made.len = u8::try_from(len).unwrap_or(u8::MAX);
        made
    }

    /// A copy of these bytes of one, for a driver that keeps only its bytes.
    #[doc(hidden)]
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::of([bytes, &[], &[]])
    }

    /// The beat of v1 in these bytes.
    pub(super) fn as_beat(&self) -> Option<v1::Beat> {
        let body = self.as_ref().get(frame::HEADER_LEN..)?.first_chunk()?;
        Some(v1::Beat::decode(body))
    }

    /// Whether it is an ACK, and not a beat or an answer: a later beat makes it superfluous, and a
    /// later ACK too.
    #[must_use]
    pub fn is_ack(&self) -> bool {
        self.as_ref().first_chunk() == Some(&Kind::Ack.number().to_le_bytes())
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

/// A [PAD](Kind::Pad) to write: a header, and then zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pad {
    /// The first bytes.
    pub header: [u8; frame::HEADER_LEN],
    /// How many zeros follow.
    pub zeros: usize,
}

impl Pad {
    pub(super) fn new(zeros: usize) -> Option<Self> {
        Some(Self { header: codec::header(Kind::Pad, zeros)?, zeros })
    }

    /// All of its bytes.
    pub fn bytes(self) -> impl Iterator<Item = u8> + Clone {
        self.header.into_iter().chain(core::iter::repeat_n(0, self.zeros))
    }
}
