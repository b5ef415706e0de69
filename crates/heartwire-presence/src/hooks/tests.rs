//! Hooks over real sockets, and with real processes.

#[cfg(unix)]
mod command;
mod http;
mod receiver;
#[cfg(unix)]
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use heartwire_testkit::PATIENCE;
use serde_json::Value;

use super::*;
use crate::NodeId;
use crate::session::{Passed, Session};

/// Hooks in memory, and what they told.
struct Rig {
    hooks: MemoryHooks,
    events: Arc<Mutex<Vec<HookEvent>>>,
    told: u64,
}

impl Rig {
    fn new(hook: &Hook) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&events);
        let node = NodeId::new(&"eu-1".parse().unwrap(), 1);
        let tell = move |event| keep.lock().unwrap().push(event);
        Self { hooks: MemoryHooks::start(hook, node, tell).unwrap(), events, told: 0 }
    }

    /// Tells that this name is online, with an epoch that counts up.
    fn tell(&mut self, name: &str) {
        self.told += 1;
        self.hooks.tell(&Passed::Online(session(name, self.told)));
    }

    fn events(&self) -> Vec<HookEvent> {
        self.events.lock().unwrap().clone()
    }

    async fn wait_for_event(&self, is_it: impl Fn(&HookEvent) -> bool) -> HookEvent {
        wait_until("an event", || self.events().into_iter().find(&is_it)).await
    }

    /// Waits until everything was delivered or given up.
    async fn wait_until_empty(&self) -> HookStatus {
        wait_until("nothing waits", || Some(self.hooks.status()).filter(|s| s.queued == 0)).await
    }
}

fn session(name: &str, epoch: u64) -> Session {
    Session {
        name: name.into(),
        epoch,
        id: "0-17-3".parse().unwrap(),
        peer: "192.0.2.7:4000".parse().unwrap(),
        instance: None,
    }
}

/// Waits until it is there, as long as a test is patient.
async fn wait_until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("not there: {what}"))
}

/// What a receiver has that drops, for each name, what is not newer than what it has: as
/// `docs/hooks.md` tells it to. The epochs of each name, in order.
fn taken(changes: &[Value]) -> HashMap<String, Vec<u64>> {
    let mut taken: HashMap<String, (u64, Vec<u64>)> = HashMap::new();
    for change in changes {
        let name = change["name"].as_str().unwrap().to_owned();
        let number = change["number"].as_u64().unwrap();
        let (last, epochs) = taken.entry(name).or_default();
        if number > *last {
            *last = number;
            epochs.push(change["epoch"].as_u64().unwrap());
        }
    }
    taken.into_iter().map(|(name, (_, epochs))| (name, epochs)).collect()
}
