//! One client's connection on a server: its socket, its liveness, and what waits to be written.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::order::{self, Next};
use heartwire_core::v1::{Contract, Health};
use heartwire_core::{Connection, Instant, Spoken, Violation, arrival};

use super::gate::addresses::Entered;
use super::outbound::Outbound;
use crate::reason::Reason;
use crate::tls::{Received, TlsError, TlsFault, TlsSession};
use crate::world::{ServerWorld, Socket, World};

/// Small, because a server holds very many: what only few need is allocated when first needed.
#[derive(Debug)]
pub(super) struct Session<S> {
    pub(super) stream: S,
    pub(super) connection: Connection,
    pub(super) peer: SocketAddr,
    pub(super) online_at: Instant,
    pub(super) beats: u32,
    /// How many bytes were held for it when that was last counted.
    pub(super) held: u32,
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
    /// While the server drains: its turn to leave has come.
    pub(super) may_leave: bool,
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

/// How long TLS waits for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsWithin {
    pub(super) handshake: Duration,
    /// For a record to arrive whole.
    pub(super) record: Option<Duration>,
}

/// What few sessions need, and not all the time.
#[derive(Debug, Default)]
struct Extra {
    /// What the client called itself at the handshake.
    guest: Option<Guest>,
    tls: Option<Box<TlsSession>>,
    /// Since when TLS has waited for the client: for the end of the handshake, or of a record.
    tls_since: Option<Instant>,
    /// The beginning of a frame that has not arrived whole.
    inbound: Vec<u8>,
    outbound: Outbound,
    /// What the kernel said when the connection failed.
    failed: Option<io::ErrorKind>,
    parting: Option<Box<Parting>>,
}

/// What becomes of a connection between its end and the close of its socket.
///
/// A socket that is closed at once takes what was just written with it: the next beat of the client meets a
/// closed socket, the kernel answers with a reset, and drops what it had not delivered.
#[derive(Debug)]
pub(super) struct Parting {
    /// When it is over at the latest.
    pub(super) until: Instant,
    /// Why the session ended, while the owner has not been told.
    pub(super) untold: Option<Reason>,
    /// When the last word was written, and the sending half closed behind it.
    said_all_at: Option<Instant>,
    /// How many of the last bytes only say that nothing more comes: TLS's goodbye, and the end itself.
    end_len: usize,
    /// Nothing more comes from the client.
    client_closed: bool,
}

/// How far a connection has come with [parting](Parting).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parted {
    Done,
    /// It goes on. `unread`: more has come than could be discarded in one turn.
    NotYet {
        unread: bool,
    },
}

/// How long a client that has acknowledged everything has for closing its side. Until then what still comes
/// is discarded: a reset would reach it among the last words. A round trip on any path, with one lost packet.
pub(super) const LINGER: Duration = Duration::from_secs(1);

