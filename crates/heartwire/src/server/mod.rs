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
mod channel;
mod config;
mod descriptors;
mod event;
mod handler;
mod id;
mod inbox;
pub mod limits;
mod link;
mod listener;
mod mailbox;
mod outbound;
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
mod tombstones;

use core::fmt;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{fs, io};

/// What the simulator needs to run shards.
pub(crate) mod internal {
    pub use super::assembly::{Place, assemble};
    pub use super::shard::{Ready, Reported, SessionView, Shard, Wake};
}

/// Authentication: the tokens that a server accepts, and which names clients may have.
pub mod auth {
    pub use super::admission::{NameError, Tokens, TokensError, valid_name};
}

#[cfg(feature = "tls")]
pub(crate) use admission::tokens::is_world_readable;
pub use channel::Events;
pub use config::{Protocols, ServerConfig};
pub use event::{Agreed, Event, LastConnection, SessionInfo};
pub use handler::{Control, Handler};
pub use id::SessionId;
pub use receipts::Receipt;
pub use resume::Resume;
pub use sender::Sender;
pub use stats::Stats;

use admission::addresses::AddressCounts;
use admission::denials::Denials;
use admission::names::Names;
use assembly::{Place, assemble};
use auth::Tokens;
use channel::{Forward, channel};
use heartwire_core::FrameLimits;
use heartwire_core::internal::codec;
use heartwire_core::internal::v1::BEAT_LEN;
use heartwire_core::v1::RetryHint;
use listener::Places;
use mailbox::{Command, Mailbox};
use reactor::Reactor;
use resume::{AwayCount, Run};
use stats::{Counters, TurnCounters};
use tokio::sync::mpsc;
use tombstones::Tombstones;

