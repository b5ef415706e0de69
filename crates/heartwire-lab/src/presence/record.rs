//! What the nodes say of their own sessions: the truth that presence is held against.

use std::collections::{BTreeMap, HashMap};

/// Microseconds since 1970. All processes run on one machine, so there is one clock.
pub(super) type Micros = u64;

/// A session of a name on a node, from its `online` to its `offline` or the end of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) name: String,
    pub(super) node: usize,
    pub(super) session: String,
    pub(super) from: Micros,
    /// `None`: it is still online.
    pub(super) to: Option<Micros>,
}

/// A time in which something was broken, and so nothing is promised about what it touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The node; `None`: Redis, and so all of them.
    pub(super) node: Option<usize>,
    pub(super) from: Micros,
    pub(super) to: Micros,
}

/// All sessions of a run.
#[derive(Debug, Default)]
pub(super) struct Recording {
    stays: Vec<Stay>,
    /// Those that are online: of each node, by their session ids.
    open: HashMap<(usize, String), usize>,
    troubles: Vec<Trouble>,
    changed_at: Micros,
}

impl Recording {
    pub(super) fn online(&mut self, at: Micros, node: usize, name: &str, session: &str) {
        self.changed_at = self.changed_at.max(at);
        self.open.insert((node, session.to_owned()), self.stays.len());
        let (name, session) = (name.to_owned(), session.to_owned());
        self.stays.push(Stay { name, node, session, from: at, to: None });
    }

    pub(super) fn offline(&mut self, at: Micros, node: usize, session: &str) {
        let Some(index) = self.open.remove(&(node, session.to_owned())) else { return };
        self.end(at, index);
    }

    /// The node's process has ended, and its sessions with it.
    pub(super) fn died(&mut self, at: Micros, node: usize) {
        let ended: Vec<usize> =
            self.open.extract_if(|(of, _), _| *of == node).map(|(_, index)| index).collect();
        for index in ended {
            self.end(at, index);
        }
    }

    fn end(&mut self, at: Micros, index: usize) {
        self.changed_at = self.changed_at.max(at);
        if let Some(stay) = self.stays.get_mut(index) {
            // A node that was killed may have been ahead of the line that tells of it.
            stay.to = Some(at.max(stay.from));
        }
    }

    pub(super) fn trouble(&mut self, node: Option<usize>, from: Micros, to: Micros) {
        self.troubles.push(Trouble { node, from, to });
    }

    pub(super) fn stays(&self) -> &[Stay] {
        &self.stays
    }

    pub(super) fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// When a session last began or ended.
    pub(super) fn changed_at(&self) -> Micros {
        self.changed_at
    }

    /// How many sessions are online.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Where each name is online.
    pub(super) fn now(&self) -> BTreeMap<&str, Vec<&Stay>> {
        let mut now: BTreeMap<&str, Vec<&Stay>> = BTreeMap::new();
        for stay in self.open.values().filter_map(|&index| self.stays.get(index)) {
            now.entry(&stay.name).or_default().push(stay);
        }
        now
    }
}
