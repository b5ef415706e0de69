//! The v1 handshake: accepts or rejects a client.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::string::ToString;

use heartwire_core::resume::Position;
use heartwire_core::v1::{Bye, ByeCode, Contract, Hello, RetryHint, Welcome};
use heartwire_core::{Instant, Violation};

use super::Shard;
use super::traffic::Arrival;
use crate::reason::Reason;
use crate::server::admission::names::{Claim, Next};
use crate::server::admission::{Admitted, Claimant, Denied, Principal, valid_name};
use crate::server::agenda::Agenda;
use crate::server::event::{Agreed, Event, LastConnection};
use crate::server::grants::Grant;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::mailbox::Command;
use crate::server::session::{Applicant, Identity, Session};
use crate::world::{Break, ServerWorld};

/// The shortest reconnect window that a server gives its clients at shutdown. They must not all
/// reconnect in one instant, even if the server does not wait for them.
const MIN_WINDOW: Duration = Duration::from_secs(1);

/// When clients come back that are disconnected one by one.
const SOON: RetryHint = RetryHint::Within { earliest: Duration::ZERO, latest: MIN_WINDOW };

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    pub(super) fn handle_hello(&mut self, slot: u32, hello: &Hello<'_>, now: Instant) {
        if self.has_left(slot, now) {
            return;
        }
        let principal = match self.state.handle.tokens() {
            None => Principal::ANYBODY,
            Some(tokens) => {
                let wall = self.state.agenda.world.wall_secs();
                match tokens.check(hello.name, hello.token, wall) {
                    Ok(Admitted { principal, token, until }) => {
                        let grants = &mut self.state.agenda.grants;
                        let certificate = grants.get(slot).certificate;
                        let grant = Grant { token: Some(token), until, certificate };
                        grants.set(slot, grant, now, wall);
                        principal
                    }
                    Err(denied) => return self.deny(slot, hello, denied, now),
                }
            }
        };
        let Some((session, agenda)) = self.state.at(slot) else { return };
        let mut contract = match agenda.config.terms.agree(&hello.offer) {
            Ok(contract) => contract,
            Err(conflict) => {
                let detail = conflict.to_string();
                return reject(session, agenda, ByeCode::Conflict, RetryHint::Never, &detail);
            }
        };
        let forgets = agenda.world.breaks(Break::ForgetsInstances);
        if let Some(Err(error)) = hello.name.map(valid_name) {
            let detail = error.to_string();
            return reject(session, agenda, ByeCode::Protocol, RetryHint::Never, &detail);
        }
        let mut identity = hello.name.map(|name| Identity::new(name, 0));
        let resume = self.agree_to_resume(slot, hello.resume);
        if resume.is_some() {
            contract.wake_bytes = self.state.agenda.config.resumable_wake_bytes;
        }
        let (agent, last) = (hello.agent.map(Into::into), hello.last.map(LastConnection::of));
        let mut client = Box::new(Applicant {
            agreed: Box::new(Agreed {
                name: None,
                epoch: 0,
                instance: hello.instance,
                agent,
                last,
                contract,
                grace: None,
            }),
            claimant: Claimant { principal, instance: hello.instance.filter(|_| !forgets) },
            resume,
            resuming: None,
            lost: None,
        });
        if let Some(resuming) = hello.resuming {
            let refused = self.apply_to_resume(slot, identity, client, resuming);
            let Some((name, applicant)) = refused else { return };
            (identity, client) = (name, applicant);
        }
        self.claim_name(slot, identity, client, now);
    }

    /// Claims the name of a client, if it has one, and welcomes the client if it is free.
    pub(super) fn claim_name(
        &mut self,
        slot: u32,
        identity: Option<Identity>,
        client: Box<Applicant>,
        now: Instant,
    ) {
        let Some(identity) = identity else { return self.welcome_client(slot, *client, now) };
        if self.state.agenda.config.many_per_name {
            return self.handle_claim(slot, Claim::Yours { epoch: 0 }, identity, client, now);
        }
        let Some((session, _)) = self.state.at(slot) else { return };
        let (id, claimant, name) = (session.id, client.claimant, &identity.name);
        let names = self.state.handle.names();
        let claim = names.claim(name, claimant, id, now);
        let is_refused = matches!(claim, Claim::InUse | Claim::Fighting { .. });
        let Some(holder) = is_refused.then(|| names.holder(name)).flatten() else {
            return self.handle_claim(slot, claim, identity, client, now);
        };
        if let Claim::Fighting { first, .. } = claim {
            self.report_fight(slot, name, first);
        }
        if let Some((session, _)) = self.state.at(slot) {
            session.wait_for(Some(identity), client);
        }
        self.post(Command::LookFor { id: holder, claimer: id, claimant }, holder);
    }

    /// Rejects a client with an invalid or missing token.
    fn deny(&mut self, slot: u32, hello: &Hello<'_>, denied: Denied, now: Instant) {
        let count = self.state.handle.denials().count(now);
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if let Some(name) = hello.name.filter(|name| valid_name(name).is_ok()) {
            // For the event only: the client does not hold the name.
            session.set_identity(Identity::new(name, 0));
        }
        if let Some(count) = count {
            tracing::warn!(
                count,
                peer = %session.link.peer(),
                "rejected clients with an invalid or missing token; this is the latest"
            );
        }
        let detail = denied.to_string();
        reject(session, agenda, ByeCode::Unauthorized, RetryHint::Never, &detail);
    }

    /// Reads a session of this shard, because of which a client would be refused its name.
    pub(super) fn look_for(&mut self, id: SessionId, claimer: SessionId, claimant: Claimant) {
        if self.state.find(id).is_some() {
            self.read(id.slot(), true, Arrival::Earlier);
            self.close_ended();
        }
        self.post(Command::ClaimAgain { id: claimer, claimant }, claimer);
    }

    /// Claims a name again, after its holder was read.
    pub(super) fn claim_again(&mut self, id: SessionId, claimant: Claimant) {
        let Some((session, agenda)) = self.state.find(id) else { return };
        let Some((Some(identity), client)) = session.wait_no_more() else { return };
        let now = agenda.world.now();
        let claim = self.state.handle.names().claim(&identity.name, claimant, id, now);
        self.handle_claim(id.slot(), claim, identity, client, now);
        self.read_what_waited(id.slot());
    }

    fn handle_claim(
        &mut self,
        slot: u32,
        mut claim: Claim,
        mut identity: Identity,
        mut client: Box<Applicant>,
        now: Instant,
    ) {
        let Some((session, agenda)) = self.state.at(slot) else { return };
        if let Claim::After { epoch, .. } = claim {
            if agenda.world.breaks(Break::SharesNames) {
                claim = Claim::Yours { epoch };
            }
        }
        match claim {
            Claim::Yours { epoch } => {
                identity.epoch = epoch;
                client.agreed.name = Some(identity.name.clone());
                client.agreed.epoch = epoch;
                session.set_identity(identity);
                self.welcome_client(slot, *client, now);
            }
            Claim::After { holder, epoch, replaces } => {
                identity.epoch = epoch;
                session.wait_for(Some(identity), client);
                self.post(Command::TakeOver { id: holder, same_client: false }, holder);
                if let Some(replaced) = replaces {
                    self.post(Command::Replaced { id: replaced }, replaced);
                }
            }
            Claim::InUse => {
                let detail = "another client has this name";
                reject(session, agenda, ByeCode::NameInUse, RetryHint::Never, detail);
            }
            Claim::Fighting { retry_after, first } => {
                self.report_fight(slot, &identity.name, first);
                let latest = retry_after.saturating_mul(2);
                let retry = RetryHint::Within { earliest: retry_after, latest };
                let detail = "two clients keep taking this name over from each other";
                self.reject(slot, ByeCode::Fighting, retry, detail);
            }
        }
    }

    fn report_fight(&mut self, slot: u32, name: &str, first: bool) {
        let Some((session, _)) = self.state.at(slot) else { return };
        let peer = session.link.peer();
        if first {
            tracing::warn!(name, %peer, "two clients fight over one name; newer ones must wait");
            self.tell(Event::Fighting { name: name.into(), peer });
        }
    }

    fn welcome_client(&mut self, slot: u32, client: Applicant, now: Instant) {
        let Applicant { mut agreed, resume, lost, .. } = client;
        let Some((session, agenda)) = self.state.at(slot) else { return };
        let contract: Contract = agreed.contract;
        let id = session.id.as_u64();
        let shared = agenda.common.share(contract);
        let held = session.link.connection.welcome(now, id, shared);
        let resume = resume.and_then(|resume| self.make_resumable(slot, resume));
        agreed.grace = resume.as_ref().map(|terms| terms.agreed.grace);
        let Some((session, agenda)) = self.state.at(slot) else { return };
        // Before the first beat, and before anything that the application sends.
        let welcome = Welcome::new(id, agreed.epoch, contract)
            .held(held)
            .max_frame(session.link.connection.limits().longest_frame())
            .resume(resume)
            .lost(lost);
        session.queue_first(&welcome.encode_greased(id));
        agenda.flush_later(session);
        agenda.transmit(session, now);
        agenda.arm(session);
        self.state.counts().welcomed.fetch_add(1, Relaxed);
        self.go_online(slot, Some(agreed));
    }

    /// Welcomes a client whose name has become free.
    pub(super) fn welcome_waiting(&mut self, id: SessionId) {
        let Some((session, agenda)) = self.state.find(id) else { return };
        let Some((Some(identity), client)) = session.wait_no_more() else { return };
        let now = agenda.world.now();
        let epoch = identity.epoch;
        self.handle_claim(id.slot(), Claim::Yours { epoch }, identity, client, now);
        self.read_what_waited(id.slot());
    }

    /// Reads a client that was not read while it waited for its name.
    pub(super) fn read_what_waited(&mut self, slot: u32) {
        if self.state.at(slot).is_some_and(|(session, _)| session.phase().is_known()) {
            self.receive_from(slot, &[], Arrival::Earlier);
            self.read(slot, true, Arrival::Earlier);
        }
    }

    /// Rejects a client that waits for a name which a newer client claimed.
    pub(super) fn replace_waiting(&mut self, id: SessionId) {
        if self.state.find(id).is_some_and(|(session, _)| session.phase().is_pending()) {
            self.reject(id.slot(), ByeCode::TakenOver, RetryHint::Never, "");
        }
    }

    /// Rejects a client whose name has not become free within the handshake timeout.
    pub(super) fn give_up_waiting(&mut self, slot: u32) {
        let detail = "an older session has this name and has not ended in time";
        self.reject(slot, ByeCode::NameInUse, RetryHint::AtWill, detail);
    }

    /// Ends a session whose name a newer one takes over.
    pub(super) fn take_over(&mut self, id: SessionId, same_client: bool) {
        if let Some((session, agenda)) = self.state.find(id) {
            if !agenda.world.breaks(Break::ForgetsTakenOver) {
                if same_client && session.phase().is_online() {
                    session.let_return();
                }
                agenda.end(session, Reason::TakenOver);
            }
        }
    }

    /// Releases the name of a session that had one, or waited for one, after its `Offline` was
    /// reported.
    pub(super) fn release_name(&mut self, name: &str, id: SessionId) {
        if let Some(Next { id, .. }) = self.state.handle.names().release(name, id) {
            self.post(Command::Welcome { id }, id);
        }
    }

    /// Posts a command to a session's shard. If that is too busy or gone, a client waits until its
    /// handshake timeout.
    fn post(&mut self, command: Command, id: SessionId) {
        if let Some(mailbox) = self.state.handle.mailbox(id.shard()) {
            if let Err(error) = mailbox.post(command) {
                tracing::warn!(session = %id, %error, "a takeover command was lost");
            }
        }
    }

    pub(super) fn reject(&mut self, slot: u32, code: ByeCode, retry: RetryHint, detail: &str) {
        if let Some((session, agenda)) = self.state.at(slot) {
            reject(session, agenda, code, retry, detail);
        }
    }

    pub(super) fn reject_with(&mut self, slot: u32, bye: &Bye<'_>) {
        if let Some((session, agenda)) = self.state.at(slot) {
            reject_with(session, agenda, bye);
        }
    }
}

