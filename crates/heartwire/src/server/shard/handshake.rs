//! Taking in a client that speaks v1, or turning it away; and telling the owner of anybody who is in.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::string::ToString;

use heartwire_core::v1::{Bye, ByeCode, Contract, Hello, Retry, Welcome};
use heartwire_core::{Instant, Violation};

use super::Shard;
use super::traffic::Arrival;
use crate::reason::Reason;
use crate::server::event::{Agreed, Event};
use crate::server::gate::names::{Claim, Next};
use crate::server::gate::{Principal, valid_name};
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::mailbox::Command;
use crate::server::session::{Guest, Session};
use crate::world::ServerWorld;

/// Entries in the list of clients that are not in yet, beyond twice as many as there are: it is
/// tidied up then.
const PENDING_SLACK: usize = 1024;

/// The shortest window in which the clients of a server that shuts down come back. A server that does not
/// wait for its clients has as many of them all the same, and they must not return in one instant.
const WINDOW_MIN: Duration = Duration::from_secs(1);

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// A client has connected, and is not in before it has said something. If too many wait, those go
    /// that have waited longest.
    pub(super) fn expect_first_frame(&mut self, id: SessionId) {
        self.state.pending += 1;
        self.pending.push_back(id);
        while self.state.pending > self.state.config.pending_max
            && self.turn_away_longest_waiting(self.awake_at, Duration::ZERO)
        {}
        if self.pending.len() > 2 * self.state.pending + PENDING_SLACK {
            let pending = core::mem::take(&mut self.pending);
            self.pending =
                pending.into_iter().filter(|&id| self.pending_slot(id).is_some()).collect();
        }
    }

    /// Turns away the client that has waited longest to be let in, if that is `least` or longer.
    pub(super) fn turn_away_longest_waiting(&mut self, now: Instant, least: Duration) -> bool {
        while let Some(oldest) = self.pending.pop_front() {
            let Some(slot) = self.pending_slot(oldest) else { continue };
            let Some(session) = self.state.sessions.get_mut(slot) else { continue };
            if now.saturating_since(session.online_at) < least {
                self.pending.push_front(oldest);
                return false;
            }
            if session.waits_for_name() {
                self.turn_away(slot, ByeCode::Full, Retry::AtWill, "too many clients wait");
            } else {
                self.state.end(slot, Reason::TurnedAway(ByeCode::Full));
            }
            return true;
        }
        false
    }

    fn pending_slot(&mut self, id: SessionId) -> Option<u32> {
        let slot = self.state.sessions.slot(id)?;
        let session = self.state.sessions.get_mut(slot)?;
        (!session.online && !session.ending).then_some(slot)
    }

    /// A client is in: the owner hears of it, and can talk to it.
    pub(super) fn go_online(&mut self, slot: u32, agreed: Option<Box<Agreed>>) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let peer = session.peer;
        self.state.let_in(slot);
        self.tell(Event::Online { id, peer, agreed });
    }

    pub(super) fn handle_hello(&mut self, slot: u32, hello: &Hello<'_>, now: Instant) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        if self.is_in_vain(slot, now) {
            return;
        }
        let principal = match self.state.handle.tokens() {
            None => Principal::ANYBODY,
            Some(tokens) => match tokens.get().check(hello.name, hello.token) {
                Ok(principal) => principal,
                Err(denied) => {
                    let detail = denied.to_string();
                    let count = self.state.handle.denials().count(now);
                    let session = self.state.sessions.get_mut(slot);
                    if let (Some(count), Some(Session { peer, .. })) = (count, session) {
                        tracing::warn!(
                            count,
                            %peer,
                            "clients without a good token were turned away; this is the last of them"
                        );
                    }
                    return self.turn_away(slot, ByeCode::Unauthorized, Retry::Never, &detail);
                }
            },
        };
        let contract = match self.state.config.terms.agree(&hello.offer) {
            Ok(contract) => contract,
            Err(conflict) => {
                let detail = conflict.to_string();
                return self.turn_away(slot, ByeCode::Conflict, Retry::Never, &detail);
            }
        };
        let agent = hello.agent.map(Into::into);
        let Some(name) = hello.name else {
            let agreed = Agreed { name: None, epoch: 0, agent, contract };
            return self.welcome_client(slot, agreed, now);
        };
        if let Err(error) = valid_name(name) {
            return self.turn_away(slot, ByeCode::Protocol, Retry::Never, &error.to_string());
        }
        let guest = Guest { name: name.into(), epoch: 0, agent, waits_for: None };
        let claim = self.state.handle.names().claim(name, principal, id, now);
        let is_refused = matches!(claim, Claim::InUse | Claim::Fighting { .. });
        let holder = is_refused.then(|| self.state.handle.names().holder(name)).flatten();
        if let Some(holder) = holder {
            if let Claim::Fighting { first, .. } = claim {
                self.report_fight(slot, name, first);
            }
            self.set_guest(slot, Guest { waits_for: Some(Box::new(contract)), ..guest });
            let command = Command::LookFor { id: holder, claimer: id, principal };
            return self.post(command, holder);
        }
        self.handle_claim(slot, claim, guest, contract, now);
    }

    /// A client would be refused a name because of a session of this shard.
    pub(super) fn look_for(&mut self, id: SessionId, claimer: SessionId, principal: Principal) {
        if let Some(slot) = self.state.sessions.slot(id) {
            self.read(slot, true, Arrival::Earlier);
            self.take_leave();
        }
        self.post(Command::ClaimAgain { id: claimer, principal }, claimer);
    }

    /// A client was to be refused a name, and what there was to read of its holder has been read.
    pub(super) fn claim_again(&mut self, id: SessionId, principal: Principal) {
        let Some(slot) = self.pending_slot(id) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let Some(mut guest) = session.take_guest() else { return };
        let Some(contract) = guest.waits_for.take() else { return };
        let now = self.state.world.now();
        let claim = self.state.handle.names().claim(&guest.name, principal, id, now);
        self.handle_claim(slot, claim, guest, *contract, now);
        self.read_what_waited(slot);
    }

    fn handle_claim(
        &mut self,
        slot: u32,
        claim: Claim,
        mut guest: Guest,
        contract: Contract,
        now: Instant,
    ) {
        match claim {
            Claim::Yours { epoch } => {
                let name = Some(guest.name.clone());
                let agreed = Agreed { name, epoch, agent: guest.agent.clone(), contract };
                guest.epoch = epoch;
                self.set_guest(slot, guest);
                self.welcome_client(slot, agreed, now);
            }
            Claim::After { holder, epoch, replaces } => {
                guest.epoch = epoch;
                guest.waits_for = Some(Box::new(contract));
                self.set_guest(slot, guest);
                self.post(Command::TakeOver { id: holder }, holder);
                if let Some(replaced) = replaces {
                    self.post(Command::Replaced { id: replaced }, replaced);
                }
            }
            Claim::InUse => {
                let detail = "another client has this name";
                self.turn_away(slot, ByeCode::NameInUse, Retry::Never, detail);
            }
            Claim::Fighting { retry_after, first } => {
                self.report_fight(slot, &guest.name, first);
                let latest = retry_after.saturating_mul(2);
                let retry = Retry::Within { earliest: retry_after, latest };
                let detail = "two clients take this name from each other again and again";
                self.turn_away(slot, ByeCode::Fighting, retry, detail);
            }
        }
    }

    fn report_fight(&mut self, slot: u32, name: &str, first: bool) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let peer = session.peer;
        if first {
            tracing::warn!(name, %peer, "two clients fight over one name; newcomers are slowed down");
            self.tell(Event::Fighting { name: name.into(), peer });
        }
    }

    fn set_guest(&mut self, slot: u32, guest: Guest) {
        if let Some(session) = self.state.sessions.get_mut(slot) {
            session.set_guest(guest);
        }
    }

    fn welcome_client(&mut self, slot: u32, agreed: Agreed, now: Instant) {
        let Some(id) = self.state.sessions.id(slot) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let contract: Contract = agreed.contract;
        session.connection.welcome(now, contract);
        self.state.handle.counters().welcomed.fetch_add(1, Relaxed);
        // First of all, before whatever the owner may send when it hears of this client, and the first beat.
        session.queue_first(&Welcome::new(id.as_u64(), agreed.epoch, contract).encode());
        self.state.flush_later(slot);
        self.state.transmit(slot, now);
        self.state.arm(slot);
        self.go_online(slot, Some(Box::new(agreed)));
    }

    /// The name that a client waits for is free.
    pub(super) fn welcome_waiting(&mut self, id: SessionId) {
        let Some(slot) = self.pending_slot(id) else { return };
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        let Some(guest) = session.guest_mut() else { return };
        let Some(contract) = guest.waits_for.take() else { return };
        let (name, agent) = (Some(guest.name.clone()), guest.agent.clone());
        let agreed = Agreed { name, epoch: guest.epoch, agent, contract: *contract };
        self.welcome_client(slot, agreed, self.state.world.now());
        self.read_what_waited(slot);
    }

    /// A client that waited for its name was not read in that time.
    fn read_what_waited(&mut self, slot: u32) {
        if self.state.sessions.get_mut(slot).is_some_and(|session| session.online) {
            self.receive_from(slot, &[], Arrival::Earlier);
            self.read(slot, true, Arrival::Earlier);
        }
    }

    /// Somebody newer has the name that a client waits for.
    pub(super) fn replace_waiting(&mut self, id: SessionId) {
        if let Some(slot) = self.pending_slot(id) {
            self.turn_away(slot, ByeCode::TakenOver, Retry::Never, "");
        }
    }

    /// The time for the handshake is over, and the name that a client waits for is not free.
    pub(super) fn give_up_waiting(&mut self, slot: u32) {
        let detail = "an older session has this name, and has not ended in time";
        self.turn_away(slot, ByeCode::NameInUse, Retry::AtWill, detail);
    }

    /// A newer session has the name of this one.
    pub(super) fn take_over(&mut self, id: SessionId) {
        if let Some(slot) = self.state.sessions.slot(id) {
            self.state.end(slot, Reason::TakenOver);
        }
    }

    /// A session that had a name, or waited for one, has ended and its owner knows.
    pub(super) fn release_name(&mut self, name: &str, id: SessionId) {
        if let Some(Next { id, .. }) = self.state.handle.names().release(name, id) {
            self.post(Command::Welcome { id }, id);
        }
    }

    /// Has the shard of a session carry out a command. One that is too busy for it, or gone, leaves a
    /// client waiting whose time for the handshake will run out.
    fn post(&mut self, command: Command, id: SessionId) {
        if let Some(mailbox) = self.state.handle.mailbox(id.shard()) {
            if let Err(error) = mailbox.post(command) {
                tracing::warn!(session = %id, %error, "a takeover did not get through");
            }
        }
    }

    fn turn_away(&mut self, slot: u32, code: ByeCode, retry: Retry, detail: &str) {
        let Some(session) = self.state.sessions.get_mut(slot) else { return };
        tracing::info!(peer = %session.peer, code = code.name(), detail, "turned a client away");
        session.queue(&Bye::new(code, retry).detail(detail).encode());
        self.state.end(slot, Reason::TurnedAway(code));
    }
}

