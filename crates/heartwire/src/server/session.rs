//! A client, as its application knows it; and the [link](Link) that carries it.

use core::net::SocketAddr;
use std::io;

use heartwire_core::v1::Contract;
use heartwire_core::{Connection, Event as Input, Instant, Violation};

use super::id::SessionId;
use super::link::{Link, Parted};
use super::outbound::Outbound;
use crate::reason::Reason;
use crate::world::{ServerWorld, Socket};

/// Small, because a server holds very many: what only few need is allocated when first needed.
#[derive(Debug)]
pub(super) struct Session<S> {
    pub(super) link: Link<S>,
    pub(super) id: SessionId,
    /// Since when it has been here, online or not.
    pub(super) since: Instant,
    extra: Option<Box<Extra>>,
    pub(super) beats: u32,
    /// How many bytes were held for it when that was last counted.
    pub(super) held: u32,
    phase: Phase,
    /// It is in the shard's list of sessions with bytes to read.
    pub(super) is_unread: bool,
    /// It is in the shard's list of sessions with bytes to write.
    pub(super) is_unflushed: bool,
}

/// How far a session is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Live(Standing),
    /// Nothing more is read from it or told about it, but `Offline`, if its application knows of it.
    Ended(Standing),
    /// Its link [parts](super::link::Parting) from the client. Its `Offline` may have been told.
    Parting(Standing),
}

/// How far a client has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has connected, and not yet said who it is.
    Unknown,
    /// It has said HELLO, and has to wait for its name.
    Waiting,
    /// Its application knows of it.
    Online,
    /// And while the server drains, its turn to leave has come.
    Leaving,
}

impl Standing {
    /// Whether its application knows of it.
    pub(super) const fn is_known(self) -> bool {
        matches!(self, Self::Online | Self::Leaving)
    }
}

impl Phase {
    pub(super) const fn standing(self) -> Standing {
        match self {
            Self::Live(standing) | Self::Ended(standing) | Self::Parting(standing) => standing,
        }
    }

    /// Whether its application knows of it, or did.
    pub(super) const fn is_known(self) -> bool {
        self.standing().is_known()
    }

    pub(super) const fn has_ended(self) -> bool {
        !matches!(self, Self::Live(_))
    }

    /// Whether its application can talk to it.
    pub(super) const fn is_online(self) -> bool {
        self.is_known() && !self.has_ended()
    }

    /// Whether it waits to be let in.
    pub(super) const fn is_pending(self) -> bool {
        !self.is_known() && !self.has_ended()
    }
}

/// A client that gave a name.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: Box<str>,
    pub(super) epoch: u64,
    pub(super) agent: Option<Box<str>>,
}

/// What few sessions need, and not all the time.
#[derive(Debug, Default)]
struct Extra {
    /// What the client called itself at the handshake.
    identity: Option<Identity>,
    /// What it will be welcomed to when no other session has its name any more.
    waits_for: Option<Box<Contract>>,
    outbound: Outbound,
}

impl<S: Socket> Session<S> {
    pub(super) fn new(
        id: SessionId,
        stream: S,
        peer: SocketAddr,
        connection: Connection,
        now: Instant,
    ) -> Self {
        Self {
            link: Link::new(stream, peer, connection),
            id,
            since: now,
            extra: None,
            beats: 0,
            held: 0,
            phase: Phase::Live(Standing::Unknown),
            is_unread: false,
            is_unflushed: false,
        }
    }

    /// What the client says next. The beats of one whose application knows of it are counted, and nothing
    /// else.
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

    /// How far it has come in now. One that has ended stays where it was.
    const fn stand(&mut self, standing: Standing) {
        if !self.phase.has_ended() {
            self.phase = Phase::Live(standing);
        }
    }

    /// Its application knows of it from now on.
    pub(super) const fn go_online(&mut self) {
        self.stand(Standing::Online);
    }

    /// Ends it, and returns how far it had come in; `None` if it has ended before.
    pub(super) const fn end(&mut self) -> Option<Standing> {
        let Phase::Live(standing) = self.phase else { return None };
        self.phase = Phase::Ended(standing);
        Some(standing)
    }

