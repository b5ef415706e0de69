//! Ending sessions, one or all.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;

use heartwire_core::{Cause, Instant, Violation};

use super::Shard;
use super::handshake::farewell;
use super::traffic::READS_PER_TURN;
use crate::reason::Reason;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::mailbox::Mailbox;
use crate::server::session::{LINGER, Parted, Session};
use crate::world::{ServerWorld, Socket};

/// Sessions closed before the others get their turn. Closing a socket is the dearest call here
/// (about 20 µs on loopback, measured), and when thousands die at once their verdicts come first.
const CLOSES_PER_TURN: usize = 256;

/// Sockets of a shard that wait for their clients to close, but while it drains. Each has a descriptor and
/// a session's place for [`LINGER`]: with as many, the thousand clients a second that one address may send
/// have all of that, and a flood of clients to turn away takes no more.
const LINGERING_MAX: usize = 1024;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    pub(super) fn mailbox_is_shut_down(&self) -> bool {
        let mailbox = self.state.handle.mailbox(usize::from(self.state.index));
        mailbox.is_some_and(Mailbox::is_shut_down)
    }

    /// Stops accepting. Sessions end once what is queued for them is sent. Clients to whom no BYE can name
    /// a window go one after the other, or they would all come back in one instant.
    pub(super) fn begin_shutdown(&mut self) {
        self.listener = None;
        let now = self.state.world.now();
        self.drained_by = Some(now.saturating_add(self.state.config.drain));
        let online = self.state.sessions.iter().filter(|(_, session)| session.online);
        let one_by_one: Vec<SessionId> =
            online.filter(|(_, session)| !session.understands_bye()).map(|(id, _)| id).collect();
        // The last one needs some of the drain for what is on its way to it.
        let span = self.state.config.drain.saturating_sub(LINGER).max(self.state.config.drain / 2);
        let count = u32::try_from(one_by_one.len()).unwrap_or(u32::MAX).max(1);
        let at = |n: u32| now.saturating_add(span.mul_f64(f64::from(n) / f64::from(count)));
        self.one_by_one = (0..count).map(at).zip(one_by_one).collect();
    }

    /// While shutting down, ends the sessions that have nothing left to send, or all when the time
    /// is up. This looks at all sessions, once per turn of a server that does nothing else any more.
    pub(super) fn handle_drained(&mut self) {
        let Some(drained_by) = self.drained_by else { return };
        let now = self.state.world.now();
        while self.one_by_one.front().is_some_and(|&(at, _)| at <= now) {
            let Some((_, id)) = self.one_by_one.pop_front() else { break };
            let slot = self.state.sessions.slot(id);
            if let Some(session) = slot.and_then(|slot| self.state.sessions.get_mut(slot)) {
                session.may_leave = true;
            }
        }
        let time_is_up = now >= drained_by;
        let is_drained = |session: &Session<W::Socket>| {
            let may_leave = session.may_leave || !session.online || session.understands_bye();
            may_leave && session.queued() == 0
        };
        let (mut drained, mut parting) = (Vec::new(), Vec::new());
        for (id, session) in self.state.sessions.iter() {
            if !session.ending && (time_is_up || is_drained(session)) {
                drained.push(id.slot());
            } else if time_is_up && session.parting().is_some() {
                parting.push(id.slot());
            }
        }
        for slot in drained {
            self.state.end(slot, Reason::Shutdown);
        }
        for slot in parting {
            if !self.go_on_parting(slot) {
                // It had begun before the shutdown, with a second of its own.
                self.end_parting(slot);
            }
        }
    }

    /// Takes leave of sessions that have ended, and tells their owner.
    pub(super) fn take_leave(&mut self) {
        for _ in 0..CLOSES_PER_TURN {
            let Some((slot, reason)) = self.state.ending.pop_front() else { return };
            self.take_leave_of(slot, reason);
        }
    }

    fn take_leave_of(&mut self, slot: u32, reason: Reason) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let bye = farewell(&reason, self.state.config.drain)
            .filter(|_| understands_bye(session, &reason));
        // Those who are turned away have been told, or never said anything and are told nothing.
        let says_bye =
            bye.is_some() || (matches!(reason, Reason::TurnedAway(_)) && session.queued() > 0);
        if let Some(bye) = bye {
            session.queue(&bye);
        }
        if !says_bye && !is_worth_parting(&reason) {
            return self.close(slot, reason);
        }
        let most = self.state.world.now().saturating_add(LINGER);
        let is_shutdown = reason == Reason::Shutdown;
        let until = self.drained_by.filter(|&by| is_shutdown || by < most).unwrap_or(most);
        session.begin_parting(until, reason);
        // Most are through with it at once: they have closed, and have everything.
        if self.go_on_parting(slot) || is_shutdown {
            return;
        }
        self.tell_end(slot, reason);
        self.linger(id);
    }

    /// Keeps a socket that waits for its client, and no more of those than there may be: the oldest goes.
    fn linger(&mut self, id: SessionId) {
        if self.lingering.len() >= LINGERING_MAX {
            let sessions = &self.state.sessions;
            self.lingering.retain(|&id| sessions.slot(id).is_some());
        }
        if self.lingering.len() >= LINGERING_MAX {
            self.end_longest_lingering();
        }
        self.lingering.push_back(id);
    }

    /// Goes on with parting from a client. Closes its socket when that is over, and returns whether it is.
    pub(super) fn go_on_parting(&mut self, slot: u32) -> bool {
        let Some(session) = self.state.sessions.get_mut(slot) else { return true };
        let Some(until) = session.parting().map(|parting| parting.until) else { return true };
        let parted = session.part(&mut self.state.world, slot, &mut self.buffer, READS_PER_TURN);
        let now = self.state.world.now();
        // What is discarded takes time of the turn like everything that is read.
        self.read_at = now;
        let Parted::NotYet { unread } = parted else {
            self.end_parting(slot);
            return true;
        };
        if now >= until {
            self.end_parting(slot);
            return true;
        }
        self.state.wheel.insert(slot, session.part_again_at(now).min(until));
        self.state.timers += 1;
        self.state.count_held(slot);
        if unread {
            self.read_later(slot);
        }
        false
    }

    /// Closes the socket that has waited longest for its client to close.
    pub(super) fn end_longest_lingering(&mut self) {
        while let Some(id) = self.lingering.pop_front() {
            if let Some(slot) = self.state.sessions.slot(id) {
                return self.end_parting(slot);
            }
        }
    }

    fn end_parting(&mut self, slot: u32) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let acknowledged = session.is_acknowledged();
        let Some(parting) = session.parting_mut() else { return };
        let untold = parting.untold.take();
        if !acknowledged && untold != Some(Reason::Shutdown) {
            self.state.handle.counters().cut_off.fetch_add(1, Relaxed);
        }
        match untold {
            Some(Reason::Shutdown) if !acknowledged => self.close(slot, Reason::Unacknowledged),
            Some(reason) => self.close(slot, reason),
            None => drop(self.close_socket(slot, None)),
        }
    }

    /// Closes a session's socket and tells its owner, who has not been told.
    fn close(&mut self, slot: u32, reason: Reason) {
        if let Some(gone) = self.close_socket(slot, Some(&reason)) {
            self.tell_gone(gone, reason);
        }
    }

    /// Closes a session's socket: its place, its descriptor and its slot are free.
    fn close_socket(&mut self, slot: u32, untold: Option<&Reason>) -> Option<Gone> {
        let id = self.state.sessions.id(slot)?;
        let mut session = self.state.remove(slot)?;
        self.state.wheel.remove(slot);
        let is_reset =
            matches!(untold, Some(Reason::Dead(_) | Reason::SlowReader | Reason::HeldMost));
        if is_reset || session.queued() > 0 {
            // With a reset, so that a client that was called dead but can still hear us learns of
            // it at once. Else the kernel would go on sending what is queued for minutes, and the end
            // would wait behind that. If this fails, it does.
            session.stream.reset_when_closed();
        }
        self.state.world.deregister(&mut session.stream);
        let gone = Gone::of(id, &mut session, untold);
        let entered = session.entered.take();
        drop(session);
        self.state.handle.admission().leave();
        if let Some(entered) = entered {
            self.state.handle.addresses().leave(gone.peer.ip(), entered, self.state.world.now());
        }
        Some(gone)
    }

    /// Tells of the end of a session whose socket lingers.
    fn tell_end(&mut self, slot: u32, reason: Reason) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        if let Some(parting) = session.parting_mut() {
            parting.untold = None;
        }
        let gone = Gone::of(id, session, Some(&reason));
        self.tell_gone(gone, reason);
    }

    fn tell_gone(&mut self, gone: Gone, reason: Reason) {
        let Gone { id, peer, beats, online_at, online, name, without_a_word } = gone;
        self.state.handle.counters().count_end(&reason);
        if let (Reason::Protocol(violation), false) = (reason, without_a_word) {
            let name = violation.name();
            tracing::warn!(
                session = %id, %peer, violation = name, "closed for a protocol error: {violation}"
            );
        } else {
            tracing::debug!(session = %id, %peer, "offline: {reason}");
        }
        if let Reason::Dead(verdict) = reason {
            // Ours was told when it was given; this one shows only here, as the socket's error.
            if verdict.cause == Cause::Kernel && online {
                self.tell(Event::Verdict { id, peer, verdict });
            }
        }
        if online {
            let lasted = self.state.world.now().saturating_since(online_at);
            self.tell(Event::Offline { id, peer, reason, beats, lasted });
        }
        // The next session of this name must not be heard of before.
        if let Some(name) = name {
            self.release_name(&name, id);
        }
    }
}

