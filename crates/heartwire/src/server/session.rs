//! One client's connection on a server: its socket, its liveness, and what waits to be written.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};

use heartwire_core::v1::{Contract, Health};
use heartwire_core::{Connection, Instant, Spoken};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::gate::addresses::Entered;
use crate::reason::Reason;
use crate::{clock, sys};

/// Small, because a server holds very many: what only few need is allocated when first needed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stream: TcpStream,
    pub(super) connection: Connection,
    pub(super) peer: SocketAddr,
    pub(super) online_at: Instant,
    pub(super) beats: u32,
    /// Its socket wakes for every byte for now: before the first frame, because that decides
    /// whether the client is one at all, and within a frame, because what is missing of it may be
    /// less than the mark.
    pub(super) wakes_for_all: bool,
    /// Its owner knows of it.
    pub(super) online: bool,
    /// It is on its way out: nothing more is read from it or told about it, but `Offline`.
    pub(super) ending: bool,
    /// It is in the shard's list of sessions with bytes to read.
    pub(super) unread: bool,
    /// It is in the shard's list of sessions with bytes to write.
    pub(super) unflushed: bool,
    /// Its socket took no more bytes; the poller will say when it does.
    pub(super) blocked: bool,
    /// Its place among those of its address.
    pub(super) entered: Option<Entered>,
    extra: Option<Box<Extra>>,
}

/// A client that gave a name, or has to wait for one.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) name: Box<str>,
    pub(super) epoch: u64,
    pub(super) agent: Option<Box<str>>,
    /// What it will be welcomed to when nobody else has its name any more.
    pub(super) waits_for: Option<Box<Contract>>,
}

/// What few sessions need, and not all the time.
#[derive(Debug, Default)]
struct Extra {
    /// What the client called itself at the handshake.
    guest: Option<Guest>,
    /// The beginning of a frame that has not arrived whole.
    inbound: Vec<u8>,
    /// Bytes to write, of which the first `written` have been.
    outbound: Vec<u8>,
    written: usize,
    /// What the kernel said when the connection failed.
    failed: Option<io::ErrorKind>,
}

impl Extra {
    fn waiting(&self) -> &[u8] {
        self.outbound.get(self.written..).unwrap_or_default()
    }
}

