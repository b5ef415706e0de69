//! The count of events that were dropped.

use core::fmt;
use core::ops::AddAssign;

use serde::Serialize;

use crate::output::grouped;

/// Dropped events that were not reported yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct LeftOut {
    pub(super) data: u64,
    pub(super) sessions: u64,
    pub(super) outdated: u64,
    pub(super) rejected: u64,
}

impl AddAssign for LeftOut {
    fn add_assign(&mut self, more: Self) {
        self.data += more.data;
        self.sessions += more.sessions;
        self.outdated += more.outdated;
        self.rejected += more.rejected;
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, sessions, outdated, rejected } = *self;
        let counts = [
            (data, "data events"),
            (sessions, "sessions that ended unprinted"),
            (outdated, "events replaced by newer ones"),
            (rejected, "rejected clients"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let text: Vec<_> =
            counts.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        write!(f, "{}: they came faster than they were read", text.join(", "))
    }
}
