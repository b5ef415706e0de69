//! A world for unit tests: the test moves the clock, and is the peer of every socket.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use heartwire_core::Instant;

use crate::sys::Way;
use crate::world::{Socket, World};

/// A jiffy of the toy's kernel.
const JIFFY: Duration = Duration::from_millis(4);

/// The world and one of its sockets, which the test controls. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Toy {
    clock: Arc<Mutex<Clock>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct Clock {
    now: Instant,
    suspended: Duration,
    /// The time of day, in seconds since 1970, when this clock was at 0.
    wall_at_zero: i64,
}

/// The state of a socket, which the test reads and sets.
#[derive(Debug)]
pub(crate) struct State {
    /// Bytes that the peer has sent and that were not read.
    pub(crate) inbound: VecDeque<u8>,
    /// The error after those bytes, if the connection has ended.
    pub(crate) end: Option<io::ErrorKind>,
    /// Only `read_now` finds these bytes.
    pub(crate) is_unseen: bool,
    pub(crate) arrived_at: Instant,
    /// The poller reports the socket when so many bytes wait.
    pub(crate) receive_mark: usize,
    /// The poller has not reported the readable bytes yet.
    pub(crate) has_news: bool,
    /// Bytes that were written to the peer.
    pub(crate) written: Vec<u8>,
    /// The error that writes return.
    pub(crate) write_error: Option<io::ErrorKind>,
    /// How many more bytes the kernel takes, and the error of further writes.
    pub(crate) room: usize,
    pub(crate) error_when_full: io::ErrorKind,
    pub(crate) unacknowledged: Option<usize>,
    pub(crate) way: Option<Way>,
    pub(crate) is_shutdown: bool,
    pub(crate) resets: bool,
    /// The driver's end is closed.
    pub(crate) is_closed: bool,
    /// A pause of the driver after its next read, and the bytes that come as it begins.
    pub(crate) held_up_reading: Option<(Duration, Vec<u8>)>,
    /// A pause of the driver when it asks when the last bytes came.
    pub(crate) held_up_asking: Duration,
    /// Duration for which the driver is held up after the next answer to that.
    pub(crate) held_up_answered: Duration,
}

impl Toy {
    pub(crate) fn new() -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let clock = Arc::new(Mutex::new(Clock {
            now,
            suspended: Duration::ZERO,
            wall_at_zero: 1_000_000_000,
        }));
        Self::of(clock, now)
    }

    /// Whether the driver has dropped its end of the socket.
    pub(crate) fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.state) == 1
    }

    /// Another socket of the same world.
    pub(crate) fn another(&self) -> Self {
        Self::of(Arc::clone(&self.clock), self.now())
    }

    fn of(clock: Arc<Mutex<Clock>>, now: Instant) -> Self {
        let state = State {
            inbound: VecDeque::new(),
            end: None,
            is_unseen: false,
            arrived_at: now,
            receive_mark: 1,
            has_news: false,
            written: Vec::new(),
            write_error: None,
            room: usize::MAX,
            error_when_full: io::ErrorKind::WouldBlock,
            unacknowledged: Some(0),
            way: None,
            is_shutdown: false,
            resets: false,
            is_closed: false,
            held_up_reading: None,
            held_up_asking: Duration::ZERO,
            held_up_answered: Duration::ZERO,
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.lock().unwrap().now
    }

    /// The time of day, in seconds since 1970.
    pub(crate) fn wall_secs(&self) -> u64 {
        let clock = self.clock.lock().unwrap();
        let secs = i64::try_from(clock.now.as_nanos() / 1_000_000_000).unwrap();
        u64::try_from(clock.wall_at_zero + secs).unwrap()
    }

    /// Changes the time of day.
    pub(crate) fn change_wall(&self, by_secs: i64) {
        self.clock.lock().unwrap().wall_at_zero += by_secs;
    }

    pub(crate) fn pass(&self, time: Duration) {
        let mut clock = self.clock.lock().unwrap();
        clock.now = clock.now.saturating_add(time);
    }

    /// Suspends the machine for `time`.
    pub(crate) fn suspend(&self, time: Duration) {
        self.pass(time);
        self.clock.lock().unwrap().suspended += time;
    }

    /// Sends bytes from the peer.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let now = self.now();
        let mut state = self.state();
        state.inbound.extend(bytes);
        state.arrived_at = now;
        state.has_news |= state.inbound.len() >= state.receive_mark;
    }

    /// Takes the bytes written to the peer since the last call.
    pub(crate) fn take_written(&self) -> Vec<u8> {
        core::mem::take(&mut self.state().written)
    }
}

impl World for Toy {
    type Socket = Self;

    fn now(&self) -> Instant {
        self.now()
    }

    fn now_and_suspended(&self) -> (Instant, Duration) {
        let clock = self.clock.lock().unwrap();
        (clock.now, clock.suspended)
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
            return Err(state.error_when_full.into());
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
            (false, _) => {
                // As much as fits, like a kernel.
                state.inbound.make_contiguous();
                let read = state.inbound.read(buffer);
                let held_up = state.held_up_reading.take();
                drop(state);
                if let Some((time, bytes)) = held_up {
                    self.send(&bytes);
                    self.pass(time);
                }
                read
            }
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

    fn shutdown_writing(&mut self) -> io::Result<()> {
        self.state().is_shutdown = true;
        Ok(())
    }

    fn reset_when_closed(&mut self) {
        self.state().resets = true;
    }

    fn since_last_receive(&self) -> io::Result<Duration> {
        let mut state = self.state();
        self.pass(state.held_up_asking);
        let since = self.now().saturating_since(state.arrived_at);
        self.pass(core::mem::take(&mut state.held_up_answered));
        Ok(since)
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.state().unacknowledged
    }

    fn set_receive_mark(&mut self, bytes: u32) -> io::Result<()> {
        let mut state = self.state();
        state.receive_mark = bytes.try_into().unwrap();
        state.has_news |= state.inbound.len() >= state.receive_mark;
        Ok(())
    }

    fn way(&self) -> Option<Way> {
        self.state().way
    }

    fn resends_after(&self) -> Option<Duration> {
        None
    }
}