/// What there is to tell of a session that has ended.
struct Gone {
    id: SessionId,
    peer: SocketAddr,
    beats: u32,
    online_at: Instant,
    online: bool,
    name: Option<Box<str>>,
    without_a_word: bool,
}

impl Gone {
    /// It takes the name along, so that it is given back once.
    fn of<S: Socket>(id: SessionId, session: &mut Session<S>, reason: Option<&Reason>) -> Self {
        Self {
            without_a_word: reason.is_some_and(|reason| session.ends_without_a_word(reason)),
            id,
            peer: session.peer,
            beats: session.beats,
            online_at: session.online_at,
            online: session.online,
            name: session.take_guest().map(|guest| guest.name),
        }
    }
}

/// Whether the client may still be there, and something on its way to it.
const fn is_worth_parting(reason: &Reason) -> bool {
    match reason {
        Reason::ClosedByPeer
        | Reason::NoGoodbye
        | Reason::Truncated
        | Reason::Bye(_)
        | Reason::Kicked
        | Reason::Shutdown
        | Reason::Unacknowledged
        | Reason::TakenOver
        | Reason::Tls(_) => true,
        // The first three are gone. A client of v0 that broke the protocol is told nothing, and nor is one that
        // was turned away before it said anything.
        Reason::Reset
        | Reason::Dead(_)
        | Reason::NetworkChanged
        | Reason::Failed(_)
        | Reason::SlowReader
        | Reason::HeldMost
        | Reason::TurnedAway(_)
        | Reason::Protocol(_) => false,
    }
}

/// Whether the client knows what a BYE is: it has said HELLO at least.
fn understands_bye<S: Socket>(session: &Session<S>, reason: &Reason) -> bool {
    let said_hello =
        matches!(reason, Reason::Protocol(Violation::NoCommonVersion { .. } | Violation::BadHello));
    said_hello || session.waits_for_name() || session.understands_bye()
}
