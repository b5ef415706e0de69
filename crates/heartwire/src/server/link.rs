//! A link: the TCP connection of a session, with its socket, TLS, partial frame and liveness.

mod parting;
mod peer;

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::internal::{Spoken, arrival};
use heartwire_core::order::{self, Next};
use heartwire_core::v1::Health;
use heartwire_core::{Connection, Instant, Violation};

pub(super) use self::parting::{LINGER, Parted, Parting};
use self::peer::Peer;
use super::admission::addresses::Entered;
use super::outbound::Outbound;
use super::proxy_header::{ProxyHeader, Source};
use crate::reason::{ProxyFault, Reason};
use crate::tls::{Received, TlsError, TlsFailure, TlsFault, TlsSession};
use crate::world::{self, ServerWorld, Socket, World};

#[derive(Debug)]
pub(super) struct Link<S> {
    pub(super) connection: Connection,
    extra: Option<Box<Extra>>,
    /// Its socket. `None` after the link was [cut](Self::cut).
    pub(super) stream: Option<S>,
    peer: Peer,
    /// Its place among the sessions, and among those of its address. A refused client has none.
    pub(super) entered: Option<Entered>,
    /// Its socket wakes the shard for every byte: before the first frame, because that decides
    /// whether to accept the client, and within a frame, because its rest may be shorter than the
    /// mark.
    wakes_for_all: bool,
    /// The mark was lowered since the last read: bytes that it held back wake the shard now, and
    /// are older than they seem.
    is_released: bool,
    /// Its socket took no more bytes; the poller will report when it does.
    pub(super) blocked: bool,
}

/// What is left of a link that was cut, to be [closed](super::state::ShardState::close).
#[derive(Debug)]
pub(super) struct Cut<S> {
    pub(super) stream: S,
    pub(super) peer: SocketAddr,
    pub(super) entered: Option<Entered>,
}

/// The result of reading a balancer's header.
#[derive(Clone, Copy, Debug)]
pub(super) enum HeaderRead {
    /// More of it has to come.
    Incomplete,
    /// It is complete.
    From(Source),
    /// The connection has ended within it, or it is invalid.
    Ended(Reason),
}

/// How long a link waits for a client before the connection begins, and within TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsTimeouts {
    /// For a balancer's header.
    pub(super) header: Duration,
    pub(super) handshake: Duration,
    /// For a complete record.
    pub(super) record: Option<Duration>,
}

/// Fields that few links need at a time.
#[derive(Debug, Default)]
struct Extra {
    /// What has come of a balancer's header, which is before everything else.
    header: Option<Box<ProxyHeader>>,
    tls: Option<Box<TlsSession>>,
    /// Since when the link has waited for that header, or TLS for the end of the handshake or of a
    /// record.
    tls_since: Option<Instant>,
    /// An incomplete frame.
    inbound: Vec<u8>,
    /// The socket's error, after the connection failed.
    failed: Option<io::ErrorKind>,
    parting: Option<Box<Parting>>,
}

impl<S: Socket> Link<S> {
    pub(super) fn new(stream: S, peer: SocketAddr, connection: Connection) -> Self {
        Self {
            connection,
            extra: None,
            stream: Some(stream),
            peer: peer.into(),
            entered: None,
            wakes_for_all: true,
            is_released: false,
            blocked: false,
        }
    }

