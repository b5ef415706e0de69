//! The library's own reader of presence, which follows it all the while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use heartwire_presence::{Directory, Entry, Kind, Reading};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::check::{Breach, Present};
use super::proxy::Proxy;

/// A reader. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    shared: Arc<Mutex<State>>,
    _ends: oneshot::Sender<()>,
}

/// What it was told.
#[derive(Debug, Default)]
struct State {
    /// The node of each name that is online.
    online: BTreeMap<String, String>,
    snapshots: u32,
}

impl Watcher {
    /// Follows presence over this path.
    pub(super) fn start(path: &Proxy) -> anyhow::Result<Self> {
        let url = format!("redis://{}/", path.address);
        let shared = Arc::<Mutex<State>>::default();
        let (ends, ended) = oneshot::channel::<()>();
        let state = Arc::clone(&shared);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("reader".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = follow(&url, &state) => {}
                }
            });
        })?;
        Ok(Self { shared, _ends: ends })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    /// How often all was told anew.
    pub(super) fn snapshots(&self) -> u32 {
        self.state().snapshots
    }

    /// What it knows against what Redis has.
    pub(super) fn differences(&self, present: &BTreeMap<String, Present>) -> Vec<Breach> {
        differences(&self.state().online, present)
    }
}

fn differences(
    online: &BTreeMap<String, String>,
    present: &BTreeMap<String, Present>,
) -> Vec<Breach> {
    let names = online.keys().chain(present.keys().filter(|name| !online.contains_key(*name)));
    let both = names.map(|name| (name, online.get(name), present.get(name).map(|it| &it.node)));
    let differ = both.filter(|(_, read, there)| read != there);
    differ
        .map(|(name, read, there)| Breach {
            promise: "readers-follow",
            seen: format!("{name}: a reader has {read:?}, Redis {there:?}"),
        })
        .collect()
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(url: &str, state: &Mutex<State>) {
    let Ok(directory) = Directory::connect(url).await.context("no Redis for the reader") else {
        return;
    };
    let mut reader = directory.reader();
    let place = |entry: Entry| (entry.name.into_string(), entry.node.name().to_owned());
    loop {
        let reading = reader.next().await;
        let mut state = lock(state);
        if let Reading::Snapshot { entries, .. } = reading {
            state.snapshots += 1;
            state.online = entries.into_iter().map(place).collect();
        } else if let Reading::Change(change) = reading {
            let (name, node) = place(change.entry);
            if change.kind == Kind::Offline {
                state.online.remove(&name);
            } else {
                state.online.insert(name, node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_that_missed_a_change_is_found() {
        let online = |names: &[(&str, &str)]| {
            names.iter().map(|&(name, node)| (name.to_owned(), node.to_owned())).collect()
        };
        let there = Present { node: "a".to_owned(), session: "0-1-1".to_owned() };
        let present = BTreeMap::from([("x".to_owned(), there)]);
        assert_eq!(differences(&online(&[("x", "a")]), &present), []);
        for wrong in [&[][..], &[("x", "b")], &[("x", "a"), ("y", "a")]] {
            assert_eq!(differences(&online(wrong), &present).len(), 1, "{wrong:?}");
        }
    }
}