impl Session {
    pub(super) const fn new(
        stream: TcpStream,
        peer: SocketAddr,
        connection: Connection,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            connection,
            peer,
            online_at: now,
            beats: 0,
            wakes_for_all: true,
            online: false,
            entered: None,
            ending: false,
            unread: false,
            unflushed: false,
            blocked: false,
            extra: None,
        }
    }

    /// One read from the socket into `buffer`; `None` if nothing is there.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the kernel when the last byte came, for bytes that did not wake anybody. Never too early:
    /// the kernel counts in jiffies, and a verdict that rests on this may be late, but not early.
    pub(super) fn hear_from_kernel(&mut self, jiffy: Duration) {
        let since = sys::since_last_receive(&self.stream);
        let now = clock::now();
        let (earliest, latest) = match since {
            // It rounds to milliseconds too, and not always down.
            Ok(since) => {
                let about = now.saturating_sub(since);
                let rounding = jiffy + Duration::from_millis(1);
                // One jiffy more, because the count of jiffies itself lags when the processor that
                // keeps it was busy elsewhere, or was withheld from a virtual machine.
                let latest = about.saturating_add(rounding + jiffy).min(now);
                (about.saturating_sub(rounding), latest)
            }
            Err(_) => (now, now),
        };
        self.connection.handle_heard_between(earliest, latest);
    }

    pub(super) fn guest(&self) -> Option<&Guest> {
        self.extra.as_ref()?.guest.as_ref()
    }

    pub(super) fn guest_mut(&mut self) -> Option<&mut Guest> {
        self.extra.as_mut()?.guest.as_mut()
    }

    pub(super) fn set_guest(&mut self, guest: Guest) {
        self.extra.get_or_insert_default().guest = Some(guest);
    }

    /// Whether the client said HELLO and has to wait for its name.
    pub(super) fn waits_for_name(&self) -> bool {
        self.guest().is_some_and(|guest| guest.waits_for.is_some())
    }

    /// How the client said it is; what it is taken for where it cannot say.
    pub(super) fn health(&self, now: Instant) -> Health {
        self.connection.path(now).map_or(Health::Ok, |path| path.peer_health)
    }

    /// Whether the client understands a BYE.
    pub(super) fn understands_bye(&self) -> bool {
        self.connection.spoken() == Spoken::V1
    }

    /// Has the socket wake for every byte while a frame has begun, and at `mark` bytes else.
    pub(super) fn set_mark(&mut self, mark: u32, frame_has_begun: bool) {
        if mark > 1 && frame_has_begun != self.wakes_for_all {
            self.wakes_for_all = frame_has_begun;
            // An error means that the connection has failed, which the next read will tell.
            let _ = sys::set_receive_mark(&self.stream, if frame_has_begun { 1 } else { mark });
        }
    }

    /// Whether the socket holds something to read: bytes, the end, or an error.
    pub(super) fn has_news(&mut self) -> bool {
        match self.stream.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => {
                self.fail(error.kind());
                true
            }
        }
    }

    /// Takes the beginning of a frame that was kept for when more of it arrives.
    pub(super) fn take_inbound(&mut self) -> Vec<u8> {
        self.extra.as_mut().map(|buffers| core::mem::take(&mut buffers.inbound)).unwrap_or_default()
    }

    pub(super) fn keep_inbound(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            self.drop_empty_buffers();
        } else {
            self.extra.get_or_insert_default().inbound = bytes;
        }
    }

    /// The connection failed. What came before that can still be read, and the end comes after it;
    /// but the reason for it is known only here, because the kernel tells it once.
    pub(super) fn fail(&mut self, error: io::ErrorKind) {
        let buffers = self.extra.get_or_insert_default();
        buffers.outbound = Vec::new();
        buffers.written = 0;
        buffers.failed.get_or_insert(error);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.extra.as_ref().is_some_and(|buffers| buffers.failed.is_some())
    }

    /// Why the session ends, now that everything has been read.
    pub(super) fn reason_to_end(&self, now: Instant) -> Reason {
        let (failed, is_partial) = match &self.extra {
            Some(buffers) => (buffers.failed, !buffers.inbound.is_empty()),
            None => (None, false),
        };
        match failed {
            // A client that had closed before: this is only what its system says to late bytes.
            None | Some(io::ErrorKind::BrokenPipe) if is_partial => Reason::Truncated,
            None | Some(io::ErrorKind::BrokenPipe) => Reason::ClosedByPeer,
            Some(error) => Reason::of_error(&error.into(), self.silence(now)),
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn queued(&self) -> usize {
        self.extra.as_ref().map_or(0, |buffers| buffers.waiting().len())
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.extra.get_or_insert_default().outbound.extend_from_slice(bytes);
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(
        &mut self,
        registry: &Registry,
        token: Token,
        now: Instant,
    ) -> io::Result<()> {
        let Some(buffers) = &mut self.extra else { return Ok(()) };
        while !buffers.waiting().is_empty() {
            match self.stream.write(buffers.waiting()) {
                Ok(len) => {
                    buffers.written += len;
                    self.connection.handle_sent(now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    buffers.outbound.drain(..buffers.written);
                    buffers.written = 0;
                    return self.block(registry, token);
                }
                Err(error) => return Err(error),
            }
        }
        self.blocked = false;
        buffers.outbound = Vec::new();
        buffers.written = 0;
        self.drop_empty_buffers();
        Ok(())
    }

    /// Asks to be told when the socket takes bytes again. The poller reports edges, so the interest
    /// can stay once it is there; asking again makes sure that no edge was missed in between.
    fn block(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.blocked = true;
        registry.reregister(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_since(self.connection.last_heard())
    }

    fn drop_empty_buffers(&mut self) {
        let is_idle = |extra: &Extra| {
            extra.inbound.is_empty()
                && extra.outbound.is_empty()
                && extra.failed.is_none()
                && extra.guest.is_none()
        };
        if self.extra.as_deref().is_some_and(is_idle) {
            self.extra = None;
        }
    }
}

#[cfg(test)]
mod tests;
