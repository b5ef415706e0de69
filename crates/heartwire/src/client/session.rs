//! A session that can be resumed: what outlives its links.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use heartwire_core::resume::{Ledger, Position};
use heartwire_core::v1::{ByeCode, ResumeTerms, Resumed, Resuming, Secret};
use heartwire_core::{Backoff, Boxed, Instant, Pause};

use super::app::{App, Link};
use super::outbox::Tally;
use super::receipts::Receipts;
use super::{Bye, Event};
use crate::proof::{Claim, Key, Role};
use crate::world::{Break, World};
use crate::{Reason, Undelivered};

/// A session that can be resumed.
#[derive(Debug)]
pub(super) struct Session {
    server: u64,
    id: u64,
    key: Key,
    grace: Duration,
    /// The longest message that the server said it accepts.
    max_frame: usize,
    /// The number of the last link that was tried.
    link: u32,
    receipts: Arc<Receipts>,
    /// The waits between the attempts to come back.
    pub(super) backoff: Backoff,
    /// Beats received on earlier links.
    pub(super) beats: u64,
    /// While there is no link.
    pub(super) away: Option<Away>,
    /// Up to where the application had taken over what came when it closed the client.
    last_taken: Option<Position>,
}

/// A session without a link.
#[derive(Debug)]
pub(super) struct Away {
    pub(super) ledger: Boxed<Ledger>,
    /// Of the last link.
    pub(super) peer: SocketAddr,
    since: Instant,
    /// When its grace is over.
    until: Instant,
}

impl Session {
    pub(super) fn new(
        id: u64,
        terms: ResumeTerms,
        max_frame: usize,
        receipts: Arc<Receipts>,
        backoff: Backoff,
    ) -> Self {
        let ResumeTerms { server, key, agreed } = terms;
        Self {
            server,
            id,
            key: Key::new(key.0),
            grace: agreed.grace,
            max_frame,
            link: 1,
            receipts,
            backoff,
            beats: 0,
            away: None,
            last_taken: None,
        }
    }

    pub(super) const fn grace(&self) -> Duration {
        self.grace
    }

    /// Its link was lost.
    pub(super) fn go_away(&mut self, ledger: Boxed<Ledger>, peer: SocketAddr, now: Instant) {
        let until = now.saturating_add(self.grace);
        self.away = Some(Away { ledger, peer, since: now, until });
    }

    /// What the HELLO of the next link says, if the session has none.
    pub(super) fn next_link(&mut self, only: bool, world: &impl World) -> Option<Resuming> {
        self.collect_away();
        let ledger = &self.away.as_ref()?.ledger;
        // Both ends have said that they send no more: in another session there is nothing to do.
        let only = only || (ledger.has_ended() && ledger.peer_has_ended());
        let takes_taken = self.link > 1 && world.breaks(Break::TakesTakenForReceived);
        let received = if takes_taken { ledger.taken() } else { ledger.received() };
        self.link = self.link.saturating_add(1);
        let proof = Secret(self.key.prove(self.claim(Role::Client, received)));
        let Self { server, id: session, link, .. } = *self;
        Some(Resuming { server, session, link, received, proof, only })
    }

    /// Whether the answer to the last HELLO is that of the session's server, which still accepts
    /// messages as long as before.
    pub(super) fn is_resumed(&self, resumed: &Resumed, max_frame: usize) -> bool {
        let claim = self.claim(Role::Server, resumed.received);
        self.key.is_proven(claim, &resumed.proof.0) && max_frame >= self.max_frame
    }

    fn claim(&self, role: Role, Position { frames, bytes }: Position) -> Claim {
        let Self { server, id: session, link, .. } = *self;
        Claim { role, server, session, link, frames, bytes }
    }

    /// The application closes the client. What has come can still be taken, and nothing more; not
    /// even that if it `aborts`, so that the server does not take the session for done.
    pub(super) fn take_last(&mut self, ledger: &mut Ledger, aborts: bool) {
        if self.last_taken.is_none() {
            if aborts {
                self.collect(ledger);
            } else {
                ledger.take_all();
            }
            self.last_taken = Some(ledger.taken());
        }
    }

    /// Counts what the application has taken over.
    pub(super) fn collect(&self, ledger: &mut Ledger) {
        if self.last_taken.is_some() {
            return;
        }
        self.receipts.collect(|Tally { frames, bytes }| {
            if frames > 0 {
                ledger.take_many(frames, bytes);
            }
            usize::try_from(ledger.until_ack()).unwrap_or(usize::MAX).max(1)
        });
    }

    fn collect_away(&mut self) {
        if let Some(mut away) = self.away.take() {
            self.collect(&mut away.ledger);
            self.away = Some(away);
        }
    }
}

impl Away {
    pub(super) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_since(self.since)
    }
}

/// The end of a session for the application.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) reason: Reason,
    pub(super) peer: SocketAddr,
    pub(super) beats: u64,
    /// Bytes that the server's kernel has not acknowledged.
    pub(super) unacknowledged: usize,
    pub(super) bye: Option<Bye>,
    /// Up to where the server has taken over what came, if it said so at the end.
    pub(super) told: Option<Position>,
    /// Another connection follows.
    pub(super) goes_on: bool,
}

impl App {
    /// The session without a link, if there is one.
    pub(super) fn away(&self) -> Option<&Away> {
        self.session.as_deref()?.away.as_ref()
    }

    /// Up to where the application had taken over what came when it closed the client.
    pub(super) fn last_taken(&self) -> Option<Position> {
        self.session.as_deref()?.last_taken
    }

