//! Looks at the sessions of a shard for the application, some of them in each turn.

use core::time::Duration;

use heartwire_core::Instant;

use super::Shard;
use crate::server::event::SessionInfo;
use crate::server::handler::Handler;
use crate::server::session::Session;
use crate::server::state::ShardState;
use crate::server::survey::{MAX_SURVEYS, Survey};
use crate::world::{ServerWorld, Socket};

/// Maximum number of slots that a shard looks at in one turn. With a system call for each it takes
/// 0.3 ms.
const SLOTS_PER_TURN: usize = 256;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Adds a survey. If too many wait, it is dropped, which is an answer too.
    pub(super) fn begin_survey(&mut self, survey: Survey) {
        if self.surveys.len() >= MAX_SURVEYS {
            self.surveys.retain(Survey::is_wanted);
        }
        if self.surveys.len() < MAX_SURVEYS {
            self.surveys.push_back(survey);
        }
    }

    /// Goes on with the surveys, the longest waiting first.
    pub(super) fn go_on_with_surveys(&mut self) {
        if self.surveys.is_empty() {
            return;
        }
        let ShardState { sessions, agenda, .. } = &self.state;
        let now = agenda.world.now();
        for _ in 0..SLOTS_PER_TURN {
            let Some(survey) = self.surveys.front_mut() else { return };
            let Some(slot) = survey.next_slot(sessions.slots()) else {
                self.surveys.pop_front().into_iter().for_each(Survey::answer);
                continue;
            };
            let session = sessions.get(slot).filter(|session| session.phase().is_online());
            if let Some(session) = session {
                let name = session.identity().map(|identity| &*identity.name);
                survey.see(info(session, now), name, |info| hear(info, session));
            }
        }
    }
}

/// What is known of a session, without its name.
fn info<S: Socket>(session: &Session<S>, now: Instant) -> SessionInfo {
    let (link, away) = (&session.link, session.away());
    let policy = link.connection.policy();
    SessionInfo {
        id: session.id,
        peer: link.peer(),
        away_within: away.map(|away| away.until.saturating_since(now)),
        age: now.saturating_since(session.since),
        protocol: if link.speaks_v1() { "v1" } else { "v0" },
        is_secure: link.is_secure(),
        silence: link.silence(now),
        interval: policy.peer_interval(),
        timeout: policy.timeout(),
        due: link.due(now).filter(|_| !session.is_away()),
        beats: session.beats,
        queued: session.queued(),
        name: None,
        epoch: session.identity().map_or(0, |identity| identity.epoch),
        link_state: link.connection.link_state(now).filter(|_| !session.is_away()),
    }
}

/// Asks the kernel when the last bytes came, if a beat has been due since the last that was read:
/// it may wait in the kernel.
fn hear<S: Socket>(info: &mut SessionInfo, session: &Session<S>) {
    let Some(stream) = session.link.stream.as_ref().filter(|_| !session.is_away()) else { return };
    if info.silence <= info.interval.unwrap_or(Duration::ZERO) {
        return;
    }
    let since = stream.since_last_receive().ok().filter(|&since| since < info.silence);
    if let Some(since) = since {
        info.silence = since;
        let due = info.timeout.map(|timeout| timeout.saturating_sub(since));
        info.due = info.due.max(due);
    }
}
