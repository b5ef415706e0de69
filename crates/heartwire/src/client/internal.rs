//! For the simulator: a client in a world of its own, without a runtime.
//!
//! [`open`] makes the handle and the events that an application has, and the [`Life`] that the task
//! of a client runs. The caller is the task:
//!
//! - It calls [`Life::step`] at the start, and whenever something happens that the last [`Wait`] names: the
//!   socket has something to read or takes bytes again, the application has sent or closed or dropped its
//!   handles or taken events, the time has come. What changes what the client wants of its beats
//!   ([`Client::promise`], [`Client::feed_watchdog`], [`Client::network_changed`]) is followed by a step in any case. A step
//!   too many does no harm.
//! - The timer is set when [`Wait::until`] is another time than the last one, and left alone else: that it is set
//!   so seldom is the client's doing, and what it makes of a timer that rings late is what is to be seen.
//! - [`Step::Dial`] is said once for each attempt, and [`Life::connected`] or [`Life::not_connected`] is the
//!   answer, then the next step. Until then, the application may close and take events.
//!
//! Nothing in a step waits, but the world's clock may go on meanwhile. A [`Life`] that is dropped
//! closes its socket: that is a crash.
//!
//! Messages go in with [`Client::try_send`] and events come out of [`Events::try_recv`], which need
//! no runtime. A client is the server's judge in [`Life::connection`], for an oracle to look at.

use core::net::SocketAddr;
use std::io;

use super::dial::Dialled;
pub use super::drive::Wait;
use super::event::Reports;
pub use super::life::{Life, Step};
use super::transport::Transport;
use super::{AddressError, Client, ClientConfig, ConnectError, Events};
use crate::kernel::KernelReport;
use crate::world::World;

/// A client that is about to connect, its events, of which so many may wait, and all that it does.
pub fn open<W: World + Clone>(
    config: ClientConfig,
    world: W,
    max_events: usize,
) -> (Client, Events, Life<W>) {
    let (reports, receiver) = Reports::new(max_events);
    let (client, app) = Client::open(&config, reports, world.now());
    (client, Events::new(receiver), Life::new(world, config, app))
}

impl<W: World + Clone> Life<W> {
    /// The attempt has succeeded. Does nothing unless one was begun.
    pub fn connected(&mut self, socket: W::Socket, peer: SocketAddr) {
        let in_force = self.config.kernel;
        let kernel = KernelReport { in_force, buffers: None, missing: Vec::new() };
        let (transport, said) = (Transport::new(socket), Vec::new());
        self.handle_dialled(Ok(Dialled { transport, said, peer, kernel }));
    }

    /// The attempt has failed: this is what the one address said. Does nothing unless one was
    /// begun.
    pub fn not_connected(&mut self, address: SocketAddr, error: io::Error) {
        let tried = vec![AddressError { address, error }];
        let target = self.config.target.clone();
        self.handle_dialled(Err(ConnectError::NoAnswer { target, tried }));
    }
}
