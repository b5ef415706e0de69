//! `heartwire plan`: predicts when each end detects each fault, from the settings of both.

mod args;
mod fleet;
mod object;
mod report;
mod table;

use heartwire_plan::{Plan, PlanError, Setup, Target};

pub(crate) use args::{EXAMPLES, FIRST_EXAMPLES, PlanArgs};

use crate::exit::{Exit, Impossible, Usage};
use crate::output::{print_text, to_json};
use crate::values::Format;
use object::Object;
use report::{Proposed, Report};

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    let report = report(args)?;
    match args.format.format() {
        Format::Text => print_text(table::render(&report))?,
        Format::Json => print_text(to_json(&Object::new(&report)))?,
    }
    Ok(if args.check && !is_safe(&report.plan) { Exit::Unsafe } else { Exit::Success })
}

fn report(args: &PlanArgs) -> anyhow::Result<Report> {
    let Some(within) = args.within else {
        let [client, server] = args.ends()?.map(|end| end.timer_slack(args.timer_slack));
        let setup = Setup::new(client, server).rtt(args.rtt).nat_timeout(args.nat_timeout);
        let setup = setup.resume(args.resume()?);
        let setup = if args.is_v1()? { setup } else { setup.v0() };
        let plan = setup.plan().map_err(|error| Usage(error.to_string()))?;
        return Ok(Report::new(args, plan, None));
    };
    let target = Target::new(within)
        .rtt(args.rtt)
        .timer_slack(args.timer_slack)
        .nat_timeout(args.nat_timeout)
        .resume(args.resume()?);
    let target = if args.is_v1()? { target } else { target.v0() };
    match target.propose() {
        Ok(plan) => {
            let on_v0 = target.v0().propose().ok().filter(|_| plan.is_v1());
            let on_v0 = on_v0.map(|plan| plan.traffic());
            let proposed = Some(Proposed { within, on_v0 });
            Ok(Report::new(args, plan, proposed))
        }
        Err(error @ (PlanError::TargetTooShort { .. } | PlanError::NatTooShort { .. })) => {
            Err(Impossible(error.to_string()).into())
        }
        Err(error) => Err(Usage(error.to_string()).into()),
    }
}

/// Whether every fault is detected, and no healthy connection or session is ended.
fn is_safe(plan: &Plan) -> bool {
    plan.latest().is_some() && plan.warnings().next().is_none()
}

#[cfg(test)]
mod tests;
