//! A session: one client, with its [link](Link).

mod resumable;

use core::net::SocketAddr;
use std::io;

use heartwire_core::resume::Position;
use heartwire_core::v1::{ResumeOffer, Resuming};
use heartwire_core::{Connection, Event as Input, Instant, Violation};

use super::admission::Claimant;
use super::event::Agreed;
use super::id::SessionId;
use super::link::{Link, Parted};
use super::outbound::Outbound;
use crate::reason::Reason;
use crate::world::{ServerWorld, Socket};
use resumable::Resumable;

/// The state of one client. It is small, because a server has very many: rarely needed fields are
/// allocated when first needed.
#[derive(Debug)]
pub(super) struct Session<S> {
    pub(super) link: Link<S>,
    pub(super) id: SessionId,
    /// When the client connected.
    pub(super) since: Instant,
    extra: Option<Box<Extra>>,
    pub(super) beats: u32,
    /// The number of its link, if the session can be resumed.
    pub(super) link_number: u32,
    /// Bytes buffered for it when they were last counted.
    pub(super) held: u32,
    phase: Phase,
    /// It is in the shard's list of sessions to read.
    pub(super) is_unread: bool,
    /// It is in the shard's list of sessions to write.
    pub(super) is_unflushed: bool,
}

/// The phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Live(Standing),
    /// Nothing more is read from it. Only its `Offline` is still reported, if it was online.
    Ended(Standing),
    /// Its link waits to [close](super::link::Parting). Its `Offline` may have been reported.
    Parting(Standing),
}

/// The progress of a client's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has connected.
    Unknown,
    /// It has sent HELLO, and waits for its name.
    Waiting,
    /// Its `Online` was reported.
    Online,
    /// It is online, the server drains, and its turn to be disconnected has come.
    Leaving,
    /// It is online, and its link is lost. That is [cut](Session::park) at the end of the turn.
    Away,
}

impl Standing {
    /// Whether its `Online` was reported.
    pub(super) const fn is_known(self) -> bool {
        matches!(self, Self::Online | Self::Leaving | Self::Away)
    }
}

impl Phase {
    pub(super) const fn standing(self) -> Standing {
        match self {
            Self::Live(standing) | Self::Ended(standing) | Self::Parting(standing) => standing,
        }
    }

    /// Whether its `Online` was reported, now or before its end.
    pub(super) const fn is_known(self) -> bool {
        self.standing().is_known()
    }

    pub(super) const fn has_ended(self) -> bool {
        !matches!(self, Self::Live(_))
    }

    /// Whether the application can send to it.
    pub(super) const fn is_online(self) -> bool {
        self.is_known() && !self.has_ended()
    }

    /// Whether it waits to be accepted.
    pub(super) const fn is_pending(self) -> bool {
        !self.is_known() && !self.has_ended()
    }
}

/// The identity of a named client.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: Box<str>,
    pub(super) epoch: u64,
    /// It was taken over by a session of the same client, which may come back all the same.
    may_return: bool,
}

impl Identity {
    pub(super) fn new(name: &str, epoch: u64) -> Self {
        Self { name: name.into(), epoch, may_return: false }
    }
}

/// A client that has said HELLO and was not welcomed yet.
#[derive(Debug)]
pub(super) struct Applicant {
    pub(super) agreed: Box<Agreed>,
    pub(super) claimant: Claimant,
    /// What both ends keep, if its session can be resumed.
    pub(super) resume: Option<ResumeOffer>,
    /// The session that it wants to go on with.
    pub(super) resuming: Option<Resuming>,
    /// Up to where the application had taken over what it sent in that session, which has ended.
    pub(super) lost: Option<Position>,
}

/// Fields that few sessions need at a time.
#[derive(Debug, Default)]
struct Extra {
    /// The client's identity from the handshake.
    identity: Option<Identity>,
    /// The result of its handshake, while it waits for its name or its session.
    waits_for: Option<Box<Applicant>>,
    outbound: Outbound,
    resumable: Option<Box<Resumable>>,
}

impl<S: Socket> Session<S> {
    pub(super) fn new(
        id: SessionId,
        stream: S,
        peer: SocketAddr,
        connection: Connection,
        now: Instant,
    ) -> Self {
        Self::of_link(id, Link::new(stream, peer, connection), now)
    }

    pub(super) const fn of_link(id: SessionId, link: Link<S>, now: Instant) -> Self {
        Self {
            link,
            id,
            since: now,
            extra: None,
            beats: 0,
            link_number: 0,
            held: 0,
            phase: Phase::Live(Standing::Unknown),
            is_unread: false,
            is_unflushed: false,
        }
    }

