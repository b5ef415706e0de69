//! Keeps long-lived TCP connections alive and says, within a stated bound, when one is dead.
//!
//! TCP cannot tell a dead peer from an idle one. So each end sends a heartbeat, a *beat*, when it
//! has sent nothing else for its *interval*, and declares the peer dead when nothing has arrived
//! for its *timeout*. This decision, the *verdict*, comes between timeout and timeout + [`TICK`]
//! after the last byte that has arrived, and never earlier: bytes that wait in the socket count,
//! and a process that was paused itself never blames its peer.
//!
//! | you have | use |
//! |---|---|
//! | many clients | [`server`]: many connections on a few threads; no task, timer or lock per connection |
//! | one server | [`client`]: a tokio task that sends heartbeats, detects a dead server and reconnects, or [a thread](client::Client::start_on_thread) that does |
//! | several servers | [`supervisor`]: a client for each name, one queue of events |
//! | a protocol of your own | [`wrap`]: liveness for any `Stream + Sink`, or any `AsyncRead + AsyncWrite` |
//! | sockets whose kernel should help | [`kernel`]: keepalive and user timeout, checked as one set |
//! | settings to check | the crate `heartwire-plan`: how fast each end detects each kind of fault |
//! | a driver of your own | [`heartwire_core`]: the decisions alone, without clock or I/O |
//!
//! The book in `docs/book` explains how to choose the settings, and which faults each of these can
//! detect.
//!
//! # A server
//!
//! Clients send a heartbeat every 50 ms and are declared dead after 200 ms of silence. This client
//! sends one heartbeat and then hangs: its connection stays open, and its kernel still
//! acknowledges.
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
//! // Protocol v0: an empty frame of type 0 is a heartbeat.
//! let mut client = TcpStream::connect(server.local_addrs()[0])?;
//! client.write_all(&[0; 8])?;
//!
//! while let Some(event) = events.blocking_recv() {
//!     match event {
//!         Event::Online { id, peer, .. } => println!("{id} {peer} is here"),
//!         Event::Data { id, data } => {
//!             let _ = server.handle().send(id, &data); // one client's error is no reason to stop
//!         }
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
//! A client connects, sends heartbeats whatever the application does, and reconnects when the
//! connection ends. Both ends speak protocol v1 here, which negotiates intervals and timeouts.
//!
//! ```
//! use heartwire::client::{Client, ClientConfig, Event, V1};
//! use heartwire::server::{self, Control, Server, ServerConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An echo server to talk to.
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
//! let config = ClientConfig::new(target).v1(V1::default().name("hall/door-3"));
//! let (client, mut events) = Client::start(config);
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
//! A protocol of text lines, with `PING` and `PONG` as its heartbeats. The peer sends one line,
//! never answers, and is declared dead.
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
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `metrics` | metrics through the `metrics` crate, see [`metrics`](mod@metrics) |
//! | `tls` | TLS 1.3 for the server and the client (needs a C compiler) |
//! | `websocket` | `wrap::websocket`: heartbeats over WebSockets, for tokio-tungstenite 0.30 |
//!
//! No feature is on by default, and none changes what works without it.
//!
//! The public API uses types of `tokio` 1.x and `bytes` 1.x and the traits of `futures-core` and
//! `futures-sink`, and of no other crate. `websocket` is the exception: it stays with the version
//! above, and support for a newer one becomes a feature of its own.

#[cfg(doctest)]
mod book;
pub mod client;
mod clock;
pub mod kernel;
pub mod metrics;
#[allow(dead_code, reason = "the drivers do not resume yet")]
mod proof;
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
mod undelivered;
mod world;
pub mod wrap;

/// Internals for the simulator of `heartwire-lab`, which runs the drivers on simulated machines.
/// NOT part of the stable API: anything in here may change or disappear in any release.
///
/// [`assemble`](internal::assemble) builds a server from a [`ServerConfig`](server::ServerConfig)
/// and a [`Place`](internal::Place) for each of its shards: a
/// [`ServerWorld`](internal::ServerWorld), listening sockets, and a waker. It returns a real
/// [`Handle`](server::Handle) and the [`Shard`](internal::Shard)s, each with a real
/// [`Handler`](server::Handler). Then, for each shard:
///
/// - Call [`turn`](internal::Shard::turn), first with nothing ready, and again when its
///   [`Wake`](internal::Wake) says: at once, at the deadline, or as soon as anything is ready. Drop
///   the shard when that is [`Over`](internal::Wake::Over). A turn reads its world's clock only,
///   never blocks, and makes no system call.
/// - Readiness is edge-triggered, as with epoll: the world records what
///   [`register`](internal::ServerWorld::register) and
///   [`register_for_writing`](internal::ServerWorld::register_for_writing) ask for, and tells the
///   turn of each change once. Registering for writing reports the present state once more. A
///   listening socket is ready when a client connects.
/// - When its waker is used (by the handle, the application or another shard), the
///   next turn comes at once and gets [`Ready::Woken`](internal::Ready::Woken).
/// - A turn that is later than asked for is a pause.
///
/// [`Handle::list`](server::Handle::list) waits for the shards, so only another thread may call it;
/// use [`Shard::sessions`](internal::Shard::sessions) instead. Set
/// [`max_pending`](server::limits::Admission::max_pending): its default depends on this process's
/// limits.
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

pub use heartwire_core::backoff::BackoffPolicy;
pub use heartwire_core::v1;
pub use heartwire_core::{
    Bound, Cause, FrameLimits, LinkState, Pause, Policy, PolicyBuilder, PolicyError, Preset, Side,
    Verdict, Violation,
};
pub use reason::{Credential, ProxyFault, Reason};
pub use tls::error::TlsError;
pub use undelivered::{Replayed, Undelivered};

/// How late a verdict may be: the tick of both drivers. It covers the rounding of the server's
/// timer wheel (4 ms) and of the kernel (two jiffies), and one turn of a loaded event loop. Each
/// verdict says how late it was.
///
/// A loop that is later than this was delayed: the excess is in [`Verdict::paused`], so `silence -
/// paused` always lies in the verdict's bound. A loop that was late by
/// [`MIN_PAUSE`](heartwire_core::MIN_PAUSE) was paused, and restarts the timeout of every silent
/// peer.
pub const TICK: core::time::Duration = core::time::Duration::from_millis(100);
