//! Our own wire v1 as a codec of tokio-util, its beat, and the client's side of its handshake.
//!
//! For a program that has an event loop of its own; [`client`](crate::client) and
//! [`server`](crate::server) speak the same wire and need none of this.
//!
//! ```no_run
//! use bytes::Bytes;
//! use futures_util::{SinkExt as _, StreamExt as _};
//! use heartwire::Policy;
//! use heartwire::v1::{Hello, Offer};
//! use heartwire::wrap::v1::{Frame, connect};
//! use tokio::net::TcpStream;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = TcpStream::connect("127.0.0.1:29002").await?;
//! let mut hello = Hello::new(Offer::new(&Policy::default()));
//! hello.name = Some("hall/door-3");
//! let (mut server, welcome) = connect(stream, hello).await?;
//! println!("{}", welcome.contract);
//!
//! server.send(Bytes::from_static(b"hello")).await?;
//! while let Some(frame) = server.next().await {
//!     // The verdict is an error here, as any other end is that nobody announced.
//!     match frame? {
//!         Frame::Data(body) => println!("{} bytes; round trip {:?}", body.len(), server.rtt()),
//!         Frame::Bye(farewell) => println!("the server leaves: {}", farewell.code.name()),
//!         Frame::Beat(_) | Frame::Pad => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it leaves out
//!
//! Silence is judged, as everywhere here. What our own client does besides is not done:
//!
//! - no verdict comes of beats that say that the server does not hear this end. The server's own
//!   verdict finds that;
//! - this end promises what was agreed, and nothing else. The server cannot promise to beat less
//!   often either: [`connect`] offers a ceiling that leaves no room for that;
//! - it says that it is well ([`Health::Ok`]), whatever the application does, and hides what the
//!   server says of itself, the warning that this end is too fast included;
//! - a server that beats far too often, or gives back a nonce that was never sent, is not sent away;
//! - nothing connects again.

use core::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use heartwire_core::frame::{self, HEAD_LEN, Head, Kind};
use heartwire_core::v1::{BEAT_LEN, BYE_LEN_MAX, Beat as BeatBody, Bye, ByeCode, Health, Retry};
use heartwire_core::{Caps, Policy, Violation};
use tokio::time::Instant;
use tokio_util::codec::{Decoder, Encoder};

pub use self::connect::{ConnectError, Connection, HANDSHAKE_WITHIN, connect};
use super::beat::{Answer, Beat};
pub use super::v0::Error;
pub use crate::client::Farewell;

mod connect;

/// Longest body of a PAD that is taken, in bytes, and the most that a server can ask to be woken with.
const PAD_LEN_MAX: u32 = 64 * 1024;

/// A frame of wire v1, after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another frame would be another version of the wire")]
pub enum Frame {
    /// HEART: a beat. [`Heartbeat`](super::Heartbeat) sends and hides them.
    Beat(BeatBody),
    /// DATA: a body for the application, possibly empty.
    Data(Bytes),
    /// PAD: nothing. [`Heartbeat`](super::Heartbeat) hides it.
    Pad,
    /// BYE: the sender is about to close the connection. Whoever gets one closes; nothing does so by
    /// itself here, nor waits before it comes back.
    Bye(Farewell),
}

impl Frame {
    /// A BYE with this reason, to be sent before closing. The other end may come back at will.
    #[must_use]
    pub const fn bye(code: ByeCode) -> Self {
        Self::Bye(Farewell { code, retry: Retry::AtWill, detail: String::new() })
    }
}

/// Reads and writes frames of wire v1, after the handshake.
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
    wake_len: usize,
}

impl Codec {
    /// Takes bodies of up to [`Caps::BODY_LEN_MAX`] bytes, 64 KiB, and pads nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { body_len_max: Caps::BODY_LEN_MAX, wake_len: 0 }
    }

    /// The longest body that the peer may send, in bytes; capped at 2 GiB - 1.
    #[must_use]
    pub fn body_len_max(mut self, bytes: u32) -> Self {
        self.body_len_max = bytes.min(frame::BODY_LEN_MAX);
        self
    }

    /// How many bytes it takes to wake the peer
    /// ([`Contract::wake_bytes`](crate::v1::Contract::wake_bytes)); 64 KiB at most. A shorter DATA
    /// frame is followed by a PAD, so that it is read at once.
    #[must_use]
    pub fn wake_bytes(mut self, bytes: u32) -> Self {
        self.wake_len = usize::try_from(bytes.min(PAD_LEN_MAX)).unwrap_or(usize::MAX);
        self
    }

    /// Reads a head, and says whether such a frame may come.
    fn admit(&self, head: [u8; HEAD_LEN]) -> Result<Head, Violation> {
        let head = frame::read_head(head)?;
        let Head { kind, body_len: length } = head;
        let max = match kind {
            Kind::Heart if usize::try_from(length) == Ok(BEAT_LEN) => length,
            Kind::Heart => return Err(Violation::BeatLength { length }),
            Kind::Data => self.body_len_max,
            Kind::Pad => PAD_LEN_MAX,
            Kind::Bye => BYE_LEN_MAX,
            Kind::Hello | Kind::Welcome => return Err(Violation::Unexpected { kind }),
        };
        if length > max { Err(Violation::TooLong { length, max }) } else { Ok(head) }
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Error> {
        let Some(head) = bytes.first_chunk() else { return Ok(None) };
        let Head { kind, body_len } = self.admit(*head)?;
        let len = HEAD_LEN.saturating_add(usize::try_from(body_len).unwrap_or(usize::MAX));
        if bytes.len() < len {
            return Ok(None);
        }
        let mut body = bytes.split_to(len).freeze();
        body.advance(HEAD_LEN);
        Ok(Some(match kind {
            Kind::Heart => Frame::Beat(decode_beat(&body)?),
            Kind::Data => Frame::Data(body),
            Kind::Pad => Frame::Pad,
            Kind::Bye => Frame::Bye(farewell(&Bye::decode(&body)?)),
            Kind::Hello | Kind::Welcome => return Err(Violation::Unexpected { kind }.into()),
        }))
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Error> {
        match self.decode(bytes)? {
            None if !bytes.is_empty() => Err(Error::Truncated { len: bytes.len() }),
            frame => Ok(frame),
        }
    }
}

fn decode_beat(body: &[u8]) -> Result<BeatBody, Violation> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let body = body.try_into().map_err(|_| Violation::BeatLength { length })?;
    Ok(BeatBody::decode(body))
}

