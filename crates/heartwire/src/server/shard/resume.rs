//! Clients that go on with their sessions, on new links.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::string::ToString;

use heartwire_core::resume::Position;
use heartwire_core::v1::{
    Bye, ByeCode, Health, ResumeOffer, ResumeTerms, Resuming, RetryHint, Secret, Welcome,
};
use heartwire_core::{Instant, Violation};

use super::Shard;
use super::hand_over::Returning;
use super::traffic::Arrival;
use crate::reason::Reason;
use crate::server::admission::names::Held;
use crate::server::agenda::Agenda;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::link::Link;
use crate::server::resume::resume_rate;
use crate::server::session::{Applicant, Identity};
use crate::server::tombstones::Tombstone;
use crate::world::{Break, ServerWorld};

/// Maximum number of clients that go on with their sessions before the rest of a turn. Each may
/// close an older link, which is [expensive](super::bye), and many can come back at once.
const RESUMES_PER_TURN: usize = 256;

/// What becomes of a client that wants to go on with a session.
enum Verdict {
    /// It goes on, and all but so many bytes of the log are written again.
    Resume { skip: usize },
    /// The session has ended: up to here its data was taken over, if that is known.
    Gone { taken: Option<Position> },
    /// It is rejected.
    Reject(Bye<'static>),
    /// It tells a position that it cannot have, which ends the session.
    Breach(Violation),
}

impl Verdict {
    const fn reject(code: ByeCode, retry: RetryHint, detail: &'static str) -> Self {
        Self::Reject(Bye::new(code, retry).detail(detail))
    }
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// What both ends keep of a new session, if it can be resumed.
    pub(super) fn agree_to_resume(
        &mut self,
        slot: u32,
        offer: Option<ResumeOffer>,
    ) -> Option<ResumeOffer> {
        let (session, agenda) = self.state.at(slot)?;
        let resume = agenda.config.resume?;
        let agreed = offer?.agree(resume.offer());
        (session.link.is_private() || resume.in_the_clear).then_some(agreed)
    }

    /// Makes a new session one that can be resumed. Returns how, for the client.
    pub(super) fn make_resumable(&mut self, slot: u32, agreed: ResumeOffer) -> Option<ResumeTerms> {
        let (session, agenda) = self.state.at(slot)?;
        session.make_resumable(&agreed, agenda.config.resume?.grace);
        let id = session.id;
        let run = self.state.handle.run();
        Some(ResumeTerms { server: run.id, key: Secret(*run.key(id).as_bytes()), agreed })
    }

    /// Handles a HELLO that goes on with a session, whose token was right: checks the proof, and
    /// lets the client wait until what came with the HELLO was handled. Returns the client if it
    /// gets a new session.
    pub(super) fn apply_to_resume(
        &mut self,
        slot: u32,
        identity: Option<Identity>,
        mut applicant: Box<Applicant>,
        resuming: Resuming,
    ) -> Option<(Option<Identity>, Box<Applicant>)> {
        let handle = self.state.handle.clone();
        let (session, agenda) = self.state.at(slot)?;
        if agenda.config.resume.is_none() || resuming.server != handle.run().id {
            return self.lose(slot, identity, applicant, resuming.only);
        }
        if !handle.run().is_proven(&resuming) {
            let detail = "the proof for this session is wrong";
            self.reject(slot, ByeCode::Unauthorized, RetryHint::Never, detail);
            return None;
        }
        applicant.resuming = Some(resuming);
        agenda.resuming.push_back(session.id);
        session.wait_for(identity, applicant);
        None
    }

    /// Handles a client whose session is gone. Returns it for a new session, unless it wants none.
    fn lose(
        &mut self,
        slot: u32,
        identity: Option<Identity>,
        applicant: Box<Applicant>,
        only: bool,
    ) -> Option<(Option<Identity>, Box<Applicant>)> {
        self.state.counts().lost.fetch_add(1, Relaxed);
        if only {
            let bye = Bye::new(ByeCode::NotResumable, RetryHint::AtWill);
            let bye = bye.detail("the session has ended").taken(applicant.lost);
            self.reject_with(slot, &bye);
            return None;
        }
        Some((identity, applicant))
    }

    /// Lets clients go on with their sessions, here or on other shards.
    pub(super) fn resume_clients(&mut self) {
        for _ in 0..RESUMES_PER_TURN {
            let Some(id) = self.state.agenda.resuming.pop_front() else { return };
            let Some((session, _)) = self.state.find(id) else { continue };
            let Some(resuming) = session.resuming() else { continue };
            let shard = SessionId::of(resuming.session).shard();
            let is_elsewhere = shard != usize::from(self.state.index);
            if is_elsewhere && self.state.handle.mailbox(shard).is_some() {
                self.send_back(id, shard);
            } else {
                self.resume(id.slot());
            }
        }
    }

