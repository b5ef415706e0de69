//! The machine as traits: time, sockets, and, for a server, a poller and listening sockets.
//!
//! With these traits the simulator of `heartwire-lab` runs the real drivers on simulated machines.
//! They are dispatched statically, so the real world costs no more than its system calls.

use core::fmt::Debug;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::Shutdown;

use heartwire_core::Instant;
use heartwire_core::internal::arrival;
use socket2::SockRef;

use crate::kernel::KernelOptions;
use crate::sys::{self, Way};

/// The machine that a driver runs on, real or simulated.
pub trait World: Debug + Send + Sync {
    /// One connection.
    type Socket: Socket;

    /// The time now.
    fn now(&self) -> Instant;

    /// The time now, and how long the machine has been suspended since it was started.
    fn now_and_suspended(&self) -> (Instant, Duration);

    /// The length of a jiffy, the unit of the kernel's [receive times](Socket::since_last_receive).
    fn jiffy(&self) -> Duration;

    /// Whether the driver should break this rule, to test that the simulator detects it. The real
    /// world never asks for it, and the compiler removes the check.
    #[inline]
    fn breaks(&self, rule: Break) -> bool {
        let _ = rule;
        false
    }
}

/// One end of a connection. No call blocks: what cannot be done now returns
/// [`io::ErrorKind::WouldBlock`].
pub trait Socket: io::Read + io::Write + Debug + Send + Sync {
    /// Reads what the kernel has. An async runtime may know of less: its knowledge is as old as its
    /// last turn.
    ///
    /// # Errors
    ///
    /// As for [`read`](io::Read::read).
    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    /// Whether a read would find a byte (1), the end (0) or an error, which may be reported only
    /// once.
    ///
    /// # Errors
    ///
    /// As for [`read`](io::Read::read).
    fn peek(&mut self) -> io::Result<usize>;

    /// Closes the sending half after the written bytes.
    ///
    /// # Errors
    ///
    /// The system's error; the connection is gone then.
    fn shutdown_writing(&mut self) -> io::Result<()>;

    /// Makes closing the socket reset the connection and drop unsent data.
    fn reset_when_closed(&mut self);

    /// Time since the peer's last bytes arrived, read or not, with the resolution of a
    /// [jiffy](World::jiffy).
    ///
    /// # Errors
    ///
    /// The system cannot tell.
    fn since_last_receive(&self) -> io::Result<Duration>;

    /// Bytes written and not acknowledged by the peer's kernel; the end of the sending half counts
    /// as one. `None` if the system cannot tell.
    fn unacknowledged(&self) -> Option<usize>;

    /// Makes the poller report the socket only when so many bytes, the end, or an error wait.
    ///
    /// # Errors
    ///
    /// The system cannot do that, or the connection has failed.
    fn set_receive_mark(&mut self, bytes: u32) -> io::Result<()>;

    /// The state of the path to the peer, while written bytes are not acknowledged.
    fn way(&self) -> Option<Way>;

    /// The kernel's retransmission timeout.
    fn resends_after(&self) -> Option<Duration>;
}

/// What a shard of a server needs in addition.
pub trait ServerWorld: World {
    /// One listening socket.
    type Listener: Listen<Socket = Self::Socket>;

    /// Makes the poller report when the socket of the session in `slot` is readable.
    ///
    /// # Errors
    ///
    /// The poller's error; it does not watch the socket then.
    fn register(&mut self, socket: &mut Self::Socket, slot: u32) -> io::Result<()>;

    /// Makes it also report when this registered socket is writable, even if it already is.
    ///
    /// # Errors
    ///
    /// The poller's error; it watches the socket as before.
    fn register_for_writing(&mut self, socket: &mut Self::Socket, slot: u32) -> io::Result<()>;

    /// The time of day, in seconds since 1970, on a clock that can be changed.
    fn wall_secs(&self) -> u64;

    /// Deregisters a socket that is about to be closed.
    fn deregister(&mut self, socket: &mut Self::Socket);

    /// Sets options on the socket of a new session, unless it has them from its listener.
    ///
    /// # Errors
    ///
    /// The system's error; some options may be set then.
    fn prepare(&self, socket: &mut Self::Socket, options: &KernelOptions) -> io::Result<()>;
}

