//! Protocol violations by the peer.

use core::fmt;
use core::time::Duration;

use crate::frame::Kind;
use crate::resume::Position;
use crate::time::Typed;

/// A protocol violation by the peer. It ends this connection and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A header announced a body of negative length.
    NegativeLength {
        /// The length in the header, in bytes.
        length: i32,
    },
    /// A header announced a body longer than
    /// [`FrameLimits::max_frame`](crate::FrameLimits::max_frame). Found from the header alone:
    /// nothing was allocated for the body.
    TooLong {
        /// The length in the header, in bytes.
        length: u32,
        /// The longest body allowed, in bytes.
        max: u32,
    },
    /// A header carried a type that this version of the protocol does not have.
    UnknownType {
        /// The 8 bytes of the header as they came.
        header: [u8; 8],
    },
    /// A HEART announced a body, which it never has.
    BeatWithBody {
        /// The length in the header, in bytes.
        length: u32,
    },
    /// No whole header came within
    /// [`FrameLimits::handshake_timeout`](crate::FrameLimits::handshake_timeout) of the start.
    NoFirstFrame {
        /// How long the connection waited for it.
        waited: Duration,
    },
    /// A frame was not complete within the time that [`FrameLimits`](crate::FrameLimits) allows.
    SlowFrame {
        /// How long the connection waited, from the first of the frame's bytes that it saw.
        waited: Duration,
    },
    /// A frame of a type that the peer must not send, or not now.
    Unexpected {
        /// Its type.
        kind: Kind,
    },
    /// A beat of protocol v1 announced a body that is shorter than
    /// [`BEAT_LEN`](crate::v1::BEAT_LEN) or longer than [`MAX_BEAT_LEN`](crate::v1::MAX_BEAT_LEN).
    BeatLength {
        /// The length in the header, in bytes.
        length: u32,
    },
    /// A HELLO that is not as specified.
    BadHello,
    /// A HELLO without a protocol version that this end speaks.
    NoCommonVersion {
        /// The lowest version of the client.
        lowest: u8,
        /// The highest version of the client.
        highest: u8,
    },
    /// A WELCOME that is not as specified, or with a contract that the client did not offer.
    BadWelcome,
    /// A BYE that is not as specified.
    BadBye,
    /// A beat echoed a nonce that was never sent.
    UnknownNonce,
    /// A beat promised the next one later than the contract allows.
    PromiseTooLong {
        /// What was promised.
        promise: Duration,
        /// The longest promise that is accepted.
        max: Duration,
    },
    /// The peer sends beats far more often than agreed.
    TooFast,
    /// The peer claims a position in a [session](crate::resume) that it cannot have.
    BadPosition {
        /// The position.
        position: Position,
    },
    /// More of a [session](crate::resume) came than may be unacknowledged.
    Window {
        /// The window, in bytes.
        window: u32,
    },
    /// An ACK that is not as specified.
    BadAck,
}

impl Violation {
    /// A short name that does not change between versions, for logs, counters and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NegativeLength { .. } => "negative_length",
            Self::TooLong { .. } => "too_long",
            Self::UnknownType { .. } => "unknown_type",
            Self::BeatWithBody { .. } => "beat_with_body",
            Self::NoFirstFrame { .. } => "no_first_frame",
            Self::SlowFrame { .. } => "slow_frame",
            Self::Unexpected { .. } => "unexpected",
            Self::BeatLength { .. } => "beat_length",
            Self::BadHello => "bad_hello",
            Self::NoCommonVersion { .. } => "no_common_version",
            Self::BadWelcome => "bad_welcome",
            Self::BadBye => "bad_bye",
            Self::UnknownNonce => "unknown_nonce",
            Self::PromiseTooLong { .. } => "promise_too_long",
            Self::TooFast => "too_fast",
            Self::BadPosition { .. } => "bad_position",
            Self::Window { .. } => "window",
            Self::BadAck => "bad_ack",
        }
    }
}

/// Guesses the protocol of a rejected header, to help a user who connected the wrong program.
fn guess(header: [u8; 8]) -> Option<&'static str> {
    match header {
        [0x16, 0x03, ..] => Some("a TLS handshake"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        [b'P', b'R', b'O', b'X', b'Y', b' ', ..]
        | [b'\r', b'\n', b'\r', b'\n', 0, b'\r', b'\n', b'Q'] => Some("a PROXY protocol header"),
        [b'H', b'T', b'T', b'P', ..]
        | [b'G', b'E', b'T', b' ', ..]
        | [b'P', b'O', b'S', b'T', b' ', ..]
        | [b'H', b'E', b'A', b'D', b' ', ..]
        | [b'P', b'U', b'T', b' ', ..]
        | [b'P', b'R', b'I', b' ', ..]
        | [b'O', b'P', b'T', b'I', b'O', b'N', b'S', b' '] => Some("HTTP"),
        [0, 0, 0, 1, ..] => Some("a frame with big-endian integers"),
        _ => None,
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NegativeLength { length } => write!(f, "a frame announced {length} bytes"),
            Self::TooLong { length, max } => {
                write!(f, "a frame announced {length} bytes, more than the {max} allowed")
            }
            Self::UnknownType { header } => {
                let [a, b, c, d, ..] = header;
                write!(f, "unknown frame type {}", i32::from_le_bytes([a, b, c, d]))?;
                match guess(header) {
                    Some(kind) => write!(f, " (this looks like {kind})"),
                    None => Ok(()),
                }
            }
            Self::BeatWithBody { length } => {
                write!(f, "a beat announced a body of {length} bytes, but beats have none")
            }
            Self::NoFirstFrame { waited } => write!(f, "no whole header in the first {waited:.1?}"),
            Self::SlowFrame { waited } => write!(f, "a frame was not whole after {waited:.1?}"),
            Self::Unexpected { kind } => {
                let an = matches!(kind, Kind::Ack | Kind::End);
                write!(f, "{} {} at the wrong time", if an { "an" } else { "a" }, kind.name())
            }
            Self::BeatLength { length } => {
                write!(f, "a beat announced a body of {length} bytes instead of 32 to 128")
            }
            Self::BadHello => f.write_str("a HELLO that is not as specified"),
            Self::NoCommonVersion { lowest, highest } => write!(
                f,
                "the client speaks protocol versions {lowest} to {highest}, and this end 0 and 1"
            ),
            Self::BadWelcome => {
                f.write_str("a WELCOME that is not as specified, or not what was offered")
            }
            Self::BadBye => f.write_str("a BYE that is not as specified"),
            Self::UnknownNonce => f.write_str("a beat echoed a nonce that was never sent"),
            Self::PromiseTooLong { promise, max } => {
                let (promise, max) = (Typed(promise), Typed(max));
                write!(f, "a beat promised the next one in {promise}; at most {max} is allowed")
            }
            Self::TooFast => f.write_str("beats came far more often than agreed"),
            Self::BadPosition { position: Position { frames, bytes } } => write!(
                f,
                "the position of {frames} frames and {bytes} bytes is not one that this end sent"
            ),
            Self::Window { window } => {
                write!(f, "more than {window} bytes came that were not acknowledged")
            }
            Self::BadAck => f.write_str("an ACK that is not as specified"),
        }
    }
}

impl core::error::Error for Violation {}