    /// Its link, which goes into another slot. What the poller was to report of it is forgotten
    /// with this slot: whether its socket takes bytes has to be tried.
    pub(super) fn into_link(self) -> Link<S> {
        let mut link = self.link;
        link.blocked = false;
        link
    }

    /// The client's next input. Beats of an online client are only counted.
    pub(super) fn next_input<'a>(
        &mut self,
        now: Instant,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Input<'a>>, Violation> {
        loop {
            let input = self.link.connection.handle_received(now, bytes)?;
            if !matches!(input, Some(Input::Beat)) {
                return Ok(input);
            }
            self.count_beat();
            if !self.phase.is_known() {
                return Ok(input);
            }
        }
    }

    pub(super) const fn count_beat(&mut self) {
        self.beats = self.beats.saturating_add(1);
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Changes the standing, unless the session has ended.
    const fn stand(&mut self, standing: Standing) {
        if !self.phase.has_ended() {
            self.phase = Phase::Live(standing);
        }
    }

    /// Marks it as online.
    pub(super) const fn go_online(&mut self) {
        self.stand(Standing::Online);
    }

    /// Ends it, and returns its standing; `None` if it has ended before.
    pub(super) fn end(&mut self) -> Option<Standing> {
        let Phase::Live(standing) = self.phase else { return None };
        self.phase = Phase::Ended(standing);
        self.drop_waiting();
        Some(standing)
    }

    /// Whether it is no session, but a client that was refused and is [told
    /// why](super::shard::refused).
    pub(super) const fn is_refused(&self) -> bool {
        self.link.entered.is_none() && !self.phase.is_known()
    }

    /// Whether it has said something that was worth an answer: the beginning of TLS, or HELLO.
    pub(super) fn was_answered(&self) -> bool {
        self.phase.standing() == Standing::Waiting || self.link.has_answered()
    }

    /// Its slot in the shard, which is also its key in the poller.
    pub(super) fn slot(&self) -> u32 {
        self.id.slot()
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.extra.as_ref()?.identity.as_ref()
    }

    /// Lets its client come back after it was taken over by a session of the same client.
    pub(super) fn let_return(&mut self) {
        if let Some(identity) = self.extra.as_mut().and_then(|extra| extra.identity.as_mut()) {
            identity.may_return = true;
        }
    }

    pub(super) fn may_return(&self) -> bool {
        self.identity().is_some_and(|identity| identity.may_return)
    }

    pub(super) fn take_identity(&mut self) -> Option<Identity> {
        let identity = self.extra.as_mut()?.identity.take();
        self.drop_empty();
        identity
    }

    pub(super) fn set_identity(&mut self, identity: Identity) {
        self.extra.get_or_insert_default().identity = Some(identity);
    }

    /// Makes the client wait for its name, or for the session that it wants to go on with.
    pub(super) fn wait_for(&mut self, identity: Option<Identity>, applicant: Box<Applicant>) {
        let extra = self.extra.get_or_insert_default();
        (extra.identity, extra.waits_for) = (identity, Some(applicant));
        self.stand(Standing::Waiting);
    }

    /// Ends the wait. `None` if the client did not wait, or has ended.
    pub(super) fn wait_no_more(&mut self) -> Option<(Option<Identity>, Box<Applicant>)> {
        if self.phase != Phase::Live(Standing::Waiting) {
            return None;
        }
        let applicant = self.extra.as_mut()?.waits_for.take()?;
        self.stand(Standing::Unknown);
        Some((self.take_identity(), applicant))
    }

    /// The session that the client waits to go on with.
    pub(super) fn resuming(&self) -> Option<&Resuming> {
        self.extra.as_ref()?.waits_for.as_ref()?.resuming.as_ref()
    }

    /// Whether the client understands a BYE.
    pub(super) fn understands_bye(&self) -> bool {
        self.phase.standing() == Standing::Waiting || self.link.speaks_v1()
    }

    /// Lets it end, while the server drains.
    pub(super) fn let_leave(&mut self) {
        if self.phase.is_online() {
            self.stand(Standing::Leaving);
        }
    }

    /// Whether it may end while the server drains: its queue was written, and its turn has come, if
    /// it needs one.
    pub(super) fn is_drained(&self) -> bool {
        let may_leave = self.phase.standing() != Standing::Online || self.understands_bye();
        may_leave && (self.is_away() || self.queued() == 0)
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.extra.get_or_insert_default().outbound.push(bytes);
    }

    /// Whether data is under way, either way: queued, not acknowledged, not delivered, or a frame
    /// that is not whole.
    pub(super) fn has_under_way(&self) -> bool {
        let is_acknowledged = self.ledger().is_none_or(|ledger| !ledger.has_unacknowledged());
        self.queued() > 0
            || !is_acknowledged
            || self.has_waiting()
            || self.has_kept()
            || self.is_unread
            || self.link.has_partial()
    }

    /// Queues a frame before all others, except the frame that is being written and earlier frames
    /// queued this way: a beat does not wait behind data.
    pub(super) fn queue_first(&mut self, frame: &[u8]) {
        self.extra.get_or_insert_default().outbound.push_first(frame);
    }

    /// Bytes that wait to be written, encrypted or not.
    pub(super) fn queued(&self) -> usize {
        self.unsealed() + self.link.sealed()
    }

    /// Whether a frame can be [written at once](Link::write_at_once): nothing is in front of it,
    /// and its bytes are neither encrypted nor counted.
    pub(super) fn writes_at_once(&self) -> bool {
        self.unsealed() == 0 && !self.link.is_secure() && !self.is_resumable()
    }

    /// Bytes that wait to be encrypted, or, without TLS, to be written.
    fn unsealed(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.outbound.waiting_len())
    }

    /// Writes queued bytes as far as the socket takes them.
    pub(super) fn flush(
        &mut self,
        world: &mut impl ServerWorld<Socket = S>,
        now: Instant,
    ) -> io::Result<()> {
        let slot = self.slot();
        let mut none = Outbound::default();
        let outbound = self.extra.as_mut().map_or(&mut none, |extra| &mut extra.outbound);
        let written = self.link.write(outbound, world, slot, now);
        match self.link.connection.ledger_mut() {
            // They stay until the client has acknowledged them.
            Some(ledger) => {
                ledger.handle_written(outbound.written_whole());
                outbound.release(0);
            }
            None => outbound.release(outbound.written_whole()),
        }
        self.forget_resumes(now);
        self.drop_empty();
        written
    }

    /// Begins to close the connection: queued bytes are still sent, and received ones discarded.
    pub(super) fn begin_parting(&mut self, until: Instant, reason: Reason) {
        self.phase = Phase::Parting(self.phase.standing());
        self.link.begin_parting(until, reason);
    }

    /// Goes on closing: writes queued bytes, then closes the sending half, and discards received
    /// bytes in at most `reads` reads.
    pub(super) fn part(
        &mut self,
        world: &mut impl ServerWorld<Socket = S>,
        buffer: &mut [u8],
        reads: usize,
    ) -> Parted {
        let now = world.now();
        let flushed = self.flush(world, now);
        match flushed.and_then(|()| self.link.part(self.unsealed(), buffer, reads, now)) {
            Ok(unread) if !self.link.has_parted(world) => Parted::NotYet { unread },
            Ok(_) | Err(_) => Parted::Done,
        }
    }

    /// Handles a failure of the link. Bytes that came before it can still be read.
    pub(super) fn fail(&mut self, error: io::ErrorKind) {
        let is_resumable = self.is_resumable();
        if let Some(extra) = self.extra.as_mut().filter(|_| !is_resumable) {
            extra.outbound = Outbound::default();
        }
        self.link.fail(error);
    }

    /// Memory allocated for its buffers, in bytes: its queue and its link's.
    pub(super) fn held_now(&self) -> u32 {
        let queue = self.extra.as_ref().map_or(0, |extra| {
            let kept = extra.resumable.as_ref().map_or(0, |own| own.kept_len());
            extra.outbound.capacity() + kept
        });
        u32::try_from(queue + self.link.held()).unwrap_or(u32::MAX)
    }

    /// Frees its buffers at its end, when nothing more is sent or read. Received data stays for the
    /// application.
    pub(super) fn drop_held(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.outbound = Outbound::default();
        }
        self.link.drop_held();
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        if extra.resumable.as_deref().is_some_and(Resumable::is_idle) {
            extra.resumable = None;
        }
        let is_empty = |extra: &Extra| {
            extra.identity.is_none()
                && extra.waits_for.is_none()
                && extra.outbound.is_empty()
                && extra.resumable.is_none()
        };
        if self.extra.as_deref().is_some_and(is_empty) {
            self.extra = None;
        }
    }
}

#[cfg(test)]
mod tests;
