//! What is reported.

use core::time::Duration;

use heartwire_plan::price::Serving;
use heartwire_plan::{Plan, Traffic};

use super::args::PlanArgs;
use super::fleet::Planned;
use crate::price::Million;

/// A plan, and what it was proposed for, if it was.
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) serving: Serving,
    pub(super) proposed: Option<Proposed>,
    pub(super) fleet: Option<Planned>,
}

pub(super) struct Proposed {
    pub(super) within: Duration,
    /// What the cheapest settings on protocol v0 would cost, if these are not on it.
    pub(super) on_v0: Option<Traffic>,
}

impl Report {
    pub(super) fn new(args: &PlanArgs, plan: Plan, proposed: Option<Proposed>) -> Self {
        let serving = args.serving();
        Self { plan, serving, proposed, fleet: args.fleet.fleet(&plan, serving) }
    }

    /// What a million of its sessions cost the server.
    pub(super) fn million(&self) -> Million {
        Million::of(&self.plan.price(self.serving))
    }
}
