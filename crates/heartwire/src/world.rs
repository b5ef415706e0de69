//! What the drivers need of the machine: time, a socket for each connection, and, on a server, a
//! poller and listening sockets.
//!
//! Behind traits, so that the simulator of `heartwire-lab` runs the drivers that ship in a world of
//! its own. All of it is dispatched statically: what ships costs no more than calls of the system
//! itself.

use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::Shutdown;

use heartwire_core::Instant;
use socket2::SockRef;

use crate::kernel::KernelOptions;
use crate::sys::{self, Way};

/// The machine that a driver runs on.
pub trait World: Debug + Send + Sync {
    /// One connection.
    type Socket: Socket;

    /// The time now.
    fn now(&self) -> Instant;

    /// The time now, and how long the machine has been suspended since it was started, of the same
    /// moment.
    fn now_and_suspended(&self) -> (Instant, Duration);

    /// The length of a jiffy, in which the kernel counts [when data
    /// came](Socket::since_last_receive).
    fn jiffy(&self) -> Duration;

    /// Whether the driver is to break this rule, to show that the simulator sees it. The world that
    /// ships never asks for it, and the compiler removes the question.
    #[inline]
    fn breaks(&self, rule: Break) -> bool {
        let _ = rule;
        false
    }
}

/// One end of a connection. No call waits: what cannot be done now is
/// [`io::ErrorKind::WouldBlock`].
pub trait Socket: io::Read + io::Write + Debug + Send + Sync {
    /// Reads whatever the kernel has. An asynchronous runtime may know of less: that is as old as
    /// its last turn.
    ///
    /// # Errors
    ///
    /// As for [`read`](io::Read::read).
    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    /// Whether a read would find a byte (1), the end (0) or an error, which may be told once only.
    ///
    /// # Errors
    ///
    /// As for [`read`](io::Read::read).
    fn peek(&mut self) -> io::Result<usize>;

    /// Closes the sending half behind what was written.
    ///
    /// # Errors
    ///
    /// What the system says; the connection is gone then.
    fn shutdown_writing(&mut self) -> io::Result<()>;

    /// Has the close of the socket reset the connection and drop what was not sent.
    fn reset_when_closed(&mut self);

    /// Since when the peer's last bytes have been here, whether or not they were read, as exact as
    /// a [jiffy](World::jiffy).
    ///
    /// # Errors
    ///
    /// Where the system does not tell.
    fn since_last_receive(&self) -> io::Result<Duration>;

    /// How many bytes were written and are not acknowledged by the peer's system, the end of the
    /// sending half counted as one; `None` where the system does not tell.
    fn unacknowledged(&self) -> Option<usize>;

    /// Has the poller tell of bytes only when so many wait, or the end, or an error.
    ///
    /// # Errors
    ///
    /// Where the system cannot do that, and on a connection that has failed.
    fn set_receive_mark(&mut self, bytes: u32) -> io::Result<()>;

    /// The way to the peer, while something that was written is not acknowledged.
    fn way(&self) -> Option<Way>;

    /// How long the system waits for an acknowledgement before it sends again for the first time.
    fn resends_after(&self) -> Option<Duration>;
}

/// What a shard of a server needs besides.
pub trait ServerWorld: World {
    /// One listening socket.
    type Listener: Listen<Socket = Self::Socket>;

    /// Has the poller tell when there is something to read from the socket of the session in
    /// `slot`.
    ///
    /// # Errors
    ///
    /// What the poller says; it does not watch the socket then.
    fn register(&mut self, socket: &mut Self::Socket, slot: u32) -> io::Result<()>;

    /// Has it tell too when this socket, which it watches already, takes bytes again; also if it
    /// does by now.
    ///
    /// # Errors
    ///
    /// What the poller says; it watches the socket as before.
    fn register_for_writing(&mut self, socket: &mut Self::Socket, slot: u32) -> io::Result<()>;

    /// Has the poller forget a socket that is about to be closed.
    fn deregister(&mut self, socket: &mut Self::Socket);

    /// Sets options on the socket of a new session, unless it has them from its listener.
    ///
    /// # Errors
    ///
    /// What the system says; some options may be set then.
    fn prepare(&self, socket: &mut Self::Socket, options: &KernelOptions) -> io::Result<()>;
}

/// A listening socket.
pub trait Listen: Debug + Send {
    /// What it makes of a client.
    type Socket;

    /// Accepts one client.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if none waits; else as for [`std::net::TcpListener::accept`].
    fn accept(&self) -> io::Result<(Self::Socket, SocketAddr)>;
}

/// A rule that a driver can be made to break: those that no world and no configuration that lies
/// would have it break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is for the simulator, which knows them all")]
pub enum Break {
    /// It looks at its deadlines only when nothing waits to be written.
    WaitsForWrites,
    /// It holds its own pauses against its peers.
    IgnoresPauses,
    /// It takes each of its pauses for a byte of the peer.
    TakesPausesForLife,
    /// It takes its own writes for life.
    HearsItself,
    /// It tells a verdict twice.
    TellsTwice,
    /// It tells wrong figures.
    TellsWrongFigures,
    /// It goes on telling after the farewell.
    SpeaksAfterOffline,
    /// A takeover forgets the session that had the name.
    ForgetsTakenOver,
    /// It lets a client in under a name that another session has.
    SharesNames,
    /// It tells of the end of a session twice.
    TellsOfflineTwice,
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
        // If this fails, the kernel goes on sending what it has, and the end comes behind that.
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
        Self::accept(self)
    }
}
