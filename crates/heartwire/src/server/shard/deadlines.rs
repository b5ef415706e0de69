//! Deadlines: checks the sessions whose timer has fired.

use core::time::Duration;

use heartwire_core::order::{Found, Next, Over};
use heartwire_core::{Instant, Verdict, Violation};

use super::Shard;
use super::traffic::Arrival;
use crate::reason::{ProxyFault, Reason};
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::session::{Phase, Standing};
use crate::tls::TlsFault;
use crate::world::{Break, ServerWorld};

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Checks the sessions whose timer has fired. Most have been heard since, and only set their
    /// timer again.
    pub(super) fn handle_timeouts(&mut self) {
        if self.state.agenda.wheel.next_wake().is_none_or(|wake| wake > self.awake_at) {
            return;
        }
        let until = self.state.agenda.world.now();
        loop {
            // A handler may have delayed this shard since it woke or since the last session, or the
            // machine was suspended.
            self.watch.handle_sleep(self.state.agenda.wheel.next_wake());
            let now = self.notice_pause();
            let Some(slot) = self.state.agenda.wheel.poll(until) else { return };
            self.judge(slot, now);
        }
    }

    /// Reads before a deadline is handled: bytes in the socket count, and a beat reports them.
    pub(super) fn read_first(&mut self, slot: u32) -> Found {
        self.read(slot, false, Arrival::Earlier);
        let Some((session, agenda)) = self.state.live(slot) else { return Found::All };
        if session.is_unread && session.link.has_news() {
            // The application is slow, so bytes have to wait in the socket.
            Found::NoRoom(agenda.world.now())
        } else {
            Found::All
        }
    }

    /// Checks a session's deadlines as of `now`, sends due beats, and sets its timer. Call
    /// [`notice_pause`](Self::notice_pause) right before.
    pub(super) fn judge(&mut self, slot: u32, now: Instant) {
        let Some((session, _)) = self.state.at(slot) else { return };
        if matches!(session.phase(), Phase::Parting(_)) {
            self.go_on_parting(slot);
            return;
        }
        if session.is_away() {
            return self.judge_away(slot, now);
        }
        if self.judge_age(slot, now) {
            return;
        }
        let is_secure = self.judge_tls(slot, now);
        let Some((session, agenda)) = self.state.live(slot) else { return };
        if !is_secure {
            return agenda.arm(session);
        }
        let mut next = session.link.poll(now);
        // Before a beat, the kernel may know enough. If a verdict is due, the answer is to read.
        let mut asks_kernel = true;
        while let Some((session, agenda)) = self.state.live(slot) {
            match agenda.write_beats(session, next, now) {
                Next::ReadFirst(read) => {
                    if core::mem::take(&mut asks_kernel) {
                        if let Some(heard_at) = agenda.heard_unread(session) {
                            let found = Found::Unread(heard_at);
                            next = session.link.connection.judge(read, found, self.last_pause);
                            continue;
                        }
                    }
                    let mut found = self.read_first(slot);
                    let Some((session, agenda)) = self.state.live(slot) else { return };
                    if session.is_away() {
                        // The end of the link was found, and needs no verdict.
                        return;
                    }
                    if let Some(pause) = self.last_pause {
                        if agenda.world.breaks(Break::TakesPausesForLife) {
                            session.link.connection.handle_heard(pause.resumed_at);
                        }
                    }
                    if session.link.blocked && agenda.world.breaks(Break::WaitsForWrites) {
                        found = Found::NoRoom(now);
                    }
                    next = session.link.connection.judge(read, found, self.last_pause);
                }
                Next::Over(over) => return self.end_connection(slot, over),
                Next::Write(_) | Next::SleepUntil(_) => return agenda.arm(session),
            }
        }
    }

    fn end_connection(&mut self, slot: u32, over: Over) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        match over {
            Over::Dead(verdict) => self.call_dead(slot, verdict),
            Over::Broken(_) if session.phase().standing() == Standing::Waiting => {
                self.give_up_waiting(slot);
            }
            // Its path may have been cut within the frame.
            Over::Broken(violation @ Violation::SlowFrame { .. }) => {
                agenda.lose_link(session, Reason::Protocol(violation));
            }
            Over::Broken(violation) => agenda.end(session, Reason::Protocol(violation)),
        }
    }

    /// Checks the deadlines of a balancer's header and of TLS. False if the session's own deadlines
    /// do not apply: during the header and the TLS handshake, or after one of them took too long.
    fn judge_tls(&mut self, slot: u32, now: Instant) -> bool {
        if self.state.live(slot).is_some_and(|(session, agenda)| agenda.is_tls_late(session, now)) {
            self.read_first(slot);
        }
        let Some((session, agenda)) = self.state.live(slot) else { return false };
        if agenda.is_tls_late(session, now) {
            // The client may have sent the rest, or had to wait for this end.
            if self.is_late || (session.is_unread && session.link.has_news()) {
                session.link.excuse_tls(now);
            } else if session.link.expects_header() {
                agenda.end(session, Reason::Proxy(ProxyFault::Slow));
                return false;
            } else {
                self.end_by_tls(slot, TlsFault::TooSlow, &TlsFault::TooSlow);
                return false;
            }
        }
        !session.link.is_handshaking()
    }

    fn call_dead(&mut self, slot: u32, mut verdict: Verdict) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if agenda.world.breaks(Break::TellsWrongFigures) {
            verdict.late += Duration::from_millis(1);
        }
        let (id, peer, is_known) = (session.id, session.link.peer(), session.phase().is_known());
        // Before the handler runs, so that it cannot end the session for another reason.
        agenda.lose_link(session, Reason::Dead(verdict));
        if is_known {
            let counters = self.state.counters();
            counters.into_iter().for_each(|counters| counters.measured.lateness(verdict.late));
            self.tell(Event::Verdict { id, peer, verdict });
            if self.state.agenda.world.breaks(Break::TellsTwice) {
                self.tell(Event::Verdict { id, peer, verdict });
            }
        }
    }
}
