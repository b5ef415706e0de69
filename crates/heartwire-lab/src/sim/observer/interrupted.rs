//! An end whose process is held up in its turn.

use super::Observer;
use crate::sim::host::Interruption;
use crate::sim::net::Net;

impl Observer {
    /// Within a turn, the state before its process was held up counts.
    pub(super) fn forget_before(&mut self, net: &Net) {
        if net.interruption(self.link, self.side).is_none() {
            self.before = None;
        }
    }

    /// Its process is held up in its turn.
    pub(in crate::sim) fn begin_interruption(&mut self, net: &mut Net) {
        if self.lost.is_some() {
            return;
        }
        self.look(net);
        self.known_at = net.record(self.link, self.side).last_at;
        self.before = Some(Box::new((self.oracle.clone(), self.loss(net))));
    }

    /// And goes on with it. What it did before, it may take for done now: it may have been about to
    /// look when that was.
    pub(in crate::sim) fn end_interruption(&mut self, net: &Net, it: Interruption) {
        if self.lost.is_some() {
            return;
        }
        self.ledger.handle_interruption(it);
        let record = net.record(self.link, self.side);
        let has_read = record.turn.is_some_and(|turn| turn >= it.from);
        if has_read {
            self.unheard.handle_interruption(it);
        }
        self.oracle.handle_interruption(it, has_read);
    }
}
