//! Hooks of several servers: one of them at a time, the dispatcher, delivers what the stream of
//! changes in Redis has.
//!
//! It holds a lease, and keeps in Redis up to which place of the stream all was delivered or given
//! up. Another dispatcher goes on from there, so that what was under way is delivered again and
//! nothing is left out.

mod lease;
mod reading;

use core::pin::pin;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};

use super::deliver::Delivery;
use super::item::Place;
use super::{Hook, HookError, HookEvent, HookStatus};
use crate::NodeName;
use crate::store::{Address, StoreError};

use lease::{Clock, Lease};
use reading::{Portion, read};

/// How many changes are here at most: enough for a hundred deliveries, and little to deliver again
/// when another node takes over.
const MAX_HELD: usize = 10_000;

/// How many changes are read from the oldest one on that is neither delivered nor given up: while a
/// delivery is tried again others go on, and another node that takes over delivers all of them
/// again.
pub(super) const MAX_READ: usize = if cfg!(test) { 20_000 } else { 100_000 };

/// How many changes that were given up go to Redis in one call.
const MAX_DEAD: usize = 500;

/// How long Redis has, at the end, to take the lease back: one round trip. Else the lease ends
/// by itself, and a server that stops does not wait for a Redis that does not answer.
const GIVE_BACK: Duration = Duration::from_millis(200);

/// How often things happen.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// How long a dispatcher that has died holds up the hooks.
    lease: Duration,
    /// How often the lease is renewed, or asked for: two renewals may fail.
    renew: Duration,
    /// How often Redis is told what was delivered, at most.
    tell: Duration,
}

impl Timing {
    /// With a usual lease, of 15 s: it is renewed each 5 s, and the place told once a second.
    fn of(lease: Duration) -> Self {
        Self { lease, renew: lease / 3, tell: lease / 15 }
    }
}

/// A node's part in delivering the changes of all.
#[derive(Debug)]
pub(crate) struct StreamHooks {
    delivery: Arc<Delivery>,
    closing: watch::Sender<Option<time::Instant>>,
    task: JoinHandle<()>,
}

impl StreamHooks {
    /// Starts a task of the present runtime.
    pub(super) fn start(
        hook: &Hook,
        address: Address,
        node: &NodeName,
        lease: Duration,
        on_event: impl Fn(HookEvent) + Send + Sync + 'static,
    ) -> Result<Self, HookError> {
        // What waits is bounded by what is read.
        let delivery = Arc::new(Delivery::new(hook, usize::MAX, true, Box::new(on_event))?);
        let (closing, is_closing) = watch::channel(None);
        let dispatcher = Dispatcher {
            address,
            holder: format!("{node}.{:016x}", delivery.seed()).into(),
            delivery: Arc::clone(&delivery),
            closing: is_closing,
            timing: Timing::of(lease),
            at: None,
            read: VecDeque::new(),
        };
        let task = tokio::spawn(dispatcher.run());
        Ok(Self { delivery, closing, task })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    pub(super) fn status(&self) -> HookStatus {
        let status = self.delivery.status();
        // It has only ended if it panicked, as over an event.
        HookStatus { is_active: status.is_active && !self.task.is_finished(), ..status }
    }

    /// Waits for the deliveries under way, and gives the lease back, for this long at most. What
    /// else there is, the next dispatcher delivers.
    pub(super) async fn close(mut self, within: Duration) {
        let now = time::Instant::now();
        self.closing.send_replace(Some(now + within.saturating_sub(GIVE_BACK)));
        let _ = time::timeout_at(now + within, &mut self.task).await;
        self.delivery.tell_all();
    }
}

impl Drop for StreamHooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a dispatcher stopped.
enum Ended {
    /// Another one has the lease.
    Lost,
    /// This node ends.
    Closed,
}

struct Dispatcher {
    address: Address,
    /// Names this run of the program.
    holder: Box<str>,
    delivery: Arc<Delivery>,
    closing: watch::Receiver<Option<time::Instant>>,
    timing: Timing,
    /// Up to here all was delivered, or given up and kept in Redis; `None` until this node has held
    /// the lease.
    at: Option<Place>,
    /// What was read after that.
    read: VecDeque<Place>,
}

impl Dispatcher {
    async fn run(mut self) {
        loop {
            let ended = self.dispatch().await;
            self.delivery.lanes().forget();
            self.read.clear();
            match ended {
                Ok(Ended::Closed) => return,
                Ok(Ended::Lost) => tracing::info!("another node delivers to the hook"),
                // The connection of the node tells that.
                Err(error @ StoreError::Silent(_)) => {
                    tracing::debug!(%error, "hooks wait for Redis");
                }
                Err(error) => tracing::warn!(%error, "hooks are not delivered"),
            }
            if self.is_closed_within(jittered(self.timing.tell)).await {
                return;
            }
        }
    }

