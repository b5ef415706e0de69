//! The client's side of the handshake.

use core::time::Duration;
use std::io;

use bytes::BytesMut;
use heartwire_core::frame::{self, HEAD_LEN};
use heartwire_core::v1::{Hello, Welcome};
use heartwire_core::{Event, Instant, Policy, Settings, Side, Violation, Wire};
use thiserror::Error as ThisError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::codec::{Encoder as _, Framed};

use super::{Beat as _, Codec, Farewell, Heart, farewell};
use crate::wrap::Heartbeat;

/// How long [`connect`] waits for the server's WELCOME: 5 s, as long as our
/// [client](crate::client::ClientConfig::handshake_timeout) does.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// A connection of wire v1 after the handshake.
pub type Connection<T> = Heartbeat<Framed<T, Codec>, Heart>;

/// Says HELLO, waits for the server's WELCOME, and wraps the connection by what was agreed.
///
/// `hello` is said as it is, except for the ceiling of its offer: that is the offer's own limit, so
/// that nothing the server does later stretches the agreed limit, which stays the same in a
/// [`Heartbeat`]. A server that cannot beat twice in that limit refuses. With the WELCOME comes the
/// [contract](Welcome::contract), which was held against the offer.
///
/// The first beat is written before this returns, as the wire wants it; from then on the connection is
/// to be polled as [`Heartbeat`] says. The codec takes bodies of up to 64 KiB, and pads what would not
/// wake the server; [`Heartbeat::get_mut`] and `Framed::codec_mut` lead to it.
///
/// It is not cancel-safe, since a part of the handshake may have happened: drop the stream with it.
///
/// # Errors
///
/// [`ConnectError`]. The stream is gone, and with it, as a rule, the connection.
///
/// # Panics
///
/// Without a tokio runtime with time enabled.
pub async fn connect<T>(
    mut stream: T,
    mut hello: Hello<'_>,
) -> Result<(Connection<T>, Welcome), ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(limit) = hello.offer.limit() {
        hello.offer = hello.offer.ceiling(limit);
    }
    let shaken = timeout(HANDSHAKE_WITHIN, shake(&mut stream, &hello)).await;
    let welcome = shaken.map_err(|_| ConnectError::TimedOut)??;

    let policy = welcome.contract.policy(Side::Client);
    let mut codec = Codec::new().wake_bytes(welcome.contract.wake_bytes);
    let mut heart = Heart::new(&policy);
    let mut beat = BytesMut::new();
    // A head and 32 bytes are not too long for a frame.
    let _ = codec.encode(heart.beat(0), &mut beat);
    stream.write_all(&beat).await?;
    stream.flush().await?;
    Ok((Heartbeat::new(Framed::new(stream, codec), heart, policy), welcome))
}

async fn shake<T>(stream: &mut T, hello: &Hello<'_>) -> Result<Welcome, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&hello.encode()).await?;
    stream.flush().await?;
    // The core knows what may come now, and holds a WELCOME against the offer. Time is ours to keep.
    let settings = Settings::new(Policy::default()).wire(Wire::V1).offer(hello.offer);
    let start = Instant::from_nanos(0);
    let mut connection = heartwire_core::Connection::new(settings, start);
    loop {
        // One frame and no byte more: what follows the WELCOME is for the codec.
        let mut head = [0; HEAD_LEN];
        read_exact(stream, &mut head).await?;
        // Refused here, if it may not come now or is too long. A frame of nothing but a head can only be
        // a beat of wire v0, from a server that has not read the HELLO yet.
        connection.handle_received(start, &mut head.as_slice())?;
        let body_len = usize::try_from(frame::read_head(head)?.body_len).unwrap_or(usize::MAX);
        if body_len == 0 {
            continue;
        }
        let mut frame = head.to_vec();
        frame.resize(HEAD_LEN + body_len, 0);
        read_exact(stream, frame.split_at_mut(HEAD_LEN).1).await?;
        match connection.handle_received(start, &mut frame.as_slice())? {
            Some(Event::Welcome(welcome)) => return Ok(welcome),
            Some(Event::Bye(bye)) => return Err(ConnectError::Bye(farewell(&bye))),
            Some(_) | None => {}
        }
    }
}

async fn read_exact<T: AsyncRead + Unpin>(
    stream: &mut T,
    to: &mut [u8],
) -> Result<(), ConnectError> {
    match stream.read_exact(to).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ConnectError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// Why there is no connection of wire v1.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection's own error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server answered with something that it may not say now, or agreed to something that was not
    /// offered. It does not speak wire v1 as we do.
    #[error("protocol error: {0}")]
    Violation(#[from] Violation),
    /// The server will not talk to this client, and says why and whether to come back.
    #[error("turned away: {}", .0.code.name())]
    Bye(Farewell),
    /// The server closed the connection before its WELCOME was whole. It may speak wire v0 only, or have
    /// no room.
    #[error("closed before a WELCOME: the server may speak wire v0 only, or have no room")]
    Closed,
    /// There was no WELCOME in [`HANDSHAKE_WITHIN`]. The server hangs, or does not speak wire v1.
    #[error("no WELCOME in 5 s: the server hangs, or does not speak wire v1")]
    TimedOut,
}
