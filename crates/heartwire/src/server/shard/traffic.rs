//! Reading what came, and writing what was queued.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use heartwire_core::{Connection, Event as Input, Spoken, arrival};
use zeroize::Zeroize as _;

use super::{Ready, Shard};
use crate::reason::Reason;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::tls::{Received, TlsError, TlsFault};
use crate::world::ServerWorld;

/// Reads from one session before the others get their turn. One that fills the buffer is the last.
pub(super) const READS_PER_TURN: usize = 4;

/// How long a shard reads in one turn: a fifth of [`TICK`](crate::TICK), so that deadlines, beats and
/// newcomers wait for no longer than that however many bytes are there. Half of it is for sessions that
/// had to wait in the turn before, and the rest for what has just come: so those that send more than their
/// share wait for each other.
const READ_WITHIN: Duration = Duration::from_millis(20);

/// What is read at once from a client that is not online while there is no room for data: a first frame
/// that opens a session. What comes with it is told although there is no room.
const NEWCOMER_READ_LEN: usize = 4 * 1024;

/// When bytes that are read came, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    /// They have woken the shard: they came since it looked before, which it may have been late to do.
    Now,
    /// They were found in the socket. The kernel knows.
    Earlier,
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    pub(super) fn handle_ready(&mut self, ready: impl IntoIterator<Item = Ready>) {
        for ready in ready {
            match ready {
                Ready::Woken => self.woken = true,
                Ready::Listener(socket) => {
                    if let Some(listener) = &mut self.listener {
                        listener.handle_ready(socket);
                    }
                }
                Ready::Session { slot, readable, closed, writable } => {
                    if writable {
                        self.unblock(slot);
                    }
                    if readable || closed {
                        self.read_ready(slot, closed);
                    }
                }
            }
        }
    }

    fn read_ready(&mut self, slot: u32, to_end: bool) {
        let arrival = if self.is_late { Arrival::Earlier } else { Arrival::Now };
        if self.state.sessions.get_mut(slot).is_none_or(|session| session.unread) {
            // Its turn comes, and not sooner because there is more of it.
        } else if self.has_read_for(READ_WITHIN) {
            self.read_later(slot);
        } else {
            self.read(slot, to_end, arrival);
        }
    }

    /// Whether this turn has been reading for so long. The time is that of the last read.
    fn has_read_for(&self, within: Duration) -> bool {
        self.read_at.saturating_since(self.awake_at) >= within
    }

    /// Sessions whose turn was not enough, or that had to wait for the owner; of those that are online and
    /// of the others in turn.
    pub(super) fn read_unread(&mut self) {
        for _ in 0..self.unread.len().max(self.unread_newcomers.len()) {
            if self.has_read_for(READ_WITHIN / 2) {
                return;
            }
            let newcomer = if self.handler.has_room_for_newcomers(&self.resumer) {
                self.unread_newcomers.pop_front()
            } else {
                None
            };
            let other =
                if self.handler.has_room(&self.resumer) { self.unread.pop_front() } else { None };
            if newcomer.is_none() && other.is_none() {
                return;
            }
            for id in [newcomer, other].into_iter().flatten() {
                let Some(slot) = self.state.sessions.slot(id) else { continue };
                if let Some(session) = self.state.sessions.get_mut(slot) {
                    session.unread = false;
                }
                self.read(slot, true, Arrival::Earlier);
            }
        }
    }

    pub(super) fn read_later(&mut self, slot: u32) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if !session.unread {
            session.unread = true;
            let unread = if session.online { &mut self.unread } else { &mut self.unread_newcomers };
            unread.push_back(id);
        }
    }

    /// How much may be read from a session now: of a newcomer little, where there is no room for data. (One
    /// that speaks TLS is read record by record anyway, and needs the whole buffer for it.)
    fn may_read(&mut self, is_online: bool, is_secure: bool) -> usize {
        if self.handler.has_room(&self.resumer) {
            return self.buffer.len();
        }
        if is_online || !self.handler.has_room_for_newcomers(&self.resumer) {
            return 0;
        }
        if is_secure { self.buffer.len() } else { NEWCOMER_READ_LEN }
    }

    /// Reads what has come for a session. A read that does not fill the buffer has emptied the
    /// socket; `to_end` goes on nevertheless, to see whether the end or an error comes after it.
    pub(super) fn read(&mut self, slot: u32, to_end: bool, arrival: Arrival) {
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.state.sessions.get_mut(slot) else { return };
            if session.parting().is_some() {
                self.go_on_parting(slot);
                return;
            }
            if session.ending || session.waits_for_name() {
                return;
            }
            let was_handshaking = session.is_handshaking();
            let (is_online, is_secure) = (session.online, session.is_secure());
            let may_read = self.may_read(is_online, is_secure);
            if may_read == 0 {
                break;
            }
            if was_handshaking {
                let Some(left) = self.handshakes_left.checked_sub(1) else { break };
                self.handshakes_left = left;
                if self.is_tls_in_vain(slot) {
                    return;
                }
            }
            let Some(session) = self.state.sessions.get_mut(slot) else { return };
            let buffer = self.buffer.get_mut(..may_read).unwrap_or_default();
            match session.read(buffer, &self.state.world) {
                Ok(Received::Nothing) if !session.has_failed() => return,
                Ok(Received::Bytes(len)) => {
                    let has_more = session.has_more(len, may_read);
                    if was_handshaking {
                        self.go_on_with_handshake(slot);
                    }
                    // The first frame has not come with the end of the handshake, and is not to wait.
                    if !was_handshaking || len > 0 {
                        self.receive(slot, len, arrival);
                    }
                    self.state.count_held(slot);
                    if has_more {
                        break;
                    }
                    if !to_end {
                        return;
                    }
                }
                Ok(end) => {
                    let cut = matches!(end, Received::Truncated);
                    let reason = session.reason_to_end(self.state.world.now(), cut);
                    return self.state.end(slot, reason);
                }
                Err(TlsError::Socket(error)) => {
                    session.fail(error.kind());
                    let reason = session.reason_to_end(self.state.world.now(), false);
                    return self.state.end(slot, reason);
                }
                Err(error @ TlsError::Fault { fault, .. }) => {
                    return self.end_by_tls(slot, fault, &error);
                }
            }
        }
        self.read_later(slot);
    }

    pub(super) fn end_by_tls(&mut self, slot: u32, fault: TlsFault, why: &dyn fmt::Display) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let reason = Reason::Tls(fault);
        if !session.ends_without_a_word(&reason) {
            tracing::warn!(peer = %session.peer, "closed by TLS: {why}");
        }
        self.state.end(slot, reason);
    }

    /// Bytes came for the handshake of TLS. Once that is over, the connection begins.
    fn go_on_with_handshake(&mut self, slot: u32) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if session.wants_write() {
            self.state.flush_later(slot);
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if session.is_handshaking() {
            return;
        }
        session.connection = Connection::new(self.state.config.settings, self.state.world.now());
        if self.state.config.online_at_once {
            self.go_online(slot, None);
        }
        self.state.flush_later(slot);
        self.state.arm(slot);
    }

    /// Handles the first `len` bytes of the buffer, which came for a session.
    fn receive(&mut self, slot: u32, len: usize, arrival: Arrival) {
        // It is in nobody's way there, and nothing reads while this runs.
        let mut buffer = core::mem::take(&mut self.buffer);
        let was_in = self.state.sessions.get_mut(slot).is_none_or(|session| session.online);
        self.receive_from(slot, buffer.get(..len).unwrap_or_default(), arrival);
        if !was_in {
            // A token may have been in it; with TLS, twice.
            let used = if self.state.handle.tls().is_some() { buffer.len() } else { len };
            buffer.get_mut(..used).unwrap_or_default().zeroize();
        }
        self.buffer = buffer;
    }

    pub(super) fn receive_from(&mut self, slot: u32, fresh: &[u8], arrival: Arrival) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        // After the read, not before: a byte must not seem older than it is.
        let now = self.state.world.now();
        self.read_at = now;
        match arrival {
            Arrival::Now if now.saturating_since(self.unread_since) <= arrival::SPAN_MAX => {
                session.connection.handle_heard(now);
            }
            Arrival::Now => session.hear_from_kernel(true, &self.state.world),
            Arrival::Earlier => session.hear_from_kernel(false, &self.state.world),
        }
        let health = session.health(now);
        let mut kept = session.take_inbound();
        let had_partial = !kept.is_empty();
        let mut rest = if had_partial {
            kept.extend_from_slice(fresh);
            kept.as_slice()
        } else {
            fresh
        };
        loop {
            // The handler may have ended this session, and the slot is not reused before the leave.
            let Some(session) = self.state.sessions.get_mut(slot) else { return };
            if session.ending {
                return;
            }
            let is_first = !session.online;
            match session.connection.handle_received(now, &mut rest) {
                Ok(Some(Input::Beat)) => {
                    session.beats = session.beats.saturating_add(1);
                    if is_first {
                        self.go_online(slot, None);
                    }
                }
                Ok(Some(Input::Data(data))) => {
                    if is_first {
                        self.go_online(slot, None);
                    }
                    self.deliver(slot, id, data);
                }
                Ok(Some(Input::Promise(beat))) => {
                    session.beats = session.beats.saturating_add(1);
                    let limit = session.connection.policy().limit();
                    self.state.arm(slot);
                    self.state.handle.counters().promises.fetch_add(1, Relaxed);
                    if let Some(beat) = beat {
                        self.tell(Event::Promise { id, beat, limit });
                    }
                }
                Ok(Some(Input::Hello(hello))) => {
                    self.state.handle.counters().hellos.fetch_add(1, Relaxed);
                    self.handle_hello(slot, &hello, now);
                }
                // No client of ours gets that far: a server is not welcomed.
                Ok(Some(Input::Welcome(_))) => {}
                Ok(Some(Input::Bye(bye))) => return self.state.end(slot, Reason::Bye(bye.code)),
                Ok(None) => break,
                Err(violation) => return self.state.end(slot, Reason::Protocol(violation)),
            }
        }
        let rest_len = rest.len();
        if !had_partial || rest_len < kept.len() {
            // Exactly as much as there is: a long frame would leave its memory to the next one.
            kept = rest.to_vec();
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        session.keep_inbound(kept);
        let health_now = session.health(now);
        let mark = match session.connection.spoken() {
            Spoken::V1 if session.looks_often_enough() => self.state.config.wake_mark,
            Spoken::V1 => 1,
            Spoken::V0 | Spoken::Raw => self.state.config.receive_mark,
            // The handshake never waits.
            Spoken::Unknown => 1,
        };
        let has_begun = rest_len > 0 || session.has_partial_record();
        session.set_mark(mark, has_begun);
        if has_begun {
            self.state.arm(slot);
        }
        self.state.transmit(slot, now);
        if health_now != health {
            self.tell(Event::Health { id, health: health_now });
        }
    }

    /// Hands over data, unless the handler has ended the session since it was read.
    fn deliver(&mut self, slot: u32, id: SessionId, data: &[u8]) {
        if self.state.sessions.get_mut(slot).is_some_and(|session| !session.ending) {
            self.tell(Event::Data { id, data });
        }
    }

    /// The socket of a session takes bytes again.
    fn unblock(&mut self, slot: u32) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if session.parting().is_some() {
            self.go_on_parting(slot);
        } else if session.blocked {
            session.blocked = false;
            self.state.flush_later(slot);
            // A beat may have waited for this, and goes in front of what is queued.
            let now = self.notice_stall();
            self.judge(slot, now);
        }
    }

    /// Writes what was queued in this turn, each session's bytes together.
    pub(super) fn flush(&mut self) {
        for slot in core::mem::take(&mut self.state.unflushed) {
            self.flush_one(slot);
        }
    }

    pub(super) fn flush_one(&mut self, slot: u32) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        session.unflushed = false;
        // One that is blocked waits for the poller, and so does a beat of its: there is no timer for that.
        if session.ending || session.blocked {
            return;
        }
        let now = self.state.world.now();
        if let Err(error) = session.flush(&mut self.state.world, slot, now) {
            session.fail(error.kind());
            // What the client said before it went is still there to be read.
            self.read(slot, true, Arrival::Earlier);
        }
        self.state.count_held(slot);
    }
}
