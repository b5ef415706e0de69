//! Reads from and writes to sessions.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::internal::arrival;
use heartwire_core::resume::Ledger;
use heartwire_core::v1::{ByeCode, Health};
use heartwire_core::{Event as Input, Instant};
use zeroize::Zeroize as _;

use super::{Application, Ready, Shard};
use crate::reason::Reason;
use crate::server::agenda::Agenda;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::proxy_header::PROXY_HINT;
use crate::server::session::{Phase, Session, Standing};
use crate::tls::{PROXY_HEADER, Received, TlsError, TlsFailure, TlsFault, TlsSession};
use crate::world::{Break, ServerWorld, Socket};

/// Maximum number of reads from one session before the others get their turn. A read that fills the
/// buffer is the last.
pub(super) const READS_PER_TURN: usize = 4;

/// How long a shard reads in one turn: a fifth of [`TICK`](crate::TICK), so that deadlines, beats
/// and new clients wait no longer than that, however many bytes have come. Half of it is for
/// sessions that had to wait in the turn before, and the rest for new bytes: so clients that send
/// more than their share delay only each other.
const READ_WITHIN: Duration = Duration::from_millis(20);

/// Bytes read at once from a client that is not online yet, while there is no room for data: enough
/// for a first frame. Data that comes with it is reported although there is no room.
const NEWCOMER_READ_LEN: usize = 4 * 1024;

