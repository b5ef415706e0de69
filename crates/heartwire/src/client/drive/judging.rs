//! Time in a driver: pauses, deadlines, and checks after a change of the network.

use core::time::Duration;

use heartwire_core::internal::returning::ANSWER_WITHIN;
use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::{Instant, Pause};

use super::{App, Driver, Event};
use crate::Reason;
use crate::sys::Way;
use crate::world::{Break, Socket as _, World};

/// Maximum number of reads before a verdict: 1 MiB of data may come before the beat that says that
/// the server hears this client. The limit keeps a flood from delaying a verdict without end.
const READS_BEFORE_JUDGING: usize = 64;

/// After a pause of this length the network may have changed too: the machine may have been
/// suspended or moved.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// A check whether the connection has survived a change of the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathCheck {
    asked_at: Instant,
    /// Something was in flight that the server has to acknowledge.
    is_asking: bool,
    /// The network may have changed again since.
    asks_again: bool,
}

impl PathCheck {
    /// Whether something was in flight that the server has to acknowledge, and nothing has come
    /// since, but last at `heard`.
    pub(super) fn is_asking(&self, heard: Instant) -> bool {
        self.is_asking && heard < self.asked_at
    }

    pub(super) fn deadline(&self) -> Instant {
        self.asked_at.saturating_add(ANSWER_WITHIN)
    }
}

impl<W: World> Driver<W> {
    /// Makes sure that a pause of this process does not count against the server. The process may
    /// also have been paused or suspended since the step began.
    pub(super) fn account_for_pauses(&mut self, app: &mut App, pause: Option<Pause>, now: Instant) {
        // A step that has taken long up to here was paused.
        app.watch.handle_sleep(Some(now));
        let (since, suspended) = self.world.now_and_suspended();
        let Some(pause) = app.handle_wake(since, suspended).or(pause) else { return };
        if !self.world.breaks(Break::IgnoresPauses) {
            self.last_pause = Some(pause);
        }
        app.outlet.push_news(Event::Paused(pause));
        // The beat of a path check may have had no time to be acknowledged, and a change of the
        // network during the pause was not noticed.
        let was_asked = self.path_check.take().is_some();
        if was_asked || pause.gap >= LONG_PAUSE {
            self.ask(now);
        }
    }

    /// Does what the connection asks for until it wants to sleep: reads, checks deadlines, and
    /// queues beats.
    pub(super) fn follow(&mut self, app: &mut App, now: Instant) -> Result<(), Reason> {
        let mut reads_left = READS_BEFORE_JUDGING;
        let mut outbound = self.outbound(app);
        let mut next = self.connection.poll(now, outbound);
        loop {
            next = match next {
                Next::ReadFirst(read) => {
                    let found = self.read_first(app, now)?;
                    outbound = self.outbound(app);
                    reads_left = reads_left.saturating_sub(1);
                    let mut found = if reads_left == 0 { Found::All } else { found };
                    if self.world.breaks(Break::WaitsForWrites) && self.has_unwritten(app) {
                        found = Found::NoRoom(now);
                    }
                    self.connection.judge(read, found, self.last_pause)
                }
                Next::Write(beat) => {
                    self.push_beat(app, beat, outbound);
                    self.connection.poll(now, outbound)
                }
                Next::SleepUntil(_) => return Ok(()),
                Next::Over(Over::Dead(mut verdict)) => {
                    if self.world.breaks(Break::TellsWrongFigures) {
                        verdict.late += Duration::from_millis(1);
                    }
                    return Err(Reason::Dead(verdict));
                }
                Next::Over(Over::Broken(violation)) => return Err(Reason::Protocol(violation)),
            };
        }
    }

    /// A v1 beat may have to wait even if nothing else does; the kernel is asked only then.
    fn outbound(&self, app: &App) -> Outbound {
        let may_wait = self.has_unwritten(app) || self.connection.contract().is_some();
        if may_wait { Outbound::Waiting } else { Outbound::Clear }
    }

    /// Starts a path check: sends a beat, and checks after [`ANSWER_WITHIN`] whether the server's
    /// kernel has acknowledged it.
    pub(super) fn ask(&mut self, now: Instant) {
        if !self.is_online() {
            // The handshake has its own timeout.
            return;
        }
        if let Some(check) = &mut self.path_check {
            check.asks_again = true;
            return;
        }
        let agreed = self.connection.policy().interval();
        let beats = agreed.is_some_and(|interval| self.pace.take(interval, now));
        if beats {
            self.connection.beat_now();
        }
        let unacknowledged = self.transport.socket.unacknowledged();
        let is_asking = beats || unacknowledged.is_some_and(|bytes| bytes > 0);
        self.path_check = Some(PathCheck { asked_at: now, is_asking, asks_again: false });
    }

    /// Ends the connection if the path is lost: the kernel is retransmitting, and nothing at all
    /// has come from the server since the check began.
    pub(super) fn judge_path(&mut self, now: Instant) -> Result<(), Reason> {
        let Some(check) = self.path_check.take_if(|check| check.deadline() <= now) else {
            return Ok(());
        };
        if let Some(Way { quiet, is_tried }) = self.transport.socket.way() {
            if is_tried && check.is_asking && quiet >= now.saturating_since(check.asked_at) {
                return Err(Reason::NetworkChanged);
            }
            if quiet >= ANSWER_WITHIN / 2 {
                // What came may have been in flight when the network changed, or what is not
                // acknowledged was written just now.
                let asks_again = check.asks_again;
                self.path_check = Some(PathCheck { asked_at: now, is_asking: true, asks_again });
                return Ok(());
            }
        }
        if check.asks_again {
            self.ask(now);
        }
        Ok(())
    }
}
