//! What is delivered next, what waits, and what is given up.
//!
//! It reads no clock and does no I/O: time is handed in, and the driver ([`super::deliver`]) says
//! what became of each try.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::Instant;
use heartwire_core::backoff::{Backoff, BackoffPolicy};

use super::item::{Batch, Item, LANES, LaneId, MAX_BATCH, MAX_BATCH_LEN, Place};
use super::{HookEvent, HookStatus};

/// The maximum of the first wait after a failed try. Each further one is up to twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait, unless the receiver asks for more: a receiver that comes back is tried within
/// this.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The longest wait that a receiver can ask for. With more, one answer could hold up a lane until
/// its changes are given up.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The shortest time between two events: a receiver that fails at every second delivery fills no
/// log.
const BETWEEN_EVENTS: Duration = Duration::from_secs(1);

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: Box<str>,
    /// When the receiver wants the next one.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(error: impl Into<Box<str>>) -> Self {
        Self { error: error.into(), retry_after: None }
    }
}

/// A change that was given up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dead {
    pub(super) item: Item,
    pub(super) error: Box<str>,
}

/// All lanes. Each has at most one batch under way, and delivers its changes in order.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: [Lane; LANES],
    settings: Settings,
    rng: fastrand::Rng,
    batches: u64,
    /// How many changes wait for a batch.
    waiting: usize,
    /// Given up and not [taken out](Self::take_dead).
    dead: VecDeque<Dead>,
    delivers_until: Option<Instant>,
    status: HookStatus,
    report: Report,
}

/// How lanes behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// After how long a batch is given up: the time of its tries, and of the waits between them.
    pub(super) give_up: Duration,
    /// How long a try takes at most. More than that is a pause of this process, for which no
    /// receiver is to blame.
    pub(super) timeout: Duration,
    /// How many changes may wait. If there are more, the oldest are given up.
    pub(super) max_waiting: usize,
    /// Whether changes that were given up are kept, until they are taken out.
    pub(super) keeps_dead: bool,
    /// Different for each run of the program.
    pub(super) seed: u64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Item>,
    delivery: Delivery,
}

#[derive(Debug, Default)]
enum Delivery {
    #[default]
    Idle,
    UnderWay(Tries),
    /// Until the next try.
    Failed(Tries, Instant),
}

#[derive(Debug)]
struct Tries {
    batch: Arc<Batch>,
    /// When the last one began.
    began_at: Instant,
    /// How long it was tried, with the waits.
    spent: Duration,
    backoff: Backoff,
    has_failed: bool,
}

/// What was told last, against what there is to tell.
#[derive(Debug, Default)]
struct Report {
    failing_since: Option<Instant>,
    told_failing: bool,
    error: Box<str>,
    dead: u64,
    dead_error: Box<str>,
    told_at: Option<Instant>,
}

