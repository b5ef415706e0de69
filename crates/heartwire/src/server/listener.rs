//! Listening sockets, and refusing clients when there is no room.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use core::time::Duration;
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use heartwire_core::Instant;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::event::Refusal;
use crate::kernel::{KernelOptions, KernelReport};
use crate::world::Listen;

/// Maximum number of connections that wait in the kernel to be accepted. The system may cap it
/// (`net.core.somaxconn`, 4096 on Linux).
const BACKLOG: i32 = 4096;

/// Maximum number of clients refused in one turn. With [`REFUSE_PAUSE`] this limits refusals to 320
/// per second, which costs next to nothing, however many clients try.
const REFUSED_PER_TURN: u32 = 16;

/// How long accepting rests after that. Room that appears meanwhile is used later by this much.
const REFUSE_PAUSE: Duration = Duration::from_millis(50);

/// Time without a refusal after which the server reports that it accepts clients again.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Checks that no other server listens on an address that this server's listeners will share: it
/// would share the address too, and silently take half of the clients.
pub(super) fn ensure_free(addr: SocketAddr, family: Family) -> io::Result<()> {
    open(addr, family, false)?.bind(&addr.into())
}

/// Which clients a socket on an IPv6 address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv6Only,
    Both,
}

impl Family {
    /// The family of `addr`, which listens beside `others`. `[::]` serves both, whatever the
    /// system's default, unless an IPv4 address has the same port.
    pub(super) fn of(addr: SocketAddr, mut others: impl Iterator<Item = SocketAddr>) -> Self {
        let is_taken = |other: SocketAddr| other.is_ipv4() && other.port() == addr.port();
        let may_share = addr.port() == 0 || !others.any(is_taken);
        if addr.ip().is_unspecified() && may_share { Self::Both } else { Self::Ipv6Only }
    }
}

/// Binds a listening socket with the kernel options of its sessions: on Linux an accepted socket
/// inherits them, which saves system calls.
pub(super) fn bind(
    addr: SocketAddr,
    family: Family,
    kernel: &KernelOptions,
    share_port: bool,
) -> io::Result<(std::net::TcpListener, KernelReport)> {
    let socket = open(addr, family, share_port)?;
    socket.bind(&addr.into())?;
    let report = kernel.apply(&SockRef::from(&socket))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), report))
}

/// Prepares a socket that listens already, with the kernel options of its sessions for the clients
/// that connect from now on.
pub(super) fn adopt(
    listener: &std::net::TcpListener,
    kernel: &KernelOptions,
) -> io::Result<(std::net::TcpListener, KernelReport)> {
    let socket = SockRef::from(listener);
    if socket.r#type()? != Type::STREAM {
        return Err(unfit("it is no TCP socket"));
    }
    listener.local_addr().map_err(|_| unfit("it is no TCP socket"))?;
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if !socket.is_listener()? {
        return Err(unfit("it does not listen"));
    }
    let report = kernel.apply(&socket)?;
    socket.set_nonblocking(true)?;
    Ok((listener.try_clone()?, report))
}

fn unfit(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn open(addr: SocketAddr, family: Family, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(family == Family::Ipv6Only)?;
    }
    // Without it, a restart would have to wait for the old connections' TIME_WAIT. On Windows the
    // option would mean sharing.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if share_port {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = share_port;
    Ok(socket)
}

/// The number of sessions, and whether clients are being refused; shared by all shards.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Places {
    sessions: AtomicUsize,
    max_sessions: AtomicUsize,
    refusing: AtomicBool,
    /// When a client was last refused, in nanoseconds.
    refused_at: AtomicU64,
    /// A spare descriptor, to accept and close a client when all others are in use. All shards
    /// share one, because a shard would take another shard's for a session while that one uses it.
    spare: Mutex<Option<File>>,
    /// There may be no descriptor left: before a client is accepted, the spare one has to be
    /// secured.
    is_short: AtomicBool,
}

impl Places {
    pub(super) fn new(max_sessions: usize) -> Self {
        Self {
            sessions: AtomicUsize::new(0),
            max_sessions: AtomicUsize::new(max_sessions),
            refusing: AtomicBool::new(false),
            refused_at: AtomicU64::new(0),
            spare: Mutex::new(open_spare().ok()),
            is_short: AtomicBool::new(false),
        }
    }

    /// Runs `accept_and_close` on the spare descriptor, if there is one.
    fn on_spare(&self, accept_and_close: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the descriptor is free: a shard that gets it for a client must see this.
        self.is_short.store(true, SeqCst);
        drop(spare.take().map_or_else(open_spare, Ok)?);
        let closed = accept_and_close();
        *spare = open_spare().ok();
        closed
    }

