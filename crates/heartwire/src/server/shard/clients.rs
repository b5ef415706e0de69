//! Accepts clients, and runs the application's commands.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use heartwire_core::Instant;

use super::hand_over::{Adoptee, HeldPlace, Newcomer};
use super::{HANDSHAKES_PER_TURN, Shard};
use crate::reason::Reason;
use crate::server::CommandError;
use crate::server::admission::addresses::Entered;
use crate::server::agenda::Agenda;
use crate::server::event::{Event, Refusal};
use crate::server::handler::{Commands as _, Handler};
use crate::server::id::SessionId;
use crate::server::listener::Accepted;
use crate::server::mailbox::{Command, MAX_COMMANDS};
use crate::server::session::Session;
use crate::tls::{TlsError, TlsFault, TlsSession};
use crate::world::{ServerWorld, Socket as _};

/// Maximum number of clients accepted in one turn.
const ACCEPTS_PER_TURN: usize = 128;

/// The same in a turn that used up its TLS handshakes: as many as one turn can begin. Not 0, so
/// that clients that never complete theirs lock out no others.
const ACCEPTS_WHEN_BUSY: usize = HANDSHAKES_PER_TURN;

/// A client that has sent nothing for this long is dropped when there is no room for a new one. A
/// client that sends HELLO at once has done so by then, even if a packet was lost; and the default
/// rate limit does not admit as many connections per second as there are descriptors.
pub(super) const ROOM_AFTER: Duration = Duration::from_secs(1);

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    pub(super) fn accept_clients(&mut self) {
        let now = self.awake_at;
        let next_try = self.listener.as_ref().and_then(|listener| listener.next_try(now));
        if next_try.is_none_or(|at| at > now) || !self.application.has_room_for_newcomers() {
            return;
        }
        // Other clients already wait for their TLS handshake. Waiting in the kernel costs nothing,
        // and the backlog is bounded.
        let most = if self.handshakes_left == 0 { ACCEPTS_WHEN_BUSY } else { ACCEPTS_PER_TURN };
        let Some(mut listener) = self.listener.take() else { return };
        let handle = self.state.handle.clone();
        for _ in 0..most {
            if self.room_among_pending_at().is_some_and(|at| at > now) {
                break;
            }
            match listener.accept(handle.places(), now, |lack| self.make_room(lack)) {
                Accepted::Client(stream, peer) => self.admit(stream, peer, now),
                Accepted::Refused { cause, first, client } => {
                    self.refused(cause, first);
                    // If no more of them can be told, it is closed at once.
                    if let Some((stream, peer)) = client {
                        drop(self.keep_refused(stream, peer, cause));
                    }
                }
                Accepted::None => break,
            }
        }
        self.listener = Some(listener);
    }

    /// Makes room for a new client when there is no place or descriptor: closes an ended session, a
    /// pending client that has waited too long, or a lingering socket; for a descriptor, first a
    /// refused client.
    fn make_room(&mut self, lack: Refusal) -> bool {
        if lack == Refusal::Descriptors && self.drop_refused() {
            return true;
        }
        let before = self.places();
        self.close_ended();
        if self.places() == before && self.reject_longest_waiting([ROOM_AFTER; 2]) {
            self.close_ended();
        }
        if self.places() == before {
            self.end_longest_lingering();
        }
        self.places() < before
    }

    /// Admits a client that this shard accepted, unless its address is over its limits. Those of
    /// the clients behind a balancer are looked at [later](super::relayed).
    fn admit(&mut self, stream: W::Socket, peer: SocketAddr, now: Instant) {
        let addresses = self.state.handle.addresses();
        let entered = if self.state.agenda.config.is_balancer(peer.ip()) {
            // Its client's address is not known yet.
            addresses.enter_unknown(now)
        } else {
            addresses.enter(peer.ip(), now)
        };
        let entered = match entered {
            Ok(entered) => entered,
            Err(refusal) => {
                let cause = refusal.into();
                let admission = self.state.handle.places();
                admission.leave();
                let first = admission.refuse(now);
                self.refused(cause, first);
                let left = match cause {
                    Refusal::AddressSessions => self.keep_refused(stream, peer, cause),
                    Refusal::ArrivalRate | Refusal::SessionLimit | Refusal::Descriptors => {
                        Some(stream)
                    }
                };
                if let Some(mut stream) = left {
                    // Close with a reset, which leaves no state in the kernel.
                    stream.reset_when_closed();
                }
                return;
            }
        };
        self.distribute(stream, peer, entered);
    }

    /// Serves a client, or hands it to the shard whose turn it is.
    fn distribute(&mut self, stream: W::Socket, peer: SocketAddr, entered: Entered) {
        if self.state.handle.places().accept(self.awake_at) {
            let refused = self.state.handle.stats().get("refused").unwrap_or_default();
            tracing::info!(refused, "accepting clients again");
            self.tell(Event::Accepting { refused });
        }
        let here = usize::from(self.state.index);
        let shard = self.hand_over.next().unwrap_or(here);
        if shard == here {
            let mut entered = Some(entered);
            self.begin_session(stream, peer, &mut entered);
            if entered.is_some() {
                drop(self.held_place(peer, entered));
            }
        } else {
            let place = self.held_place(peer, Some(entered));
            // A client that cannot be handed over is closed, and can reconnect.
            drop(self.give(shard, Adoptee { newcomer: Newcomer::New(stream), place }));
        }
    }

    fn held_place(&self, peer: SocketAddr, entered: Option<Entered>) -> HeldPlace {
        let handle = self.state.handle.clone();
        HeldPlace { handle, peer, accepted_at: self.awake_at, entered }
    }

    pub(super) fn refused(&mut self, cause: Refusal, first: bool) {
        self.state.counts().refused.fetch_add(1, Relaxed);
        if first {
            let sessions = self.state.handle.count();
            match cause {
                Refusal::SessionLimit => {
                    tracing::warn!(
                        sessions,
                        "maximum number of sessions reached: refusing clients"
                    );
                }
                Refusal::AddressSessions => {
                    tracing::warn!(
                        "an address has reached its maximum of sessions: refusing more from it"
                    );
                }
                Refusal::ArrivalRate => {
                    tracing::warn!(
                        "clients connect faster than the accept rate: refusing some of them"
                    );
                }
                Refusal::Descriptors => {
                    tracing::warn!(
                        sessions,
                        "out of file descriptors: refusing new clients (raise the limit, ulimit -n)"
                    );
                }
            }
            self.tell(Event::Refusing { cause });
        }
    }

    /// Serves a client that another shard has accepted.
    pub(super) fn adopt(&mut self, client: Adoptee<W::Socket>) {
        let Adoptee { newcomer, mut place } = client;
        match newcomer {
            Newcomer::New(stream) => {
                self.begin_session(stream, place.peer, &mut place.entered);
            }
            Newcomer::Returning(returning) => {
                if let Some(id) = self.take_in(*returning, place) {
                    self.state.agenda.resuming.push_back(id);
                }
            }
        }
    }

    /// Creates a client's session, which takes the place if there is room for it.
    fn begin_session(&mut self, stream: W::Socket, peer: SocketAddr, place: &mut Option<Entered>) {
        let Some((id, failed)) = self.open(stream, peer, place) else { return };
        self.state.counts().accepted.fetch_add(1, Relaxed);
        let is_handshaking =
            self.state.find(id).is_some_and(|(session, _)| session.link.is_handshaking());
        if self.state.agenda.config.online_at_once && !is_handshaking {
            self.state.agenda.pending += 1;
            self.go_online(id.slot(), None);
        } else {
            self.expect_first_frame(id);
        }
        self.begin(id.slot(), failed);
    }

    /// Makes a session of a socket, which takes the place; without one it is refused. Returns why
    /// it has to end already, if it has.
    pub(super) fn open(
        &mut self,
        mut stream: W::Socket,
        peer: SocketAddr,
        place: &mut Option<Entered>,
    ) -> Option<(SessionId, Option<Reason>)> {
        let Agenda { world, config, common, .. } = &mut self.state.agenda;
        let now = world.now();
        let options = self.state.handle.kernel();
        if let Err(error) = world.prepare(&mut stream, options) {
            // Most likely the client is gone already.
            tracing::debug!(%peer, %error, "could not set a new client's options");
        }
        let connection = common.connection(place.is_none(), now);
        let make = |id| Session::new(id, stream, peer, connection, now);
        let session = self.state.sessions.insert(make)?;
        session.link.entered = place.take();
        let mut failed = None;
        match self.state.handle.tls().map(TlsSession::server).transpose() {
            Ok(None) => {}
            Ok(Some(tls)) => session.link.secure(tls, now),
            Err(error) => {
                tracing::error!(%peer, "cannot begin with TLS: {error}");
                failed = Some(Reason::Tls(TlsError(TlsFault::Local)));
            }
        }
        if config.is_balancer(peer.ip()) {
            session.link.expect_header(now);
        }
        // Register with the poller first: the handler may send more than the socket takes.
        let (id, slot) = (session.id, session.slot());
        let registered = session.link.stream.as_mut().map(|stream| world.register(stream, slot));
        if let Some(Err(error)) = registered {
            failed = Some(Reason::Failed(error.kind()));
        }
        Some((id, failed))
    }

    /// Sets the timer of a session that was just opened, or ends it.
    pub(super) fn begin(&mut self, slot: u32, failed: Option<Reason>) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        match failed {
            None => agenda.arm(session),
            Some(reason) => agenda.end(session, reason),
        }
    }

    pub(super) fn handle_commands(&mut self) {
        // At most a full queue, and one broadcast: more commands must not keep the shard from its
        // sessions.
        for _ in 0..MAX_COMMANDS {
            let Ok(command) = self.commands.try_recv() else {
                self.commands_left = 0;
                return;
            };
            self.commands_left = self.commands_left.saturating_sub(1);
            match command {
                // The session may have ended meanwhile; its `Offline` tells the application.
                Command::Send { id, data, room: None } => self.send_or_end(id, &data),
                Command::Send { id, data, room: Some(room) } => {
                    self.state.send_when_room(id, &data, room);
                }
                Command::End { id } => {
                    let _ = self.state.end(id);
                }
                Command::Kick { id, retry, detail } => {
                    let _ = self.state.kick(id, retry, &detail);
                }
                Command::Broadcast { data } => {
                    self.broadcast(&data);
                    // A broadcast is expensive; the other commands run in the next turn.
                    break;
                }
                Command::Survey(survey) => self.begin_survey(survey),
                Command::TakeOver { id, same_client } => self.take_over(id, same_client),
                Command::Welcome { id } => self.welcome_waiting(id),
                Command::Replaced { id } => self.replace_waiting(id),
                Command::LookFor { id, claimer, claimant } => {
                    self.look_for(id, claimer, claimant);
                }
                Command::ClaimAgain { id, claimant } => self.claim_again(id, claimant),
            }
        }
        self.application.waker.wake_by_ref();
    }

    fn broadcast(&mut self, data: &[u8]) {
        let online = self.state.sessions.iter().filter(|session| session.phase().is_known());
        let all: Vec<SessionId> = online.map(|session| session.id).collect();
        for id in all {
            // Flushed one by one: a copy for every session at once would take much memory. Slow
            // readers are disconnected.
            self.send_or_end(id, data);
            self.flush_one(id.slot());
        }
    }

    /// Sends data of a sender that cannot wait for room.
    fn send_or_end(&mut self, id: SessionId, data: &[u8]) {
        let Err(error) = self.state.send(id, data) else { return };
        tracing::debug!(session = %id, %error, "a frame was not sent");
        if let (CommandError::Full, Some((session, agenda))) = (error, self.state.find(id)) {
            agenda.end(session, Reason::Overflow);
        }
    }
}
