//! The machine that a driver of the library runs on here: its time, its sockets and its poller are
//! those of the simulated world.

mod socket;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heartwire::internal::{Break, Listen, ServerWorld, World};
use heartwire::kernel::KernelOptions;
use heartwire_core::{Instant, Side};

pub(super) use self::socket::Socket;
use super::broken::Broken;
use super::link::{Both, LinkId};
use super::net::Net;
use super::queue::{HostId, SERVER};
use super::terms::Terms;

/// The time of day when a machine's clock was at 0, in seconds since 1970.
const WALL: u64 = 1_800_000_000;

/// The simulated world under all processes. All of them run on one thread: the lock is there
/// because a server's parts may be sent to other threads.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Net>>);

impl Shared {
    pub(super) fn new(net: Net) -> Self {
        Self(Arc::new(Mutex::new(net)))
    }

    /// For one call only: nothing waits, and no driver runs meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a process that calls its end of a link, and may have to wait.
    fn ask(&self, link: LinkId, side: Side) -> MutexGuard<'_, Net> {
        let mut net = self.lock();
        let host = net.link(link).sockets.of(side).host;
        net.may_interrupt(host);
        net
    }
}

/// A machine, as the driver that runs on it sees it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    net: Shared,
    host: HostId,
    terms: Both<Terms>,
}

impl Machine {
    pub(super) const fn new(net: Shared, host: HostId, terms: Both<Terms>) -> Self {
        Self { net, host, terms }
    }

    const fn side(&self) -> Side {
        if self.host == SERVER { Side::Server } else { Side::Client }
    }

    fn broken(&self) -> Option<Broken> {
        self.terms.of(self.side()).broken
    }

    /// This machine's end of a link.
    pub(super) fn socket(&self, link: LinkId) -> Socket {
        Socket::new(self.net.clone(), link, self.side(), &self.terms)
    }
}

impl World for Machine {
    type Socket = Socket;

    fn now(&self) -> Instant {
        let mut net = self.net.lock();
        net.may_interrupt(self.host);
        net.clock(self.host)
    }

    fn now_and_suspended(&self) -> (Instant, Duration) {
        let mut net = self.net.lock();
        net.may_interrupt(self.host);
        let wake = net.compare_clocks(self.host);
        drop(net);
        match self.broken() {
            Some(Broken::IgnoresSuspends) => (wake.at, Duration::ZERO),
            Some(_) | None => (wake.at, wake.suspended),
        }
    }

    fn jiffy(&self) -> Duration {
        match self.broken() {
            Some(Broken::TrustsJiffies) => Duration::ZERO,
            Some(_) | None => self.net.lock().jiffy,
        }
    }

    fn breaks(&self, rule: Break) -> bool {
        self.broken().and_then(Broken::in_the_code) == Some(rule)
    }
}

impl ServerWorld for Machine {
    type Listener = Listener;

    fn register(&mut self, socket: &mut Socket, slot: u32) -> io::Result<()> {
        self.net.lock().register(socket.link(), slot);
        Ok(())
    }

    fn register_for_writing(&mut self, socket: &mut Socket, _slot: u32) -> io::Result<()> {
        self.net.lock().register_for_writing(socket.link());
        Ok(())
    }

    fn wall_secs(&self) -> u64 {
        WALL + self.net.lock().clock(self.host).as_nanos() / 1_000_000_000
    }

    fn deregister(&mut self, socket: &mut Socket) {
        self.net.lock().deregister(socket.link());
    }

    fn prepare(&self, _socket: &mut Socket, _options: &KernelOptions) -> io::Result<()> {
        Ok(())
    }
}

/// The listening socket of a server.
#[derive(Debug)]
pub(super) struct Listener(Machine);

impl Listener {
    pub(super) fn new(machine: Machine) -> Self {
        machine.net.lock().listen();
        Self(machine)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.net.lock().hang_up();
    }
}

impl Listen for Listener {
    type Socket = Socket;

    fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let Self(machine) = self;
        let mut net = machine.net.lock();
        let link = net.backlog.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        net.watch(link, Side::Server, &machine.terms);
        let peer = address(net.link(link).path, link);
        drop(net);
        Ok((machine.socket(link), peer))
    }
}

/// Where a client's end of a link is. Each client is a host of its own, and no two links have one
/// port.
pub(super) fn address(client: HostId, link: LinkId) -> SocketAddr {
    let host = u8::try_from(client).unwrap_or(u8::MAX);
    let port = u16::try_from(link).unwrap_or(u16::MAX);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port)
}

/// The link that a client with this address has.
pub(super) fn link_of(peer: SocketAddr) -> LinkId {
    peer.port().into()
}
