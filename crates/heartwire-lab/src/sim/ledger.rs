//! A record of what an end has done so far.

use core::time::Duration;

use heartwire_core::Instant;

use super::host::Interruption;

/// A record of what an end has done so far.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) started_at: Instant,
    /// When it last sent anything, and a beat.
    last_sent: Instant,
    last_beat: Instant,
    beats_sent: u64,
    pub(super) beats_heard: u64,
    /// Beats that were due for another reason than an interval.
    beats_extra: u64,
    /// The shortest time from beat to beat that ever was in force.
    shortest_interval: Option<Duration>,
    /// It has heard the peer's first frame.
    has_begun: bool,
    pub(super) verdicts: u32,
    /// It reported its `Offline`.
    pub(super) is_over: bool,
}

impl Ledger {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            last_sent: now,
            last_beat: now,
            beats_sent: 0,
            beats_heard: 0,
            beats_extra: 0,
            shortest_interval: None,
            has_begun: false,
            verdicts: 0,
            is_over: false,
        }
    }

    pub(super) fn note_interval(&mut self, beat: Option<Duration>) {
        self.shortest_interval = [self.shortest_interval, beat].into_iter().flatten().min();
    }

    /// On protocol v1 beats may come up to a quarter of the interval early.
    pub(super) fn note_interval_v1(&mut self, interval: Option<Duration>) {
        self.note_interval(interval.map(|interval| interval / 4 * 3));
    }

    /// A beat is due now, whatever the interval.
    pub(super) const fn note_beat_now(&mut self) {
        self.beats_extra += 1;
    }

    /// A beat was sent. Returns how many were sent, and how many of them were due by themselves.
    pub(super) fn note_beat(&mut self, now: Instant) -> (u64, u64) {
        self.beats_sent += 1;
        self.last_beat = now;
        let elapsed = now.saturating_since(self.started_at);
        let intervals = self.shortest_interval.map_or(0, |beat| whole(elapsed, beat));
        (self.beats_sent, self.beats_extra + intervals)
    }

    pub(super) const fn last_beat(&self) -> Instant {
        self.last_beat
    }

    pub(super) const fn last_sent(&self) -> Instant {
        self.last_sent
    }

    pub(super) fn note_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// An interval begins here.
    pub(super) fn restart(&mut self, now: Instant) {
        self.last_sent = self.last_sent.max(now);
        self.last_beat = self.last_beat.max(now);
    }

    /// What it did in this turn may have happened after it was held up.
    pub(super) fn handle_interruption(&mut self, it: Interruption) {
        for done_at in [&mut self.last_sent, &mut self.last_beat] {
            if *done_at >= it.from {
                *done_at = it.until;
            }
        }
    }

    pub(super) const fn note_begun(&mut self) {
        self.has_begun = true;
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }
}

pub(super) fn len_of(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn whole(elapsed: Duration, part: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() / part.as_nanos().max(1)).unwrap_or(u64::MAX)
}