/// What a client is told when its session ends for `reason`; nothing where it can see for itself, or
/// was told already.
pub(super) fn farewell(reason: &Reason, drain: Duration) -> Option<Vec<u8>> {
    let bye = match reason {
        Reason::Shutdown => {
            // Spread out, so that they do not all come back at once.
            let latest = drain.max(WINDOW_MIN);
            let retry = Retry::Within { earliest: Duration::ZERO, latest };
            Bye::new(ByeCode::Draining, retry)
        }
        Reason::Kicked => Bye::new(ByeCode::Kicked, Retry::AtWill),
        Reason::TakenOver => Bye::new(ByeCode::TakenOver, Retry::Never),
        Reason::Protocol(violation) => {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the list of violations is open")]
            let (code, retry) = match violation {
                Violation::TooFast => (ByeCode::TooFast, Retry::AtWill),
                Violation::NoCommonVersion { .. } => (ByeCode::Version, Retry::Never),
                // A client that comes back says the same again.
                Violation::BadHello => (ByeCode::Protocol, Retry::Never),
                _ => (ByeCode::Protocol, Retry::AtWill),
            };
            return Some(Bye::new(code, retry).detail(&violation.to_string()).encode());
        }
        Reason::ClosedByPeer
        | Reason::Truncated
        | Reason::NoGoodbye
        | Reason::NetworkChanged
        | Reason::Unacknowledged
        | Reason::Reset
        | Reason::Dead(_)
        | Reason::SlowReader
        | Reason::HeldMost
        | Reason::Bye(_)
        | Reason::TurnedAway(_)
        | Reason::Tls(_)
        | Reason::Failed(_) => return None,
    };
    Some(bye.encode())
}
