//! The application in the client's unit tests, in a toy world.

use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::dial::Dialled;
use super::event::{Delivery, MAX_EVENTS, Reports};
use super::transport::Transport;
use super::{App, Client, ClientConfig, Event};
use crate::kernel::KernelOptions;
use crate::toy::Toy;

impl Toy {
    /// A new connection.
    pub(super) fn dialled(&self) -> Dialled<Self> {
        Dialled {
            transport: Transport::new(self.clone()),
            said: Vec::new(),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            kernel: KernelOptions::default().report(),
        }
    }
}

/// The application's handle and events.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) client: Client,
    room: Arc<Semaphore>,
    events: UnboundedReceiver<Box<Delivery>>,
}

impl Application {
    pub(super) fn of(config: &ClientConfig, toy: &Toy) -> (Self, App) {
        let (reports, events) = Reports::new(MAX_EVENTS);
        let room = Arc::clone(&reports.room);
        let (client, app) = Client::open(config, reports, toy.now());
        (Self { client, room, events }, app)
    }

    /// Leaves room for so many events, until the returned permit is dropped.
    pub(super) fn leave_room(&self, for_events: usize) -> OwnedSemaphorePermit {
        let taken = u32::try_from(self.room.available_permits() - for_events).unwrap();
        Arc::clone(&self.room).try_acquire_many_owned(taken).unwrap()
    }

    /// The events that were not taken yet.
    pub(super) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.events.try_recv().ok()).map(|told| told.event).collect()
    }

    /// Their short names.
    pub(super) fn names(&mut self) -> Vec<&'static str> {
        self.events().iter().map(Event::name).collect()
    }
}
