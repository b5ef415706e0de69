//! Ends sessions: one, or all at a shutdown.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;

use heartwire_core::frame::Kind;
use heartwire_core::resume::Position;
use heartwire_core::v1::{ByeCode, Health};
use heartwire_core::{Cause, Instant, Violation};

use super::Shard;
use super::handshake::bye;
use super::refused::HELD_FOR;
use super::traffic::READS_PER_TURN;
use crate::reason::Reason;
use crate::server::agenda::Ending;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::link::{LINGER, Parted};
use crate::server::mailbox::{MAX_COMMANDS, Mailbox};
use crate::server::proxy_header::{PROXY_HINT, looks_like_proxy};
use crate::server::session::{Phase, Session};
use crate::server::state::ShardState;
use crate::server::tombstones::Tombstone;
use crate::undelivered::Undelivered;
use crate::world::{Break, ServerWorld, Socket};

/// Maximum number of sessions closed in one turn. Closing a socket is the most expensive call here
/// (about 20 µs on loopback, measured), and when thousands die at once their verdicts come first.
const CLOSES_PER_TURN: usize = 256;

/// Maximum number of sockets of a shard that linger, that is, wait for their clients to close (no
/// limit while it drains). Each keeps a descriptor and a session's place for [`LINGER`]: this many
/// are enough for the thousand clients per second that one address may send, and bound what a flood
/// of rejected clients takes.
const MAX_LINGERING: usize = 1024;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    pub(super) fn mailbox_is_shutdown(&self) -> bool {
        let mailbox = self.state.handle.mailbox(usize::from(self.state.index));
        mailbox.is_some_and(Mailbox::is_shutdown)
    }

    /// Stops accepting. Sessions end when their queues are sent. Clients that cannot be given a
    /// reconnect window are disconnected one after another, or they would all reconnect in one
    /// instant.
    pub(super) fn begin_shutdown(&mut self) {
        self.listener = None;
        self.state.agenda.parks = false;
        let (now, drain) = (self.state.agenda.world.now(), self.state.handle.drain());
        self.drained_by = Some(now.saturating_add(drain));
        self.commands_left = MAX_COMMANDS;
        let online = self.state.sessions.iter();
        let online = online.filter(|session| session.phase().is_known() && !session.is_away());
        let one_by_one: Vec<SessionId> =
            online.filter(|session| !session.understands_bye()).map(|session| session.id).collect();
        // The last client needs some of the drain for data in flight.
        let span = drain.saturating_sub(LINGER).max(drain / 2);
        let count = u32::try_from(one_by_one.len()).unwrap_or(u32::MAX).max(1);
        let at = |n: u32| now.saturating_add(span.mul_f64(f64::from(n) / f64::from(count)));
        self.one_by_one = (0..count).map(at).zip(one_by_one).collect();
    }

    /// While shutting down, ends the sessions that have nothing left to send, or all when the time
    /// is up. Visits all sessions once per turn; the server does nothing else any more.
    pub(super) fn handle_drained(&mut self) {
        let Some(drained_by) = self.drained_by else { return };
        let now = self.state.agenda.world.now();
        while self.one_by_one.front().is_some_and(|&(at, _)| at <= now) {
            let Some((_, id)) = self.one_by_one.pop_front() else { break };
            if let Some((session, _)) = self.state.find(id) {
                session.let_leave();
            }
        }
        let time_is_up = now >= drained_by;
        // Commands may be left for another turn, which queues their data.
        let all_is_queued = self.commands_left == 0;
        let mut parting = Vec::new();
        let ShardState { sessions, agenda, .. } = &mut self.state;
        for session in sessions.iter_mut() {
            match session.phase() {
                Phase::Live(_) if time_is_up || (all_is_queued && session.is_drained()) => {
                    agenda.end(session, Reason::Shutdown);
                }
                Phase::Parting(_) if time_is_up => parting.push(session.slot()),
                Phase::Live(_) | Phase::Ended(_) | Phase::Parting(_) => {}
            }
        }
        for slot in parting {
            if !self.go_on_parting(slot) {
                // Its closing began before the shutdown, with its own second.
                self.end_parting(slot);
            }
        }
    }

    /// Closes sessions that have ended, and reports them.
    pub(super) fn close_ended(&mut self) {
        for _ in 0..CLOSES_PER_TURN {
            let Some(ending) = self.state.agenda.ending.pop_front() else { return };
            self.handle_ending(ending);
        }
    }

    /// Does the same before its turn for a session that has ended or has lost its link.
    pub(super) fn close_now(&mut self, id: SessionId) {
        let ending = &mut self.state.agenda.ending;
        let at = ending.iter().rposition(|ending| ending.id == id);
        if let Some(ending) = at.and_then(|at| ending.remove(at)) {
            self.handle_ending(ending);
        }
    }

    fn handle_ending(&mut self, Ending { id, reason, only_link }: Ending) {
        let Some((session, _)) = self.state.find(id) else { return };
        match (only_link, session.has_lost_link()) {
            (false, _) => self.close_gently(id.slot(), reason),
            (true, true) => self.park(id.slot(), reason),
            // It has ended since, or its client is back.
            (true, false) => {}
        }
    }

    pub(super) fn close_gently(&mut self, slot: u32, reason: Reason) {
        let Some((session, _)) = self.state.at(slot) else { return };
        let id = session.id;
        if reason != Reason::Kicked && session.has_kept() {
            // The application gets all that was received before it is told of the end.
            self.deliver_kept_of(id, true);
        }
        let drain = self.state.handle.drain();
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if session.link.stream.is_none() {
            return self.close(slot, reason);
        }
        let bye = bye(&reason, drain, id, session.final_position(), session.may_return());
        let bye = bye.filter(|_| session.understands_bye() || said_hello(&reason));
        // Kicked and rejected clients already have a BYE queued, or understand none.
        let says_bye =
            bye.is_some() || (matches!(reason, Reason::Rejected(_)) && session.queued() > 0);
        if let Some(bye) = bye {
            session.queue(&bye);
        }
        if !says_bye && !is_worth_parting(&reason) {
            return self.close(slot, reason);
        }
        let most = if session.is_refused() {
            session.since.saturating_add(HELD_FOR)
        } else {
            agenda.world.now().saturating_add(LINGER)
        };
        let is_shutdown = reason == Reason::Shutdown;
        let until = self.drained_by.filter(|&by| is_shutdown || by < most).unwrap_or(most);
        session.begin_parting(until, reason);
        let (id, is_refused) = (session.id, session.is_refused());
        // Most end at once: the client has closed and has received everything.
        if self.go_on_parting(slot) || is_shutdown || is_refused {
            return;
        }
        self.tell_end(slot);
        self.linger(id);
    }

    /// Keeps a socket that waits for its client to close. Closes the oldest one if there are too
    /// many.
    fn linger(&mut self, id: SessionId) {
        if self.lingering.len() >= MAX_LINGERING {
            let sessions = &mut self.state.sessions;
            self.lingering.retain(|&id| sessions.find(id).is_some());
        }
        if self.lingering.len() >= MAX_LINGERING {
            self.end_longest_lingering();
        }
        self.lingering.push_back(id);
    }

    /// Goes on closing a connection. Closes its socket when that is complete, and returns whether
    /// it is.
    pub(super) fn go_on_parting(&mut self, slot: u32) -> bool {
        let Some((session, agenda)) = self.state.at(slot) else { return true };
        let Some(until) = session.link.parting().map(|parting| parting.until) else { return true };
        let parted = session.part(&mut agenda.world, &mut self.buffer, READS_PER_TURN);
        let now = agenda.world.now();
        // Discarded bytes take read time of the turn, too.
        self.read_at = now;
        let Parted::NotYet { unread } = parted else {
            self.end_parting(slot);
            return true;
        };
        if now >= until {
            self.end_parting(slot);
            return true;
        }
        agenda.set_timer(session, session.link.part_again_at(now).min(until));
        if unread {
            agenda.read_later(session);
        }
        self.state.count_held(slot);
        false
    }

    /// Closes the socket that has lingered longest.
    pub(super) fn end_longest_lingering(&mut self) {
        while let Some(id) = self.lingering.pop_front() {
            if self.state.find(id).is_some() {
                return self.end_parting(id.slot());
            }
        }
    }

    pub(super) fn end_parting(&mut self, slot: u32) {
        let Some((session, _)) = self.state.at(slot) else { return };
        // Nothing is reported or counted of a refused client.
        let acknowledged = session.is_refused() || session.link.is_acknowledged();
        let Some(parting) = session.link.parting_mut() else { return };
        let untold = parting.untold.take();
        if !acknowledged && untold != Some(Reason::Shutdown) {
            self.state.counts().cut_off.fetch_add(1, Relaxed);
        }
        match untold {
            Some(Reason::Shutdown) if !acknowledged => self.close(slot, Reason::Unacknowledged),
            Some(reason) => self.close(slot, reason),
            None => drop(self.close_socket(slot, None)),
        }
    }

    /// Closes a session's socket, and reports its `Offline`.
    fn close(&mut self, slot: u32, reason: Reason) {
        if let Some(gone) = self.close_socket(slot, Some(&reason)) {
            self.tell_gone(gone, reason);
        }
    }

    /// Closes a session's socket, and frees its place, descriptor and slot.
    fn close_socket(&mut self, slot: u32, untold: Option<&Reason>) -> Option<Gone> {
        let mut session = self.state.remove(slot)?;
        let is_reset =
            matches!(untold, Some(Reason::Dead(_) | Reason::SlowReader | Reason::MostBuffered));
        let gone = Gone::of(&mut session, untold);
        if let Some((peer, place)) = session.leave_away() {
            let now = self.state.agenda.world.now();
            self.state.handle.away_count().leave(peer, place, now);
        }
        // With a reset, so that a client that was declared dead but can still receive learns of it
        // at once. Otherwise the kernel would go on sending queued data for minutes before the end.
        let is_reset = is_reset || session.queued() > 0;
        self.state.close(session.link.cut(), is_reset);
        Some(gone)
    }

    /// Reports the end of a session whose socket lingers.
    fn tell_end(&mut self, slot: u32) {
        let Some((session, _)) = self.state.at(slot) else { return };
        let Some(reason) = session.link.parting_mut().and_then(|parting| parting.untold.take())
        else {
            return;
        };
        let gone = Gone::of(session, Some(&reason));
        self.tell_gone(gone, reason);
    }

    fn tell_gone(&mut self, gone: Gone, reason: Reason) {
        let Gone { id, peer, beats, since, is_known, is_refused, name, undelivered, .. } = gone;
        if is_refused {
            // It was counted when it was refused.
            tracing::debug!(%peer, "gone: {reason}");
            return;
        }
        self.state.counts().count_end(&reason);
        if let (Some(taken), Some(resume)) = (gone.final_position, self.state.agenda.config.resume)
        {
            let now = self.state.agenda.world.now();
            let (refuses, until) = (gone.refuses, now.saturating_add(resume.grace));
            let tombstone = Tombstone { taken, refuses, until };
            self.state.handle.tombstones().insert(id, tombstone, now);
        }
        let rejected = rejected_for(&reason).filter(|_| !is_known);
        if rejected == Some(ByeCode::Version) {
            tracing::warn!(
                session = %id, %peer, violation = "unexpected",
                "rejected a client: it speaks protocol v0, and this server speaks v1 only"
            );
        } else if let (Reason::Protocol(violation), false) = (reason, gone.without_a_word) {
            let name = violation.name();
            let is_header =
                matches!(violation, Violation::UnknownType { header } if looks_like_proxy(&header));
            let hint = if is_header { PROXY_HINT } else { "" };
            tracing::warn!(
                session = %id, %peer, violation = name,
                "closed for a protocol error: {violation}{hint}"
            );
        } else if let (Reason::Proxy(fault), false) = (reason, gone.without_a_word) {
            tracing::warn!(session = %id, %peer, "closed for its PROXY header: {fault}");
        } else {
            tracing::debug!(session = %id, %peer, "offline: {reason}");
        }
        if let Reason::Dead(verdict) = reason {
            // Our own verdict was reported when it was given; the kernel's shows only here, as the
            // socket's error.
            if verdict.cause == Cause::Kernel && is_known {
                self.tell(Event::Verdict { id, peer, verdict });
            }
        }
        if is_known {
            let lasted = self.state.agenda.world.now().saturating_since(since);
            let mut undelivered = undelivered;
            if self.state.agenda.world.breaks(Break::TellsLessLost) {
                undelivered.frames = undelivered.frames.saturating_sub(1);
            }
            let offline = Event::Offline { id, peer, reason, beats, lasted, undelivered };
            if self.state.agenda.world.breaks(Break::TellsOfflineTwice) {
                self.tell(offline.clone());
            }
            self.tell(offline);
            if self.state.agenda.world.breaks(Break::SpeaksAfterOffline) {
                self.tell(Event::Health { id, health: Health::Ok });
            }
        }
        if let Some(code) = rejected {
            self.tell(Event::Rejected { peer, name: name.clone(), code });
        }
        // Last, because the next session of this name must be reported after this one's end.
        if let Some(name) = name {
            self.release_name(&name, id);
        }
    }
}