use crate::kernel::{KernelOptions, KernelReport};
use crate::proof::Key;
use crate::tls::SharedServerTls;
use crate::{clock, sys};

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
            let (reactor, world, waker) = Reactor::new().map_err(ServerError::System)?;
            reactor.listen(&mut listeners).map_err(ServerError::System)?;
            reactors.push(reactor);
            places.push(Place { world, listeners, waker });
        }
        let coalesces = config.wants_to_coalesce() && can_coalesce();
        // A server uses less than one epoch per microsecond, so the epochs of the next run are
        // higher.
        let secret = Key::random().map_err(ServerError::System)?;
        let identity = (clock::wall_micros(), *secret.as_bytes());
        let (handle, shards) = assemble(&config, places, coalesces, identity, handler);
        let mut server = Self {
            handle,
            threads: Vec::new(),
            local_addrs: bound.local_addrs,
            report: Report {
                kernel: bound.kernel,
                frames: config.frame_limits(),
                max_pending: config.max_pending(),
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

    /// The addresses that the server listens on, with the ports that the system chose for port 0.
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

/// A handle that sends commands to a server from any thread. It does not keep the server running.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mailboxes: Vec<Mailbox>,
    places: Places,
    away: AwayCount,
    run: Run,
    tombstones: Tombstones,
    counters: Counters,
    turns: Vec<TurnCounters>,
    kernel: KernelOptions,
    max_queue: usize,
    /// The longest frame in a session that can be resumed.
    longest_resumable: usize,
    tokens: Option<Tokens>,
    tls: Option<SharedServerTls>,
    addresses: AddressCounts,
    names: Names,
    denials: Denials,
}

impl Handle {
    /// Sends `data` to a session as one frame. The data is copied and passed to the session's
    /// shard, which drops it if the session has ended by then. A session that outlives its
    /// connections ends with [`Reason::Overflow`](crate::Reason::Overflow) if its window has no
    /// room.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`], [`CommandError::Busy`] or [`CommandError::Gone`]; nothing was
    /// sent then. The shard drops a frame that is longer than the client says it accepts; from
    /// within a [`Handler`] that is an error at once.
    pub fn send(&self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        self.frame_len(data)?;
        self.post(id, Command::Send { id, data: data.to_vec(), room: None })
    }

    /// A sender for one session, which waits while that has no room. It does not keep the session.
    /// Use one for a session, and nothing else to send to it: what this handle sends does not wait
    /// behind it.
    #[must_use]
    pub fn sender(&self, id: SessionId) -> Sender {
        Sender::new(self.clone(), id)
    }

    /// Says that this end sends no more to a session, after the data that was sent. The client can
    /// go on sending. When both ends have said so, and have taken over everything, the session ends
    /// with [`Reason::Done`](crate::Reason::Done). Does nothing if the session ends with its
    /// connection, see [`ServerConfig::resume`].
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn end(&self, id: SessionId) -> Result<(), CommandError> {
        self.post(id, Command::End { id })
    }

    /// Sends `data` as one frame to every session that is online when its shard takes the command.
    /// Slow readers are disconnected.
    ///
    /// An application that reads [`Events`] may not have read the `Online` of such a session yet: a
    /// client can get a broadcast before the application knows of it.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`] before anything was sent; [`CommandError::Busy`] if a shard had no
    /// room for the command: its sessions get nothing. After a shutdown there is no session to send
    /// to, which is not an error.
    pub fn broadcast(&self, data: &[u8]) -> Result<(), CommandError> {
        self.frame_len(data)?;
        let data: Arc<[u8]> = data.into();
        let mut result = Ok(());
        for mailbox in &self.0.mailboxes {
            let posted = mailbox.post(Command::Broadcast { data: Arc::clone(&data) });
            // A shard that has ended has no sessions.
            result = result.and(posted.or_else(|error| match error {
                CommandError::Gone => Ok(()),
                CommandError::Busy
                | CommandError::TooLong
                | CommandError::SlowReader
                | CommandError::Full
                | CommandError::Ended
                | CommandError::NotResumable => Err(error),
            }));
        }
        result
    }

    /// Disconnects a client ([`Reason::Kicked`](crate::Reason::Kicked)) and tells it not to
    /// reconnect. Does nothing if the session has ended by the time its shard sees the command.
    ///
    /// A Heartwire client obeys and ends, unless
    /// [`even_if_rejected`](crate::client::Reconnect::even_if_rejected) is set. A client on
    /// protocol v0 cannot be told and reconnects, and so may a hostile one: remove its
    /// [token](auth::Tokens) first, then it is rejected.
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn kick(&self, id: SessionId) -> Result<(), CommandError> {
        self.kick_with(id, RetryHint::Never, "")
    }

    /// Disconnects a client as [`kick`](Self::kick) does, and tells it when to reconnect and why it
    /// was disconnected. `detail` is cut to [`MAX_DETAIL_LEN`](crate::v1::MAX_DETAIL_LEN) bytes.
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn kick_with(
        &self,
        id: SessionId,
        retry: RetryHint,
        detail: &str,
    ) -> Result<(), CommandError> {
        self.post(id, Command::Kick { id, retry, detail: detail.into() })
    }

    /// The number of sessions with a connection now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.places.sessions()
    }

    /// The number of sessions that are away now: their clients have lost their connection, and may
    /// come back.
    #[must_use]
    pub fn away(&self) -> usize {
        self.0.away.get()
    }

    /// All sessions, in no particular order, once every shard has had its next turn. Shards that
    /// are too busy to take the command are left out.
    pub async fn list(&self) -> Vec<SessionInfo> {
        let mut replies = self.ask_for_lists();
        let mut all = Vec::new();
        while let Some(list) = replies.recv().await {
            all.extend(list);
        }
        all
    }

    /// [`list`](Self::list) for threads without an async runtime: it blocks the thread. Do not call
    /// it from a [`Handler`], whose own shard would wait for itself.
    ///
    /// # Panics
    ///
    /// In an async task of tokio, as tokio's own blocking functions do.
    #[must_use]
    pub fn blocking_list(&self) -> Vec<SessionInfo> {
        let mut replies = self.ask_for_lists();
        core::iter::from_fn(|| replies.blocking_recv()).flatten().collect()
    }

    /// Asks every shard for its sessions. The replies end when all have replied or ended.
    fn ask_for_lists(&self) -> mpsc::UnboundedReceiver<Vec<SessionInfo>> {
        let (reply, replies) = mpsc::unbounded_channel();
        for mailbox in &self.0.mailboxes {
            // A shard that takes no command sends no reply, so there is nothing to wait for.
            let _ = mailbox.post(Command::List { reply: reply.clone() });
        }
        replies
    }

    /// The server's counters since it started.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.read(&self.0.turns)
    }

    /// Shuts the server down: it stops accepting at once, sends queued data for at most
    /// [`ServerConfig::drain`], and ends every session with
    /// [`Reason::Shutdown`](crate::Reason::Shutdown). Repeated calls do nothing.
    pub fn shutdown(&self) {
        self.0.mailboxes.iter().for_each(Mailbox::shutdown);
    }

    /// The length of `data` as one frame, if that fits into a session's queue or window.
    fn frame_len(&self, data: &[u8]) -> Result<usize, CommandError> {
        let header = codec::data_header(data.len()).ok_or(CommandError::TooLong)?;
        Some(header.len() + data.len())
            .filter(|&len| len <= self.0.max_queue.max(self.0.longest_resumable))
            .ok_or(CommandError::TooLong)
    }

    fn max_queue(&self) -> usize {
        self.0.max_queue
    }

    fn post(&self, id: SessionId, command: Command) -> Result<(), CommandError> {
        self.mailbox(id.shard()).ok_or(CommandError::Gone)?.post(command)
    }

    fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.0.mailboxes.get(shard)
    }

    fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    fn tls(&self) -> Option<&SharedServerTls> {
        self.0.tls.as_ref()
    }

    fn addresses(&self) -> &AddressCounts {
        &self.0.addresses
    }

    fn denials(&self) -> &Denials {
        &self.0.denials
    }

    fn names(&self) -> &Names {
        &self.0.names
    }

    fn away_count(&self) -> &AwayCount {
        &self.0.away
    }

    fn run(&self) -> &Run {
        &self.0.run
    }

    fn tombstones(&self) -> &Tombstones {
        &self.0.tombstones
    }

    fn places(&self) -> &Places {
        &self.0.places
    }

    /// Publishes how many turns a shard has had and how many timers it has set.
    fn count_turns(&self, shard: usize, turns: u64, timers: u64) {
        if let Some(counters) = self.0.turns.get(shard) {
            counters.publish(turns, timers);
        }
    }

    fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Kernel options for the sockets of sessions.
    fn kernel(&self) -> &KernelOptions {
        &self.0.kernel
    }
}

