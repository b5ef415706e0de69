//! The timeout and interval of one wrapped connection, on tokio's clock.

use core::future::Future as _;
use core::pin::Pin;
use core::task::Context;
use core::time::Duration;

use heartwire_core::order::{Found, ReadFirst};
use heartwire_core::{Instant, Liveness, MIN_PAUSE, PauseWatch, Policy, Verdict};
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};
use tracing::debug;

use crate::{TICK, clock};

/// Delay before the last read that precedes a verdict. The runtime's knowledge of a socket is as
/// old as its last turn; this leaves time for another turn, well within [`TICK`].
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Decides on verdicts and beats, and owns the timer. The wrapper moves the bytes.
///
/// Traffic only stores a timestamp; the timer is not touched until it fires.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The origin of the core's instants. Only this file converts between the two clocks.
    origin: TokioInstant,
    liveness: Liveness,
    watch: PauseWatch,
    /// No beats and no timeout until the peer's first beat.
    waits: bool,
    /// When suspends were last checked for an item, on the clock that counts suspended time.
    compared_at: Instant,
    /// Created when first needed, because it needs a runtime.
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Option<Instant>,
    /// Whether the timer has a waker.
    timer_polled: bool,
    look: Option<Look>,
}

/// A planned last read: the connection ends after it, unless it finds something.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// Present if the end is a verdict.
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

    /// Sends no beats and has no timeout until the peer's first beat.
    pub(super) fn wait_for_beat(&mut self) {
        self.waits = true;
    }

    /// Handles a beat of the peer. If this end waited for it, the timeout starts `now`, and a beat
    /// is due, because the peer has had none yet.
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

    /// Time since the peer was last heard.
    pub(super) fn silence(&self) -> Duration {
        self.now().saturating_since(self.liveness.last_heard())
    }

    /// Handles something that was read from the peer `now`.
    pub(super) fn handle_heard(&mut self, now: Instant) {
        self.hear(now, clock::now(), clock::suspended);
    }

    /// `at` is `now` on the clock that counts suspended time. A suspend before this moment must not
    /// be counted later as part of the silence that begins now.
    fn hear(&mut self, now: Instant, at: Instant, suspended: impl FnOnce() -> Duration) {
        self.liveness.handle_heard(now);
        let is_overdue = self.timer_at.is_none_or(|at| now >= at);
        // A shorter suspend does not count. Checking costs another clock read, which most items are
        // spared.
        if is_overdue || at.saturating_since(self.compared_at) >= MIN_PAUSE {
            self.compared_at = at;
            self.handle_wake(now, suspended());
        }
        if is_overdue {
            self.catch_up(now);
        }
    }

    /// Handles a byte that arrived at `at`, which may be in the past.
    pub(super) fn handle_byte(&mut self, at: TokioInstant) {
        self.liveness.handle_heard(self.instant(at));
    }

    /// Handles something other than a beat that was written at `at`, or waits to be.
    pub(super) fn handle_sent(&mut self, at: Instant) {
        self.liveness.handle_sent(at);
    }

    /// Handles a beat that was written at `at`, or waits to be.
    pub(super) fn handle_beat_sent(&mut self, at: Instant) {
        self.liveness.handle_beat_sent(at);
    }

    /// Handles a wake-up. A late wake-up or a suspend is a pause, which does not count against the
    /// peer. Tokio's clock stops in a suspend, so the first wake-up after it looks punctual.
    fn handle_wake(&mut self, now: Instant, suspended: Duration) {
        self.watch.handle_sleep(self.timer_at);
        if let Some(pause) = self.watch.handle_wake(now, suspended) {
            debug!(gap = ?pause.gap, "this end was paused");
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

    /// Plans a last read before something other than silence ends the connection. Returns its time.
    pub(super) fn look_again(&mut self, now: Instant) -> Instant {
        let read_first = self.look.take().and_then(|look| look.read_first);
        self.look.insert(Look { at: now.saturating_add(LOOK_AGAIN), read_first }).at
    }

    /// Handles deadlines that passed while items kept coming. None can be a verdict: the peer was
    /// heard just now.
    fn catch_up(&mut self, now: Instant) {
        let _ = self.liveness.poll(now);
        self.look = self.look.take().filter(|look| now < look.at);
        self.timer_at = None;
        self.arm();
    }

    /// Handles deadlines after a read with the result `found`: returns a verdict, makes a beat due,
    /// or sets the timer to wake `cx`.
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
                // After another read.
                self.rearm(cx);
                return None;
            }
        }
    }

    /// Whether the timer has a waker and has not fired.
    fn is_asleep(&self) -> bool {
        self.timer_polled && self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed())
    }

    /// Sets the timer earlier if needed since [`poll`](Self::poll): after a beat, the next one may
    /// be due before the timer's deadline.
    pub(super) fn rearm(&mut self, cx: &mut Context<'_>) {
        self.arm();
        if self.timer_at.is_some() && !self.timer_polled && self.poll_timer(cx) {
            // A deadline that has passed meanwhile is handled in another poll, after reading.
            cx.waker().wake_by_ref();
        }
    }

    /// Whether the timer has fired.
    ///
    /// This polls the timer and does not read the clock: a task that has used up its budget is told
    /// that nothing is ready, neither bytes nor the timer. So if the timer has fired, the read just
    /// before it was accurate.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let fired = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        self.timer_polled = !fired;
        fired
    }

    /// Handles a deadline that has passed, after a read with the result `found`.
    fn handle_timer(&mut self, now: Instant, found: Found) -> Option<Verdict> {
        if self.look.as_ref().is_some_and(|look| now < look.at) {
            return None;
        }
        if let Some(read) = self.look.take().and_then(|look| look.read_first) {
            if let Found::NoRoom(_) = found {
                debug!("the application is slow: a verdict is postponed");
            }
            // A pause was reported when it was noticed.
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

    /// Deadlines mostly move later, so an earlier timer is left as it is.
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
