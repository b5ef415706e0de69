//! Sessions that are away: their links are lost, and they wait for their clients to come back.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use heartwire_core::{Cause, Instant};

use super::Shard;
use crate::reason::Reason;
use crate::server::agenda::Agenda;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::world::{Break, ServerWorld};

/// The list of sessions that are away is cleaned when it has this many entries more than twice
/// those sessions.
const AWAY_SLACK: usize = 1024;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Closes the lost link of a session, which waits for its client from now on. Its place is free
    /// for other clients: the one that comes back brings its own.
    pub(super) fn park(&mut self, slot: u32, reason: Reason) {
        let handle = self.state.handle.clone();
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let Some(grace) = agenda.config.resume.map(|resume| session.grace(resume.grace)) else {
            return;
        };
        let (id, peer, now) = (session.id, session.link.peer(), agenda.world.now());
        let Some(place) = handle.away_count().enter(peer.ip(), now) else {
            tracing::debug!(session = %id, %peer, "too many sessions of this address are away");
            agenda.end(session, Reason::ReplayFull);
            return self.close_now(id);
        };
        let Some(cut) = session.park(now, grace, place) else { return };
        agenda.set_timer(session, now.saturating_add(grace));
        agenda.away.push_back((now, id));
        agenda.away_count += 1;
        self.state.count_held(slot);
        // With a reset: what was not received is written again.
        self.state.close(Some(cut), true);
        self.state.counts().away.fetch_add(1, Relaxed);
        tracing::debug!(session = %id, %peer, "away: {reason}");
        if let Reason::Dead(verdict) = reason {
            // Our own verdict was reported when it was given.
            if verdict.cause == Cause::Kernel {
                self.tell(Event::Verdict { id, peer, verdict });
            }
        }
        self.tell(Event::Away { id, peer, reason, within: grace });
        if self.state.agenda.world.breaks(Break::TellsAwayTwice) {
            self.tell(Event::Away { id, peer, reason, within: grace });
        }
    }

    /// Ends sessions, those that have been away longest first, until the others are few enough and
    /// keep little enough.
    pub(super) fn hold_less_away(&mut self) {
        let Agenda { away, away_count, .. } = &mut self.state.agenda;
        if away.len() > 2 * *away_count + AWAY_SLACK {
            let sessions = &mut self.state.sessions;
            away.retain(|&(since, id)| {
                let session = sessions.find(id);
                let away = session.as_deref().and_then(|session| session.away());
                away.is_some_and(|away| away.since == since)
            });
        }
        let (mut ended, mut too_many) = (0_usize, false);
        loop {
            let is_full = self.state.handle.away_count().is_over();
            if !is_full && !self.state.agenda.held.away.is_over() {
                break;
            }
            let Some((since, id)) = self.state.agenda.away.pop_front() else { break };
            let Some((session, agenda)) = self.state.find(id) else { continue };
            let is_away = session.is_away() && session.away().is_some_and(|own| own.since == since);
            if is_away {
                agenda.end(session, Reason::ReplayFull);
                // Before the next one is looked for: only then it is counted no more.
                self.close_now(id);
                (ended, too_many) = (ended + 1, is_full);
            }
        }
        if ended > 0 {
            let (shard, what) = (self.state.index, if too_many { "were" } else { "kept" });
            tracing::warn!(
                shard,
                ended,
                "too many sessions {what} away, or too much: ended those away longest"
            );
        }
    }

    /// Checks a session that is away: whether its time is over.
    pub(super) fn judge_away(&mut self, slot: u32, now: Instant) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let Some(away) = session.away() else { return };
        let (since, mut until) = (away.since, away.until);
        if let Some(pause) = self.last_pause.filter(|pause| pause.resumed_at > since) {
            // The client could not come back while this server was paused.
            if let Some(resume) = agenda.config.resume {
                let again = pause.resumed_at.saturating_add(session.grace(resume.grace));
                until = until.max(again);
                session.wait_until(until);
            }
        }
        if agenda.world.breaks(Break::NeverGivesUp) {
            until = until.saturating_add(Duration::from_secs(86_400));
        }
        if now >= until {
            agenda.end(session, Reason::NotBack);
        } else {
            agenda.set_timer(session, until);
        }
    }
}