/// A listening socket.
pub trait Listen: Debug + Send {
    /// The socket of an accepted client.
    type Socket;

    /// Accepts one client.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if none waits; else as for [`std::net::TcpListener::accept`].
    fn accept(&self) -> io::Result<(Self::Socket, SocketAddr)>;
}

/// Attempts at an answer of the kernel that is not old when it is read: a process is rarely held up
/// twice in a row.
const MAX_ASKS: usize = 3;

/// How long ago a socket received its last bytes, and the time of that answer.
///
/// A process that is held up between the answer and its look at the clock would take the bytes for
/// newer than they are, so it asks again.
pub(crate) fn last_receive(
    world: &impl World,
    socket: &impl Socket,
) -> (Instant, io::Result<Duration>) {
    let mut asked_at = world.now();
    let mut asks = 1;
    loop {
        let since = socket.since_last_receive();
        // After the answer, so that a byte does not seem older than it is.
        let now = world.now();
        let is_fresh = now.saturating_since(asked_at) <= arrival::MAX_SPAN;
        if is_fresh || since.is_err() || asks == MAX_ASKS {
            return (now, since);
        }
        asked_at = now;
        asks += 1;
    }
}

/// A rule that the simulator can make a driver break, because no world or configuration could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is for the simulator, which knows them all")]
pub enum Break {
    /// It checks its deadlines only when nothing waits to be written.
    WaitsForWrites,
    /// It counts its own pauses against its peers.
    IgnoresPauses,
    /// It counts each of its pauses as a byte from the peer.
    TakesPausesForLife,
    /// It counts its own writes as signs of life.
    HearsItself,
    /// It reports a verdict twice.
    TellsTwice,
    /// It reports wrong numbers.
    TellsWrongFigures,
    /// It reports events after `Offline`.
    SpeaksAfterOffline,
    /// A takeover forgets the session that had the name.
    ForgetsTakenOver,
    /// It accepts a client with a name that another session has.
    SharesNames,
    /// It reports the end of a session twice.
    TellsOfflineTwice,
    /// It takes a client that takes its name over from itself for another one.
    ForgetsInstances,
    /// On another link of a session it writes a frame too many again.
    ReplaysTooMuch,
    /// On another link of a session it leaves a frame out.
    ReplaysTooLittle,
    /// It acknowledges data that the application has not taken over.
    AcksWhenReceived,
    /// From the third link of a session on it says what was taken over for what was received.
    TakesTakenForReceived,
    /// It keeps a session that is away for longer than its grace.
    NeverGivesUp,
    /// It counts a message too few as not delivered.
    TellsLessLost,
    /// It ends a session with its link.
    EndsWithItsLink,
    /// It reports `Away` twice.
    TellsAwayTwice,
    /// It leaves a silent link for a spare one without looking at it once more.
    LeavesWithoutReading,
    /// It says that it sends no more before it has sent what its application had sent.
    EndsTooSoon,
}

impl Socket for mio::net::TcpStream {
    #[inline]
    fn peek(&mut self) -> io::Result<usize> {
        Self::peek(self, &mut [0])
    }

    fn shutdown_writing(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset_when_closed(&mut self) {
        // If this fails, the kernel sends its queued data before the end.
        let _ = SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }

    #[inline]
    fn since_last_receive(&self) -> io::Result<Duration> {
        sys::since_last_receive(self)
    }

    fn unacknowledged(&self) -> Option<usize> {
        sys::unacknowledged(self)
    }

    #[inline]
    fn set_receive_mark(&mut self, bytes: u32) -> io::Result<()> {
        sys::set_receive_mark(&*self, bytes)
    }

    fn way(&self) -> Option<Way> {
        sys::way(self)
    }

    fn resends_after(&self) -> Option<Duration> {
        sys::resends_after(self)
    }
}

impl Listen for mio::net::TcpListener {
    type Socket = mio::net::TcpStream;

    fn accept(&self) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self)?;
        Ok((stream, unmapped(peer)))
    }
}

/// An address as it is written on its own network: that of an IPv4 client of an IPv6 socket is
/// mapped.
fn unmapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, addr.port()).into(),
        IpAddr::V6(_) => addr,
    }
}
