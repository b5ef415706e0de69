//! How a connection ends.

use core::time::Duration;

use heartwire_core::resume::Ledger;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_core::{Cause, Connection, Instant, Verdict, Violation};

use super::returning::End;
use super::time::{floor_ms, millis, up_ms};
use super::{Client, Phase};
use crate::abi::{self, Event, Status, ViolationCode};
use crate::names;

/// How a connection ended, to be told after what came on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Dead(abi::Verdict),
    Broken(ViolationCode),
    Closed,
}

impl Client<'_> {
    /// The server is dead.
    pub(super) fn end_dead(&mut self, verdict: &Verdict, now: Instant) {
        let slack = millis(self.settings.step_ms).saturating_mul(2);
        let bound = verdict.bound;
        let dead = abi::Verdict {
            cause: match verdict.cause {
                Cause::Unheard => abi::Cause::Unheard,
                Cause::Silence | Cause::Kernel | _ => abi::Cause::Silence,
            },
            silence_ms: floor_ms(verdict.silence),
            earliest_ms: bound.map_or(0, |bound| floor_ms(bound.earliest)),
            latest_ms: bound.map_or(0, |bound| up_ms(bound.latest.saturating_add(slack))),
            paused_ms: floor_ms(verdict.paused),
            late_ms: floor_ms(verdict.late),
        };
        self.ending = Some(Ending::Dead(dead));
        self.read_on(now);
        self.lose(End::Dead, RetryHint::AtWill, now);
    }

    /// The server took too long for a frame.
    pub(super) fn end_slow(&mut self, violation: Violation, now: Instant) {
        self.end_broken(violation, now);
        self.read_on(now);
    }

    /// The server broke the protocol. It is told why, if it has accepted this client.
    pub(super) fn end_broken(&mut self, violation: Violation, now: Instant) {
        self.ending = Some(Ending::Broken(names::violation_code(&violation)));
        let was_welcomed = self.settings.is_v1() && self.returning.is_online();
        self.lose(End::Broken, RetryHint::AtWill, now);
        // A frame that stopped in the middle is no breach of a session: its path may have been cut.
        let is_slow = matches!(violation, Violation::SlowFrame { .. });
        if !was_welcomed || (is_slow && self.sessions.is_resumable()) {
            return;
        }
        self.outbox.drop_unbegun();
        let code =
            if violation == Violation::TooFast { ByeCode::TooFast } else { ByeCode::Protocol };
        let bye = Bye::new(code, RetryHint::AtWill).detail(violation.name());
        if self.say_bye(&bye) {
            (self.phase, self.asked_at) = (Phase::Leaving, now);
        }
        self.sessions.end(true);
    }

    /// Says BYE behind what waits, with what was taken over. Returns whether it had room.
    fn say_bye(&mut self, bye: &Bye<'_>) -> bool {
        let ledger = self.connection.as_ref().and_then(Connection::ledger);
        let bye = bye.taken(ledger.map(Ledger::taken));
        self.outbox.push_control(|room| bye.encode_to(room))
    }

    /// The server said BYE.
    pub(super) fn end_by_bye(&mut self, code: ByeCode, retry: RetryHint, now: Instant) {
        self.ending = None;
        let has_session = self.connection.as_ref().and_then(Connection::ledger).is_some();
        self.sessions.handle_bye(code, retry, has_session);
        self.lose(End::Bye, retry, now);
    }

    fn lose(&mut self, end: End, hint: RetryHint, now: Instant) {
        if self.phase != Phase::Idle {
            self.phase = Phase::Over;
        }
        self.is_end_known = true;
        self.returning.lose(end, hint, &self.settings, now);
    }

    /// What came before the end can still be taken.
    fn read_on(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection {
            *connection = connection.without_output(now);
        }
    }

    /// Ends the connection when what waits is written. On v1 a BYE comes last.
    pub(crate) fn close(&mut self, now_ms: u64) -> Result<(), Status> {
        if self.phase != Phase::Keeping {
            return Err(Status::ERR_STATE);
        }
        let now = self.awake(now_ms);
        self.sessions.take_over(&mut self.connection);
        let is_welcomed = self.settings.is_v1() && self.returning.is_online();
        if is_welcomed && !self.say_bye(&Bye::new(ByeCode::Done, RetryHint::AtWill)) {
            self.rest();
            return Err(Status::ERR_ROOM);
        }
        self.sessions.end(false);
        (self.phase, self.asked_at, self.must_read) = (Phase::Leaving, now, false);
        self.rest();
        Ok(())
    }

    /// When a verdict on this connection comes at the earliest and the latest.
    pub(super) fn bound(&self) -> Option<(u32, u32)> {
        let tick = Duration::from_millis(self.settings.tick_ms.into());
        let bound = self.connection.as_ref()?.policy().bound(tick)?;
        Some((
            floor_ms(bound.earliest),
            up_ms(bound.latest.saturating_add(millis(self.settings.step_ms).saturating_mul(2))),
        ))
    }

    /// The event of the end, once.
    pub(super) fn tell_ending(&mut self) -> Event {
        match self.ending.take() {
            Some(Ending::Dead(verdict)) => Event::dead(verdict),
            Some(Ending::Broken(code)) => Event::broken(code),
            Some(Ending::Closed) => Event::closed(),
            None => Event::none(),
        }
    }
}