fn farewell(bye: &Bye<'_>) -> Farewell {
    Farewell { code: bye.code, retry: bye.retry, detail: bye.detail.to_owned() }
}

impl Encoder<Frame> for Codec {
    type Error = Error;

    fn encode(&mut self, frame: Frame, bytes: &mut BytesMut) -> Result<(), Error> {
        match frame {
            Frame::Beat(beat) => put(bytes, Kind::Heart, &beat.encode())?,
            Frame::Data(body) => self.encode(body, bytes)?,
            Frame::Pad => put(bytes, Kind::Pad, &[])?,
            Frame::Bye(Farewell { code, retry, detail }) => {
                bytes.put_slice(&Bye::new(code, retry).detail(&detail).encode());
            }
        }
        Ok(())
    }
}

impl Encoder<Bytes> for Codec {
    type Error = Error;

    fn encode(&mut self, body: Bytes, bytes: &mut BytesMut) -> Result<(), Error> {
        put(bytes, Kind::Data, &body)?;
        let missing = self.wake_len.saturating_sub(HEAD_LEN + body.len());
        if missing > 0 {
            let len = missing.saturating_sub(HEAD_LEN);
            bytes.put_slice(&frame::head(Kind::Pad, len).ok_or(Error::BodyTooLong { len })?);
            bytes.put_bytes(0, len);
        }
        Ok(())
    }
}

fn put(bytes: &mut BytesMut, kind: Kind, body: &[u8]) -> Result<(), Error> {
    let len = body.len();
    let head = frame::head(kind, len).ok_or(Error::BodyTooLong { len })?;
    bytes.reserve(HEAD_LEN + len);
    bytes.put_slice(&head);
    bytes.put_slice(body);
    Ok(())
}

/// The beat of wire v1, for either end. It carries a nonce, gives back the peer's last one and says
/// how long that was held, so that both ends know the round trip without an answer to each beat.
///
/// Data does not stand in for it, and nothing is answered. The times that it tells are from when items
/// are read: while nobody polls the wrapper, a beat that waits in the socket counts as on its way, and
/// lengthens the round trip.
#[derive(Clone, Copy, Debug)]
pub struct Heart {
    /// What is promised.
    interval: Option<Duration>,
    sent_at: Option<Instant>,
    /// Of the peer's last beat; 0 before the first.
    heard_nonce: u64,
    heard_at: Option<Instant>,
}

impl Heart {
    /// For an end that goes by `policy`, which should be that of a
    /// [contract](crate::v1::Contract::policy): beats promise the next one in its beat.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self { interval: policy.beat(), sent_at: None, heard_nonce: 0, heard_at: None }
    }

    fn since(at: Option<Instant>, now: Instant) -> Duration {
        at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

/// 0 stands for no nonce, so ours lie one above those of the wrapper.
fn to_wire(nonce: u64) -> u64 {
    nonce.saturating_add(1)
}

impl Beat<Frame> for Heart {
    type Out = Frame;

    fn is_beat(&mut self, item: &Frame) -> bool {
        match item {
            Frame::Beat(beat) => {
                self.heard_nonce = beat.nonce;
                self.heard_at = Some(Instant::now());
                true
            }
            Frame::Pad => true,
            Frame::Data(_) | Frame::Bye(_) => false,
        }
    }

    fn beat(&mut self, nonce: u64) -> Frame {
        self.beat_after(nonce, Duration::ZERO)
    }

    fn beat_after(&mut self, nonce: u64, silence: Duration) -> Frame {
        let now = Instant::now();
        let interval = self.interval.unwrap_or_default();
        let late = Self::since(self.sent_at.replace(now), now).saturating_sub(interval);
        let held = Self::since(self.heard_at, now);
        Frame::Beat(BeatBody {
            nonce: to_wire(nonce),
            echo: self.heard_nonce,
            held_us: u32::try_from(held.as_micros()).unwrap_or(u32::MAX),
            silence_ms: millis(silence),
            promise_ms: millis(interval),
            late_ms: u16::try_from(late.as_millis()).unwrap_or(u16::MAX),
            health: Health::Ok,
            too_fast: false,
        })
    }

    fn suppressed_by_items(&self) -> bool {
        false
    }

    fn answer(&mut self, _beat: &Frame) -> Answer<Frame> {
        Answer::Never
    }

    fn nonce(&self, beat: &Frame) -> Option<u64> {
        match beat {
            // The longest that can be said stands for anything longer.
            Frame::Beat(beat) if beat.held_us < u32::MAX => beat.echo.checked_sub(1),
            Frame::Beat(_) | Frame::Data(_) | Frame::Pad | Frame::Bye(_) => None,
        }
    }

    fn held(&self, beat: &Frame) -> Duration {
        match beat {
            Frame::Beat(beat) => beat.held(),
            Frame::Data(_) | Frame::Pad | Frame::Bye(_) => Duration::ZERO,
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
