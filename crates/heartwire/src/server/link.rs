//! The one TCP connection that carries a session: its socket, TLS, what came and is not whole, its
//! liveness.

mod parting;
mod peer;

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::order::{self, Next};
use heartwire_core::v1::Health;
use heartwire_core::{Connection, Instant, Spoken, Violation, arrival};

pub(super) use self::parting::{LINGER, Parted, Parting};
use self::peer::Peer;
use super::admission::addresses::Entered;
use super::outbound::Outbound;
use crate::reason::Reason;
use crate::tls::{Received, TlsError, TlsFault, TlsSession};
use crate::world::{ServerWorld, Socket, World};

#[derive(Debug)]
pub(super) struct Link<S> {
    pub(super) connection: Connection,
    extra: Option<Box<Extra>>,
    pub(super) stream: S,
    peer: Peer,
    /// Its place among those of its address.
    pub(super) entered: Option<Entered>,
    /// Its socket wakes for every byte for now: before the first frame, because that decides
    /// whether the client is one at all, and within a frame, because what is missing of it may be
    /// less than the mark.
    wakes_for_all: bool,
    /// Its socket took no more bytes; the poller will say when it does.
    pub(super) blocked: bool,
}

/// How long TLS waits for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsTimeouts {
    pub(super) handshake: Duration,
    /// For a record to arrive whole.
    pub(super) record: Option<Duration>,
}

/// What few links need, and not all the time.
#[derive(Debug, Default)]
struct Extra {
    tls: Option<Box<TlsSession>>,
    /// Since when TLS has waited for the client: for the end of the handshake, or of a record.
    tls_since: Option<Instant>,
    /// The beginning of a frame that has not arrived whole.
    inbound: Vec<u8>,
    /// What the kernel said when the connection failed.
    failed: Option<io::ErrorKind>,
    parting: Option<Box<Parting>>,
}

impl<S: Socket> Link<S> {
    pub(super) fn new(stream: S, peer: SocketAddr, connection: Connection) -> Self {
        Self {
            connection,
            extra: None,
            stream,
            peer: peer.into(),
            entered: None,
            wakes_for_all: true,
            blocked: false,
        }
    }

    /// Where the client connected from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer.into()
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

    /// Bytes that TLS has sealed and the socket has not taken.
    pub(super) fn sealed(&self) -> usize {
        self.tls().map_or(0, TlsSession::queued)
    }

    /// When TLS will have waited too long for the client.
    pub(super) fn tls_deadline(&self, within: TlsTimeouts) -> Option<Instant> {
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

    /// Bytes were read: the kernel is asked when the last of them came. `has_woken`: they woke the
    /// shard.
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

    /// How the client said it is; what it is taken for where it cannot say.
    pub(super) fn health(&self, now: Instant) -> Health {
        self.connection.link_state(now).map_or(Health::Ok, |link_state| link_state.peer_health)
    }

    pub(super) fn speaks_v1(&self) -> bool {
        self.connection.spoken() == Spoken::V1
    }

    /// Whether its socket is looked at as often as TLS needs it on protocol v1: TLS's goodbye does not
    /// fill a mark, and is found before the next beat of ours, if there are any.
    pub(super) fn looks_often_enough(&self) -> bool {
        let contract = self.connection.contract();
        self.tls().is_none()
            || contract.is_some_and(|contract| contract.to_client.interval().is_some())
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
        self.extra.as_mut().map(|extra| core::mem::take(&mut extra.inbound)).unwrap_or_default()
    }

    pub(super) fn keep_inbound(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            self.drop_empty();
        } else {
            self.extra.get_or_insert_default().inbound = bytes;
        }
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn write(
        &mut self,
        outbound: &mut Outbound,
        world: &mut impl ServerWorld<Socket = S>,
        slot: u32,
        now: Instant,
    ) -> io::Result<()> {
        let mut tls = self.extra.as_mut().and_then(|extra| extra.tls.as_deref_mut());
        let mut is_full = false;
        if let Some(tls) = &mut tls {
            // The handshake, an alert, or what the socket did not take before.
            is_full = !tls.flush(&mut self.stream)?;
            if tls.is_handshaking() && !is_full {
                // What is queued waits for the handshake, not for the socket.
                self.blocked = false;
                return Ok(());
            }
        }
        while !is_full && !outbound.is_empty() {
            let waiting = outbound.waiting();
            let written = match &mut tls {
                Some(tls) => tls.write(&mut self.stream, waiting),
                None => self.stream.write(waiting),
            };
            match written {
                Ok(len) => {
                    outbound.handle_written(len);
                    self.connection.handle_sent(now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_full = true,
                Err(error) => return Err(error),
            }
        }
        if is_full || self.wants_write() {
            // The poller reports edges, so the interest can stay once it is there; asking again
            // makes sure that no edge was missed in between.
            self.blocked = true;
            return world.register_for_writing(&mut self.stream, slot);
        }
        self.blocked = false;
        *outbound = Outbound::default();
        self.drop_empty();
        Ok(())
    }

    /// The connection failed. The reason for it is known only here, because the kernel tells it
    /// once.
    pub(super) fn fail(&mut self, error: io::ErrorKind) {
        self.extra.get_or_insert_default().failed.get_or_insert(error);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.failed.is_some())
    }

    /// Why the session ends, now that everything has been read. `cut`: it speaks TLS and did not
    /// say in the words of TLS that it closes.
    pub(super) fn reason_to_end(&self, now: Instant, cut: bool) -> Reason {
        let (failed, is_partial) = match &self.extra {
            Some(extra) => {
                let is_partial = !extra.inbound.is_empty() || self.has_partial_record();
                (extra.failed, is_partial)
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

    /// Whether the session ends for `reason` and its client has not said a word: a health check
    /// that connects and leaves, or only connects. That is no fault, with TLS or without.
    pub(super) fn ends_without_a_word(&self, reason: &Reason) -> bool {
        if let Reason::Protocol(Violation::NoFirstFrame { .. }) = reason {
            return self.extra.as_ref().is_none_or(|extra| extra.inbound.is_empty());
        }
        let is_mute =
            |tls: &TlsSession| tls.is_handshaking() && tls.progress() == 0 && !tls.has_partial();
        matches!(reason, Reason::Tls(TlsFault::Unfinished | TlsFault::TooSlow))
            && self.tls().is_some_and(is_mute)
    }

    /// Bytes that are held for it, room for more of them included: of a frame that is not whole,
    /// and what TLS has.
    pub(super) fn held(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| {
            extra.inbound.capacity() + extra.tls.as_ref().map_or(0, |tls| tls.held())
        })
    }

    /// Nothing more is sent to it or read from it.
    pub(super) fn drop_held(&mut self) {
        self.extra = None;
    }

    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_since(self.connection.last_heard())
    }

    fn drop_empty(&mut self) {
        let is_idle = |extra: &Extra| {
            extra.inbound.is_empty()
                && extra.failed.is_none()
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
