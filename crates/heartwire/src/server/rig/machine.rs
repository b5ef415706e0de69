//! A shard's machine in a toy world: its poller and its listening socket.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use heartwire_core::Instant;

use crate::kernel::KernelOptions;
use crate::server::shard::Ready;
use crate::toy::Toy;
use crate::world::{Listen, ServerWorld, World};

/// The machine of one shard, with its poller.
#[derive(Clone, Debug)]
pub(in crate::server) struct Machine {
    toy: Toy,
    watched: Arc<Mutex<BTreeMap<u32, Watched>>>,
}

#[derive(Debug)]
struct Watched {
    socket: Toy,
    /// Report when the socket is writable again, or already is.
    for_writing: bool,
    /// The socket was full at the last check.
    is_full: bool,
}

impl Machine {
    pub(super) fn new(toy: &Toy) -> Self {
        Self { toy: toy.clone(), watched: Arc::default() }
    }

    /// The changes at its sockets since the last call.
    pub(super) fn ready(&self) -> Vec<Ready> {
        let mut watched = self.watched.lock().unwrap();
        let ready = watched.iter_mut().filter_map(|(&slot, watched)| {
            let mut socket = watched.socket.state();
            let readable = core::mem::take(&mut socket.has_news);
            let is_full = socket.room == 0 && socket.write_error.is_none();
            let was_full = core::mem::replace(&mut watched.is_full, is_full);
            let writable = watched.for_writing && was_full && !is_full;
            let closed = readable && socket.end.is_some();
            (readable || writable).then_some(Ready::Session { slot, readable, closed, writable })
        });
        ready.collect()
    }
}

impl World for Machine {
    type Socket = Toy;

    fn now(&self) -> Instant {
        self.toy.now()
    }

    fn now_and_suspended(&self) -> (Instant, Duration) {
        self.toy.now_and_suspended()
    }

    fn jiffy(&self) -> Duration {
        self.toy.jiffy()
    }
}

impl ServerWorld for Machine {
    type Listener = Door;

    fn register(&mut self, socket: &mut Toy, slot: u32) -> io::Result<()> {
        let mut state = socket.state();
        // Edge-triggered, and the present state counts as news.
        state.has_news |= !state.inbound.is_empty() || state.end.is_some();
        state.is_closed = false;
        drop(state);
        let watched = Watched { socket: socket.clone(), for_writing: false, is_full: false };
        self.watched.lock().unwrap().insert(slot, watched);
        Ok(())
    }

    fn register_for_writing(&mut self, _socket: &mut Toy, slot: u32) -> io::Result<()> {
        let mut watched = self.watched.lock().unwrap();
        let watched = watched.get_mut(&slot).unwrap();
        // Also if it does by now.
        (watched.for_writing, watched.is_full) = (true, true);
        Ok(())
    }

    fn wall_secs(&self) -> u64 {
        self.toy.wall_secs()
    }

    fn deregister(&mut self, socket: &mut Toy) {
        socket.state().is_closed = true;
        self.watched.lock().unwrap().retain(|_, watched| !watched.socket.state().is_closed);
    }

    fn prepare(&self, _socket: &mut Toy, _options: &KernelOptions) -> io::Result<()> {
        Ok(())
    }
}

/// The listening socket, which the test controls.
#[derive(Clone, Debug)]
pub(in crate::server) struct Door {
    toy: Toy,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    waiting: VecDeque<(Toy, SocketAddr)>,
    came: u16,
    /// The poller has not reported the latest client yet.
    has_news: bool,
    /// How many more attempts to accept find no descriptor.
    without_descriptor: usize,
}

impl Door {
    pub(super) fn new(toy: &Toy) -> Self {
        Self { toy: toy.clone(), clients: Arc::default() }
    }

    /// Whether clients have come since the last call.
    pub(super) fn is_ready(&self) -> bool {
        core::mem::take(&mut self.clients.lock().unwrap().has_news)
    }

    /// The next attempt to accept a client finds no descriptor.
    pub(in crate::server) fn run_out_of_descriptors(&self) {
        self.clients.lock().unwrap().without_descriptor = 1;
    }

    /// Connects a client. The server may not have accepted it yet.
    pub(in crate::server) fn connect(&self) -> Toy {
        self.connect_from(Ipv4Addr::LOCALHOST.into())
    }

    pub(in crate::server) fn connect_from(&self, address: IpAddr) -> Toy {
        let client = self.toy.another();
        let mut clients = self.clients.lock().unwrap();
        clients.came += 1;
        let peer = SocketAddr::new(address, clients.came);
        clients.waiting.push_back((client.clone(), peer));
        clients.has_news = true;
        client
    }
}

impl Listen for Door {
    type Socket = Toy;

    fn accept(&self) -> io::Result<(Toy, SocketAddr)> {
        let mut clients = self.clients.lock().unwrap();
        if let Some(left) = clients.without_descriptor.checked_sub(1) {
            clients.without_descriptor = left;
            return Err(io::Error::other("no descriptor is left"));
        }
        let next = clients.waiting.pop_front();
        next.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}