    /// Waits for the lease, and delivers while this node holds it.
    async fn dispatch(&mut self) -> Result<Ended, StoreError> {
        let mut lease = Lease::connect(&self.address, &self.holder, self.timing.lease).await?;
        let (at, clock) = loop {
            let asked_at = self.delivery.now();
            if let Some((at, clock)) = lease.take(self.at, asked_at).await? {
                self.deliver_from(asked_at);
                break (at, clock);
            }
            if self.is_closed_within(jittered(self.timing.renew)).await {
                return Ok(Ended::Closed);
            }
        };
        self.at = Some(at);
        self.delivery.lanes().set_active();
        let delivery = Arc::clone(&self.delivery);
        // Whichever ends, the other is dropped, and all tries with it.
        tokio::select! {
            never = delivery.run() => match never {},
            ended = self.hold(lease, at, clock) => ended,
        }
    }

    /// Reads the stream, and keeps the lease.
    async fn hold(
        &mut self,
        mut lease: Lease,
        at: Place,
        mut clock: Clock,
    ) -> Result<Ended, StoreError> {
        let (sender, mut portions) = mpsc::channel(1);
        let address = self.address.clone();
        let mut reading = pin!(read(&address, at, sender));
        let (delivery, mut closing) = (Arc::clone(&self.delivery), self.closing.clone());
        let mut tick = time::interval(self.timing.tell);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut renewed_at, mut told) = (delivery.now(), at);
        loop {
            let has_room = delivery.lanes().held() < MAX_HELD;
            let reads_on = has_room && self.read.len() < MAX_READ;
            tokio::select! {
                () = wait_for_close(&mut closing) => return self.resign(lease).await,
                error = &mut reading => return Err(error),
                Some(portion) = portions.recv(), if reads_on => self.push(portion, clock),
                () = delivery.wait_for_room(MAX_HELD), if !has_room => {}
                _ = tick.tick() => {
                    let now = delivery.now();
                    let dead = delivery.lanes().take_dead(MAX_DEAD);
                    let at = self.advance(told);
                    let is_due = now.saturating_since(renewed_at) >= self.timing.renew;
                    if is_due || at != told || !dead.is_empty() {
                        let Some(new) = lease.keep(at, &dead, now).await? else {
                            return Ok(Ended::Lost);
                        };
                        self.deliver_from(now);
                        self.at = Some(at);
                        (renewed_at, told, clock) = (now, at, new);
                    }
                }
            }
        }
    }

    /// Delivers what was read.
    fn push(&mut self, portion: Portion, clock: Clock) {
        if let Some(after) = portion.trimmed_after {
            let until = portion.entries.first().map_or(after, |entry| entry.place);
            self.delivery.lanes().count_trimmed();
            self.delivery.tell(HookEvent::Trimmed { after: after.0, until: until.0 });
        }
        for entry in portion.entries {
            self.read.push_back(entry.place);
            match entry.item(clock) {
                Ok(item) => self.delivery.push(item),
                Err(item) => self.delivery.lanes().give_up(item, "not a change"),
            }
        }
    }

    /// Up to where all was delivered or given up.
    fn advance(&mut self, told: Place) -> Place {
        let oldest = self.delivery.lanes().oldest();
        let mut at = told;
        while let Some(first) = self.read.front().copied() {
            if oldest.is_some_and(|oldest| oldest <= first) {
                break;
            }
            self.read.pop_front();
            at = first;
        }
        at
    }

    /// Tries begin until the lease that was asked for at this time is over.
    fn deliver_from(&self, asked_at: Instant) {
        self.delivery.lanes().deliver_until(asked_at.saturating_add(self.timing.lease));
        self.delivery.wake();
    }

    /// Lets the tries under way end, and gives the lease back.
    async fn resign(&mut self, mut lease: Lease) -> Result<Ended, StoreError> {
        let now = self.delivery.now();
        self.delivery.lanes().deliver_until(now);
        let end = (*self.closing.borrow()).unwrap_or_else(time::Instant::now);
        let _ = time::timeout_at(end, self.delivery.wait_until_idle()).await;
        let dead = self.delivery.lanes().take_dead(MAX_DEAD);
        let at = self.advance(self.at.unwrap_or_default());
        lease.give_back(at, &dead).await?;
        Ok(Ended::Closed)
    }

    async fn is_closed_within(&mut self, time: Duration) -> bool {
        time::timeout(time, wait_for_close(&mut self.closing)).await.is_ok()
    }
}

async fn wait_for_close(closing: &mut watch::Receiver<Option<time::Instant>>) {
    // An error means that its sender is gone.
    let _ = closing.wait_for(Option::is_some).await;
}

/// From half of a time to one and a half times that: nodes that lost Redis together do not come
/// back together.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.5 + fastrand::f64())
}
