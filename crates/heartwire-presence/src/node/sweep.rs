//! The search for dead nodes.
//!
//! After the store was gone, or its clock was stepped, every lease is over until its node has
//! renewed it. So a node is taken for dead only if its lease is over at looks with time for two
//! renewals in between; and only by a node whose own contact was unbroken for a whole lease.

use core::time::Duration;
use std::collections::HashMap;

use heartwire_core::Instant;

use crate::NodeId;
/// Nodes whose lease is over.
#[derive(Debug)]
pub(super) struct Sweep {
    lease: Duration,
    /// Since when the store has answered every call.
    contact_since: Option<Instant>,
    suspects: HashMap<NodeId, Suspect>,
}

#[derive(Debug)]
struct Suspect {
    seen_at: Instant,
    /// When a portion of it may be asked for, if it is taken for dead.
    reap_at: Option<Instant>,
}

impl Sweep {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, contact_since: None, suspects: HashMap::new() }
    }

    /// The store answered.
    pub(super) fn heard(&mut self, now: Instant) {
        self.contact_since.get_or_insert(now);
    }

    /// The store did not answer, or this process was stopped: what was seen before counts no more.
    pub(super) fn contact_lost(&mut self) {
        self.contact_since = None;
        self.suspects.clear();
    }

    /// The leases of these nodes are over. Returns those that are taken for dead from now on.
    pub(super) fn looked(&mut self, now: Instant, me: &NodeId, over: Vec<NodeId>) -> Vec<NodeId> {
        self.suspects.retain(|node, _| over.contains(node));
        let contact = self.contact_since.map(|since| now.saturating_since(since));
        let has_contact = contact.is_some_and(|contact| contact >= self.lease);
        // Two of its renewals.
        let patience = self.lease / 3 * 2;
        let mut dead = Vec::new();
        for node in over.into_iter().filter(|node| node != me) {
            let new = Suspect { seen_at: now, reap_at: None };
            let suspect = self.suspects.entry(node.clone()).or_insert(new);
            let is_seen = now.saturating_since(suspect.seen_at) >= patience;
            if suspect.reap_at.is_none() && is_seen && has_contact {
                suspect.reap_at = Some(now);
                dead.push(node);
            }
        }
        dead
    }

    /// The next portion of a dead node, with the time at which it may be asked for.
    pub(super) fn next(&self) -> Option<(Instant, &NodeId)> {
        let due = self.suspects.iter().filter_map(|(node, it)| Some((it.reap_at?, node)));
        due.min_by_key(|(at, _)| *at)
    }

    /// The next portion of this node may be asked for at `at`.
    pub(super) fn reap_at(&mut self, node: &NodeId, at: Instant) {
        if let Some(suspect) = self.suspects.get_mut(node) {
            suspect.reap_at = Some(at);
        }
    }

    /// A node is forgotten, or alive.
    pub(super) fn clear(&mut self, node: &NodeId) {
        self.suspects.remove(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LEASE;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn sweep() -> Sweep {
        let mut sweep = Sweep::new(LEASE);
        sweep.heard(at(0));
        sweep
    }

    #[test]
    fn node_is_dead_when_its_lease_was_over_for_as_long_as_two_renewals() {
        let (mut sweep, me, other) = (sweep(), id("me.1"), id("other.1"));
        let over = || vec![id("me.1"), id("other.1")];
        for (second, dead) in [(20, vec![]), (25, vec![]), (30, vec![other.clone()]), (35, vec![])]
        {
            assert_eq!(sweep.looked(at(second), &me, over()), dead, "second {second}");
        }
        assert_eq!(sweep.next(), Some((at(30), &other)));
        sweep.reap_at(&other, at(31));
        assert_eq!(sweep.next(), Some((at(31), &other)));
        sweep.clear(&other);
        assert_eq!(sweep.next(), None);
    }

    #[test]
    fn node_that_renewed_its_lease_in_between_is_seen_anew() {
        let (mut sweep, me) = (sweep(), id("me.1"));
        assert_eq!(sweep.looked(at(20), &me, vec![id("other.1")]), []);
        assert_eq!(sweep.looked(at(25), &me, vec![]), []);
        assert_eq!(sweep.looked(at(30), &me, vec![id("other.1")]), []);
        assert_eq!(sweep.looked(at(35), &me, vec![id("other.1")]), []);
    }

    #[test]
    fn node_whose_own_contact_was_broken_takes_none_for_dead_before_a_whole_lease() {
        let (mut sweep, me) = (sweep(), id("me.1"));
        sweep.contact_lost();
        sweep.heard(at(100));
        for (second, count) in [(101, 0), (106, 0), (112, 0), (116, 1)] {
            assert_eq!(sweep.looked(at(second), &me, vec![id("other.1")]).len(), count);
        }
    }

    fn id(text: &str) -> NodeId {
        NodeId::from_stored(text)
    }
}