    /// Returns a client that was just accepted, if it can stay. It is closed if the spare
    /// descriptor is missing.
    fn can_stay<S>(&self, stream: S) -> Option<S> {
        if !self.is_short.load(SeqCst) {
            return Some(stream);
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_some() {
            self.is_short.store(false, SeqCst);
            return Some(stream);
        }
        drop(stream);
        *spare = open_spare().ok();
        None
    }

    /// How many sessions there may be.
    pub(super) fn max(&self) -> usize {
        self.max_sessions.load(Relaxed)
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// From now on there are so many. Sessions beyond stay.
    pub(super) fn set_max(&self, max_sessions: usize) {
        self.max_sessions.store(max_sessions, Relaxed);
    }

    /// Reserves a place for one more session.
    pub(super) fn enter(&self) -> bool {
        let max = self.max_sessions.load(Relaxed);
        let enter = |sessions| (sessions < max).then_some(sessions + 1);
        self.sessions.fetch_update(Relaxed, Relaxed, enter).is_ok()
    }

    pub(super) fn leave(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    /// Records that a client was refused; true if that should be reported.
    pub(super) fn refuse(&self, now: Instant) -> bool {
        self.refused_at.store(now.as_nanos(), Relaxed);
        !self.refusing.swap(true, Relaxed)
    }

    /// Records that a client was accepted; true if that should be reported. A server that is full
    /// accepts and refuses clients in turn, so this takes a second without a refusal.
    pub(super) fn accept(&self, now: Instant) -> bool {
        if !self.refusing.load(Relaxed) {
            return false;
        }
        let refused_at = Instant::from_nanos(self.refused_at.load(Relaxed));
        now.saturating_since(refused_at) >= SAY_AGAIN_AFTER && self.refusing.swap(false, Relaxed)
    }
}

/// The result of one attempt to accept.
#[derive(Debug)]
pub(super) enum Accepted<S> {
    Client(S, SocketAddr),
    /// A client was refused; `first` if it is the first one since clients were last accepted. Its
    /// socket, which has no place; `None` if it was closed for lack of descriptors.
    Refused {
        cause: Refusal,
        first: bool,
        client: Option<(S, SocketAddr)>,
    },
    /// No client is waiting, or accepting rests for now.
    None,
}

/// Accepts clients for one shard, and refuses them when there is no room: such a client can try
/// elsewhere, while one left in the backlog believes that it is connected.
#[derive(Debug)]
pub(super) struct Listener<L> {
    sockets: Vec<L>,
    /// Sockets that may have clients waiting, as indexes; the last one is next.
    ready: Vec<usize>,
    refused_this_turn: u32,
    resting_until: Option<Instant>,
}

impl<L: Listen> Listener<L> {
    pub(super) fn new(sockets: Vec<L>) -> Self {
        let ready = (0..sockets.len()).collect();
        Self { sockets, ready, refused_this_turn: 0, resting_until: None }
    }

    /// The poller says that clients are waiting.
    pub(super) fn handle_ready(&mut self, socket: usize) {
        if socket < self.sockets.len() && !self.ready.contains(&socket) {
            self.ready.push(socket);
        }
    }

    /// When to try again; `None` to wait for the poller.
    pub(super) fn next_try(&self, now: Instant) -> Option<Instant> {
        if self.ready.is_empty() {
            return None;
        }
        Some(self.resting_until.unwrap_or(now))
    }

    /// Accepts one client, or refuses one. Call it until it returns [`Accepted::None`].
    ///
    /// Calls `make_room` at most once, before a client is refused, with what is lacking; it returns
    /// true if it made room.
    pub(super) fn accept(
        &mut self,
        places: &Places,
        now: Instant,
        make_room: impl FnOnce(Refusal) -> bool,
    ) -> Accepted<L::Socket> {
        let mut make_room = Some(make_room);
        let mut make_room =
            |lack: Refusal| make_room.take().is_some_and(|make_room| make_room(lack));
        if self.resting_until.is_some_and(|until| now < until) {
            return Accepted::None;
        }
        if self.resting_until.take().is_some() {
            self.refused_this_turn = 0;
        }
        while let Some(socket) = self.ready.last().and_then(|&index| self.sockets.get(index)) {
            match socket.accept() {
                Ok((stream, peer)) => {
                    // Many clients at one socket must not delay those at another one.
                    self.ready.rotate_right(1);
                    let Some(stream) = places.can_stay(stream) else {
                        return self.refuse(Refusal::Descriptors, None, places, now);
                    };
                    let full = Refusal::SessionLimit;
                    if places.enter() || (make_room(full) && places.enter()) {
                        return Accepted::Client(stream, peer);
                    }
                    return self.refuse(full, Some((stream, peer)), places, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.pop();
                }
                // This client went away again, or a signal came: try the next one.
                Err(error) if is_about_one_client(&error) => {}
                Err(error) => {
                    if make_room(Refusal::Descriptors) {
                        continue;
                    }
                    tracing::debug!(%error, "no room to accept a client");
                    match self.close_one_client(places) {
                        Ok(()) => return self.refuse(Refusal::Descriptors, None, places, now),
                        // The kernel looks for a descriptor before it looks for a client.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            self.ready.pop();
                        }
                        // Clients cannot even be refused, so they wait in the backlog.
                        Err(_) => {
                            self.rest(now);
                            return Accepted::None;
                        }
                    }
                }
            }
        }
        self.refused_this_turn = 0;
        Accepted::None
    }

    fn refuse(
        &mut self,
        cause: Refusal,
        client: Option<(L::Socket, SocketAddr)>,
        places: &Places,
        now: Instant,
    ) -> Accepted<L::Socket> {
        self.refused_this_turn += 1;
        if self.refused_this_turn >= REFUSED_PER_TURN {
            self.rest(now);
        }
        Accepted::Refused { cause, first: places.refuse(now), client }
    }

    fn rest(&mut self, now: Instant) {
        self.resting_until = Some(now.saturating_add(REFUSE_PAUSE));
    }

    /// Accepts a client on the spare descriptor and closes it.
    fn close_one_client(&mut self, places: &Places) -> io::Result<()> {
        let Some(socket) = self.ready.last().and_then(|&index| self.sockets.get(index)) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        places.on_spare(|| socket.accept().map(drop))?;
        self.ready.rotate_right(1);
        Ok(())
    }
}

fn open_spare() -> io::Result<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" })
}

/// Whether an error of `accept` is about the one client that it would have returned, and not about
/// accepting as such (`accept(2)`: errors already pending on the new socket are passed on).
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests;
