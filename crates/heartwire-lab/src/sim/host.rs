//! A machine and the one process on it: whether it runs, when it runs next, and its pauses.

use core::time::Duration;

use heartwire_core::{Instant, MIN_PAUSE};

use super::time::{Clock, Clockwork, WorldTime};

/// The state of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Runs,
    /// The process is stopped; its system runs.
    Frozen,
    /// The machine is suspended.
    Suspended,
    /// The process is gone; its system refuses connections.
    Crashed,
    /// No power.
    Off,
}

impl State {
    /// Whether the system sends and receives.
    pub(super) const fn has_system(self) -> bool {
        match self {
            Self::Runs | Self::Frozen | Self::Crashed => true,
            Self::Suspended | Self::Off => false,
        }
    }

    /// Whether there is a process that could run now or later.
    pub(super) const fn has_process(self) -> bool {
        match self {
            Self::Runs | Self::Frozen | Self::Suspended => true,
            Self::Crashed | Self::Off => false,
        }
    }
}

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) clock: Clock,
    pub(super) state: State,
    /// When the current state began, if it is not [`State::Runs`].
    pub(super) stopped_at: WorldTime,
    /// Turns planned so far; only the last one counts.
    pub(super) number: u32,
    pub(super) turn_at: Option<WorldTime>,
    /// When its timer fires.
    pub(super) timer_at: Option<WorldTime>,
    /// It was woken while it could not run.
    pub(super) was_woken: bool,
    /// It was held up in the middle of a turn, which began then.
    pub(super) in_turn: Option<Wake>,
    /// Its clocks at the start of the current turn.
    pub(super) woke: Option<Wake>,
    /// It is in its turn; and how it was held up between two steps of it.
    pub(super) is_in_a_turn: bool,
    pub(super) interruption: Option<Interruption>,
    /// When a server that was held up like this can have noticed its pause.
    pub(super) may_know_of_pause: Option<Instant>,
    /// How a client that has just woken can know of its pause.
    pub(super) sign: Option<(Sign, Instant)>,
    /// How long the machine has been suspended in all.
    pub(super) suspended: Duration,
    /// Since when it has been able to keep its deadlines.
    pub(super) runs_since: Instant,
    /// The process is held up in most of its turns.
    pub(super) stutters: bool,
    /// The process reads nothing before this.
    pub(super) busy_until: WorldTime,
    /// When its application last took what there was for it.
    pub(super) took_at: WorldTime,
    watch: Watch,
}

/// The clocks of a process when it woke.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wake {
    pub(super) at: Instant,
    /// How long its machine had been suspended in all.
    pub(super) suspended: Duration,
}

/// How a process was held up in its turn, by its clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interruption {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// How a process can know that it was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It was woken late.
    Late,
    /// Nothing was late, but two clocks differ more than before: its machine was suspended.
    Clocks,
}

/// Detects pauses of a process, from the time it wanted to be woken and from two clocks.
#[derive(Clone, Copy, Debug)]
struct Watch {
    asked_for: Option<Instant>,
    awake_at: Instant,
    suspended: Duration,
    /// It is in a turn, and knows the time.
    has_woken: bool,
}

impl Host {
    pub(super) fn new(clock: Clock, now: WorldTime) -> Self {
        let awake_at = clock.read(now);
        Self {
            clock,
            state: State::Runs,
            stopped_at: now,
            number: 0,
            turn_at: None,
            timer_at: None,
            was_woken: false,
            in_turn: None,
            woke: None,
            is_in_a_turn: false,
            interruption: None,
            may_know_of_pause: None,
            sign: None,
            suspended: Duration::ZERO,
            runs_since: awake_at,
            stutters: false,
            busy_until: now,
            took_at: now,
            watch: Watch { asked_for: None, awake_at, suspended: Duration::ZERO, has_woken: false },
        }
    }

    /// A new process starts, without any state.
    pub(super) fn handle_start(&mut self, now: Instant) {
        self.begin_link(now);
        self.watch =
            Watch { asked_for: None, awake_at: now, suspended: self.suspended, has_woken: false };
        self.sign = None;
    }

    /// Its process begins a connection. It has not noticed yet whether it was paused before that.
    pub(super) const fn begin_link(&mut self, now: Instant) {
        self.timer_at = None;
        self.turn_at = None;
        self.was_woken = false;
        self.in_turn = None;
        self.runs_since = now;
        self.woke = None;
        self.may_know_of_pause = None;
    }

    /// Its turn begins, or ends.
    pub(super) const fn set_in_a_turn(&mut self, is_in_a_turn: bool) {
        self.is_in_a_turn = is_in_a_turn;
        self.interruption = None;
        self.may_know_of_pause = None;
    }

    /// The process sleeps until then.
    pub(super) const fn handle_sleep(&mut self, until: Option<Instant>) {
        self.watch.asked_for = until;
        self.watch.has_woken = false;
    }

    /// Whether a driver can know of a suspend of this length, and must not blame its peers for it.
    pub(super) fn can_notice(&self, suspended_for: Duration) -> bool {
        match self.clock.clockwork {
            Clockwork::AllCount | Clockwork::ClockCounts => suspended_for >= MIN_PAUSE,
            Clockwork::NothingCounts => false,
        }
    }

    /// Its clocks now.
    pub(super) fn read_clocks(&self, now: WorldTime) -> Wake {
        Wake { at: self.clock.read(now), suspended: self.suspended }
    }

    /// When the process woke last.
    pub(super) const fn awake_at(&self) -> Instant {
        self.watch.awake_at
    }

    /// Whether the process has compared its clocks since it slept.
    pub(super) const fn is_in_turn(&self) -> bool {
        self.watch.has_woken
    }

    /// The process runs, or is about to give a verdict. Returns how it can know that it was paused,
    /// if it was. `asks_again`: within a turn it checks whether it is late for a due deadline.
    pub(super) fn handle_wake(&mut self, wake: Wake, asks_again: bool) -> Option<Sign> {
        let again = (asks_again && self.watch.has_woken).then_some(self.watch.awake_at);
        self.watch.has_woken = true;
        let asked_for = self.watch.asked_for.take().or(again);
        let asked_for = asked_for.map(|at| at.max(self.watch.awake_at));
        self.watch.awake_at = wake.at;
        let is_late = asked_for.is_some_and(|at| wake.at.saturating_since(at) >= MIN_PAUSE);
        let gap = wake.suspended.saturating_sub(self.watch.suspended);
        self.watch.suspended = wake.suspended;
        let by_clocks = (gap >= MIN_PAUSE).then_some(Sign::Clocks);
        if is_late { Some(Sign::Late) } else { by_clocks }
    }
}
