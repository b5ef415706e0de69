//! The liveness of one wrapped connection, on the clock of tokio and with its only timer.

use core::future::Future as _;
use core::pin::Pin;
use core::task::Context;
use core::time::Duration;

use heartwire_core::order::{Found, ReadFirst};
use heartwire_core::{Instant, Liveness, MIN_PAUSE, PauseWatch, Policy, Verdict};
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};
use tracing::debug;

use crate::{TICK, clock};

/// Before a verdict a connection is read once more, after this long. What the runtime knows of a
/// socket is as old as its last turn; this is room for another one, well within [`TICK`].
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Judges, says when to beat, and owns the timer. Its application moves the bytes.
///
/// Traffic stores a timestamp; the timer stays as it is until it fires.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The origin of the core's instants. This file alone maps one clock to the other.
    origin: TokioInstant,
    liveness: Liveness,
    watch: PauseWatch,
    /// Nothing is expected of the peer, nor sent to it, until its first beat.
    waits: bool,
    /// When an item had the suspends looked at, on the clock that goes on in them.
    compared_at: Instant,
    /// Made when it is first needed, because it needs a runtime.
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Option<Instant>,
    /// Whether the timer knows whom to wake.
    timer_polled: bool,
    look: Option<Look>,
}

/// Something ends the connection then, unless something to read comes first.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// It is a verdict.
    read_first: Option<ReadFirst>,
}

impl Pulse {
    pub(super) fn new(policy: Policy) -> Self {
        let start = Instant::from_nanos(0);
        Self {
            origin: TokioInstant::now(),
            liveness: Liveness::new(policy, start),
            watch: PauseWatch::new(start, clock::suspended()),
            waits: false,
            compared_at: clock::now(),
            timer: None,
            timer_at: None,
            timer_polled: false,
            look: None,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.instant(TokioInstant::now())
    }

    fn instant(&self, at: TokioInstant) -> Instant {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Does nothing until the peer's first beat.
    pub(super) fn wait_for_beat(&mut self) {
        self.waits = true;
    }

    /// The peer has sent a beat. If this end waited for it, the first silence begins at `now`, and a beat
    /// is due: the peer has had none yet.
    pub(super) fn handle_beat(&mut self, now: Instant) {
        if self.waits {
            self.waits = false;
            self.liveness = Liveness::new(self.policy(), now);
            if self.policy().interval().is_some() {
                self.liveness.beat_now();
            }
        }
    }

    pub(super) const fn policy(&self) -> Policy {
        self.liveness.policy()
    }

    /// How long nothing has come from the peer.
    pub(super) fn silence(&self) -> Duration {
        self.now().saturating_since(self.liveness.last_heard())
    }

    /// Something from the peer was read, and this is being looked at `now`.
    pub(super) fn handle_heard(&mut self, now: Instant) {
        self.hear(now, clock::now(), clock::suspended);
    }

    /// `at` is `now` on the clock that goes on in a suspend. A suspend before this is not to be
    /// found later, and held for one in the silence that begins.
    fn hear(&mut self, now: Instant, at: Instant, suspended: impl FnOnce() -> Duration) {
        self.liveness.handle_heard(now);
        let is_overdue = self.timer_at.is_none_or(|at| now >= at);
        // None that counts fits into less. It is a look at the clock more, which items are spared.
        if is_overdue || at.saturating_since(self.compared_at) >= MIN_PAUSE {
            self.compared_at = at;
            self.handle_wake(now, suspended());
        }
        if is_overdue {
            self.catch_up(now);
        }
    }

    /// A byte arrived at `at`, which may lie in the past.
    pub(super) fn handle_byte(&mut self, at: TokioInstant) {
        self.liveness.handle_heard(self.instant(at));
    }

    /// Something other than a beat was written at `at`, or is waiting to be.
    pub(super) fn handle_sent(&mut self, at: Instant) {
        self.liveness.handle_sent(at);
    }

    /// A beat was written at `at`, or is waiting to be.
    pub(super) fn handle_beat_sent(&mut self, at: Instant) {
        self.liveness.handle_beat_sent(at);
    }

    /// The application is awake. If it should have been before, or was suspended, that is not held against the
    /// peer. The clock of tokio stops in a suspend, so that the first wake-up after it looks punctual.
    fn handle_wake(&mut self, now: Instant, suspended: Duration) {
        self.watch.handle_sleep(self.timer_at);
        if let Some(pause) = self.watch.handle_wake(now, suspended) {
            debug!(gap = ?pause.gap, "this end stood still");
            self.liveness.handle_pause(pause);
        }
    }

    /// Whether a beat is due. See [`Liveness::beat_due`].
    pub(super) fn beat_due(&self) -> bool {
        !self.waits && self.liveness.beat_due()
    }

    /// Whether [`poll`](Self::poll) has something to do: a deadline has passed, or the timer is not
    /// set for one.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.timer_at.or_else(|| self.deadline().map(|_| now)).is_some_and(|at| now >= at)
    }

    /// Wakes the application a little later, to read before something other than silence ends the
    /// connection. Returns when.
    pub(super) fn look_again(&mut self, now: Instant) -> Instant {
        let read_first = self.look.take().and_then(|look| look.read_first);
        self.look.insert(Look { at: now.saturating_add(LOOK_AGAIN), read_first }).at
    }

    /// The deadlines that passed while items kept coming. There is no verdict among them: something
    /// was heard just now.
    fn catch_up(&mut self, now: Instant) {
        let _ = self.liveness.poll(now);
        self.look = self.look.take().filter(|look| now < look.at);
        self.timer_at = None;
        self.arm();
    }

    /// What comes of a reading that found this: a verdict, a beat that is due, or a timer that will
    /// wake whom `cx` wakes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, found: Found) -> Option<Verdict> {
        loop {
            self.arm();
            if self.timer_at.is_none() || self.is_asleep() || !self.poll_timer(cx) {
                return None;
            }
            let now = self.now();
            self.handle_wake(now, clock::suspended());
            self.timer_at = None;
            let verdict = self.handle_timer(now, found);
            if verdict.is_some() {
                return verdict;
            }
            if self.look.is_some() {
                // By another reading.
                self.rearm(cx);
                return None;
            }
        }
    }