/// What is reported about a session that has ended.
struct Gone {
    id: SessionId,
    peer: SocketAddr,
    beats: u32,
    since: Instant,
    is_known: bool,
    is_refused: bool,
    name: Option<Box<str>>,
    without_a_word: bool,
    undelivered: Undelivered,
    /// Of a session that could be resumed.
    final_position: Option<Position>,
    /// Why its client must not come back to it.
    refuses: Option<ByeCode>,
}

impl Gone {
    /// Takes the name out of the session, so that it is released only once.
    fn of<S: Socket>(session: &mut Session<S>, reason: Option<&Reason>) -> Self {
        Self {
            without_a_word: reason.is_some_and(|reason| session.link.ends_without_a_word(reason)),
            id: session.id,
            peer: session.link.peer(),
            beats: session.beats,
            since: session.since,
            is_known: session.phase().is_known(),
            is_refused: session.is_refused(),
            undelivered: session.undelivered(),
            final_position: session.final_position(),
            refuses: match reason {
                Some(Reason::TakenOver) if !session.may_return() => Some(ByeCode::TakenOver),
                Some(Reason::Kicked) if session.is_banned() => Some(ByeCode::Kicked),
                _ => None,
            },
            name: session.take_identity().map(|identity| identity.name),
        }
    }
}

