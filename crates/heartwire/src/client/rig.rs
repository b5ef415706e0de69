//! A world for unit tests: a clock that stands until the test moves it on, and one socket, whose
//! other end is the test.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use heartwire_core::Instant;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::dial::Dialled;
use super::event::{EVENTS_MAX, Reports, Told};
use super::transport::Transport;
use super::{App, Client, ClientConfig, Event};
use crate::kernel::{KernelOptions, KernelReport};
use crate::sys::Way;
use crate::world::{Socket, World};

/// A jiffy of the toy's kernel.
const JIFFY: Duration = Duration::from_millis(4);

/// The world, its socket, and the test's hand on both: clones share one.
#[derive(Clone, Debug)]
pub(super) struct Toy(Arc<Mutex<State>>);

/// What the test sees and decides.
#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Instant,
    pub(super) suspended: Duration,
    /// What the peer has sent and was not read.
    pub(super) inbound: VecDeque<u8>,
    /// What comes behind that, if it is over.
    pub(super) end: Option<io::ErrorKind>,
    /// A read finds none of it, unless it asks for whatever the kernel has.
    pub(super) is_unseen: bool,
    pub(super) arrived_at: Instant,
    /// What the client has written.
    pub(super) written: Vec<u8>,
    /// What a write comes to, if it does not go through.
    pub(super) write_error: Option<io::ErrorKind>,
    /// How much more the kernel takes.
    pub(super) room: usize,
    pub(super) unacknowledged: Option<usize>,
    pub(super) way: Option<Way>,
    pub(super) is_shut_down: bool,
    pub(super) resets: bool,
    /// How long the client is held up when it asks when the last bytes came.
    pub(super) held_up_asking: Duration,
}

impl Toy {
    pub(super) fn new() -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        Self(Arc::new(Mutex::new(State {
            now,
            suspended: Duration::ZERO,
            inbound: VecDeque::new(),
            end: None,
            is_unseen: false,
            arrived_at: now,
            written: Vec::new(),
            write_error: None,
            room: usize::MAX,
            unacknowledged: Some(0),
            way: None,
            is_shut_down: false,
            resets: false,
            held_up_asking: Duration::ZERO,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn pass(&self, time: Duration) {
        let mut state = self.state();
        state.now = state.now.saturating_add(time);
    }

    /// The machine is suspended for so long.
    pub(super) fn suspend(&self, time: Duration) {
        self.pass(time);
        self.state().suspended += time;
    }

    /// The peer sends this.
    pub(super) fn send(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.inbound.extend(bytes);
        state.arrived_at = state.now;
    }

    /// What the client has written since the last call.
    pub(super) fn take_written(&self) -> Vec<u8> {
        core::mem::take(&mut self.state().written)
    }

    /// A connection that was just made.
    pub(super) fn dialled(&self) -> Dialled<Self> {
        Dialled {
            transport: Transport::new(self.clone()),
            said: Vec::new(),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            kernel: KernelReport {
                in_force: KernelOptions::default(),
                buffers: None,
                missing: Vec::new(),
            },
        }
    }
}

impl World for Toy {
    type Socket = Self;

    fn now(&self) -> Instant {
        self.state().now
    }

    fn now_and_suspended(&self) -> (Instant, Duration) {
        let state = self.state();
        (state.now, state.suspended)
    }

    fn jiffy(&self) -> Duration {
        JIFFY
    }
}

impl Read for Toy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state().is_unseen {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read_now(buffer)
    }
}

impl Write for Toy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if let Some(error) = state.write_error {
            return Err(error.into());
        }
        let len = bytes.len().min(state.room);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.room -= len;
        state.written.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Toy {
    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        match (state.inbound.is_empty(), state.end) {
            (false, _) => state.inbound.read(buffer),
            (true, Some(io::ErrorKind::UnexpectedEof)) => Ok(0),
            (true, end) => Err(end.unwrap_or(io::ErrorKind::WouldBlock).into()),
        }
    }

    fn peek(&mut self) -> io::Result<usize> {
        let state = self.state();
        match (state.inbound.is_empty(), state.end) {
            (false, _) => Ok(1),
            (true, Some(io::ErrorKind::UnexpectedEof)) => Ok(0),
            (true, end) => Err(end.unwrap_or(io::ErrorKind::WouldBlock).into()),
        }
    }

    fn shut_down_writing(&mut self) -> io::Result<()> {
        self.state().is_shut_down = true;
        Ok(())
    }

    fn reset_when_closed(&mut self) {
        self.state().resets = true;
    }

    fn since_last_receive(&self) -> io::Result<Duration> {
        let mut state = self.state();
        state.now = state.now.saturating_add(state.held_up_asking);
        Ok(state.now.saturating_since(state.arrived_at))
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.state().unacknowledged
    }

    fn set_receive_mark(&mut self, _bytes: u32) -> io::Result<()> {
        Ok(())
    }

    fn way(&self) -> Option<Way> {
        self.state().way
    }

    fn resends_after(&self) -> Option<Duration> {
        None
    }
}

/// The application's side: its handle, and what it is told.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) client: Client,
    room: Arc<Semaphore>,
    events: UnboundedReceiver<Told>,
}

impl Owner {
    pub(super) fn of(config: &ClientConfig, toy: &Toy) -> (Self, App) {
        let (reports, events) = Reports::new(EVENTS_MAX);
        let room = Arc::clone(&reports.room);
        let (client, app) = Client::open(config, reports, toy.now());
        (Self { client, room, events }, app)
    }

    /// Leaves room for so many events, until what this returns is dropped.
    pub(super) fn leave_room(&self, for_events: usize) -> OwnedSemaphorePermit {
        let taken = u32::try_from(self.room.available_permits() - for_events).unwrap();
        Arc::clone(&self.room).try_acquire_many_owned(taken).unwrap()
    }

    /// The events so far that were not taken.
    pub(super) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.events.try_recv().ok()).map(|told| told.event).collect()
    }

    /// Their short names.
    pub(super) fn names(&mut self) -> Vec<&'static str> {
        self.events().iter().map(Event::name).collect()
    }
}
