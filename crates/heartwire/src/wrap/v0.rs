//! Our own wire v0 as a codec of tokio-util, and its beat.
//!
//! For a program that has an event loop of its own; [`client`](crate::client) and
//! [`server`](crate::server) speak the same wire and need none of this.
//!
//! ```
//! use bytes::Bytes;
//! use futures_util::{SinkExt as _, StreamExt as _};
//! use heartwire::Preset;
//! use heartwire::Side::{Client, Server};
//! use heartwire::wrap::Heartbeat;
//! use heartwire::wrap::v0::{Codec, Frame, Heart};
//! use tokio_util::codec::Framed;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (near, far) = tokio::io::duplex(1024);
//! let mut near =
//!     Heartbeat::new(Framed::new(near, Codec::new()), Heart, Preset::Usual.policy(Client));
//! let mut far =
//!     Heartbeat::new(Framed::new(far, Codec::new()), Heart, Preset::Usual.policy(Server));
//!
//! near.send(Bytes::from_static(b"hello")).await?;
//! let frame = far.next().await.transpose()?;
//! assert_eq!(frame, Some(Frame::Data(Bytes::from_static(b"hello"))));
//! # Ok(())
//! # }
//! ```

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use heartwire_core::frame::{self, BEAT, Decoded, HEAD_LEN};
use heartwire_core::{Caps, Violation};
use tokio_util::codec::{Decoder, Encoder};

use super::beat::Beat;

/// A frame of wire v0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "wire v0 has these two frames and gets no others")]
pub enum Frame {
    /// HEART: a beat. [`Heartbeat`](super::Heartbeat) sends and hides them.
    Beat,
    /// OTHER: a body for the application, possibly empty.
    Data(Bytes),
}

/// Reads and writes frames of wire v0.
///
/// It takes [`Frame`]s, and `Bytes` as a shorter way to say [`Frame::Data`]. A frame that breaks the
/// protocol is an [`Error::Violation`]: found from the head, before anything is allocated for its
/// body. The codec then has lost its place; drop the connection.
///
/// There is no time within which a frame has to be whole, as there is in
/// [`Caps`]: an item has to be, within the limit of a
/// [`Heartbeat`](super::Heartbeat) that does not listen for single bytes.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    body_len_max: u32,
}

impl Codec {
    /// Takes bodies of up to [`Caps::BODY_LEN_MAX`] bytes, 64 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Self { body_len_max: Caps::BODY_LEN_MAX }
    }

    /// The longest body that the peer may send, in bytes; capped at 2 GiB - 1.
    #[must_use]
    pub fn body_len_max(mut self, bytes: u32) -> Self {
        self.body_len_max = bytes.min(frame::BODY_LEN_MAX);
        self
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

/// Why frames cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection's own error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Violation(#[from] Violation),
    /// The peer closed the connection in the middle of a frame.
    #[error("closed by the peer in the middle of a frame, after {len} of its bytes")]
    Truncated {
        /// Bytes of the frame that had come, head included.
        len: usize,
    },
    /// A body to be sent is longer than a head can say. Nothing of it was sent; split it.
    #[error("a body of {len} bytes is too long for a frame: 2147483647 at most")]
    BodyTooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Error> {
        let (is_data, len) = match frame::decode(bytes, self.body_len_max)? {
            Decoded::Partial { .. } => return Ok(None),
            Decoded::Whole { frame, len } => (matches!(frame, frame::Frame::Data(_)), len),
        };
        let mut whole = bytes.split_to(len).freeze();
        whole.advance(HEAD_LEN);
        Ok(Some(if is_data { Frame::Data(whole) } else { Frame::Beat }))
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Error> {
        match self.decode(bytes)? {
            None if !bytes.is_empty() => Err(Error::Truncated { len: bytes.len() }),
            frame => Ok(frame),
        }
    }
}

impl Encoder<Frame> for Codec {
    type Error = Error;

    fn encode(&mut self, frame: Frame, bytes: &mut BytesMut) -> Result<(), Error> {
        match frame {
            Frame::Beat => bytes.put_slice(&BEAT),
            Frame::Data(body) => self.encode(body, bytes)?,
        }
        Ok(())
    }
}

impl Encoder<Bytes> for Codec {
    type Error = Error;

    fn encode(&mut self, body: Bytes, bytes: &mut BytesMut) -> Result<(), Error> {
        let len = body.len();
        let head = frame::data_head(len).ok_or(Error::BodyTooLong { len })?;
        bytes.reserve(HEAD_LEN + len);
        bytes.put_slice(&head);
        bytes.put_slice(&body);
        Ok(())
    }
}

/// The beat of wire v0: HEART. With [`Policy::echo`](crate::Policy::echo) each one is answered with
/// the same packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to say about a HEART")]
pub struct Heart;

impl Beat<Frame> for Heart {
    type Out = Frame;

    fn is_beat(&mut self, item: &Frame) -> bool {
        *item == Frame::Beat
    }

    fn beat(&mut self, _nonce: u64) -> Frame {
        Frame::Beat
    }
}

#[cfg(test)]
mod tests;
