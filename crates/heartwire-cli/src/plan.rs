//! `heartwire plan`: predicts when each end detects each fault, from the settings of both.

mod args;
mod object;
mod table;

use heartwire::plan::{Proposal, ProposeError, Setup, SetupError, Target, propose};

pub(crate) use args::{EXAMPLES, FIRST_EXAMPLES, PlanArgs};

use crate::exit::{Exit, Impossible, Usage};
use crate::output::print_text;
use crate::values::Format;

/// The result: a setup, and its target if it was proposed.
struct Report {
    setup: Setup,
    proposed_for: Option<Target>,
}

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    let report = report(args)?;
    match args.format.format() {
        Format::Text => print_text(table::render(&report))?,
        Format::Json => print_text(object::render(&report))?,
    }
    Ok(if args.check && !is_safe(&report.setup) { Exit::Unsafe } else { Exit::Success })
}

fn report(args: &PlanArgs) -> anyhow::Result<Report> {
    let Some(within) = args.within else {
        let [client, server] = args.ends()?.map(|end| end.timer_slack(args.timer_slack));
        let setup = Setup::builder(client, server).rtt(args.rtt).nat_timeout(args.nat_timeout);
        let setup = if args.is_v1()? { setup.v1() } else { setup };
        let setup = setup.build().map_err(|error: SetupError| Usage(error.to_string()))?;
        return Ok(Report { setup, proposed_for: None });
    };
    let target = Target {
        within,
        rtt: args.rtt,
        timer_slack: args.timer_slack,
        nat_timeout: args.nat_timeout,
        v1: args.is_v1()?,
    };
    match propose(&target) {
        Ok(Proposal { setup, .. }) => Ok(Report { setup, proposed_for: Some(target) }),
        Err(error @ (ProposeError::TooShort { .. } | ProposeError::NatTooShort { .. })) => {
            Err(Impossible(error.to_string()).into())
        }
        Err(error) => Err(Usage(error.to_string()).into()),
    }
}

/// Whether every fault is detected, and no healthy connection is ended.
fn is_safe(setup: &Setup) -> bool {
    setup.plan().latest().is_some() && setup.warnings().next().is_none()
}

#[cfg(test)]
mod tests;
