//! Keeps long-lived TCP connections alive and says, within a stated bound, when one is dead.
//!
//! A peer that is gone and a peer that has nothing to say look alike: nothing comes. So each end says
//! something at least every *beat*, and calls the other one dead when nothing has come for the *timeout*. That
//! decision, the *verdict*, comes from timeout to timeout + [`TICK`] after the last byte that has arrived, and never
//! earlier: bytes in the socket outrank a deadline, and the time in which this process itself stood still
//! is not held against anybody.
//!
//! | you have | use |
//! |---|---|
//! | many clients | [`server`]: sessions on a few threads, without a task, timer or lock for each |
//! | one server | [`client`]: a tokio task that beats, judges, and connects again; [`blocking`]: the same without async |
//! | several servers | [`supervisor`]: a client for each name, one queue of events |
//! | a protocol of your own | [`wrap`]: liveness for any `Stream + Sink`, or any `AsyncRead + AsyncWrite` |
//! | sockets whose kernel should help | [`kernel`]: keepalive and user timeout, checked as one set |
//! | settings, and doubts | [`plan`]: when each end finds each kind of fault |
//! | a driver of your own | [`heartwire_core`]: the decisions alone, without clock or I/O |
//!
//! The book in `docs/book` teaches how to choose numbers, and what each of these can and cannot see.
//!
//! # A server
//!
//! Clients that beat every 50 ms are dead after 200 ms of silence. This one beats once, and hangs: its
//! connection stays open, and its kernel goes on answering.
//!
//! ```
//! use core::time::Duration;
//! use std::io::Write as _;
//! use std::net::TcpStream;
//!
//! use heartwire::Policy;
//! use heartwire::server::{Event, Server, ServerConfig};
//!
//! let timeout = Duration::from_millis(200);
//! let policy = Policy::builder().interval(Duration::from_millis(50)).timeout(timeout).build()?;
//! let config = ServerConfig::new("127.0.0.1:0".parse()?).policy(policy);
//! let (server, mut events) = Server::start_with_events(config)?;
//!
//! // Protocol v0: an empty frame of type 0 is a beat.
//! let mut client = TcpStream::connect(server.local_addrs()[0])?;
//! client.write_all(&[0; 8])?;
//!
//! while let Some(event) = events.blocking_recv() {
//!     match event {
//!         Event::Online { id, peer, .. } => println!("{id} {peer} is here"),
//!         Event::Data { id, data } => server.handle().send(id, &data)?,
//!         Event::Verdict { verdict, .. } => {
//!             println!("{verdict}"); // silent for 0.206 s (bound 0.2 to 0.3 s, 6 ms late)
//!             assert!(verdict.silence >= timeout);
//!         }
//!         Event::Offline { id, reason, .. } => {
//!             println!("{id} is gone: {reason}");
//!             assert_eq!(reason.name(), "dead");
//!             server.handle().shutdown();
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A client
//!
//! It connects, beats whatever the application does, and connects again when it has to. Both ends
//! speak protocol v1 here, on which they agree on beats and timeouts.
//!
//! ```
//! use heartwire::client::{Client, ClientConfig, Event};
//! use heartwire::server::{self, Control, Server, ServerConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Something to talk to: a server that sends back what comes in.
//! let config = ServerConfig::new("127.0.0.1:0".parse()?).threads(1);
//! let server = Server::start(config, |_shard| {
//!     |event: server::Event<&[u8]>, control: &mut Control<'_>| {
//!         if let server::Event::Data { id, data } = event {
//!             let _ = control.send(id, data);
//!         }
//!     }
//! })?;
//!
//! let target = server.local_addrs()[0].to_string();
//! let (client, mut events) = Client::start(ClientConfig::new(target).name("hall/door-3"));
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Online { peer, welcome: Some(welcome), .. } => {
//!             println!("online with {peer}: {}", welcome.contract);
//!             client.send(b"hello".to_vec()).await?;
//!         }
//!         Event::Data(data) => {
//!             assert_eq!(data, b"hello");
//!             client.close();
//!         }
//!         Event::Offline { reason, .. } => println!("offline: {reason}"),
//!         Event::Failed { error } => println!("{error}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Your own protocol
//!
//! Lines of text, in which `PING` and `PONG` become the beats. The peer says one line, answers nothing, and
//! ends the stream with a verdict.
//!
//! ```
//! use core::time::Duration;
//!
//! use futures_util::{SinkExt as _, StreamExt as _};
//! use heartwire::Policy;
//! use heartwire::wrap::{Error, Heartbeat, Lines};
//! use tokio::io::AsyncWriteExt as _;
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio_util::codec::{Framed, LinesCodec};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let stream = TcpStream::connect(listener.local_addr()?).await?;
//! let (mut peer, _) = listener.accept().await?;
//! peer.write_all(b"hello\n").await?;
//!
//! let policy = Policy::builder()
//!     .interval(Duration::from_millis(50))
//!     .timeout(Duration::from_millis(200))
//!     .build()?;
//! // Without a maximum, a peer that never ends its line fills the memory.
//! let lines = Framed::new(stream, LinesCodec::new_with_max_length(8192));
//! let mut connection = Heartbeat::new(lines, Lines::new("PING", "PONG"), policy);
//!
//! connection.send("who is there?").await?;
//! while let Some(line) = connection.next().await {
//!     match line {
//!         Ok(line) => assert_eq!(line, "hello"),
//!         // the peer is dead: silent for 0.206 s (bound 0.2 to 0.3 s, 6 ms late)
//!         Err(Error::Dead(dead)) => println!("{dead}"),
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! assert!(connection.verdict().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `metrics` | reports through the `metrics` facade, see [`metrics`](mod@metrics) |
//! | `tls` | TLS 1.3 for the server and the client (needs a C compiler) |
//! | `websocket` | `wrap::websocket`: beats of WebSockets for tokio-tungstenite 0.30 |
//!
//! None is on by default, and none changes what is there without it.
//!
//! Types of other crates appear here only from `tokio` and `bytes`, which are 1.x, and the traits
//! of `futures-core` and `futures-sink`. `websocket` is the exception: it stays with the version
//! above, and a newer one of theirs becomes a feature of its own.

pub mod blocking;
#[cfg(doctest)]
mod book;
pub mod client;
mod clock;
pub mod kernel;
pub mod metrics;
mod reason;
pub mod server;
pub mod supervisor;
mod sys;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod tls;
#[cfg(test)]
mod toy;
mod world;
pub mod wrap;

/// For the simulator of `heartwire-lab`, which runs the drivers in a world of its own. NOT part of
/// the stable interface: anything in here may change or go with any release.
///
/// A server is put together by [`assemble`](internal::assemble), from the same
/// [`ServerConfig`](server::ServerConfig) as any other, and a [`Place`](internal::Place) for each
/// of its shards: a [`ServerWorld`](internal::ServerWorld), listening sockets, and a waker. What
/// comes of it is a real [`Handle`](server::Handle) and the [`Shard`](internal::Shard)s, with a
/// real [`Handler`](server::Handler) each. Then, for each shard:
///
/// - Call [`turn`](internal::Shard::turn), first with nothing ready, and again when its
///   [`Wake`](internal::Wake) says: at once, at the deadline, or as soon as anything is ready. Drop it when that is
///   [`Over`](internal::Wake::Over). A turn reads no clock but its world's, waits for nothing, and calls no system.
/// - What is ready goes by edges, as with epoll: the world notes what [`register`](internal::ServerWorld::register) and
///   [`register_for_writing`](internal::ServerWorld::register_for_writing) say, and the turn is told once of what is new
///   since. Registering for writing tells once more what is so already. A listening socket is ready when a client comes.
/// - When its waker is used, by a command of the handle, a [`Resumer`](server::Resumer) or another shard, the next turn
///   gets [`Ready::Woken`](internal::Ready::Woken), at once.
/// - A turn may be later than asked for: that is a pause.
///
/// [`Handle::list`](server::Handle::list) waits for the shards, so that only another thread may
/// call it: see [`Shard::sessions`](internal::Shard::sessions) instead. The configuration should
/// name [`max_pending`](server::ServerConfig::max_pending), which depends on this process's timeouts
/// otherwise.
#[doc(hidden)]
pub mod internal {
    /// A client without a runtime: `client/internal.rs` says how it is driven.
    pub mod client {
        pub use crate::client::internal::*;
    }
    pub use crate::server::internal::*;
    pub use crate::sys::Way;
    pub use crate::world::{Break, Listen, ServerWorld, Socket, World};
}

pub use heartwire_core::backoff::{BackoffError, BackoffPolicy};
pub use heartwire_core::{
    Bound, Cause, FrameLimits, LinkState, Pause, Policy, PolicyBuilder, PolicyError, Preset,
    Settings, Side, Verdict, Violation,
};
pub use heartwire_core::{frame, plan, v1};
pub use reason::Reason;
pub use tls::{CertificateFault, TlsError, TlsFault};

/// How late a verdict may be: the tick of both drivers. It covers the rounding of the server's wheel
/// (4 ms), the kernel's own (two jiffies), and the time that a loop takes to get round under load. Each
/// verdict says how late it was.
///
/// A loop that is later than this was held up, and says so: what is beyond it is in
/// [`Verdict::paused`], so that `silence - paused` lies in the verdict's bound, always. One that was late
/// by [`MIN_PAUSE`](heartwire_core::MIN_PAUSE) has stood still, and gives everybody who is silent another
/// chance.
pub const TICK: core::time::Duration = core::time::Duration::from_millis(100);
