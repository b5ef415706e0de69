//! Reading what came, and writing what was queued.

use heartwire_core::Event as Input;
use mio::{Events, Token};

use super::{ALARM, FIRST_LISTENER, Shard, WAKER};
use crate::clock;
use crate::reason::Reason;
use crate::server::event::Event;
use crate::server::handler::{Control, Handler};
use crate::server::state::token;

/// Full buffers read from one session before the others get their turn.
pub(super) const READS_PER_TURN: usize = 4;

/// When bytes that are read came, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    /// They have just woken the shard.
    Now,
    /// They were found in the socket. The kernel knows.
    Earlier,
}

impl<H: Handler> Shard<H> {
    pub(super) fn handle_poll_events(&mut self, events: &Events) {
        let arrival = if self.is_late { Arrival::Earlier } else { Arrival::Now };
        for event in events {
            let Token(number) = event.token();
            if event.token() == WAKER {
                self.woken = true;
                continue;
            }
            if event.token() == ALARM {
                continue;
            }
            if let Some(socket) = number.checked_sub(FIRST_LISTENER) {
                if let Some(listener) = &mut self.listener {
                    listener.handle_ready(socket);
                }
                continue;
            }
            let Ok(slot) = u32::try_from(number) else { continue };
            if event.is_writable() {
                self.unblock(slot);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(slot, event.is_read_closed() || event.is_error(), arrival);
            }
        }
    }

    /// Sessions whose turn was not enough, or that had to wait for the owner.
    pub(super) fn read_unread(&mut self) {
        for _ in 0..self.unread.len() {
            if !self.handler.has_room(&self.resumer) {
                return;
            }
            let Some(id) = self.unread.pop_front() else { return };
            let Some(slot) = self.state.sessions.slot(id) else { continue };
            if let Some(session) = self.state.sessions.get_mut(slot) {
                session.unread = false;
            }
            self.read(slot, true, Arrival::Earlier);
        }
    }

    pub(super) fn read_later(&mut self, slot: u32) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if !session.unread {
            session.unread = true;
            self.unread.push_back(id);
        }
    }

    /// Reads what has come for a session. A read that does not fill the buffer has emptied the
    /// socket; `to_end` goes on nevertheless, to see whether the end or an error comes after it.
    pub(super) fn read(&mut self, slot: u32, to_end: bool, arrival: Arrival) {
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.state.sessions.get_mut(slot) else { return };
            if session.ending {
                return;
            }
            if !self.handler.has_room(&self.resumer) {
                break;
            }
            match session.read(&mut self.buffer) {
                Ok(None) if !session.has_failed() => return,
                Ok(None | Some(0)) => {
                    let reason = session.reason_to_end(clock::now());
                    return self.state.end(slot, reason);
                }
                Ok(Some(len)) => {
                    self.receive(slot, len, arrival);
                    if len < self.buffer.len() && !to_end {
                        return;
                    }
                }
                Err(error) => {
                    session.fail(error.kind());
                    let reason = session.reason_to_end(clock::now());
                    return self.state.end(slot, reason);
                }
            }
        }
        self.read_later(slot);
    }

    /// Handles the first `len` bytes of the buffer, which came for a session.
    fn receive(&mut self, slot: u32, len: usize, arrival: Arrival) {
        let Self { state, handler, buffer, jiffy, .. } = self;
        let Some(id) = state.sessions.id(slot) else { return };
        let Some(session) = state.sessions.get_mut(slot) else { return };
        // After the read, not before: a byte must not seem older than it is.
        let now = clock::now();
        match arrival {
            Arrival::Now => session.connection.handle_heard(now),
            Arrival::Earlier => session.hear_from_kernel(*jiffy),
        }
        let fresh = buffer.get(..len).unwrap_or_default();
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
            let Some(session) = state.sessions.get_mut(slot) else { return };
            if session.ending {
                return;
            }
            match session.connection.handle_received(now, &mut rest) {
                Ok(Some(Input::Beat)) => session.beats = session.beats.saturating_add(1),
                Ok(Some(Input::Data(data))) => {
                    handler.handle(Event::Data { id, data }, &mut Control { state });
                }
                Ok(None) => break,
                Err(violation) => return state.end(slot, Reason::Protocol(violation)),
            }
        }
        let rest_len = rest.len();
        if !had_partial || rest_len < kept.len() {
            // Exactly as much as there is: a long frame would leave its memory to the next one.
            kept = rest.to_vec();
        }
        if let Some(session) = state.sessions.get_mut(slot) {
            session.keep_inbound(kept);
            session.set_mark(state.receive_mark, rest_len > 0);
        }
        if rest_len > 0 {
            state.arm(slot);
        }
        state.transmit(slot, now);
    }

    /// The socket of a session takes bytes again.
    fn unblock(&mut self, slot: u32) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if session.blocked {
            session.blocked = false;
            self.state.flush_later(slot);
        }
    }

    /// Writes what was queued in this turn, each session's bytes together.
    pub(super) fn flush(&mut self) {
        for slot in core::mem::take(&mut self.state.unflushed) {
            let Some(session) = self.state.sessions.get_mut(slot) else { continue };
            session.unflushed = false;
            if session.ending {
                continue;
            }
            let now = clock::now();
            if let Err(error) = session.flush(&self.state.registry, token(slot), now) {
                session.fail(error.kind());
                // What the client said before it went is still there to be read.
                self.read(slot, true, Arrival::Earlier);
            }
        }
    }
}