    /// Hands a client to the shard of its session.
    fn send_back(&mut self, id: SessionId, shard: usize) {
        let Some((session, _)) = self.state.find(id) else { return };
        let Some((identity, applicant)) = session.wait_no_more() else { return };
        let grant = self.state.agenda.grants.get(id.slot());
        let Some(link) = self.remove_newcomer(id.slot()) else { return };
        let returning = Box::new(Returning { link, identity, applicant, grant });
        if let Some(id) = self.hand_back(returning, shard) {
            let detail = "the session is busy";
            self.reject(id.slot(), ByeCode::Full, RetryHint::AtWill, detail);
        }
    }

    /// Takes the link of a client out of its slot, which is free then.
    fn remove_newcomer(&mut self, slot: u32) -> Option<Link<W::Socket>> {
        let session = self.state.remove(slot)?;
        let pending = &mut self.state.agenda.pending;
        *pending = pending.saturating_sub(1);
        Some(session.into_link())
    }

    /// Lets a client that waits go on with its session, which is one of this shard.
    fn resume(&mut self, slot: u32) {
        // It goes into the slot of its session, which a look that is under way may have passed.
        self.look_again(slot);
        let Some((session, _)) = self.state.at(slot) else { return };
        let Some(wanted) = session.resuming().map(|resuming| resuming.session) else { return };
        let wanted = SessionId::of(wanted);
        // First, because memory can run out meanwhile, which may end this client.
        self.read_out(wanted);
        let Some((session, agenda)) = self.state.at(slot) else { return };
        let Some((identity, mut applicant)) = session.wait_no_more() else { return };
        let now = agenda.world.now();
        let Some(resuming) = applicant.resuming.take() else { return };
        match self.judge_resume(&resuming, identity.as_ref(), &applicant, now) {
            Verdict::Resume { skip } => {
                self.change_link(slot, wanted, &resuming, &applicant, skip, now);
            }
            Verdict::Gone { taken } => {
                applicant.lost = taken;
                if let Some((identity, applicant)) =
                    self.lose(slot, identity, applicant, resuming.only)
                {
                    self.claim_name(slot, identity, applicant, now);
                    self.read_what_waited(slot);
                }
            }
            Verdict::Reject(bye) => self.reject_with(slot, &bye),
            Verdict::Breach(violation) => {
                let detail = violation.to_string();
                self.reject(slot, ByeCode::Protocol, RetryHint::AtWill, &detail);
                if let Some((session, agenda)) = self.state.find(wanted) {
                    agenda.end(session, Reason::Protocol(violation));
                }
            }
        }
    }

    /// Reads what has arrived on the older link of a session. Parks or closes the session if that
    /// ends it.
    fn read_out(&mut self, id: SessionId) {
        let Some((session, _)) = self.state.find(id) else { return };
        if !session.is_resumable() {
            return;
        }
        self.read(id.slot(), true, Arrival::Earlier);
        let Some((session, _)) = self.state.find(id) else { return };
        if session.phase().has_ended() || session.has_lost_link() {
            self.close_now(id);
        }
    }

    /// Whether a client may go on with this session. Its token and its proof are right.
    fn judge_resume(
        &mut self,
        resuming: &Resuming,
        identity: Option<&Identity>,
        applicant: &Applicant,
        now: Instant,
    ) -> Verdict {
        let handle = self.state.handle.clone();
        let wanted = SessionId::of(resuming.session);
        let session = self.state.find(wanted);
        let online = session.filter(|(session, _)| session.phase().is_online());
        let Some((session, agenda)) = online else { return self.judge_gone(wanted, now) };
        if !session.is_resumable() {
            return Verdict::Gone { taken: None };
        }
        let name = session.identity().map(|identity| &*identity.name);
        if name != identity.map(|identity| &*identity.name) {
            let detail = "the session has another name";
            return Verdict::reject(ByeCode::Unauthorized, RetryHint::Never, detail);
        }
        if let Some(name) = name.filter(|_| !agenda.config.many_per_name) {
            match handle.names().held_by(name, wanted, applicant.claimant.principal) {
                Held::Yes => {}
                Held::ByAnother => {
                    // The other one waits for its end. First, so that the answer can say what was
                    // taken over.
                    agenda.end(session, Reason::TakenOver);
                    self.close_now(wanted);
                    return self.judge_gone(wanted, now);
                }
                Held::ForAnotherPrincipal => {
                    let detail = "the session was begun with another token";
                    return Verdict::reject(ByeCode::NameInUse, RetryHint::Never, detail);
                }
            }
        }
        if resuming.link <= session.link_number {
            let detail = "the session has had a link with this number";
            return Verdict::reject(ByeCode::Unauthorized, RetryHint::AtWill, detail);
        }
        let Agenda { world, config, .. } = agenda;
        let grace = config.resume.map_or(Duration::ZERO, |resume| session.grace(resume.grace));
        if let Err(wait) = session.admit_resume(resume_rate(grace), now) {
            let retry = RetryHint::Within { earliest: wait, latest: wait.saturating_mul(2) };
            let detail = "the session is resumed too often: do two clients use it?";
            return Verdict::reject(ByeCode::Fighting, retry, detail);
        }
        let off = if world.breaks(Break::ReplaysTooMuch) {
            -1
        } else {
            isize::from(world.breaks(Break::ReplaysTooLittle))
        };
        match session.resume_at(resuming.received, off) {
            Ok(skip) => Verdict::Resume { skip },
            Err(violation) => Verdict::Breach(violation),
        }
    }

