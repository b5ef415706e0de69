//! Judging the sessions whose timer has fired.

use heartwire_core::{Instant, Spoken, Verdict};

use super::Shard;
use super::traffic::Arrival;
use crate::reason::Reason;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::session::Session;
use crate::tls::TlsFault;
use crate::world::ServerWorld;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Looks at the sessions whose timer has fired: most have been heard since, and are only armed
    /// again.
    pub(super) fn handle_timeouts(&mut self) {
        if self.state.wheel.next_wake().is_none_or(|wake| wake > self.awake_at) {
            return;
        }
        let until = self.state.world.now();
        loop {
            // A handler may have held this shard up since it woke, or since the last judgement; or the
            // machine was suspended.
            self.watch.handle_sleep(self.state.wheel.next_wake());
            let now = self.notice_stall();
            let Some(slot) = self.state.wheel.poll(until) else { return };
            self.judge(slot, now);
            self.state.arm(slot);
        }
    }

    /// Bytes that are in the socket already outrank a deadline, and a beat tells of them.
    pub(super) fn read_before_judging(&mut self, slot: u32) {
        self.read(slot, false, Arrival::Earlier);
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if session.unread && !session.ending && session.has_news() {
            // The owner is slow, so that something has to wait where it is.
            session.connection.handle_backpressure(self.state.world.now());
        }
    }

    /// Judges a session as of `now`. What it is judged by must have been read at `now` or later, so
    /// the time is not taken again in between.
    fn judge(&mut self, slot: u32, now: Instant) {
        if self.state.sessions.get_mut(slot).is_some_and(|session| session.parting().is_some()) {
            self.go_on_parting(slot);
            return;
        }
        if !self.judge_tls(slot, now) {
            return;
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        // On v1 a beat says what has been heard, so that is looked at before one is sent.
        let says_what_it_heard = session.connection.spoken() == Spoken::V1;
        if says_what_it_heard || session.connection.would_end(now) {
            self.read_before_judging(slot);
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if session.ending {
            return;
        }
        if let Some(stall) = self.last_stall {
            session.connection.handle_stall(stall);
        }
        match session.connection.handle_timeout(now) {
            Ok(None) => self.state.transmit(slot, now),
            Ok(Some(verdict)) => self.call_dead(slot, verdict),
            Err(_) if session.waits_for_name() => self.give_up_waiting(slot),
            Err(violation) => self.state.end(slot, Reason::Protocol(violation)),
        }
    }

    /// Whether the session is to be judged by what was said: it is not if TLS has not come that far, or
    /// takes too long.
    fn judge_tls(&mut self, slot: u32, now: Instant) -> bool {
        let within = self.state.config.tls_within;
        let is_late =
            |session: &Session<W::Socket>| session.tls_deadline(within).is_some_and(|at| at <= now);
        let Some(session) = self.state.sessions.get_mut(slot) else { return false };
        if is_late(session) {
            self.read_before_judging(slot);
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return false };
        if session.ending {
            return false;
        }
        if is_late(session) {
            // It may have said what is missing, or have had to wait for us.
            if self.is_late || (session.unread && session.has_news()) {
                session.excuse_tls(now);
            } else {
                self.end_by_tls(slot, TlsFault::TooSlow, &TlsFault::TooSlow);
                return false;
            }
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return false };
        !session.is_handshaking()
    }

    fn call_dead(&mut self, slot: u32, verdict: Verdict) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let peer = session.peer;
        let is_known = session.online;
        // First, so that nothing the handler does can give it another reason.
        self.state.end(slot, Reason::Dead(verdict));
        if is_known {
            self.tell(Event::Verdict { id, peer, verdict });
        }
    }
}
