//! The event loop of a shard: a thread that waits with a poller and runs the shard's turns.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::task::Wake as WakeThread;

use heartwire_core::Instant;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::SockRef;

use super::alarm::Alarm;
use super::handler::Handler;
use super::shard::{Ready, Reported, Shard, Wake};
use crate::clock;
use crate::kernel::KernelOptions;
use crate::world::{ServerWorld, World};

/// Maximum number of poller events per turn.
const EVENTS_PER_TURN: usize = 1024;

const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Listening sockets have the tokens from here on; sessions have their slots as tokens.
const FIRST_LISTENER: usize = usize::MAX / 2;

/// A poller with an alarm.
#[derive(Debug)]
pub(super) struct Reactor {
    poll: Poll,
    alarm: Alarm,
    waker: Arc<PollWaker>,
}

impl Reactor {
    /// Creates a poller, its shard's view of the machine, and its waker.
    ///
    /// `inherits`: all clients connect to listening sockets that have the kernel options already.
    pub(super) fn new(inherits: bool) -> io::Result<(Self, Machine, Waker)> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let inherits = inherits && cfg!(any(target_os = "linux", target_os = "android"));
        let registry = poll.registry().try_clone()?;
        let machine = Machine { registry, jiffy: clock::jiffy(), inherits };
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let waker = Arc::new(PollWaker { waker, is_used: AtomicBool::new(false) });
        Ok((Self { poll, alarm, waker: Arc::clone(&waker) }, machine, waker.into()))
    }

    /// Registers the listening sockets.
    pub(super) fn listen(&self, sockets: &mut [TcpListener]) -> io::Result<()> {
        for (socket, index) in sockets.iter_mut().zip(0..) {
            let token = Token(FIRST_LISTENER + index);
            self.poll.registry().register(socket, token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Runs a shard until its server has shut down and all sessions have ended.
    pub(super) fn run<H: Handler>(mut self, mut shard: Shard<Machine, H>) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut wake = Wake::Now(None);
        loop {
            let timeout = match wake {
                Wake::Now(_) => Some(Duration::ZERO),
                Wake::By(deadline) => self.alarm.set(deadline),
                Wake::Over => return,
            };
            let told = self.wait(&mut events, timeout);
            if events.iter().any(|event| event.token() == WAKER) {
                // Before the turn takes what it was woken for.
                self.waker.is_used.swap(false, Ordering::AcqRel);
            }
            wake = shard.turn(events.iter().filter_map(ready), told);
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> Reported {
        match self.poll.poll(events, timeout) {
            Ok(()) if events.iter().count() < EVENTS_PER_TURN => Reported::All,
            Ok(()) => Reported::Some,
            Err(error) => {
                // Interrupted by a signal: an empty turn. A poller with a valid descriptor has no
                // other errors.
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(%error, "the poller failed");
                }
                Reported::Nothing
            }
        }
    }
}

fn ready(event: &Event) -> Option<Ready> {
    let Token(number) = event.token();
    if event.token() == WAKER {
        return Some(Ready::Woken);
    }
    if event.token() == ALARM {
        return None;
    }
    if let Some(socket) = number.checked_sub(FIRST_LISTENER) {
        return Some(Ready::Listener(socket));
    }
    Some(Ready::Session {
        slot: u32::try_from(number).ok()?,
        readable: event.is_readable(),
        closed: event.is_read_closed() || event.is_error(),
        writable: event.is_writable(),
    })
}

/// Wakes a poller: once, until it has noticed, so that a burst of commands costs one system call.
#[derive(Debug)]
struct PollWaker {
    waker: mio::Waker,
    is_used: AtomicBool,
}

impl WakeThread for PollWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_used.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            self.is_used.store(false, Ordering::Release);
            tracing::warn!(%error, "a shard could not be woken; it will run later");
        }
    }
}

/// The machine that this process runs on, with the poller of one shard.
#[derive(Debug)]
pub(super) struct Machine {
    registry: Registry,
    jiffy: Duration,
    /// Accepted sockets have their listener's options.
    inherits: bool,
}

impl World for Machine {
    type Socket = TcpStream;

    #[inline]
    fn now(&self) -> Instant {
        clock::now()
    }

    #[inline]
    fn now_and_suspended(&self) -> (Instant, Duration) {
        clock::now_and_suspended()
    }

    fn jiffy(&self) -> Duration {
        self.jiffy
    }
}

impl ServerWorld for Machine {
    type Listener = TcpListener;

    fn register(&mut self, socket: &mut TcpStream, slot: u32) -> io::Result<()> {
        self.registry.register(socket, token(slot), Interest::READABLE)
    }

    fn register_for_writing(&mut self, socket: &mut TcpStream, slot: u32) -> io::Result<()> {
        self.registry.reregister(socket, token(slot), Interest::READABLE | Interest::WRITABLE)
    }

    fn wall_secs(&self) -> u64 {
        clock::wall_micros() / 1_000_000
    }

    fn deregister(&mut self, socket: &mut TcpStream) {
        // If this fails, closing the socket deregisters it.
        let _ = self.registry.deregister(socket);
    }

    /// On Linux an accepted socket inherits the options from its listener, which saves system
    /// calls.
    fn prepare(&self, socket: &mut TcpStream, options: &KernelOptions) -> io::Result<()> {
        if !self.inherits {
            options.apply(&SockRef::from(&*socket))?;
        }
        Ok(())
    }
}

/// The poller's token of a session: its slot.
fn token(slot: u32) -> Token {
    Token(usize::try_from(slot).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::net;

    use super::*;

    /// Whether a client that connected before its listener had options has them when it is served.
    fn has_options(inherits: bool) -> bool {
        let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, machine, _) = Reactor::new(inherits).unwrap();
        let mut accepted = TcpStream::from_std(listener.accept().unwrap().0);
        machine.prepare(&mut accepted, &KernelOptions::default()).unwrap();
        SockRef::from(&accepted).tcp_nodelay().unwrap()
    }

    #[test]
    fn clients_who_came_before_the_server_get_their_kernel_options_too() {
        assert!(has_options(false));
        // Linux's other sockets have them from their listeners, without a call.
        assert_eq!(has_options(true), cfg!(not(any(target_os = "linux", target_os = "android"))));
    }
}
