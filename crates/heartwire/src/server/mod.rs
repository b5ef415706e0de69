//! A server: serves many clients on a few threads and reports each one as online, offline or dead.
//!
//! [`Server::start`] takes a [`ServerConfig`] and a [`Handler`] for each shard. A handler runs on
//! its shard's thread and borrows the data it receives; [`Server::start_with_events`] passes all
//! events to another thread or task instead. Send commands with a [`Handle`] or, inside a handler,
//! with its [`Control`].
//!
//! ```
//! use std::net::TcpStream;
//! use heartwire::server::{Control, Event, Server, ServerConfig};
//!
//! let config = ServerConfig::new("127.0.0.1:0".parse()?).threads(1);
//! // An echo server.
//! let server = Server::start(config, |_shard| {
//!     |event: Event<&[u8]>, control: &mut Control<'_>| {
//!         if let Event::Data { id, data } = event {
//!             let _ = control.send(id, data);
//!         }
//!     }
//! })?;
//! let client = TcpStream::connect(server.local_addrs()[0])?;
//! # drop(client);
//! server.handle().shutdown();
//! server.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod agenda;
mod alarm;
mod assembly;
mod changes;
mod channel;
mod common;
mod config;
mod descriptors;
mod epoch;
mod error;
mod event;
mod grants;
mod handle;
mod handler;
mod heat;
mod held;
mod histograms;
mod id;
mod inbox;
pub mod limits;
mod link;
mod listener;
mod mailbox;
mod network;
mod outbound;
#[cfg(unix)]
mod passed;
mod proxy_header;
mod query;
mod reactor;
mod receipts;
mod resume;
#[cfg(test)]
mod rig;
mod sender;
mod session;
mod sessions;
mod shard;
mod state;
mod stats;
mod survey;
mod tombstones;

use core::net::SocketAddr;
use std::thread::{self, JoinHandle};

/// What the simulator needs to run shards.
pub(crate) mod internal {
    pub use super::assembly::{Place, assemble};
    pub use super::shard::{Ready, Reported, SessionView, Shard, Wake};
}

/// Authentication: the tokens that a server accepts, and which names clients may have.
pub mod auth {
    pub use super::admission::{NameError, Tokens, TokensError, valid_name};
}

pub(crate) use admission::Ended;
#[cfg(feature = "tls")]
pub(crate) use admission::tokens::is_world_readable;
#[cfg(feature = "tls")]
pub(crate) use changes::Changes;
pub use channel::Events;
pub use config::{Protocols, ServerConfig};
pub use epoch::EpochClock;
pub use error::{CommandError, ServerError};
pub use event::{Agreed, Event, LastConnection, SessionInfo};
pub(crate) use grants::Until;
pub use handle::Handle;
pub use handler::{Control, Handler};
pub use heat::Heat;
pub use held::{Held, Level};
pub use histograms::{Histogram, Histograms};
pub use id::{NotAnId, SessionId};
pub use network::{Network, NetworkError};
#[cfg(unix)]
pub use passed::passed_sockets;
pub use query::{Page, Query, Sort};
pub use receipts::Receipt;
pub use resume::Resume;
pub use sender::Sender;
pub use stats::Stats;

use assembly::{Place, assemble};
use channel::{Forward, channel};
use heartwire_core::FrameLimits;
use heartwire_core::internal::v1::BEAT_LEN;
use reactor::Reactor;

use crate::kernel::KernelReport;
use crate::proof::Key;
use crate::sys;

/// A running server. Dropping it shuts the server down without waiting; [`join`](Self::join) waits.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    local_addrs: Vec<SocketAddr>,
    report: Report,
}

/// What a server's configuration comes to on this system.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The [kernel options](ServerConfig::kernel) in force for each session.
    pub kernel: KernelReport,
    /// The limits on frames from clients.
    pub frames: FrameLimits,
    /// The maximum number of [pending clients](limits::Admission::max_pending).
    pub max_pending: usize,
    /// The shortest write of a v0 client, headers included, that wakes its shard before the
    /// deadline, after the first frame. 1, which is any write, without
    /// [coalescing](ServerConfig::coalesce) and with TLS.
    pub wake_bytes_v0: u32,
    /// The same on protocol v1. Clients know it from the WELCOME, and pad shorter data that must
    /// not wait. More for sessions that can be resumed: as many beats, which are longer there.
    pub wake_bytes_v1: u32,
}

