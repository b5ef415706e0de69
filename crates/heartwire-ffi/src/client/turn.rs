//! What to do next: the order of [`heartwire_core::order`], one step at a time.

use core::time::Duration;

use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::{Instant, Pause};

use super::{Client, Phase};
use crate::abi::Step;

/// Maximum number of reads in a row that delay a verdict: a flood does not delay it without end.
const MAX_READS: u8 = 64;

/// How long the socket may take nothing of what is written before the connection is closed.
pub(super) const LEAVE_WITHIN: Duration = Duration::from_secs(3);

impl Client<'_> {
    /// What to do next.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Step {
        let now = self.awake(now_ms);
        self.must_read = false;
        let step = self.step(now);
        self.rest();
        step
    }

    /// The read that was demanded is done; `more`: there are bytes left in the socket.
    pub(crate) fn read_done(&mut self, now_ms: u64, more: bool) -> Step {
        let now = self.awake(now_ms);
        let found = if self.inbox.has_refused() {
            Found::NoRoom(now)
        } else if more && self.reads < MAX_READS {
            self.reads += 1;
            Found::More
        } else {
            Found::All
        };
        // What was read is what had come when the read was demanded.
        let was_asked = core::mem::take(&mut self.must_read) && self.phase == Phase::Keeping;
        let asked = if was_asked { self.ask(self.asked_at) } else { None };
        let step = match (asked, &mut self.connection) {
            (Some(Next::ReadFirst(read)), Some(connection)) => {
                let pause = Pause::new(self.paused_until, Duration::ZERO);
                let next = connection.judge(read, found, Some(pause));
                self.follow(next, now)
            }
            (Some(next), _) => self.follow(next, now),
            (None, _) => self.step(now),
        };
        self.rest();
        step
    }

    fn step(&mut self, now: Instant) -> Step {
        match self.phase {
            Phase::Idle => Step::Idle,
            Phase::Over => Step::Close,
            Phase::Leaving => self.leave(now),
            Phase::Keeping => {
                self.tell_news(now);
                match self.ask(now) {
                    Some(next) => self.follow(next, now),
                    None => Step::Idle,
                }
            }
        }
    }

    fn ask(&mut self, now: Instant) -> Option<Next> {
        let outbound = self.outbound();
        Some(self.connection.as_mut()?.poll(now, outbound))
    }

    /// What waits to be written. A beat of v1 may have to wait even if nothing else does.
    fn outbound(&self) -> Outbound {
        if !self.outbox.takes_beat() {
            Outbound::Blocked
        } else if self.settings.is_v1() || !self.outbox.is_empty() {
            Outbound::Waiting
        } else {
            Outbound::Clear
        }
    }

    fn follow(&mut self, mut next: Next, now: Instant) -> Step {
        loop {
            match next {
                Next::ReadFirst(_) => {
                    (self.must_read, self.asked_at) = (true, now);
                    return Step::Read;
                }
                Next::Write(beat) => {
                    self.outbox.push_first(&beat);
                    match self.ask(now) {
                        Some(again) => next = again,
                        None => return Step::Idle,
                    }
                }
                Next::SleepUntil(_) => {
                    self.reads = 0;
                    self.pad();
                    return if self.outbox.is_empty() { Step::Sleep } else { Step::Write };
                }
                Next::Over(over) => {
                    self.reads = 0;
                    match over {
                        Over::Dead(verdict) => self.end_dead(&verdict, now),
                        Over::Broken(violation) => self.end_slow(violation, now),
                    }
                    return self.step_of_end(now);
                }
            }
        }
    }

    fn step_of_end(&mut self, now: Instant) -> Step {
        if self.phase == Phase::Leaving { self.leave(now) } else { Step::Close }
    }

    /// Writes what waits, then closes.
    fn leave(&mut self, now: Instant) -> Step {
        if self.outbox.is_empty() || now >= self.leave_by() {
            self.phase = Phase::Over;
            return Step::Close;
        }
        Step::Write
    }

    fn leave_by(&self) -> Instant {
        self.asked_at.saturating_add(LEAVE_WITHIN)
    }

    /// When to ask again at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Over => None,
            Phase::Leaving => Some(self.leave_by()),
            Phase::Keeping => {
                let connection = self.connection.as_ref()?;
                [connection.poll_timeout(), self.news_at()].into_iter().flatten().min()
            }
        }
    }

    /// The same in milliseconds of the caller's clock.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.deadline().map(super::time::ceil_ms)
    }
}
