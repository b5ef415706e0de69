//! Hooks of one server without Redis: changes wait in memory.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::task::JoinHandle;
use tokio::time;

use super::deliver::Delivery;
use super::item::{Item, Place};
use super::{Hook, HookError, HookEvent, HookStatus};
use crate::session::{Passed, Session};
use crate::{Change, Entry, Kind, NodeId};

/// How many changes wait at most: the sessions of a large server once, in some 20 MB.
const MAX_WAITING: usize = 65_536;

/// Delivers the changes of one server. They are in memory only, so a crash loses those that were
/// not delivered.
#[derive(Debug)]
pub(crate) struct MemoryHooks {
    node: NodeId,
    /// The last number.
    number: Mutex<u64>,
    delivery: Arc<Delivery>,
    task: JoinHandle<()>,
}

impl MemoryHooks {
    /// Starts a task of the present runtime.
    pub(super) fn start(
        hook: &Hook,
        node: NodeId,
        on_event: impl Fn(HookEvent) + Send + Sync + 'static,
    ) -> Result<Self, HookError> {
        let delivery = Arc::new(Delivery::new(hook, MAX_WAITING, false, Box::new(on_event))?);
        delivery.lanes().set_active();
        let run = Arc::clone(&delivery).run();
        let task = tokio::spawn(async { match run.await {} });
        Ok(Self { node, number: Mutex::new(0), delivery, task })
    }

    /// Delivers a change.
    pub(super) fn tell(&self, passed: &Passed) {
        let (kind, session, reason, incident) = match passed {
            Passed::Online(session) => (Kind::Online, session, None, None),
            Passed::Replaced(_) => return,
            Passed::Offline { session, reason, incident } => {
                (Kind::Offline, session, Some((*reason).into()), incident.clone())
            }
        };
        self.push(|number| {
            let entry = self.entry(session);
            let change = Change { number, kind, entry, from: None, reason, incident };
            Item::of_change(Place(number, 0), self.delivery.now(), &change)
        });
    }

    /// Delivers something about an incident: its kind, and its fields as a JSON object.
    pub(super) fn tell_incident(&self, kind: &str, detail: &str) {
        self.push(|number| {
            Item::of_entry(Place(number, 0), self.delivery.now(), number, kind, detail)
        });
    }

    /// Pushes what is made of the next number. The order of pushes is that of their numbers.
    fn push(&self, make: impl FnOnce(u64) -> Option<Item>) {
        let mut last = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *last = micros_now().max(last.saturating_add(1));
        if let Some(item) = make(*last) {
            self.delivery.push(item);
        }
    }

    fn entry(&self, session: &Session) -> Entry {
        Entry {
            name: session.name.clone(),
            epoch: session.epoch,
            node: self.node.clone(),
            session: session.id.to_string().into(),
            // Epochs are times.
            since: session.epoch,
            peer: session.peer.to_string().into(),
            instance: session.instance,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    pub(super) fn status(&self) -> HookStatus {
        let status = self.delivery.status();
        // It has only ended if it panicked, as over an event.
        HookStatus { is_active: status.is_active && !self.task.is_finished(), ..status }
    }

    /// Waits until everything was delivered, for this long at most. The rest is given up.
    pub(super) async fn close(mut self, within: Duration) {
        let _ = time::timeout(within, self.delivery.wait_for_room(1)).await;
        self.task.abort();
        let _ = (&mut self.task).await;
        self.delivery.lanes().give_up_all("the server ended");
        self.delivery.tell_all();
    }
}

/// Without [`close`](MemoryHooks::close), as in a panic.
impl Drop for MemoryHooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
