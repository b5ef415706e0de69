//! Liveness for protocols that are not ours.
//!
//! [`Heartbeat`] wraps a stream of items: it sends beats, hides the peer's, and ends with a typed
//! error when the peer is dead. [`Alive`] wraps a stream of bytes, and only judges. Both leave the
//! decision to [`heartwire_core`], as the [`client`](crate::client) and the
//! [`server`](crate::server) do: any sign from the peer is life, one's own writes are not, data
//! suppresses beats while the peer is heard, what has arrived is read before anything is judged, and
//! the time in which this end itself was paused is not held against the peer.
//!
//! # Quickstart
//!
//! A protocol of length-delimited frames, in which an empty frame becomes the beat:
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
//! // The peer says one thing, and then nothing more: it hangs.
//! let mut peer = TcpStream::connect(listener.local_addr()?).await?;
//! tokio::io::AsyncWriteExt::write_all(&mut peer, b"\0\0\0\x05hello").await?;
//!
//! let (stream, _) = listener.accept().await?;
//! // No frame is longer than this: by default a peer can have 8 MiB of one kept for it.
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
//!         // "the peer is dead: silent for 0.206 s (bound 0.2 to 0.3 s, 6 ms late)"
//!         Err(Error::Dead(dead)) => println!("{dead}"),
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! assert!(connection.verdict().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! The other end needs the same, with a policy of its own.
//!
//! # Which beat
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
//! Both wrappers go over the stream of tokio-rustls, or whatever else encrypts, as over a bare one: wrap what
//! comes out of it. A peer that leaves without saying so in TLS is an error of the inner stream, not its end.
//! A record is heard when it is whole; to hear its single bytes, [`LastByte::watch`] the socket *below* TLS.
//! Somebody on the path can then keep a dead peer alive by bytes that never become a record.

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
pub use error::{Dead, Error};
pub use frames::EmptyFrame;
pub use heartbeat::Heartbeat;
pub use last_byte::{LastByte, WatchBytes};
pub use lines::Lines;

#[cfg(test)]
mod tests;