    /// Where it is in its shard, and what the poller calls it.
    pub(super) fn slot(&self) -> u32 {
        self.id.slot()
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.extra.as_ref()?.identity.as_ref()
    }

    pub(super) fn take_identity(&mut self) -> Option<Identity> {
        let identity = self.extra.as_mut()?.identity.take();
        self.drop_empty();
        identity
    }

    pub(super) fn set_identity(&mut self, identity: Identity) {
        self.extra.get_or_insert_default().identity = Some(identity);
    }

    /// The client has to wait for its name.
    pub(super) fn wait_for_name(&mut self, identity: Identity, contract: Contract) {
        self.set_identity(identity);
        self.extra.get_or_insert_default().waits_for = Some(Box::new(contract));
        self.stand(Standing::Waiting);
    }

    /// A client that has waited for its name waits no more; `None` if it has not, or has ended.
    pub(super) fn wait_no_more(&mut self) -> Option<(Identity, Contract)> {
        if self.phase != Phase::Live(Standing::Waiting) {
            return None;
        }
        let contract = self.extra.as_mut()?.waits_for.take()?;
        self.stand(Standing::Unknown);
        Some((self.take_identity()?, *contract))
    }

    /// Whether the client understands a BYE.
    pub(super) fn understands_bye(&self) -> bool {
        self.phase.standing() == Standing::Waiting || self.link.speaks_v1()
    }

    /// While the server drains: its turn to leave has come.
    pub(super) fn let_leave(&mut self) {
        if self.phase.is_online() {
            self.stand(Standing::Leaving);
        }
    }

    /// Whether it may end in a server that drains: all that was queued for it has been written, and
    /// its turn has come, if it needs one.
    pub(super) fn is_drained(&self) -> bool {
        let may_leave = self.phase.standing() != Standing::Online || self.understands_bye();
        may_leave && self.queued() == 0
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.extra.get_or_insert_default().outbound.push(bytes);
    }

    /// Queues a whole frame in front of everything but the frame that is being written and those
    /// that were queued like this before it: a beat does not wait behind data.
    pub(super) fn queue_first(&mut self, frame: &[u8]) {
        self.extra.get_or_insert_default().outbound.push_first(frame);
    }

    /// Bytes that wait to be written.
    pub(super) fn queued(&self) -> usize {
        self.unsealed() + self.link.sealed()
    }

    /// Those of them that TLS has not sealed, or all without it.
    fn unsealed(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.outbound.waiting().len())
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(
        &mut self,
        world: &mut impl ServerWorld<Socket = S>,
        now: Instant,
    ) -> io::Result<()> {
        let slot = self.slot();
        let mut none = Outbound::default();
        let outbound = self.extra.as_mut().map_or(&mut none, |extra| &mut extra.outbound);
        let written = self.link.write(outbound, world, slot, now);
        self.drop_empty();
        written
    }

    /// Begins to part from the client: what is queued is still sent, and what comes is discarded.
    pub(super) fn begin_parting(&mut self, until: Instant, reason: Reason) {
        self.phase = Phase::Parting(self.phase.standing());
        self.link.begin_parting(until, reason);
    }

    /// Goes on with that: writes what is queued, closes the sending half behind it, and discards
    /// what has come, in `reads` reads at most.
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

    /// The link failed. What came before that can still be read, and the end comes after it.
    pub(super) fn fail(&mut self, error: io::ErrorKind) {
        if let Some(extra) = &mut self.extra {
            extra.outbound = Outbound::default();
        }
        self.link.fail(error);
    }

    /// Bytes that are held for it, room for more of them included: those that wait to be written,
    /// and what its link has.
    pub(super) fn held_now(&self) -> u32 {
        let queue = self.extra.as_ref().map_or(0, |extra| extra.outbound.capacity());
        u32::try_from(queue + self.link.held()).unwrap_or(u32::MAX)
    }

    /// It ends, and nothing more is sent to it or read from it.
    pub(super) fn drop_held(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.outbound = Outbound::default();
        }
        self.link.drop_held();
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        let is_empty = |extra: &Extra| {
            extra.identity.is_none() && extra.waits_for.is_none() && extra.outbound.is_empty()
        };
        if self.extra.as_deref().is_some_and(is_empty) {
            self.extra = None;
        }
    }
}

#[cfg(test)]
mod tests;