impl Server {
    /// Binds the listening sockets and starts a thread for each shard, with the handler that
    /// `handler` makes for its number.
    ///
    /// # Errors
    ///
    /// [`ServerError`]. Nothing stays running or listening then.
    pub fn start<H: Handler + 'static>(
        config: ServerConfig,
        handler: impl FnMut(usize) -> H,
    ) -> Result<Self, ServerError> {
        let mut bound = Bound::bind(&config)?;
        descriptors::make_room(config.admission.max_sessions);
        let mut reactors = Vec::new();
        let mut places = Vec::new();
        bound.listeners.resize_with(config.threads, Vec::new);
        for mut listeners in bound.listeners {
            let inherits = config.listeners.is_empty();
            let (reactor, world, waker) = Reactor::new(inherits).map_err(ServerError::System)?;
            reactor.listen(&mut listeners).map_err(ServerError::System)?;
            reactors.push(reactor);
            places.push(Place { world, listeners, waker });
        }
        let coalesces = config.wants_to_coalesce() && can_coalesce();
        let secret = Key::random().map_err(ServerError::System)?;
        let (handle, shards) = assemble(&config, places, coalesces, *secret.as_bytes(), handler);
        let mut server = Self {
            handle,
            threads: Vec::new(),
            local_addrs: bound.local_addrs,
            report: Report {
                kernel: bound.kernel,
                frames: config.frame_limits(),
                max_pending: config.max_pending().all(),
                wake_bytes_v0: config.receive_mark(coalesces),
                wake_bytes_v1: config.wake_bytes(coalesces, BEAT_LEN),
            },
        };
        for ((reactor, shard), index) in reactors.into_iter().zip(shards).zip(0_usize..) {
            let thread = thread::Builder::new().name(format!("heartwire-{index}"));
            let thread = thread.spawn(move || reactor.run(shard)).map_err(ServerError::System)?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Starts a server whose events come through a channel, for applications that do not run on
    /// the shards' threads.
    ///
    /// ```no_run
    /// use heartwire::server::{Server, ServerConfig};
    ///
    /// let config = ServerConfig::new("127.0.0.1:39002".parse().unwrap());
    /// let (server, mut events) = Server::start_with_events(config)?;
    /// while let Some(event) = events.blocking_recv() {
    ///     println!("{event}");
    /// }
    /// # Ok::<(), heartwire::server::ServerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing runs or listens then.
    pub fn start_with_events(config: ServerConfig) -> Result<(Self, Events), ServerError> {
        Self::start_mapped(config, |_shard| {
            |event: Event<&[u8]>, _: &mut Control<'_>| Some(event.to_owned())
        })
    }

    /// Starts a server as [`start_with_events`](Self::start_with_events) does, but sends what a
    /// function makes of each event, if it makes anything. The function runs on the shards' threads
    /// as a [`Handler`] does, and can answer by itself; `map` makes it for the number of a shard.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing runs or listens then.
    pub fn start_mapped<T, M>(
        config: ServerConfig,
        mut map: impl FnMut(usize) -> M,
    ) -> Result<(Self, Events<T>), ServerError>
    where
        T: Send + 'static,
        M: FnMut(Event<&[u8]>, &mut Control<'_>) -> Option<T> + Send + 'static,
    {
        let (sender, events) = channel();
        let handler = |shard| Forward { sender: sender.clone(), map: map(shard) };
        Ok((Self::start(config, handler)?, events))
    }

    /// The addresses that the server listens on, with the ports that the system chose for port 0;
    /// then those of sockets that [listened already](ServerConfig::from_listener).
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// The settings in force.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The handle that sends commands to this server.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until the server has shut down (see [`Handle::shutdown`]) and its handlers have
    /// received every event.
    ///
    /// # Errors
    ///
    /// [`ServerError::Panicked`] if a handler panicked; its shard ended at once, without further
    /// events.
    pub fn join(mut self) -> Result<(), ServerError> {
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                result = Err(ServerError::Panicked);
            }
        }
        result
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// Whether sockets of this system can have a low-water mark.
fn can_coalesce() -> bool {
    let tried = sys::try_coalescing();
    if let Err(error) = &tried {
        tracing::info!(%error, "this system cannot coalesce beats: each is read as it comes");
    }
    tried.is_ok()
}

/// The listening sockets of a server: a set for each shard that accepts.
struct Bound {
    listeners: Vec<Vec<mio::net::TcpListener>>,
    local_addrs: Vec<SocketAddr>,
    kernel: KernelReport,
}

impl Bound {
    fn bind(config: &ServerConfig) -> Result<Self, ServerError> {
        let share_port = config.each_shard_accepts() && config.threads > 1;
        let sets = if share_port { config.threads } else { 1 };
        let mut listeners: Vec<Vec<mio::net::TcpListener>> = Vec::new();
        listeners.resize_with(sets, Vec::new);
        let mut local_addrs = Vec::new();
        let mut kernel = None;
        for &asked in &config.listen {
            let error = |error| ServerError::Bind { addr: asked, error };
            let others = config.listen.iter().chain(&local_addrs).copied();
            let family = listener::Family::of(asked, others);
            if share_port && asked.port() != 0 {
                listener::ensure_free(asked, family).map_err(error)?;
            }
            let mut addr = asked;
            for set in &mut listeners {
                let (socket, report) =
                    listener::bind(addr, family, &config.kernel, share_port).map_err(error)?;
                // The system may have chosen the port; the other listeners share it.
                addr = socket.local_addr().map_err(error)?;
                set.push(mio::net::TcpListener::from_std(socket));
                kernel = Some(report);
            }
            local_addrs.push(addr);
        }
        for listener in &config.listeners {
            let adopted = listener::adopt(listener, &config.kernel);
            let (socket, report) = adopted.map_err(ServerError::Listener)?;
            local_addrs.push(socket.local_addr().map_err(ServerError::Listener)?);
            if let Some(set) = listeners.first_mut() {
                set.push(mio::net::TcpListener::from_std(socket));
            }
            kernel = Some(report);
        }
        let kernel = kernel.ok_or(ServerError::NoAddress)?;
        Ok(Self { listeners, local_addrs, kernel })
    }
}