/// Why a client that was not accepted is reported as rejected, if it is. Those rejected for lack of
/// room are only counted: they did nothing wrong.
fn rejected_for(reason: &Reason) -> Option<ByeCode> {
    let v0 = Violation::Unexpected { kind: Kind::Heart };
    let v0_data = Violation::Unexpected { kind: Kind::Data };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of reasons is open")]
    match *reason {
        Reason::Rejected(code) => Some(code).filter(|&code| code != ByeCode::Full),
        // As a first frame these are allowed on every server but one of v1 only.
        Reason::Protocol(violation) if violation == v0 || violation == v0_data => {
            Some(ByeCode::Version)
        }
        _ => None,
    }
}

/// Whether the client may still be there, with data in flight to it.
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
        | Reason::Revoked(_)
        | Reason::Expired(_)
        | Reason::MaxAge
        | Reason::Overflow
        | Reason::Done
        | Reason::Tls(_) => true,
        // The first three are gone. A v0 client that broke the protocol gets no BYE, nor does a
        // client that was rejected before it sent anything.
        Reason::Reset
        | Reason::Dead(_)
        | Reason::NetworkChanged
        | Reason::NotResumed
        | Reason::Suspected
        | Reason::Failed(_)
        | Reason::SlowReader
        | Reason::MostBuffered
        | Reason::NotBack
        | Reason::ReplayFull
        | Reason::Rejected(_)
        | Reason::Proxy(_)
        | Reason::Protocol(_) => false,
    }
}

/// Whether the session ended because of the client's HELLO, so that it understands a BYE.
const fn said_hello(reason: &Reason) -> bool {
    matches!(reason, Reason::Protocol(Violation::NoCommonVersion { .. } | Violation::BadHello))
}
