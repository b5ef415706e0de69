//! Hands clients from one shard to another: new ones where one shard accepts for all, and those
//! that come back to a session of another shard.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use heartwire_core::Instant;

use super::Shard;
use crate::reason::Reason;
use crate::server::Handle;
use crate::server::admission::addresses::Entered;
use crate::server::agenda::Agenda;
use crate::server::grants::Grant;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::link::Link;
use crate::server::mailbox::MAX_COMMANDS;
use crate::server::session::{Applicant, Identity, Session};
use crate::world::ServerWorld;

/// A client that one shard accepted, for this or another shard to serve.
#[derive(Debug)]
pub(in crate::server) struct Adoptee<S> {
    pub(super) newcomer: Newcomer<S>,
    pub(super) place: HeldPlace,
}

#[derive(Debug)]
pub(super) enum Newcomer<S> {
    /// It has sent nothing yet.
    New(S),
    /// It goes on with a session of the other shard.
    Returning(Box<Returning<S>>),
}

/// A client that wants to go on with a session of another shard.
#[derive(Debug)]
pub(super) struct Returning<S> {
    pub(super) link: Link<S>,
    pub(super) identity: Option<Identity>,
    pub(super) applicant: Box<Applicant>,
    /// What it was admitted with.
    pub(super) grant: Grant,
}

/// A reserved place among the sessions, and among those of an address. Dropping it frees the place,
/// also in the queue of a shard that has ended.
#[derive(Debug)]
pub(super) struct HeldPlace {
    pub(super) handle: Handle,
    pub(super) peer: SocketAddr,
    pub(super) accepted_at: Instant,
    /// `None` once the session owns it.
    pub(super) entered: Option<Entered>,
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        let Some(entered) = self.entered.take() else { return };
        self.handle.places().leave();
        self.handle.addresses().leave(self.peer.ip(), entered, self.accepted_at);
        self.handle.counters().refused.fetch_add(1, Relaxed);
    }
}

/// Hands clients to other shards.
#[derive(Debug)]
pub(in crate::server) struct HandOver<S> {
    shards: Arc<[SyncSender<Adoptee<S>>]>,
    /// The shard whose turn it is, if this shard accepts for all.
    pub(in crate::server) next: Option<usize>,
}

impl<S> HandOver<S> {
    /// Creates the sending ends of this many shards, and their receiving ends.
    pub(in crate::server) fn of(
        shards: usize,
    ) -> impl Iterator<Item = (Self, Receiver<Adoptee<S>>)> {
        // As many as commands: a shard that does not take them is paused.
        let (shards, adoptees): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| sync_channel(MAX_COMMANDS)).unzip();
        let shards: Arc<[_]> = shards.into();
        adoptees
            .into_iter()
            .map(move |adoptees| (Self { shards: Arc::clone(&shards), next: None }, adoptees))
    }

    /// The shard for the next client; `None` if each shard accepts for itself.
    pub(super) fn next(&mut self) -> Option<usize> {
        let shard = self.next?;
        self.next = Some((shard + 1) % self.shards.len().max(1));
        Some(shard)
    }

    /// Hands a client to a shard, or returns it if the shard is paused or gone.
    fn give(&self, shard: usize, adoptee: Adoptee<S>) -> Result<(), Adoptee<S>> {
        let Some(adoptees) = self.shards.get(shard) else { return Err(adoptee) };
        adoptees.try_send(adoptee).map_err(|error| match error {
            TrySendError::Full(adoptee) | TrySendError::Disconnected(adoptee) => adoptee,
        })
    }
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Hands a client to another shard, or returns it if that is paused or gone.
    pub(super) fn give(
        &self,
        shard: usize,
        client: Adoptee<W::Socket>,
    ) -> Result<(), Adoptee<W::Socket>> {
        self.hand_over.give(shard, client)?;
        if let Some(mailbox) = self.state.handle.mailbox(shard) {
            mailbox.wake();
        }
        Ok(())
    }

    /// Hands a client to the shard of the session that it wants to go on with. Returns it with an
    /// id of this shard if that shard is paused or gone.
    pub(super) fn hand_back(
        &mut self,
        mut returning: Box<Returning<W::Socket>>,
        shard: usize,
    ) -> Option<SessionId> {
        let Agenda { world, .. } = &mut self.state.agenda;
        let accepted_at = world.now();
        if let Some(stream) = &mut returning.link.stream {
            world.deregister(stream);
        }
        let (handle, peer) = (self.state.handle.clone(), returning.link.peer());
        let place = HeldPlace { handle, peer, accepted_at, entered: returning.link.entered.take() };
        let client = Adoptee { newcomer: Newcomer::Returning(returning), place };
        match self.give(shard, client).err()? {
            Adoptee { newcomer: Newcomer::Returning(returning), place } => {
                self.take_in(*returning, place)
            }
            Adoptee { newcomer: Newcomer::New(_), .. } => None,
        }
    }

    /// Takes in a client that another shard has read the HELLO of.
    pub(super) fn take_in(
        &mut self,
        returning: Returning<W::Socket>,
        mut place: HeldPlace,
    ) -> Option<SessionId> {
        let Returning { link, identity, applicant, grant } = returning;
        let Agenda { world, grants, .. } = &mut self.state.agenda;
        let (now, wall) = (world.now(), world.wall_secs());
        let session = self.state.sessions.insert(|id| Session::of_link(id, link, now))?;
        session.link.entered = place.entered.take();
        session.wait_for(identity, applicant);
        let (id, slot) = (session.id, session.slot());
        grants.set(slot, grant, now, wall);
        let registered = session.link.stream.as_mut().map(|stream| world.register(stream, slot));
        self.expect_return(id);
        let failed = registered.and_then(Result::err);
        self.begin(slot, failed.map(|error| Reason::Failed(error.kind())));
        Some(id)
    }

    /// Serves clients that another shard has accepted.
    pub(super) fn adopt_handed_over(&mut self) {
        for _ in 0..MAX_COMMANDS {
            let Ok(client) = self.adoptees.try_recv() else { return };
            self.adopt(client);
        }
        self.application.waker.wake_by_ref();
    }
}