    /// Whether the timer knows whom to wake, and has not done so.
    fn is_asleep(&self) -> bool {
        self.timer_polled && self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed())
    }

    /// Sets the timer earlier if what was done since [`poll`](Self::poll) needs that: after a beat,
    /// the next one may come before the deadline that the timer is set to.
    pub(super) fn rearm(&mut self, cx: &mut Context<'_>) {
        self.arm();
        if self.timer_at.is_some() && !self.timer_polled && self.poll_timer(cx) {
            // What has passed meanwhile is dealt with in a poll of its own, after reading.
            cx.waker().wake_by_ref();
        }
    }

    /// Whether the timer has fired.
    ///
    /// The timer is asked, not the clock: a task that has used up its budget is told that nothing is
    /// ready, be it bytes or the timer. So whoever hears that the timer has fired was told the truth
    /// about the bytes just before.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let fired = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        self.timer_polled = !fired;
        fired
    }

    /// A deadline has passed, and reading found this.
    fn handle_timer(&mut self, now: Instant, found: Found) -> Option<Verdict> {
        if self.look.as_ref().is_some_and(|look| now < look.at) {
            return None;
        }
        if let Some(read) = self.look.take().and_then(|look| look.read_first) {
            if let Found::NoRoom(_) = found {
                debug!("the application is slow: a verdict is postponed");
            }
            // A pause was told when it was noticed.
            return self.liveness.judge(read, now, found, None, TICK);
        }
        let at = now.saturating_add(LOOK_AGAIN);
        self.look = self.liveness.poll(now).map(|read| Look { at, read_first: Some(read) });
        None
    }

    fn deadline(&self) -> Option<Instant> {
        if self.waits {
            return None;
        }
        self.look.as_ref().map(|look| look.at).or_else(|| self.liveness.poll_timeout())
    }

    /// Deadlines mostly move later, so a timer that is set to an earlier time stays as it is.
    fn arm(&mut self) {
        let Some(at) = self.deadline() else { return };
        if self.timer_at.is_some_and(|set| set <= at) {
            return;
        }
        let deadline = self.origin + Duration::from_nanos(at.as_nanos());
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(deadline),
            None => self.timer = Some(Box::pin(sleep_until(deadline))),
        }
        self.timer_at = Some(at);
        self.timer_polled = false;
    }
}

#[cfg(test)]
mod tests;
