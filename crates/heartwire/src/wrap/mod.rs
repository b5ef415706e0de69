//! Heartbeats and timeouts for your own protocol.
//!
//! [`Heartbeat`] wraps a stream of items: it sends heartbeats, hides the peer's, and ends with a
//! typed error when the peer is dead. [`Alive`] wraps a stream of bytes; it detects a dead peer and
//! sends nothing. Both use the rules of [`heartwire_core`], as the [`client`](crate::client) and
//! the [`server`](crate::server) do: anything from the peer is a sign of life, and own writes are
//! not; data replaces beats while the peer is heard; what has arrived is read before a verdict; and
//! a pause of this end never counts against the peer.
//!
//! # Quickstart
//!
//! A protocol of length-delimited frames, with empty frames as heartbeats:
//!
//! ```
//! use core::time::Duration;
//! use bytes::Bytes;
//! use futures_util::{SinkExt as _, StreamExt as _};
//! use heartwire::Policy;
//! use heartwire::wrap::{EmptyFrame, Error, Heartbeat};
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio_util::codec::{Framed, LengthDelimitedCodec};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! // The peer sends one frame and then hangs.
//! let mut peer = TcpStream::connect(listener.local_addr()?).await?;
//! tokio::io::AsyncWriteExt::write_all(&mut peer, b"\0\0\0\x05hello").await?;
//!
//! let (stream, _) = listener.accept().await?;
//! // Limit the frame length: by default a peer can make this end buffer 8 MiB.
//! let codec = LengthDelimitedCodec::builder().max_frame_length(64 * 1024).new_codec();
//! let framed = Framed::new(stream, codec);
//! let policy = Policy::builder()
//!     .interval(Duration::from_millis(50))
//!     .timeout(Duration::from_millis(200))
//!     .build()?;
//! let mut connection = Heartbeat::new(framed, EmptyFrame, policy);
//!
//! connection.send(Bytes::from_static(b"welcome")).await?;
//! while let Some(item) = connection.next().await {
//!     match item {
//!         Ok(frame) => assert_eq!(&frame[..], b"hello"),
//!         // dead: silent for 0.206 s (bound 0.2 to 0.3 s, 6 ms late)
//!         Err(Error::Dead(verdict)) => println!("dead: {verdict}"),
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! assert!(connection.verdict().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! The other end needs the same wrapper, with its own policy.
//!
//! # Which heartbeat
//!
//! | protocol | beat | feature |
//! |---|---|---|
//! | frames of bytes with a length | [`EmptyFrame`] | |
//! | lines | [`Lines`]: `PING` and `PONG`, or what you say | |
//! | WebSocket, through tokio-tungstenite | `websocket::Ping`; for browsers `websocket::Text` | `websocket` |
//! | yours | implement [`Beat`] | |
//!
//! `examples/` has one of most, against real servers.
//!
//! # TLS
//!
//! Both wrappers work over TLS: wrap the stream of tokio-rustls, or of another TLS library, like a
//! plain one. A peer that closes without `close_notify` is an error of the inner stream, not its
//! end. A TLS record counts as a sign of life when it is complete; to count its single bytes,
//! [`LastByte::watch`] the socket *below* TLS. An attacker on the path can then keep a dead peer
//! alive with bytes that never become a record.

mod alive;
mod beat;
mod error;
mod fanout;
mod frames;
mod heartbeat;
mod last_byte;
mod lines;
mod pulse;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use alive::Alive;
pub use beat::{Answer, Beat};
pub use error::{Error, verdict_in};
pub use frames::EmptyFrame;
pub use heartbeat::Heartbeat;
pub use last_byte::LastByte;
pub use lines::Lines;

#[cfg(test)]
mod tests;
