//! Carries out what [`Lanes`] decide.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heartwire_core::Instant;
use heartwire_core::internal::Typed;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time;

use super::item::{Batch, Item};
use super::lanes::{Failure, Lanes, Settings};
use super::{Hook, HookError, HookEvent, HookStatus, Target, command, http};
use crate::clock::Clock;

/// What delivers a batch.
#[derive(Debug)]
pub(super) enum Sender {
    Http(Box<http::Sender>),
    Command(command::Program),
}

/// Receives events of hooks.
pub(super) type Tell = dyn Fn(HookEvent) + Send + Sync;

/// Lanes, and what is needed to deliver their changes.
pub(super) struct Delivery {
    lanes: Mutex<Lanes>,
    sender: Sender,
    timeout: Duration,
    /// Different for each run of the program.
    seed: u64,
    clock: Clock,
    /// There is something to do.
    wake: Notify,
    /// There is less in the lanes than before.
    room: Notify,
    tell: Box<Tell>,
}

impl Delivery {
    pub(super) fn new(
        hook: &Hook,
        max_waiting: usize,
        keeps_dead: bool,
        tell: Box<Tell>,
    ) -> Result<Self, HookError> {
        let sender = match &hook.target {
            Target::Http(endpoint) => Sender::Http(http::Sender::new(endpoint)?.into()),
            Target::Command(program) => Sender::Command(program.clone()),
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|_| HookError::NoRandomness)?;
        let seed = u64::from_ne_bytes(seed);
        let (give_up, timeout) = (hook.give_up, hook.timeout);
        let settings = Settings { give_up, timeout, max_waiting, keeps_dead, seed };
        Ok(Self {
            lanes: Mutex::new(Lanes::new(settings)),
            sender,
            timeout: hook.timeout,
            seed,
            clock: Clock::new(),
            wake: Notify::new(),
            room: Notify::new(),
            tell,
        })
    }

    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, item: Item) {
        self.lanes().push(item);
        self.wake.notify_one();
    }

    pub(super) fn status(&self) -> HookStatus {
        let now = self.now();
        self.lanes().status(now)
    }

    pub(super) fn tell(&self, event: HookEvent) {
        (self.tell)(event);
    }

    /// Wakes [`run`](Self::run), after something was changed that it looks at.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until fewer than this many changes are here.
    pub(super) async fn wait_for_room(&self, most: usize) {
        while self.lanes().held() >= most {
            self.room.notified().await;
        }
    }

    /// Waits until no try is under way.
    pub(super) async fn wait_until_idle(&self) {
        while self.lanes().is_under_way() {
            self.room.notified().await;
        }
    }

    /// Tells what there is to tell, also what was to be told later.
    pub(super) fn tell_all(&self) {
        let end = Instant::from_nanos(u64::MAX);
        while let Some(event) = { self.lanes().poll_event(end) } {
            self.tell(event);
        }
    }

    /// Delivers, until this future is dropped. What is under way is cancelled then.
    pub(super) async fn run(self: Arc<Self>) -> Infallible {
        let mut tries = JoinSet::new();
        loop {
            let now = self.now();
            let (deadline, event) = {
                let mut lanes = self.lanes();
                while let Some((lane, batch)) = lanes.begin_try(now) {
                    let this = Arc::clone(&self);
                    tries.spawn(async move { (lane, this.send(&batch).await) });
                }
                let event = lanes.poll_event(now);
                (lanes.poll_timeout(now), event)
            };
            if let Some(event) = event {
                self.tell(event);
            }
            let sleep = async {
                match deadline {
                    Some(at) => time::sleep(self.clock.until(at)).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                Some(done) = tries.join_next() => match done {
                    Ok((lane, Ok(()))) => {
                        self.lanes().handle_taken(lane);
                        self.room.notify_one();
                    }
                    Ok((lane, Err(failure))) => {
                        let now = self.now();
                        self.lanes().handle_failed(lane, now, failure);
                        self.room.notify_one();
                    }
                    Err(error) => if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                },
                () = sleep => {}
            }
        }
    }

    async fn send(&self, batch: &Batch) -> Result<(), Failure> {
        let send = async {
            match &self.sender {
                Sender::Http(sender) => sender.send(batch).await,
                Sender::Command(program) => program.send(batch).await,
            }
        };
        let sent = time::timeout(self.timeout, send).await;
        let late = || Failure::new(format!("no answer within {}", Typed(self.timeout)));
        sent.unwrap_or_else(|_| Err(late()))
    }
}

impl core::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Delivery").field("sender", &self.sender).finish_non_exhaustive()
    }
}
