//! What a server tells its node.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

use heartwire::server::Event;

use crate::outgoing::News;
use crate::shared::Shared;

/// Hands the events of a server to its node. Clones are one observer.
#[derive(Clone, Debug)]
pub struct Observer(Arc<Shared>);

impl Observer {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Observes an event of this shard, on its thread or behind a channel, in order. Only sessions
    /// with a name count, and of those only their beginning and their end: a session that is away
    /// is online. It takes microseconds as a rule, and waits for neither Redis nor a hook. Where
    /// many names are told at once, as in an incident, it can take milliseconds.
    pub fn observe<D>(&self, shard: usize, event: &Event<D>) {
        let Some(news) = News::of(event) else { return };
        if matches!(&news, News::Online(session) if session.epoch == 0) {
            return warn_of_many_per_name();
        }
        self.0.change(|gate, now| gate.handle(now, shard, news));
    }
}

/// Their epochs are 0.
fn warn_of_many_per_name() {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    if !IS_SAID.swap(true, Relaxed) {
        tracing::warn!(
            "this server has many sessions for each name: they are left out of presence and hooks"
        );
    }
}
