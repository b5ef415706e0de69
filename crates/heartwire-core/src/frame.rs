//! Frames: an 8-byte header, two little-endian `i32` (type, length), then the body. A
//! [`Connection`](crate::Connection) reads and writes them.

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 8;

/// The longest body that a header can announce: its length is a signed 32-bit integer.
pub const MAX_FRAME: u32 = i32::MAX.unsigned_abs();

/// Length of the body of an ACK in bytes: a position.
pub const ACK_LEN: usize = 16;

/// A whole END.
pub const END: [u8; HEADER_LEN] = [7, 0, 0, 0, 0, 0, 0, 0];

/// A whole HEART of protocol v0.
pub const BEAT: [u8; HEADER_LEN] = [0; HEADER_LEN];

/// The types of frames, with their numbers on the wire. Protocol v0 has the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "another type would be another version of the protocol"
)]
pub enum Kind {
    /// 0, HEART: a beat. Without a body on v0, with one of 32 bytes on v1.
    Heart,
    /// 1, DATA (v0 calls it OTHER): a body for the application, possibly empty.
    Data,
    /// 2, HELLO: a client's name and the settings it wants.
    Hello,
    /// 3, WELCOME: the negotiated settings.
    Welcome,
    /// 4, BYE: the sender is about to close the connection.
    Bye,
    /// 5, PAD: padding, ignored.
    Pad,
    /// 6, ACK: what the sender has taken over of a [session that can be resumed](crate::resume).
    Ack,
    /// 7, END: the sender of a session that can be resumed sends no more DATA.
    End,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Heart,
        Self::Data,
        Self::Hello,
        Self::Welcome,
        Self::Bye,
        Self::Pad,
        Self::Ack,
        Self::End,
    ];

    /// Its name in `PROTOCOL.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heart => "HEART",
            Self::Data => "DATA",
            Self::Hello => "HELLO",
            Self::Welcome => "WELCOME",
            Self::Bye => "BYE",
            Self::Pad => "PAD",
            Self::Ack => "ACK",
            Self::End => "END",
        }
    }

    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Heart => 0,
            Self::Data => 1,
            Self::Hello => 2,
            Self::Welcome => 3,
            Self::Bye => 4,
            Self::Pad => 5,
            Self::Ack => 6,
            Self::End => 7,
        }
    }
}
