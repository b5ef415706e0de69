//! For the simulator: a client in a simulated world, without a runtime.
//!
//! [`open`] creates the application's handle and events, and the [`Life`] that the task of a client
//! runs. The caller acts as the task:
//!
//! - Call [`Life::step`] at the start, and whenever something happens that the last [`Wait`] names:
//!   the socket is readable or writable, the application has sent, closed, dropped its handles or
//!   taken events, or the time has come. Call it also after [`Client::promise`],
//!   [`Client::feed_watchdog`], [`Client::network_changed`] and [`Client::end`], and when the
//!   application has taken data of a session that can be resumed. An extra step does no harm.
//! - Set the timer only when [`Wait::until`] has changed, as the real task does: the simulator
//!   tests how the client handles a timer that fires late.
//! - [`Step::Dial`] comes once per attempt. Answer with [`Life::connected`] or
//!   [`Life::not_connected`], then call the next step. Until then, the application may close and
//!   take events.
//!
//! - A client asks for a spare connection ([`Wait::spare`]) only with
//!   [`Resume::suspect`](super::Resume::suspect). Answer with [`Life::spare_connected`] or
//!   [`Life::spare_not_connected`] while it does, and take the next step.
//!
//! A step never blocks, but the world's clock may advance during it. Dropping a [`Life`] closes its
//! socket: that is a crash.
//!
//! Send with [`Client::try_send`] and take events with [`Events::try_recv`], which need no runtime.
//! [`Life::connection`] and [`Life::ledger`] show the core's state to an oracle.

use core::net::SocketAddr;
use std::io;

use super::dial::Dialled;
pub use super::drive::Wait;
use super::event::Reports;
pub use super::life::{Life, Step};
use super::transport::Transport;
use super::{Client, ClientConfig, ConnectError, Events};
use crate::world::World;

/// Creates a client that is about to connect, its events, of which `max_events` may wait, and its
/// life.
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
    /// Reports that the attempt has succeeded. Does nothing without an attempt.
    pub fn connected(&mut self, socket: W::Socket, peer: SocketAddr) {
        let kernel = self.config.kernel.report();
        let (transport, said) = (Transport::new(socket), Vec::new());
        self.handle_dialled(Ok(Dialled { transport, said, peer, kernel }));
    }

    /// Reports that the [spare](Wait::spare) connection that was asked for is made.
    pub fn spare_connected(&mut self, socket: W::Socket, peer: SocketAddr) {
        let kernel = self.config.kernel.report();
        let (transport, said) = (Transport::new(socket), Vec::new());
        self.handle_spare(Ok(Dialled { transport, said, peer, kernel }));
    }

    /// Reports that it cannot be made.
    pub fn spare_not_connected(&mut self, address: SocketAddr, error: io::Error) {
        let (target, tried) = (self.config.target.clone(), vec![(address, error)]);
        self.handle_spare(Err(ConnectError::NoAnswer { target, tried }));
    }

    /// Reports that the attempt has failed, with the error of its only address. Does nothing
    /// without an attempt.
    pub fn not_connected(&mut self, address: SocketAddr, error: io::Error) {
        let tried = vec![(address, error)];
        let target = self.config.target.clone();
        self.handle_dialled(Err(ConnectError::NoAnswer { target, tried }));
    }
}
