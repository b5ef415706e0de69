//! What is reported.

use core::time::Duration;

use heartwire_plan::{Plan, Traffic};

/// A plan, and what it was proposed for, if it was.
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) proposed: Option<Proposed>,
}

pub(super) struct Proposed {
    pub(super) within: Duration,
    /// What the cheapest settings on protocol v0 would cost, if these are not on it.
    pub(super) on_v0: Option<Traffic>,
}