/// When the bytes of a read arrived.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    /// They woke the shard, so they came after it last asked the poller, which may be long ago if
    /// it was late.
    Now,
    /// They were already in the socket; ask the kernel.
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
        let has_read_enough = self.has_read_for(READ_WITHIN);
        let arrival = if self.is_late { Arrival::Earlier } else { Arrival::Now };
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if session.is_unread {
            // It keeps its place among the waiting sessions.
        } else if has_read_enough {
            agenda.read_later(session);
        } else {
            self.is_there = !to_end && !self.is_late;
            self.read(slot, to_end, arrival);
            self.is_there = false;
        }
    }

    /// Whether this turn has been reading for `within`, as of its last read.
    fn has_read_for(&self, within: Duration) -> bool {
        self.read_at.saturating_since(self.awake_at) >= within
    }

    /// Reads sessions that had more bytes than their turn allowed, or that waited for the
    /// application. Alternates between online sessions and new clients.
    pub(super) fn read_unread(&mut self) {
        let Agenda { unread, unread_newcomers, unread_resumable, .. } = &self.state.agenda;
        let most = unread.len().max(unread_newcomers.len()).max(unread_resumable.len());
        for _ in 0..most {
            if self.has_read_for(READ_WITHIN / 2) {
                return;
            }
            let Agenda { unread, unread_newcomers, unread_resumable, .. } = &mut self.state.agenda;
            let take =
                |takes: bool, of: &mut VecDeque<_>| if takes { of.pop_front() } else { None };
            let newcomer = take(self.application.has_room_for_newcomers(), unread_newcomers);
            let resumable = unread_resumable.pop_front();
            let other = take(self.application.has_room(), unread);
            if newcomer.or(resumable).or(other).is_none() {
                return;
            }
            for id in [newcomer, resumable, other].into_iter().flatten() {
                if let Some((session, _)) = self.state.find(id) {
                    session.is_unread = false;
                    self.read(id.slot(), true, Arrival::Earlier);
                }
            }
        }
    }

    /// Reads from a session until its socket is empty or its turn is over. A read that does not
    /// fill the buffer has emptied the socket; `to_end` reads on, to find an end or an error.
    pub(super) fn read(&mut self, slot: u32, to_end: bool, arrival: Arrival) {
        for _ in 0..READS_PER_TURN {
            match self.read_once(slot, arrival) {
                Read::Some { has_more: false } if to_end => {}
                Read::Some { has_more: false } | Read::All => return,
                Read::Some { has_more: true } | Read::Later => break,
            }
        }
        if let Some((session, agenda)) = self.state.at(slot) {
            agenda.read_later(session);
        }
    }

    fn read_once(&mut self, slot: u32, arrival: Arrival) -> Read {
        let Some((session, agenda)) = self.state.at(slot) else { return Read::All };
        match session.phase() {
            Phase::Live(Standing::Unknown | Standing::Online | Standing::Leaving) => {}
            Phase::Live(Standing::Waiting | Standing::Away) | Phase::Ended(_) => {
                return Read::All;
            }
            Phase::Parting(_) => {
                self.go_on_parting(slot);
                return Read::All;
            }
        }
        let may_read = self.application.may_read(session, self.buffer.len());
        if may_read == 0 {
            return Read::Later;
        }
        let was_handshaking = session.link.is_handshaking();
        if was_handshaking && session.link.expects_header() {
            return if self.read_header(slot) { self.read_once(slot, arrival) } else { Read::All };
        }
        if was_handshaking && !session.link.has_answered() {
            let Some(left) = self.handshakes_left.checked_sub(1) else { return Read::Later };
            self.handshakes_left = left;
            // Clients on v0 wait without end, so a server that speaks v0 only serves them all.
            if !agenda.config.online_at_once && self.progress.client_has_left(session, agenda) {
                self.progress.note_too_late(session.id.shard(), &agenda.config);
                agenda.end(session, Reason::Rejected(ByeCode::Full));
                return Read::All;
            }
        }
        let buffer = self.buffer.get_mut(..may_read).unwrap_or_default();
        let reason = match session.link.read(buffer, &agenda.world) {
            Ok(Received::Nothing) if !session.link.has_failed() => return Read::All,
            Ok(Received::Bytes(len)) => {
                let has_more = session.link.has_more(len, may_read);
                if was_handshaking {
                    self.go_on_with_handshake(slot);
                }
                // Without data yet, `receive` would set the low-water mark, and the first frame
                // must not wait.
                if !was_handshaking || len > 0 {
                    self.receive(slot, len, arrival);
                }
                self.state.count_held(slot);
                return Read::Some { has_more };
            }
            Ok(end) => {
                let cut = matches!(end, Received::Truncated);
                session.link.reason_to_end(agenda.world.now(), cut)
            }
            Err(TlsFailure::Socket(error)) => {
                session.fail(error.kind());
                session.link.reason_to_end(agenda.world.now(), false)
            }
            Err(error @ TlsFailure::Fault { fault, .. }) => {
                self.end_by_tls(slot, fault, &error);
                return Read::All;
            }
        };
        agenda.lose_link(session, reason);
        Read::All
    }

    pub(super) fn end_by_tls(&mut self, slot: u32, fault: TlsFault, why: &dyn fmt::Display) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        let reason = Reason::Tls(TlsError(fault));
        if !session.link.ends_without_a_word(&reason) {
            let is_header = matches!(fault, TlsFault::NotTls { looks_like: Some(PROXY_HEADER) });
            let hint = if is_header { PROXY_HINT } else { "" };
            tracing::warn!(peer = %session.link.peer(), "closed by TLS: {why}{hint}");
        }
        agenda.lose_link(session, reason);
    }

    /// Continues after a balancer's header or bytes of the TLS handshake. When both have ended, the
    /// connection begins.
    pub(super) fn go_on_with_handshake(&mut self, slot: u32) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if session.link.wants_write() {
            agenda.flush_later(session);
        }
        if session.link.is_handshaking() {
            // TLS has another deadline than the header.
            return agenda.arm(session);
        }
        let (is_refused, now) = (session.is_refused(), agenda.world.now());
        session.link.connection = agenda.common.connection(is_refused, now);
        if let Some(has_resumed) = session.link.tls().map(TlsSession::has_resumed) {
            let counters = self.state.counts();
            counters.tls_handshakes.fetch_add(1, Relaxed);
            counters.tls_tickets.fetch_add(u64::from(has_resumed), Relaxed);
        }
        self.note_certificate(slot);
        if self.state.agenda.config.online_at_once {
            self.go_online(slot, None);
        }
        if let Some((session, agenda)) = self.state.at(slot) {
            agenda.flush_later(session);
            agenda.arm(session);
        }
    }

    /// Handles the first `len` bytes of the buffer, which came from a session's client.
    fn receive(&mut self, slot: u32, len: usize, arrival: Arrival) {
        // Nothing reads while this runs, so the buffer can be taken out.
        let mut buffer = core::mem::take(&mut self.buffer);
        let was_in = self.state.at(slot).is_none_or(|(session, _)| session.phase().is_known());
        self.receive_from(slot, buffer.get(..len).unwrap_or_default(), arrival);
        if !was_in {
            // The bytes may contain a token; with TLS, twice.
            let used = if self.state.handle.tls().is_some() { buffer.len() } else { len };
            buffer.get_mut(..used).unwrap_or_default().zeroize();
        }
        self.buffer = buffer;
    }

    pub(super) fn receive_from(&mut self, slot: u32, fresh: &[u8], arrival: Arrival) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        // After the read: a byte must not seem older than it is.
        let now = agenda.world.now();
        self.read_at = now;
        let is_released = session.link.take_released();
        let (heard_before, beats_before) = (session.link.connection.last_read(), session.beats);
        let was_in = session.phase().is_known() && !fresh.is_empty();
        match arrival {
            Arrival::Earlier => session.link.hear_from_kernel(false, &agenda.world),
            Arrival::Now if is_released => session.link.hear_from_kernel(false, &agenda.world),
            Arrival::Now if now.saturating_since(self.unread_since) <= arrival::MAX_SPAN => {
                session.link.connection.handle_heard(now);
            }
            Arrival::Now => session.link.hear_from_kernel(true, &agenda.world),
        }
        let health = session.link.health(now);
        let mut kept = session.link.take_inbound();
        let had_partial = !kept.is_empty();
        let mut rest = if had_partial {
            kept.extend_from_slice(fresh);
            kept.as_slice()
        } else {
            fresh
        };
        let mut has_promised = false;
        // Each call of the handler may end this session. Its slot is not reused before it is
        // closed.
        while let Some((session, agenda)) = self.state.at(slot) {
            if session.phase().has_ended() {
                return;
            }
            match session.next_input(now, &mut rest) {
                Ok(Some(input)) => {
                    has_promised |= matches!(input, Input::Promise(_));
                    self.handle_input(slot, input, now);
                }
                Ok(None) => break,
                Err(violation) => return agenda.end(session, Reason::Protocol(violation)),
            }
        }
        let rest_len = rest.len();
        if !had_partial || rest_len < kept.len() {
            // With the exact capacity: otherwise a long frame's memory would stay allocated.
            kept = rest.to_vec();
        }
        let Some((session, agenda)) = self.state.at(slot) else { return };
        session.link.keep_inbound(kept);
        let has_room = match session.settle() {
            Ok(has_room) => has_room,
            Err(violation) => return agenda.end(session, Reason::Protocol(violation)),
        };
        let has_begun = rest_len > 0 || session.link.has_partial_record();
        agenda.set_mark(session, has_begun);
        if has_begun || has_promised {
            // Only after all bytes are handled: before, the connection does not know all its
            // deadlines.
            agenda.arm(session);
        }
        if session.link.blocked || session.link.connection.has_to_write() {
            agenda.transmit(session, now);
        }
        if session.queued() > 0 {
            // It has waited for the room that an acknowledgement made.
            agenda.flush_later(session);
        }
        let is_resumable = session.is_resumable();
        let heard = session.link.connection.last_read().saturating_since(heard_before);
        let beats = session.beats.saturating_sub(beats_before);
        let link_state = session.link.connection.link_state(now);
        let health_now = link_state.map_or(Health::Ok, |link_state| link_state.peer_health);
        let id = session.id;
        if let Some(counters) = self.state.counters() {
            if was_in {
                counters.measured.gap(heard, beats);
            }
            let rtt = link_state.and_then(|link_state| link_state.rtt).filter(|_| beats > 0);
            rtt.into_iter().for_each(|rtt| counters.measured.round_trip(rtt));
        }
        if health_now != health {
            self.tell(Event::Health { id, health: health_now });
        }
        if has_room {
            self.tell(Event::Room { id });
        }
        if is_resumable {
            self.end_if_done(id);
        }
    }

    /// Handles one input of a client. On v0 its first beat or data brings it online.
    fn handle_input(&mut self, slot: u32, input: Input<'_>, now: Instant) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        let id = session.id;
        match input {
            // The first beat; later ones are only counted.
            Input::Beat => self.go_online(slot, None),
            Input::Data(data) => {
                if !session.phase().is_known() {
                    self.go_online(slot, None);
                    if self.state.at(slot).is_none_or(|(session, _)| session.phase().has_ended()) {
                        return;
                    }
                }
                self.deliver(id, Some(data));
            }
            Input::End => self.deliver(id, None),
            Input::Promise(interval) => {
                session.count_beat();
                let timeout = session.link.connection.policy().timeout();
                self.state.counts().promises.fetch_add(1, Relaxed);
                self.tell(Event::Promise { id, interval, timeout });
            }
            Input::Hello(_) if session.is_refused() => self.tell_full(id),
            Input::Hello(hello) => {
                self.state.counts().hellos.fetch_add(1, Relaxed);
                self.handle_hello(slot, &hello, now);
            }
            // Not reached: to a server a WELCOME is a violation.
            Input::Welcome(_) => {}
            Input::Bye(bye) => {
                let settled = session.settle();
                session.handle_final_word(bye.taken.is_some() && settled.is_ok());
                let is_done = session.ledger().is_some_and(Ledger::is_done);
                let reason = match settled {
                    // The client knew it first.
                    Ok(_) if is_done && bye.code == ByeCode::Done => Reason::Done,
                    Ok(_) => Reason::Bye(bye.code),
                    Err(violation) => Reason::Protocol(violation),
                };
                agenda.end(session, reason);
            }
        }
    }

    /// Handles a socket that is writable again.
    fn unblock(&mut self, slot: u32) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if matches!(session.phase(), Phase::Parting(_)) {
            self.go_on_parting(slot);
        } else if session.link.blocked {
            session.link.blocked = false;
            agenda.flush_later(session);
            // A turn that has taken long up to here was paused, whatever is due when.
            self.watch.handle_sleep(Some(self.awake_at));
            let now = self.notice_pause();
            // A beat may have waited for this, and goes before queued data.
            self.judge(slot, now);
        }
    }

    /// Writes the bytes queued in this turn, with one write per session.
    pub(super) fn flush(&mut self) {
        for slot in core::mem::take(&mut self.state.agenda.unflushed) {
            self.flush_one(slot);
        }
    }

    pub(super) fn flush_one(&mut self, slot: u32) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        session.is_unflushed = false;
        // A blocked session waits for the poller, and so does its beat: there is no timer for that.
        if session.phase().has_ended() || session.link.blocked || session.is_away() {
            return;
        }
        let now = agenda.world.now();
        if agenda.world.breaks(Break::HearsItself) && session.queued() > 0 {
            session.link.connection.handle_heard(now);
        }
        if let Err(error) = session.flush(&mut agenda.world, now) {
            session.fail(error.kind());
            // Bytes that the client sent before it went can still be read.
            self.read(slot, true, Arrival::Earlier);
        } else if session.ledger().is_some_and(Ledger::has_unacknowledged) {
            // The acknowledgement must not wait in the socket.
            agenda.wake_for_all(session);
        }
        self.state.count_held(slot);
    }
}

/// The result of a read.
#[derive(Clone, Copy, Debug)]
enum Read {
    /// Bytes were read and handled. `has_more`: more wait for its next turn.
    Some { has_more: bool },
    /// Everything was read, or nothing more will be.
    All,
    /// It cannot be read now; bytes may be waiting.
    Later,
}

impl<H: Handler> Application<H> {
    /// How many bytes may be read from a session now, at most `most`: few from a new client while
    /// there is no room for data. (TLS is read record by record, and needs the whole buffer.)
    fn may_read<S: Socket>(&mut self, session: &Session<S>, most: usize) -> usize {
        if session.is_resumable() || self.has_room() {
            return most;
        }
        if session.phase().is_known() || !self.has_room_for_newcomers() {
            return 0;
        }
        if session.link.is_secure() { most } else { NEWCOMER_READ_LEN }
    }
}
