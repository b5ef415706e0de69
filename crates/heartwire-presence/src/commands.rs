//! Commands of other nodes, and of operators, to this one.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use heartwire_core::Backoff;
use tokio::time;

use crate::NodeId;
use crate::link::backoff;
use crate::shared::Shared;
use crate::store::{Address, Command, Commands, StoreError, StreamId};

/// Follows the commands while the node has a lease, until this future is dropped.
pub(crate) async fn run(shared: Arc<Shared>, address: Address) {
    let mut joined = shared.joined.subscribe();
    let mut waits = backoff();
    let (mut last, mut after) = (None, StreamId::default());
    loop {
        let node = joined.borrow_and_update().clone();
        let Some(node) = node else {
            if joined.changed().await.is_err() {
                return;
            }
            continue;
        };
        // Commands can be done again.
        let is_other = shared.is_other_redis.swap(false, Relaxed);
        if is_other || last.as_ref() != Some(&node) {
            (last, after) = (Some(node.clone()), StreamId::default());
        }
        tokio::select! {
            error = follow(&shared, &address, &node, &mut after, &mut waits) => {
                if let StoreError::Refused(_) | StoreError::Garbage(_) = error {
                    tracing::warn!(%error, "cannot read the commands of other nodes");
                } else {
                    tracing::debug!(%error, "cannot read the commands of other nodes");
                }
                time::sleep(waits.next_wait()).await;
            }
            _ = joined.changed() => {}
        }
    }
}

/// Does the commands after this one, until an error.
async fn follow(
    shared: &Shared,
    address: &Address,
    node: &NodeId,
    after: &mut StreamId,
    waits: &mut Backoff,
) -> StoreError {
    let mut commands = match Commands::connect(address, node, *after).await {
        Ok(commands) => commands,
        Err(error) => return error,
    };
    loop {
        match commands.next().await {
            Ok(list) => list.iter().for_each(|command| handle(shared, command)),
            Err(error) => return error,
        }
        *after = commands.after();
        *waits = backoff();
    }
}

fn handle(shared: &Shared, command: &Command) {
    if let Command::TakenOver { name, epoch, .. } = command {
        shared.change(|gate, now| gate.outgoing.moved(now, name, *epoch));
    }
    shared.node(|node, now| node.command(now, command));
    shared.node_changed.notify_one();
}