impl Lanes {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            lanes: Default::default(),
            settings,
            rng: fastrand::Rng::with_seed(settings.seed),
            batches: 0,
            waiting: 0,
            dead: VecDeque::new(),
            delivers_until: None,
            status: HookStatus::default(),
            report: Report::default(),
        }
    }

    /// Adds a change, which is later than all others.
    pub(super) fn push(&mut self, item: Item) {
        let Some(lane) = self.lanes.get_mut(item.lane.0) else { return };
        lane.waiting.push_back(item);
        self.waiting += 1;
        while self.waiting > self.settings.max_waiting {
            let by_age = |lane: &&mut Lane| lane.waiting.front().map(|item| item.place);
            let fullest = self.lanes.iter_mut().filter(|lane| by_age(lane).is_some());
            let oldest = fullest.min_by_key(by_age);
            let Some(item) = oldest.and_then(|lane| lane.waiting.pop_front()) else { return };
            self.waiting -= 1;
            self.give_up(item, "too many changes waited");
        }
    }

    /// Begins the next try that is due. Call it until it is `None`.
    pub(super) fn begin_try(&mut self, now: Instant) -> Option<(LaneId, Arc<Batch>)> {
        if !self.may_deliver(now) {
            return None;
        }
        let due = self.lanes.iter().position(|lane| lane.is_due(now))?;
        let lane = self.lanes.get_mut(due)?;
        let tries = match core::mem::take(&mut lane.delivery) {
            Delivery::Failed(tries, _) | Delivery::UnderWay(tries) => {
                self.status.retries += 1;
                Tries { began_at: now, ..tries }
            }
            Delivery::Idle => {
                let items = lane.take_batch();
                self.waiting -= items.len();
                self.batches += 1;
                let id = format!("msg_{:016x}{:x}", self.settings.seed, self.batches).into();
                let policy = BackoffPolicy::default().first(FIRST_WAIT).cap(MAX_WAIT);
                let backoff = Backoff::new(policy, self.rng.u64(..));
                let batch = Arc::new(Batch { id, items });
                Tries { batch, began_at: now, spent: Duration::ZERO, backoff, has_failed: false }
            }
        };
        self.status.tries += 1;
        let batch = Arc::clone(&tries.batch);
        lane.delivery = Delivery::UnderWay(tries);
        Some((LaneId(due), batch))
    }

    /// The receiver has taken the batch of this lane.
    pub(super) fn handle_taken(&mut self, lane: LaneId) {
        if let Some(tries) = self.end_try(lane) {
            self.status.delivered += count(tries.batch.items.len());
            // A batch that fails beside others that succeed is a failure still.
            let mut others = self.lanes.iter().filter_map(|lane| lane.delivery.tries());
            if !others.any(|tries| tries.has_failed) {
                self.status.is_failing = false;
            }
        }
    }

    /// The try of this lane failed.
    pub(super) fn handle_failed(&mut self, id: LaneId, now: Instant, failure: Failure) {
        let Some(mut tries) = self.end_try(id) else { return };
        tries.has_failed = true;
        if !self.status.is_failing {
            self.status.is_failing = true;
            if !self.report.told_failing {
                self.report.failing_since = Some(now);
            }
        }
        if let Some(wait) = failure.retry_after {
            let wait = wait.min(MAX_RETRY_AFTER);
            tries.backoff.handle_hint(wait, wait);
        }
        tries.spent += now.saturating_since(tries.began_at).min(self.settings.timeout);
        if tries.spent >= self.settings.give_up {
            for item in &tries.batch.items {
                self.give_up(item.clone(), &failure.error);
            }
        } else if let Some(lane) = self.lanes.get_mut(id.0) {
            let wait = tries.backoff.next_wait();
            tries.spent += wait;
            lane.delivery = Delivery::Failed(tries, now.saturating_add(wait));
        }
        self.report.error = failure.error;
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let retries = self.lanes.iter().filter_map(|lane| match &lane.delivery {
            Delivery::Failed(_, until) => Some(*until),
            Delivery::Idle | Delivery::UnderWay(_) => None,
        });
        let retry = retries.min().filter(|_| self.may_deliver(now));
        let told = self.report.told_at.filter(|_| self.has_news());
        let next_event = told.map(|told_at| told_at.saturating_add(BETWEEN_EVENTS));
        retry.into_iter().chain(next_event).min()
    }

    /// What is to be told.
    pub(super) fn poll_event(&mut self, now: Instant) -> Option<HookEvent> {
        let is_early = |told_at: Instant| now < told_at.saturating_add(BETWEEN_EVENTS);
        if !self.has_news() || self.report.told_at.is_some_and(is_early) {
            return None;
        }
        self.report.told_at = Some(now);
        if self.report.dead > 0 {
            let count = core::mem::take(&mut self.report.dead);
            return Some(HookEvent::DeadLetters { count, error: self.report.dead_error.clone() });
        }
        self.report.told_failing = self.status.is_failing;
        if self.status.is_failing {
            return Some(HookEvent::Failing { error: self.report.error.clone() });
        }
        let since = self.report.failing_since.take().unwrap_or(now);
        Some(HookEvent::Works { failed_for: now.saturating_since(since) })
    }

    const fn has_news(&self) -> bool {
        self.report.dead > 0 || self.status.is_failing != self.report.told_failing
    }

    fn may_deliver(&self, now: Instant) -> bool {
        self.delivers_until.is_none_or(|end| now < end)
    }

    /// No try begins from this time on, unless this is called again.
    pub(super) const fn deliver_until(&mut self, end: Instant) {
        self.delivers_until = Some(end);
    }

    /// This node delivers.
    pub(super) const fn set_active(&mut self) {
        self.status.is_active = true;
    }

    /// Changes had been removed before they were read.
    pub(super) const fn count_trimmed(&mut self) {
        self.status.trimmed += 1;
    }

    /// Forgets all changes, also those under way, without giving them up: another node delivers
    /// them, and tells how that goes.
    pub(super) fn forget(&mut self) {
        self.lanes = Default::default();
        self.dead.clear();
        self.waiting = 0;
        self.status.is_active = false;
        self.status.is_failing = false;
        self.report.told_failing = false;
        self.report.failing_since = None;
    }

    /// Gives up all changes, also those under way.
    pub(super) fn give_up_all(&mut self, error: &str) {
        for lane in core::mem::take(&mut self.lanes) {
            let Lane { waiting, delivery } = lane;
            let batch = delivery.tries().map(|tries| tries.batch.items.clone());
            for item in batch.into_iter().flatten().chain(waiting) {
                self.give_up(item, error);
            }
        }
        self.waiting = 0;
    }

    /// Whether a try is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.lanes.iter().any(|lane| matches!(lane.delivery, Delivery::UnderWay(_)))
    }

    /// How many changes are here: waiting, under way, or given up and not taken out.
    pub(super) fn held(&self) -> usize {
        let under_way = self.lanes.iter().filter_map(|lane| lane.delivery.tries());
        let under_way: usize = under_way.map(|tries| tries.batch.items.len()).sum();
        self.waiting + under_way + self.dead.len()
    }

    /// The first place of those that are here.
    pub(super) fn oldest(&self) -> Option<Place> {
        let dead = self.dead.iter().map(|dead| dead.item.place);
        self.lanes.iter().filter_map(Lane::oldest).map(|item| item.place).chain(dead).min()
    }

    /// Takes out some of those that were given up.
    pub(super) fn take_dead(&mut self, most: usize) -> Vec<Dead> {
        let most = most.min(self.dead.len());
        self.dead.drain(..most).collect()
    }

    /// Its counters.
    pub(super) fn status(&self, now: Instant) -> HookStatus {
        let oldest = self.lanes.iter().filter_map(Lane::oldest).map(|item| item.since).min();
        let oldest = oldest.map(|since| now.saturating_since(since));
        HookStatus { queued: self.held(), oldest, ..self.status }
    }

    fn end_try(&mut self, lane: LaneId) -> Option<Tries> {
        let lane = self.lanes.get_mut(lane.0)?;
        match core::mem::take(&mut lane.delivery) {
            Delivery::UnderWay(tries) => Some(tries),
            other @ (Delivery::Idle | Delivery::Failed(..)) => {
                lane.delivery = other;
                None
            }
        }
    }

    /// Gives up a change.
    pub(super) fn give_up(&mut self, item: Item, error: &str) {
        self.status.dead += 1;
        self.report.dead += 1;
        if &*self.report.dead_error != error {
            self.report.dead_error = error.into();
        }
        if self.settings.keeps_dead {
            self.dead.push_back(Dead { item, error: error.into() });
        }
    }
}

impl Lane {
    fn is_due(&self, now: Instant) -> bool {
        match &self.delivery {
            Delivery::Idle => !self.waiting.is_empty(),
            Delivery::UnderWay(_) => false,
            Delivery::Failed(_, until) => *until <= now,
        }
    }

    fn take_batch(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut len = Batch::EMPTY_LEN;
        while let Some(next) = self.waiting.front() {
            len += Batch::len_of(next);
            if items.len() >= MAX_BATCH || len > MAX_BATCH_LEN && !items.is_empty() {
                break;
            }
            items.extend(self.waiting.pop_front());
        }
        items
    }

    fn oldest(&self) -> Option<&Item> {
        let under_way = self.delivery.tries().and_then(|tries| tries.batch.items.first());
        under_way.or_else(|| self.waiting.front())
    }
}

impl Delivery {
    const fn tries(&self) -> Option<&Tries> {
        match self {
            Self::Idle => None,
            Self::UnderWay(tries) | Self::Failed(tries, _) => Some(tries),
        }
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