    /// What becomes of a client whose session has ended.
    fn judge_gone(&self, wanted: SessionId, now: Instant) -> Verdict {
        let Some(Tombstone { taken, refuses, .. }) =
            self.state.handle.tombstones().find(wanted, now)
        else {
            return Verdict::Gone { taken: None };
        };
        let detail = match refuses {
            None => return Verdict::Gone { taken: Some(taken) },
            Some(ByeCode::Kicked) => "the session was ended while the client was away",
            Some(_) => "a newer session has this name",
        };
        let code = refuses.unwrap_or(ByeCode::TakenOver);
        Verdict::Reject(Bye::new(code, RetryHint::Never).detail(detail).taken(Some(taken)))
    }

    /// Gives a session the link of a client that has come back. An older link is closed.
    fn change_link(
        &mut self,
        slot: u32,
        wanted: SessionId,
        resuming: &Resuming,
        applicant: &Applicant,
        skip: usize,
        now: Instant,
    ) {
        let grant = self.state.agenda.grants.get(slot);
        let Some(mut link) = self.remove_newcomer(slot) else { return };
        let handle = self.state.handle.clone();
        let Some((session, agenda)) = self.state.find(wanted) else { return };
        if let Some(stream) = &mut link.stream {
            agenda.world.deregister(stream);
        }
        let away = agenda.come_back(session, now);
        if let Some((peer, place)) = session.leave_away() {
            handle.away_count().leave(peer, place, now);
        }
        let (mut old, ledger, replayed) = session.change_link(link, skip);
        let had_health = old.health(now);
        self.state.close(old.cut(), true);
        let Some((session, agenda)) = self.state.find(wanted) else { return };
        let slot = session.slot();
        agenda.grants.set(slot, grant, now, agenda.world.wall_secs());
        let stream = session.link.stream.as_mut();
        let registered = stream.map_or(Ok(()), |stream| agenda.world.register(stream, slot));
        session.link_number = resuming.link;
        let (contract, id) = (applicant.agreed.contract, wanted.as_u64());
        let shared = agenda.common.share(contract);
        let held = session.link.connection.welcome(now, id, shared);
        let Some(ledger) = ledger else { return };
        let takes_taken = agenda.world.breaks(Break::TakesTakenForReceived);
        let received =
            if takes_taken && resuming.link > 2 { ledger.taken() } else { ledger.received() };
        session.link.connection.attach(ledger);
        let epoch = session.identity().map_or(0, |identity| identity.epoch);
        let welcome = Welcome::new(id, epoch, contract)
            .held(held)
            .max_frame(session.link.connection.limits().longest_frame())
            .resumed(handle.run().resumed(wanted, resuming.link, received));
        session.queue_first(&welcome.encode_greased(id));
        agenda.flush_later(session);
        agenda.transmit(session, now);
        agenda.arm(session);
        let peer = session.link.peer();
        if let Err(error) = registered {
            // The client comes once more.
            session.fail(error.kind());
            agenda.lose_link(session, Reason::Failed(error.kind()));
        }
        self.state.count_held(slot);
        self.state.counts().resumed.fetch_add(1, Relaxed);
        tracing::debug!(session = %wanted, %peer, link = resuming.link, "back");
        let away = away.unwrap_or(Duration::ZERO);
        self.tell(Event::Back { id: wanted, peer, away, replayed });
        if had_health != Health::Ok {
            // What its beats say from now on begins here.
            self.tell(Event::Health { id: wanted, health: Health::Ok });
        }
        self.read_what_waited(slot);
        self.end_if_done(wanted);
    }
}
