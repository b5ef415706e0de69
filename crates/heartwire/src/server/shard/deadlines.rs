//! Judging the sessions whose timer has fired.

use heartwire_core::order::{Found, Next, Over};
use heartwire_core::{Instant, Verdict};

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
        }
    }

    /// Bytes that are in the socket already outrank a deadline, and a beat tells of them.
    fn read_first(&mut self, slot: u32) -> Found {
        self.read(slot, false, Arrival::Earlier);
        // An owner that is slow lets something wait where it is.
        let waits = |session: &mut Session<W::Socket>| session.unread && session.has_news();
        if self.state.live(slot).is_some_and(waits) {
            Found::NoRoom(self.state.world.now())
        } else {
            Found::All
        }
    }

    /// Judges a session as of `now`, sends it the beats that are due, and sets its timer. Right before, it must
    /// have been looked whether this shard stood still.
    pub(super) fn judge(&mut self, slot: u32, now: Instant) {
        if self.state.sessions.get_mut(slot).is_some_and(|session| session.parting().is_some()) {
            self.go_on_parting(slot);
            return;
        }
        if !self.judge_tls(slot, now) {
            return self.state.arm(slot);
        }
        let Some(session) = self.state.live(slot) else { return };
        let mut next = session.poll(now);
        loop {
            match self.state.write_beats(slot, next, now) {
                Next::ReadFirst(read) => {
                    let found = self.read_first(slot);
                    let Some(session) = self.state.live(slot) else { return };
                    next = session.connection.judge(read, found, self.last_stall);
                }
                Next::Over(over) => return self.end_connection(slot, over),
                Next::Write(_) | Next::SleepUntil(_) => return self.state.arm(slot),
            }
        }
    }

    fn end_connection(&mut self, slot: u32, over: Over) {
        let Some(session) = self.state.live(slot) else { return };
        match over {
            Over::Dead(verdict) => self.call_dead(slot, verdict),
            Over::Broken(_) if session.waits_for_name() => self.give_up_waiting(slot),
            Over::Broken(violation) => self.state.end(slot, Reason::Protocol(violation)),
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
            self.read_first(slot);
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