    /// When a session without a link has to end.
    pub(super) fn away_until(&self) -> Option<Instant> {
        let until = self.away()?.until;
        Some(self.leave_by.map_or(until, |leave_by| leave_by.min(until)))
    }

    /// This process is awake at `now`, and its machine has been suspended for `suspended` in all.
    /// Returns the pause before that, if there was one. The session could not come back meanwhile:
    /// if it has no link, it has another grace.
    pub(super) fn handle_wake(&mut self, now: Instant, suspended: Duration) -> Option<Pause> {
        let pause = self.watch.handle_wake(now, suspended)?;
        if let Some(session) = self.session.as_deref_mut() {
            let again = now.saturating_add(session.grace);
            session.away.iter_mut().for_each(|away| away.until = again);
        }
        Some(pause)
    }

    /// Whether accepted messages, or the END behind them, are not known to have been taken over.
    pub(super) fn has_undelivered(&self) -> bool {
        self.outbox.log_len() > 0
            || self.intake.wants_end()
            || self.outbox.has_message()
            || !self.pending.is_empty()
            || !self.messages.is_empty()
    }

    /// The application closes the client while its session has no link. Returns whether the client
    /// stays to deliver the rest, at most for this time.
    pub(super) fn stays_to_deliver(&mut self, within: Duration, now: Instant) -> bool {
        let stays = self.away().is_some() && (self.has_undelivered() || self.controls.aborts());
        if stays {
            self.intake.set(Link::Closed);
            self.leave_by.get_or_insert(now.saturating_add(within));
        }
        stays
    }

    /// Without a connection: ends the client if the application closes it, except to deliver the
    /// rest of its session `within` this time; and the session, if its time is over. `goes_on`:
    /// another one may follow.
    pub(super) fn end_in_time(
        &mut self,
        within: Duration,
        goes_on: bool,
        (now, suspended): (Instant, Duration),
    ) {
        // Only the session has to know.
        let _ = self.handle_wake(now, suspended);
        if self.wants_close() && !self.stays_to_deliver(within, now) {
            self.end_away(Reason::Shutdown, None, false);
            self.is_over = true;
        }
        if self.away_until().is_some_and(|until| now >= until) {
            let is_left = self.leave_by.is_some();
            let reason = if is_left { Reason::Unacknowledged } else { Reason::NotBack };
            self.end_away(reason, None, goes_on && !is_left);
        }
    }

    /// Ends the session that has no link, if there is one.
    pub(super) fn end_away(&mut self, reason: Reason, told: Option<Position>, goes_on: bool) {
        let Some(session) = self.session.as_deref_mut() else { return };
        let Some(Away { ledger, peer, .. }) = session.away.take() else { return };
        let (beats, unacknowledged, bye) = (session.beats, 0, None);
        let ending = Ending { reason, peer, beats, unacknowledged, bye, told, goes_on };
        self.end_session(Some(ledger), ending);
    }

    /// Ends the session: reports it, and what is lost with it. `ledger`: it could be resumed.
    pub(super) fn end_session(&mut self, mut ledger: Option<Boxed<Ledger>>, ending: Ending) {
        let Ending { mut reason, peer, beats, unacknowledged, bye, told, goes_on } = ending;
        if let Some((session, ledger)) = self.session.take().zip(ledger.as_deref_mut()) {
            session.collect(ledger);
        }
        let has_both = ledger.as_deref().is_some_and(Ledger::has_both);
        let undelivered = ledger.map(|ledger| self.settle_positions(ledger.into_inner(), told));
        let is_done = has_both && self.outbox.log_len() == 0 && !self.outbox.has_message();
        let lost = self.settle_messages(goes_on);
        let undelivered = undelivered.map(|undelivered| add(undelivered, lost));
        let undelivered = undelivered.unwrap_or(Undelivered::NOTHING);
        // The server may have ended it because both ends were done, or this client said BYE.
        let is_left = self.leave_by.is_some() && undelivered == Undelivered::NOTHING;
        let is_ended_by_server = matches!(reason, Reason::NotResumed | Reason::Bye(ByeCode::Done));
        if is_done && (is_ended_by_server || reason == Reason::NotBack) && !self.wants_close() {
            reason = Reason::Done;
        } else if is_left && reason == Reason::NotResumed {
            reason = Reason::Shutdown;
        }
        self.is_over = !goes_on || reason == Reason::Done;
        self.outlet.begin_session(None);
        let (unsent, bye) = (lost.frames, bye.map(Box::new));
        let event =
            Event::Offline { peer, reason, unsent, undelivered, unacknowledged, beats, bye };
        self.outlet.push_news(event);
    }

    /// What of the written messages the server is not known to have taken over.
    fn settle_positions(&mut self, mut ledger: Ledger, told: Option<Position>) -> Undelivered {
        self.outbox.handle_link_end();
        // A server that tells a wrong position has told nothing.
        let settled = ledger.settle(self.outbox.log_lens()).unwrap_or_default();
        self.outbox.acknowledge(settled);
        let told = told.and_then(|told| ledger.resume_at(told, self.outbox.log_lens()).ok());
        self.outbox.acknowledge(told.unwrap_or_default());
        let written = self.outbox.unacknowledged();
        let exact = told.is_some() || written.frames == 0;
        add(Undelivered { exact, ..Undelivered::NOTHING }, written)
    }
}

fn add(mut undelivered: Undelivered, more: Tally) -> Undelivered {
    let Tally { frames, bytes } = more;
    undelivered.frames += u64::try_from(frames).unwrap_or(u64::MAX);
    undelivered.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    undelivered
}