/// Rejects a client that has sent HELLO, with a BYE that says why.
pub(super) fn reject<W: ServerWorld>(
    session: &mut Session<W::Socket>,
    agenda: &mut Agenda<W>,
    code: ByeCode,
    retry: RetryHint,
    detail: &str,
) {
    reject_with(session, agenda, &Bye::new(code, retry).detail(detail));
}

fn reject_with<W: ServerWorld>(
    session: &mut Session<W::Socket>,
    agenda: &mut Agenda<W>,
    bye: &Bye<'_>,
) {
    let (peer, code, detail) = (session.link.peer(), bye.code, bye.detail);
    tracing::info!(%peer, code = code.name(), detail, "rejected a client");
    session.queue(&bye.encode_greased(session.id.as_u64()));
    agenda.end(session, Reason::Rejected(code));
}

/// The BYE for a session that ends for `reason`; `None` if the client knows the reason.
pub(super) fn bye(
    reason: &Reason,
    drain: Duration,
    id: SessionId,
    taken: Option<Position>,
    may_return: bool,
) -> Option<Vec<u8>> {
    let bye = match reason {
        Reason::Shutdown => {
            // Spread, so that clients do not all reconnect at once.
            let latest = drain.max(MIN_WINDOW);
            let retry = RetryHint::Within { earliest: Duration::ZERO, latest };
            Bye::new(ByeCode::Draining, retry)
        }
        // A client that reads this has this connection, so it may be the newer one after all.
        Reason::TakenOver if may_return => Bye::new(ByeCode::TakenOver, SOON)
            .detail("this client has a newer session on another server"),
        Reason::TakenOver => Bye::new(ByeCode::TakenOver, RetryHint::Never),
        // It goes to another server, if a balancer says so. The window is short: sessions that
        // began together do not end together.
        Reason::MaxAge => {
            Bye::new(ByeCode::Draining, SOON).detail("the session has reached its greatest age")
        }
        // It may have another token by now. If not, it is rejected, and told to stay away.
        Reason::Revoked(_) | Reason::Expired(_) => {
            let detail = reason.to_string();
            let bye = Bye::new(ByeCode::Unauthorized, RetryHint::AtWill).detail(&detail);
            return Some(bye.taken(taken).encode_greased(id.as_u64()));
        }
        Reason::Protocol(violation) => {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the list of violations is open")]
            let (code, retry) = match violation {
                Violation::TooFast => (ByeCode::TooFast, RetryHint::AtWill),
                Violation::NoCommonVersion { .. } => (ByeCode::Version, RetryHint::Never),
                // A client that reconnects would send the same again.
                Violation::BadHello => (ByeCode::Protocol, RetryHint::Never),
                _ => (ByeCode::Protocol, RetryHint::AtWill),
            };
            let detail = violation.to_string();
            let bye = Bye::new(code, retry).detail(&detail).taken(taken);
            return Some(bye.encode_greased(id.as_u64()));
        }
        Reason::Overflow => Bye::new(ByeCode::SlowReader, RetryHint::AtWill),
        Reason::Done => Bye::new(ByeCode::Done, RetryHint::AtWill),
        // So that the client knows what of its last messages was taken over.
        Reason::Bye(_) if taken.is_some() => Bye::new(ByeCode::Done, RetryHint::AtWill),
        // For a kicked or rejected client a BYE is already queued.
        Reason::Kicked
        | Reason::ClosedByPeer
        | Reason::Truncated
        | Reason::NoGoodbye
        | Reason::NetworkChanged
        | Reason::NotResumed
        | Reason::Suspected
        | Reason::Unacknowledged
        | Reason::Reset
        | Reason::Dead(_)
        | Reason::SlowReader
        | Reason::MostBuffered
        | Reason::Bye(_)
        | Reason::Rejected(_)
        | Reason::NotBack
        | Reason::ReplayFull
        | Reason::Tls(_)
        | Reason::Proxy(_)
        | Reason::Failed(_) => return None,
    };
    Some(bye.taken(taken).encode_greased(id.as_u64()))
}