impl<S: Socket> Session<S> {
    pub(super) const fn new(
        stream: S,
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
            held: 0,
            wakes_for_all: true,
            online: false,
            entered: None,
            ending: false,
            unread: false,
            unflushed: false,
            blocked: false,
            may_leave: false,
            extra: None,
        }
    }

    /// One read from the socket. What the client said is at the front of `buffer` then.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        world: &impl World,
    ) -> Result<Received, TlsError> {
        if let Some(extra) = &mut self.extra {
            if let Some(tls) = &mut extra.tls {
                let before = (tls.is_handshaking(), tls.progress());
                let received = tls.read(&mut self.stream, buffer);
                if !tls.is_handshaking() {
                    let is_same = before == (false, tls.progress());
                    let since = extra.tls_since.filter(|_| is_same);
                    extra.tls_since =
                        tls.has_partial().then(|| since.unwrap_or_else(|| world.now()));
                }
                return received;
            }
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Received::Closed),
                Ok(len) => return Ok(Received::Bytes(len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What to do next with its connection.
    pub(super) fn poll(&mut self, now: Instant) -> Next {
        let outbound = if self.blocked { order::Outbound::Blocked } else { order::Outbound::Clear };
        self.connection.poll(now, outbound)
    }

    /// Whether there may be more to read, after a read that found `len` bytes for a buffer of
    /// `buffer_len`.
    pub(super) fn has_more(&self, len: usize, buffer_len: usize) -> bool {
        self.tls().map_or(len == buffer_len, TlsSession::has_more)
    }

    /// Has the client speak TLS, from `now` on.
    pub(super) fn secure(&mut self, tls: TlsSession, now: Instant) {
        let extra = self.extra.get_or_insert_default();
        extra.tls = Some(Box::new(tls));
        extra.tls_since = Some(now);
    }

    /// Whether the client speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.tls().is_some()
    }

    fn tls(&self) -> Option<&TlsSession> {
        self.extra.as_ref()?.tls.as_deref()
    }

    /// Whether it speaks TLS, and is not done with saying hello.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls().is_some_and(TlsSession::is_handshaking)
    }

    /// Whether TLS has something to say.
    pub(super) fn wants_write(&self) -> bool {
        self.tls().is_some_and(TlsSession::wants_write)
    }

    /// Whether a record of TLS has begun and not arrived whole.
    pub(super) fn has_partial_record(&self) -> bool {
        self.tls().is_some_and(TlsSession::has_partial)
    }

    /// When TLS will have waited too long for the client.
    pub(super) fn tls_deadline(&self, within: TlsWithin) -> Option<Instant> {
        let since = self.extra.as_ref()?.tls_since?;
        let within = if self.is_handshaking() { Some(within.handshake) } else { within.record };
        Some(since.saturating_add(within?))
    }

    /// The client may have sent what TLS waits for: it was not read.
    pub(super) fn excuse_tls(&mut self, now: Instant) {
        if let Some(extra) = &mut self.extra {
            extra.tls_since = extra.tls_since.map(|_| now);
        }
    }

    /// Begins to part: what is queued is still sent, and what comes is discarded.
    pub(super) fn begin_parting(&mut self, until: Instant, reason: Reason) {
        let untold = Some(reason);
        let parting =
            Parting { until, untold, said_all_at: None, end_len: 1, client_closed: false };
        let extra = self.extra.get_or_insert_default();
        extra.inbound = Vec::new();
        extra.parting = Some(Box::new(parting));
    }

    pub(super) fn parting_mut(&mut self) -> Option<&mut Parting> {
        self.extra.as_mut()?.parting.as_deref_mut()
    }

    pub(super) fn parting(&self) -> Option<&Parting> {
        self.extra.as_ref()?.parting.as_deref()
    }

    /// Goes on with parting: writes what is queued, closes the sending half behind it, and discards what
    /// has come, in `reads` reads at most.
    pub(super) fn part(
        &mut self,
        world: &mut impl ServerWorld<Socket = S>,
        slot: u32,
        buffer: &mut [u8],
        reads: usize,
    ) -> Parted {
        match self.try_part(world, slot, buffer, reads) {
            Ok(unread) if !self.has_parted(world) => Parted::NotYet { unread },
            Ok(_) | Err(_) => Parted::Done,
        }
    }

    /// Returns whether more has come than could be discarded. An error is the end of the connection.
    fn try_part(
        &mut self,
        world: &mut impl ServerWorld<Socket = S>,
        slot: u32,
        buffer: &mut [u8],
        reads: usize,
    ) -> io::Result<bool> {
        let now = world.now();
        self.flush(world, slot, now)?;
        let waiting = self.extra.as_ref().map_or(0, |extra| extra.outbound.waiting().len());
        if waiting == 0 {
            self.close_tls();
        }
        if self.queued() == 0 {
            let parting = self.parting_mut();
            if let Some(parting) = parting.filter(|parting| parting.said_all_at.is_none()) {
                parting.said_all_at = Some(now);
                self.stream.shut_down_writing()?;
            }
        }
        for _ in 0..reads {
            if self.parting().is_none_or(|parting| parting.client_closed) {
                return Ok(false);
            }
            match self.stream.read(buffer) {
                Ok(0) => {
                    if let Some(parting) = self.parting_mut() {
                        parting.client_closed = true;
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether nothing is left to wait for: the client has everything, and has closed its side, or had
    /// [`LINGER`] to do it.
    fn has_parted(&self, world: &impl World) -> bool {
        let Some(parting) = self.parting() else { return true };
        let Some(said_all_at) = parting.said_all_at else { return false };
        let has_lingered = || world.now().saturating_since(said_all_at) >= LINGER;
        self.is_acknowledged() && (parting.client_closed || has_lingered())
    }

    /// Whether the client is known to have all that was written, and nothing waits to be. That nothing more
    /// comes need not have reached it: a client that closes first often does not look.
    pub(super) fn is_acknowledged(&self) -> bool {
        let Some(parting) = self.parting() else { return false };
        let has_all = match self.stream.unacknowledged() {
            Some(bytes) => bytes <= parting.end_len,
            None => parting.client_closed,
        };
        has_all && parting.said_all_at.is_some()
    }

    /// When to look at it again, if nothing comes before.
    pub(super) fn part_again_at(&self, now: Instant) -> Instant {
        let said_all_at = self.parting().and_then(|parting| parting.said_all_at);
        let lingered = said_all_at.map(|at| at.saturating_add(LINGER)).filter(|&at| at > now);
        lingered.unwrap_or_else(|| now.saturating_add(LINGER / 4))
    }

    /// Says in the way of TLS that nothing more will come, as far as the socket takes it.
    fn close_tls(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        let Some(tls) = &mut extra.tls else { return };
        let before = tls.queued();
        tls.close();
        if let Some(parting) = &mut extra.parting {
            parting.end_len += tls.queued().saturating_sub(before);
        }
        // The end of the connection will say it too, though not as clearly.
        let _ = tls.flush(&mut self.stream);
    }

    /// Bytes were read: the kernel is asked when the last of them came. `has_woken`: they woke the shard.
    pub(super) fn hear_from_kernel(&mut self, has_woken: bool, world: &impl World) {
        let since = self.stream.since_last_receive();
        // After the read and the question, so that a byte does not seem older than it is.
        let (now, jiffy) = (world.now(), world.jiffy());
        let (earliest, latest) = match since {
            Ok(since) if has_woken => arrival::of_news(now, since, jiffy),
            Ok(since) => arrival::of_found(now, since, jiffy),
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

    pub(super) fn take_guest(&mut self) -> Option<Guest> {
        self.extra.as_mut()?.guest.take()
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

    /// Whether its socket is looked at as often as TLS needs it on wire v1: TLS's goodbye does not fill a
    /// mark, and is found before the next beat of ours, if there are any.
    pub(super) fn looks_often_enough(&self) -> bool {
        let contract = self.connection.contract();
        self.tls().is_none() || contract.is_some_and(|contract| contract.to_client.beat().is_some())
    }

    /// Has the socket wake for every byte while a frame has begun, and at `mark` bytes else.
    pub(super) fn set_mark(&mut self, mark: u32, frame_has_begun: bool) {
        if mark > 1 && frame_has_begun != self.wakes_for_all {
            self.wakes_for_all = frame_has_begun;
            // An error means that the connection has failed, which the next read will tell.
            let _ = self.stream.set_receive_mark(if frame_has_begun { 1 } else { mark });
        }
    }

    /// Whether there is something to read: bytes, the end, or an error.
    pub(super) fn has_news(&mut self) -> bool {
        if self.tls().is_some_and(TlsSession::has_ended) {
            return true;
        }
        match self.stream.peek() {
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
        buffers.outbound = Outbound::default();
        buffers.failed.get_or_insert(error);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.extra.as_ref().is_some_and(|buffers| buffers.failed.is_some())
    }

    /// Why the session ends, now that everything has been read. `cut`: it speaks TLS and did not say in
    /// the words of TLS that it closes.
    pub(super) fn reason_to_end(&self, now: Instant, cut: bool) -> Reason {
        let (failed, is_partial) = match &self.extra {
            Some(buffers) => {
                let is_partial = !buffers.inbound.is_empty() || self.has_partial_record();
                (buffers.failed, is_partial)
            }
            None => (None, false),
        };
        match failed {
            // A client that had closed before: this is only what its system says to late bytes.
            None | Some(io::ErrorKind::BrokenPipe) if is_partial => Reason::Truncated,
            None | Some(io::ErrorKind::BrokenPipe) if cut => Reason::NoGoodbye,
            None | Some(io::ErrorKind::BrokenPipe) => Reason::ClosedByPeer,
            Some(error) => Reason::of_error(&error.into(), self.silence(now)),
        }
    }

    /// Whether the session ends for `reason` and its client has not said a word: a health check that
    /// connects and leaves, or only connects. That is no fault, with TLS or without.
    pub(super) fn ends_without_a_word(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Protocol(Violation::NoFirstFrame { .. }) => {
                self.extra.as_ref().is_none_or(|extra| extra.inbound.is_empty())
            }
            Reason::Tls(TlsFault::Unfinished | TlsFault::TooSlow) => {
                self.tls().is_some_and(|tls| {
                    tls.is_handshaking() && tls.progress() == 0 && !tls.has_partial()
                })
            }
            Reason::ClosedByPeer
            | Reason::Truncated
            | Reason::NoGoodbye
            | Reason::NetworkChanged
            | Reason::Unacknowledged
            | Reason::Reset
            | Reason::Dead(_)
            | Reason::Protocol(_)
            | Reason::SlowReader
            | Reason::HeldMost
            | Reason::Bye(_)
            | Reason::Kicked
            | Reason::Shutdown
            | Reason::TurnedAway(_)
            | Reason::TakenOver
            | Reason::Tls(_)
            | Reason::Failed(_) => false,
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn queued(&self) -> usize {
        let sealed = self.tls().map_or(0, TlsSession::queued);
        self.extra.as_ref().map_or(0, |buffers| buffers.outbound.waiting().len()) + sealed
    }

    /// Bytes that are held for it, room for more of them included: of a frame that is not whole, those that
    /// wait to be written, and what TLS has of both.
    pub(super) fn held(&self) -> u32 {
        let held = self.extra.as_ref().map_or(0, |extra| {
            let tls = extra.tls.as_ref().map_or(0, |tls| tls.held());
            extra.inbound.capacity() + extra.outbound.capacity() + tls
        });
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// It ends, and nothing more is sent to it or read from it.
    pub(super) fn drop_held(&mut self) {
        self.extra = self.extra.take().and_then(|extra| {
            let guest = extra.guest;
            guest.map(|guest| Box::new(Extra { guest: Some(guest), ..Extra::default() }))
        });
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.extra.get_or_insert_default().outbound.push(bytes);
    }

    /// Queues a whole frame in front of everything but the frame that is being written and those that were
    /// queued like this before it: a beat does not wait behind data.
    pub(super) fn queue_first(&mut self, frame: &[u8]) {
        self.extra.get_or_insert_default().outbound.push_first(frame);
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(
        &mut self,
        world: &mut impl ServerWorld<Socket = S>,
        slot: u32,
        now: Instant,
    ) -> io::Result<()> {
        let Some(buffers) = &mut self.extra else { return Ok(()) };
        let mut is_full = false;
        if let Some(tls) = &mut buffers.tls {
            // The handshake, an alert, or what the socket did not take before.
            is_full = !tls.flush(&mut self.stream)?;
            if tls.is_handshaking() && !is_full {
                // What is queued waits for the handshake, not for the socket.
                self.blocked = false;
                return Ok(());
            }
        }
        while !is_full && !buffers.outbound.waiting().is_empty() {
            let waiting = buffers.outbound.waiting();
            let written = match &mut buffers.tls {
                Some(tls) => tls.write(&mut self.stream, waiting),
                None => self.stream.write(waiting),
            };
            match written {
                Ok(len) => {
                    buffers.outbound.handle_written(len);
                    self.connection.handle_sent(now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_full = true,
                Err(error) => return Err(error),
            }
        }
        if is_full || self.wants_write() {
            let Some(buffers) = &mut self.extra else { return Ok(()) };
            buffers.outbound.forget_written();
            return self.block(world, slot);
        }
        let Some(buffers) = &mut self.extra else { return Ok(()) };
        self.blocked = false;
        buffers.outbound = Outbound::default();
        self.drop_empty_buffers();
        Ok(())
    }

    /// Asks to be told when the socket takes bytes again. The poller reports edges, so the interest
    /// can stay once it is there; asking again makes sure that no edge was missed in between.
    fn block(&mut self, world: &mut impl ServerWorld<Socket = S>, slot: u32) -> io::Result<()> {
        self.blocked = true;
        world.register_for_writing(&mut self.stream, slot)
    }

    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_since(self.connection.last_heard())
    }

    fn drop_empty_buffers(&mut self) {
        let is_idle = |extra: &Extra| {
            extra.inbound.is_empty()
                && extra.outbound.waiting().is_empty()
                && extra.failed.is_none()
                && extra.guest.is_none()
                && extra.tls.is_none()
                && extra.parting.is_none()
        };
        if self.extra.as_deref().is_some_and(is_idle) {
            self.extra = None;
        }
    }
}

#[cfg(test)]
mod tests;
