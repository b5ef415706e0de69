//! What is reported.

use core::time::Duration;

use heartwire_plan::price::Serving;
use heartwire_plan::{Plan, Traffic};

use crate::price::Million;

/// A plan, and what it was proposed for, if it was.
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) serving: Serving,
    pub(super) proposed: Option<Proposed>,
}

pub(super) struct Proposed {
    pub(super) within: Duration,
    /// What the cheapest settings on protocol v0 would cost, if these are not on it.
    pub(super) on_v0: Option<Traffic>,
}

impl Report {
    /// What a million of its sessions cost the server.
    pub(super) fn million(&self) -> Million {
        Million::of(&self.plan.price(self.serving))
    }
}