/// The listening sockets of a server: a set for each shard that accepts.
struct Bound {
    listeners: Vec<Vec<mio::net::TcpListener>>,
    local_addrs: Vec<SocketAddr>,
    kernel: KernelReport,
}

impl Bound {
    fn bind(config: &ServerConfig) -> Result<Self, ServerError> {
        let share_port = config.reuse_port && config.threads > 1;
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
        let kernel = kernel.ok_or(ServerError::NoAddress)?;
        Ok(Self { listeners, local_addrs, kernel })
    }
}

/// Why a server did not start, or ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The server could not listen on an address.
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// The configuration has no address.
    NoAddress,
    /// The system refused a poller, a thread or random numbers.
    System(io::Error),
    /// A handler panicked.
    Panicked,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { addr, error } => {
                write!(f, "cannot listen on {addr}: {error}")?;
                f.write_str(bind_help(*addr, error))
            }
            Self::NoAddress => f.write_str("no address to listen on was given"),
            Self::System(error) => {
                write!(f, "the system refused a poller, a thread or random numbers: {error}")
            }
            Self::Panicked => f.write_str("a handler panicked, and its shard ended with it"),
        }
    }
}

fn bind_help(addr: SocketAddr, error: &io::Error) -> &'static str {
    if addr.is_ipv6() && error.raw_os_error() == Some(FAMILY_NOT_SUPPORTED) {
        return ". This machine has no IPv6: listen on an IPv4 address; 0.0.0.0 stands for all";
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of error kinds is open")]
    match error.kind() {
        io::ErrorKind::AddrInUse if addr.port() == 0 => {
            ". The system has no port left of those that it chooses from: wait until connections \
             end, or name a port outside of that range (on Linux: \
             `sysctl net.ipv4.ip_local_port_range`)"
        }
        io::ErrorKind::AddrInUse if outgoing_ports().contains(&addr.port()) => {
            ". Another program listens there, or an outgoing connection happens to use this port: \
             it is in the range that the system takes such ports from. Stop the other program, or \
             choose another port; `ss -tanp` shows who has it"
        }
        io::ErrorKind::AddrInUse => {
            ". Another program listens there: stop it, or choose another port; `ss -tlnp` shows \
             who it is"
        }
        io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address: `ip address` shows those it has; 0.0.0.0 \
             stands for all IPv4 addresses, [::] for all of both kinds"
        }
        io::ErrorKind::PermissionDenied if addr.port() < 1024 => {
            ". A port below 1024 needs a privilege: choose a higher port, or give the program \
             CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::PermissionDenied => {
            ". A rule of this system, such as one of SELinux or AppArmor, keeps the program from \
             this port"
        }
        _ => "",
    }
}

/// The system's error on a machine without IPv6.
#[cfg(unix)]
const FAMILY_NOT_SUPPORTED: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
/// `WSAEAFNOSUPPORT`.
#[cfg(not(unix))]
const FAMILY_NOT_SUPPORTED: i32 = 10_047;

/// The ports that the system uses for outgoing connections: on Linux the configured range,
/// elsewhere, or if it cannot be read, the widest usual range.
fn outgoing_ports() -> RangeInclusive<u16> {
    let read = || {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut ends = text.split_whitespace().map(|end| end.parse::<u16>().ok());
        Some(ends.next()??..=ends.next()??)
    };
    read().unwrap_or(32_768..=u16::MAX)
}

/// `Display` includes the system's error, so `source` does not repeat it.
impl core::error::Error for ServerError {}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The session has ended, or the server has. Do not try again.
    #[error("the session has ended")]
    Gone,
    /// The shard has too many commands waiting. Try again later.
    #[error("the shard has too many commands waiting; try again later")]
    Busy,
    /// The data is longer than a frame, or than the queue for one session. Send it in parts.
    #[error("the data is longer than a frame may be, or than a session's queue")]
    TooLong,
    /// The session's queue was full, so the client was disconnected. Do not try again.
    #[error("the client does not read, and was disconnected")]
    SlowReader,
    /// The session's window has no room: the client has not taken over what was sent before. Try
    /// again after [`Event::Room`].
    #[error("the client has not taken over what was sent before; try again when there is room")]
    Full,
    /// This end's direction of the session was [ended](Handle::end) before.
    #[error("this end has said that it sends no more")]
    Ended,
    /// The session does not [outlive its connection](ServerConfig::resume), so its directions end
    /// together.
    #[error("the session ends with its connection, in both directions at once")]
    NotResumable,
}