    /// Where the client connected from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer.into()
    }

    /// Reads once from the socket. Plaintext goes to the front of `buffer`.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        world: &impl World,
    ) -> Result<Received, TlsFailure> {
        let Some(stream) = &mut self.stream else { return Ok(Received::Nothing) };
        if let Some(extra) = &mut self.extra {
            if let Some(tls) = &mut extra.tls {
                let before = (tls.is_handshaking(), tls.progress());
                let received = tls.read(stream, buffer);
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
            match stream.read(buffer) {
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

    /// What the connection has to do next.
    pub(super) fn poll(&mut self, now: Instant) -> Next {
        let outbound = if self.blocked { order::Outbound::Blocked } else { order::Outbound::Clear };
        self.connection.poll(now, outbound)
    }

    /// Whether there may be more to read, after a read that found `len` bytes for a buffer of
    /// `buffer_len`.
    pub(super) fn has_more(&self, len: usize, buffer_len: usize) -> bool {
        self.tls().map_or(len == buffer_len, TlsSession::has_more)
    }

    /// Starts TLS with the client at `now`.
    pub(super) fn secure(&mut self, tls: TlsSession, now: Instant) {
        let extra = self.extra.get_or_insert_default();
        extra.tls = Some(Box::new(tls));
        extra.tls_since = Some(now);
    }

    /// Whether the client speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.tls().is_some()
    }

    pub(super) fn tls(&self) -> Option<&TlsSession> {
        self.extra.as_ref()?.tls.as_deref()
    }

    /// Whether the connection has not begun: a balancer's header or the TLS handshake is still
    /// going on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| {
            extra.header.is_some() || extra.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
        })
    }

    /// Expects a balancer's header from `now` on, before TLS and everything else.
    pub(super) fn expect_header(&mut self, now: Instant) {
        let extra = self.extra.get_or_insert_default();
        extra.header = Some(Box::new(ProxyHeader::new()));
        extra.tls_since = Some(now);
    }

    /// Whether a balancer's header has not ended.
    pub(super) fn expects_header(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.header.is_some())
    }

    /// Reads a balancer's header, and no byte behind it, as far as it has come.
    pub(super) fn read_header(&mut self, now: Instant) -> HeaderRead {
        let (Some(stream), Some(extra)) = (&mut self.stream, &mut self.extra) else {
            return HeaderRead::Incomplete;
        };
        let Some(header) = &mut extra.header else { return HeaderRead::Incomplete };
        let mut buffer = [0; 64];
        loop {
            let room = buffer.len().min(header.at_least());
            let room = buffer.get_mut(..room).unwrap_or_default();
            let len = match stream.read(room) {
                Ok(0) => return HeaderRead::Ended(Reason::ClosedByPeer),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return HeaderRead::Incomplete;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return HeaderRead::Ended(Reason::of_error(&error, Duration::ZERO)),
            };
            match header.take(room.get(..len).unwrap_or_default()) {
                Ok(None) => {}
                Ok(Some(source)) => {
                    extra.header = None;
                    extra.tls_since = extra.tls.as_ref().map(|_| now);
                    self.drop_empty();
                    return HeaderRead::From(source);
                }
                Err(fault) => return HeaderRead::Ended(Reason::Proxy(fault)),
            }
        }
    }

    /// Gives the link the address that a balancer told.
    pub(super) fn relay(&mut self, client: SocketAddr) {
        self.peer = Peer::behind(self.peer(), client);
    }

    /// Whether nothing of the connection leaves this machine or is in the clear.
    pub(super) fn is_private(&self) -> bool {
        self.is_secure() || self.peer.is_local()
    }

    /// Whether TLS has answered the client's first message, which is most of the work of a
    /// handshake.
    pub(super) fn has_answered(&self) -> bool {
        self.tls().is_some_and(|tls| tls.progress() > 0)
    }

    /// Whether TLS has something to write.
    pub(super) fn wants_write(&self) -> bool {
        self.tls().is_some_and(TlsSession::wants_write)
    }

    /// Whether an incomplete TLS record has arrived.
    pub(super) fn has_partial_record(&self) -> bool {
        self.tls().is_some_and(TlsSession::has_partial)
    }

    /// Whether a frame, or a TLS record, has arrived in part.
    pub(super) fn has_partial(&self) -> bool {
        let is_partial = self.extra.as_ref().is_some_and(|extra| !extra.inbound.is_empty());
        is_partial || self.has_partial_record()
    }

    /// Encrypted bytes that the socket has not taken.
    pub(super) fn sealed(&self) -> usize {
        self.tls().map_or(0, TlsSession::queued)
    }

    /// The deadline of TLS for the client.
    pub(super) fn tls_deadline(&self, within: TlsTimeouts) -> Option<Instant> {
        let since = self.extra.as_ref()?.tls_since?;
        let within = match () {
            () if self.expects_header() => Some(within.header),
            () if self.is_handshaking() => Some(within.handshake),
            () => within.record,
        };
        Some(since.saturating_add(within?))
    }

    /// Restarts the TLS timeout: the client may have sent what TLS waits for, and was not read.
    pub(super) fn excuse_tls(&mut self, now: Instant) {
        if let Some(extra) = &mut self.extra {
            extra.tls_since = extra.tls_since.map(|_| now);
        }
    }

    /// Asks the kernel when the last bytes came, after they were read. `has_woken`: they woke the
    /// shard.
    pub(super) fn hear_from_kernel(&mut self, has_woken: bool, world: &impl World) {
        let Some(stream) = &self.stream else { return };
        let (now, since) = world::last_receive(world, stream);
        let jiffy = world.jiffy();
        let (earliest, latest) = match since {
            Ok(since) if has_woken => arrival::of_news(now, since, jiffy),
            Ok(since) => arrival::of_found(now, since, jiffy),
            Err(_) => (now, now),
        };
        self.connection.handle_heard_between(earliest, latest);
    }

    /// When the last byte came by the kernel's account, read or not, if what waits in the socket
    /// may stay there: a client on v1 lets nothing wait there but beats without news. `mark`: of
    /// its socket. With TLS, `close_notify` may be among them.
    pub(super) fn heard_unread(&self, mark: u32, world: &impl World) -> Option<Instant> {
        let waits = mark > 1 && !self.wakes_for_all && self.speaks_v1() && !self.is_secure();
        let (now, since) = world::last_receive(world, self.stream.as_ref().filter(|_| waits)?);
        let (earliest, latest) = arrival::of_found(now, since.ok()?, world.jiffy());
        // What may be the last byte that is known already came when that is known to have come.
        let heard = self.connection.last_heard();
        Some(if earliest <= heard { heard } else { latest })
    }

    /// The client's health; `Ok` if it does not report any.
    pub(super) fn health(&self, now: Instant) -> Health {
        self.connection.link_state(now).map_or(Health::Ok, |link_state| link_state.peer_health)
    }

    pub(super) fn speaks_v1(&self) -> bool {
        self.connection.spoken() == Spoken::V1
    }

    /// Whether its socket is read often enough to coalesce on v1: `close_notify` does not reach a
    /// mark, and is found before our next beat, if we send any.
    pub(super) fn looks_often_enough(&self) -> bool {
        let contract = self.connection.contract();
        self.tls().is_none()
            || contract.is_some_and(|contract| contract.to_client.interval().is_some())
    }

    /// Makes the socket wake the shard for every byte within a frame, and at `mark` bytes
    /// otherwise.
    pub(super) fn set_mark(&mut self, mark: u32, frame_has_begun: bool) {
        if mark > 1 && frame_has_begun != self.wakes_for_all {
            self.wakes_for_all = frame_has_begun;
            let mark = if frame_has_begun { 1 } else { mark };
            // An error means that the connection has failed, which the next read reports.
            let _ = self.stream.as_mut().map(|stream| stream.set_receive_mark(mark));
        }
    }

    /// Makes the socket wake the shard for every byte, also for those that the mark has held back.
    pub(super) fn wake_for_all(&mut self, mark: u32) {
        self.is_released |= mark > 1 && !self.wakes_for_all;
        self.set_mark(mark, true);
    }

    /// Whether bytes that were read now may have been held back by the mark until it was lowered.
    pub(super) const fn take_released(&mut self) -> bool {
        core::mem::replace(&mut self.is_released, false)
    }

    /// Whether there is something to read: bytes, the end, or an error.
    pub(super) fn has_news(&mut self) -> bool {
        if self.tls().is_some_and(TlsSession::has_ended) {
            return true;
        }
        match self.peek() {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => {
                self.fail(error.kind());
                true
            }
        }
    }

    /// Whether a read would find a byte, the end or an error, which may be reported only once.
    pub(super) fn peek(&mut self) -> io::Result<usize> {
        self.stream.as_mut().map_or(Err(io::ErrorKind::WouldBlock.into()), Socket::peek)
    }

    /// Takes out the incomplete frame.
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

    /// Writes queued bytes as far as the socket takes them.
    pub(super) fn write(
        &mut self,
        outbound: &mut Outbound,
        world: &mut impl ServerWorld<Socket = S>,
        slot: u32,
        now: Instant,
    ) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut tls = self.extra.as_mut().and_then(|extra| extra.tls.as_deref_mut());
        let mut is_full = false;
        if let Some(tls) = &mut tls {
            // The handshake, an alert, or bytes that the socket did not take before.
            is_full = !tls.flush(stream)?;
            if tls.is_handshaking() && !is_full {
                // Queued bytes wait for the handshake, not for the socket.
                self.blocked = false;
                return Ok(());
            }
        }
        while !is_full && !outbound.is_written() {
            let waiting = outbound.waiting();
            let written = match &mut tls {
                Some(tls) => tls.write(stream, waiting),
                None => stream.write(waiting),
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
        if is_full || tls.is_some_and(|tls| tls.wants_write()) {
            // The poller is edge-triggered, so the interest can stay registered; registering again
            // makes sure that no edge was missed meanwhile.
            self.blocked = true;
            return world.register_for_writing(stream, slot);
        }
        self.blocked = false;
        self.drop_empty();
        Ok(())
    }

    /// Writes a frame at once, past the queue, if nothing is in front of it and the socket takes
    /// it. Returns what is left of it.
    pub(super) fn write_at_once<'a>(
        &mut self,
        frame: &'a [u8],
        now: Instant,
    ) -> io::Result<&'a [u8]> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.blocked) else { return Ok(frame) };
        match stream.write(frame) {
            Ok(len) => {
                self.connection.handle_sent(now);
                Ok(frame.get(len..).unwrap_or_default())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(frame)
            }
            Err(error) => Err(error),
        }
    }

    /// Records why the connection failed: the kernel reports the error only once.
    pub(super) fn fail(&mut self, error: io::ErrorKind) {
        self.extra.get_or_insert_default().failed.get_or_insert(error);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.failed.is_some())
    }

    /// Why the session ends, after everything was read. `cut`: TLS ended without `close_notify`.
    pub(super) fn reason_to_end(&self, now: Instant, cut: bool) -> Reason {
        let (failed, is_partial) = match &self.extra {
            Some(extra) => {
                let is_partial = !extra.inbound.is_empty() || self.has_partial_record();
                (extra.failed, is_partial)
            }
            None => (None, false),
        };
        match failed {
            // The client had closed before: the error is only its system's answer to late bytes.
            None | Some(io::ErrorKind::BrokenPipe) if is_partial => Reason::Truncated,
            None | Some(io::ErrorKind::BrokenPipe) if cut => Reason::NoGoodbye,
            None | Some(io::ErrorKind::BrokenPipe) => Reason::ClosedByPeer,
            Some(error) => Reason::of_error(&error.into(), self.silence(now)),
        }
    }

    /// Whether the client sent nothing before the session ended for `reason`, such as a health
    /// check that only connects. That is no fault, with TLS or without.
    pub(super) fn ends_without_a_word(&self, reason: &Reason) -> bool {
        if let Reason::Protocol(Violation::NoFirstFrame { .. }) = reason {
            return self.extra.as_ref().is_none_or(|extra| extra.inbound.is_empty());
        }
        if let Reason::Proxy(ProxyFault::Slow) = reason {
            let header = self.extra.as_ref().and_then(|extra| extra.header.as_deref());
            return header.is_none_or(ProxyHeader::is_empty);
        }
        let is_mute =
            |tls: &TlsSession| tls.is_handshaking() && tls.progress() == 0 && !tls.has_partial();
        matches!(reason, Reason::Tls(TlsError(TlsFault::Unfinished | TlsFault::TooSlow)))
            && self.tls().is_some_and(is_mute)
    }

    /// Memory allocated for its incomplete frame and for TLS, in bytes.
    pub(super) fn held(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| {
            extra.inbound.capacity() + extra.tls.as_ref().map_or(0, |tls| tls.held())
        })
    }

    /// Cuts the link: what was left of the connection is gone, but for its socket and its place,
    /// which are returned. The client's address stays.
    pub(super) fn cut(&mut self) -> Option<Cut<S>> {
        self.extra = None;
        self.blocked = false;
        let (peer, entered) = (self.peer(), self.entered.take());
        Some(Cut { stream: self.stream.take()?, peer, entered })
    }

    /// Frees its buffers, when nothing more is sent or read.
    pub(super) fn drop_held(&mut self) {
        self.extra = None;
    }

    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_since(self.connection.last_heard())
    }

    /// Time until the client's verdict, unless something comes.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        Some(self.connection.verdict_at()?.saturating_since(now))
    }

    fn drop_empty(&mut self) {
        let is_idle = |extra: &Extra| {
            extra.inbound.is_empty()
                && extra.failed.is_none()
                && extra.header.is_none()
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
