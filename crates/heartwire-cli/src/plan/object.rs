//! The plan as JSON. `docs/events.md` describes the fields.

use heartwire::{Bound, Side};
use heartwire_plan::{self as plan, End, Outcome, Plan};
use serde::Serialize;

use super::report::Report;
use super::{fleet, table};
use crate::output::Millis;
use crate::price::Million;

#[derive(Serialize)]
pub(super) struct Object {
    protocol: &'static str,
    client: Settings,
    server: Settings,
    rtt_ms: Millis,
    timer_slack_ms: Millis,
    nat_timeout_ms: Option<Millis>,
    within_ms: Option<Millis>,
    faults: Vec<Fault>,
    latest_ms: Option<Millis>,
    grace_ms: Option<Millis>,
    losses: Vec<Loss>,
    all_back_ms: Option<Millis>,
    warnings: Vec<Warning>,
    traffic: Traffic,
    tls: bool,
    coalesce: Option<u16>,
    million: Million,
    fleet: Option<fleet::Shown>,
}

/// The settings of an end.
#[derive(Serialize)]
struct Settings {
    interval_ms: Option<Millis>,
    timeout_ms: Option<Millis>,
    echo: bool,
    keepalive: Option<Keepalive>,
    user_timeout_ms: Option<Millis>,
    flags: String,
}

#[derive(Serialize)]
struct Keepalive {
    idle_ms: Millis,
    interval_ms: Millis,
    count: u32,
}

#[derive(Serialize)]
struct Fault {
    fault: &'static str,
    client: Found,
    server: Found,
}

/// What becomes of a fault on one end.
#[derive(Serialize)]
struct Found {
    outcome: &'static str,
    earliest_ms: Option<Millis>,
    latest_ms: Option<Millis>,
    by: Option<&'static str>,
    or_by: Option<Vec<&'static str>>,
    why: Option<String>,
}

/// What becomes of a session whose connection is lost.
#[derive(Serialize)]
struct Loss {
    loss: &'static str,
    client: Away,
    server: Away,
    back_ms: Option<Millis>,
}

/// When an end knows that the session is away, and when it gives it up.
#[derive(Serialize)]
struct Away {
    away_ms: Option<[Millis; 2]>,
    given_up_ms: Option<[Millis; 2]>,
}

#[derive(Serialize)]
struct Warning {
    warning: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct Traffic {
    to_server: u64,
    to_client: u64,
}

impl Object {
    pub(super) fn new(report: &Report) -> Self {
        let plan = &report.plan;
        let [client, server] = [Side::Client, Side::Server].map(|side| plan.end(side));
        let plan::Traffic { to_server, to_client, .. } = plan.traffic();
        Self {
            protocol: table::protocol(plan),
            client: Settings::new(&client, Side::Client, plan),
            server: Settings::new(&server, Side::Server, plan),
            rtt_ms: Millis(plan.rtt()),
            timer_slack_ms: Millis(client.timer_slack.max(server.timer_slack)),
            nat_timeout_ms: plan.nat_timeout().map(Millis),
            within_ms: report.proposed.as_ref().map(|proposed| Millis(proposed.within)),
            faults: plan::Fault::ALL.map(|fault| Fault::new(plan, fault)).into(),
            latest_ms: plan.latest().map(Millis),
            grace_ms: plan.resume().map(|resume| Millis(resume.grace)),
            losses: match plan.resume() {
                Some(_) => plan::Loss::ALL.map(|loss| Loss::new(plan, loss)).into(),
                None => Vec::new(),
            },
            all_back_ms: plan.all_back().map(Millis),
            warnings: plan.warnings().map(Warning::from).collect(),
            traffic: Traffic { to_server, to_client },
            tls: report.serving.tls,
            coalesce: report.serving.coalesce,
            million: report.million(),
            fleet: report.fleet.as_ref().map(fleet::Planned::shown),
        }
    }
}

impl Settings {
    fn new(end: &End, side: Side, plan: &Plan) -> Self {
        Self {
            interval_ms: end.policy.interval().map(Millis),
            timeout_ms: end.policy.timeout().map(Millis),
            echo: end.policy.echo(),
            keepalive: end.kernel.keepalive().map(|keepalive| Keepalive {
                idle_ms: Millis(keepalive.idle()),
                interval_ms: Millis(keepalive.interval()),
                count: keepalive.count(),
            }),
            user_timeout_ms: end.kernel.user_timeout().map(Millis),
            flags: table::flags(end, side, plan),
        }
    }
}

impl Fault {
    fn new(plan: &Plan, fault: plan::Fault) -> Self {
        let [client, server] =
            [Side::Client, Side::Server].map(|side| plan.outcome(fault, side).into());
        Self { fault: fault.name(), client, server }
    }
}

impl From<Outcome> for Found {
    fn from(outcome: Outcome) -> Self {
        let (kind, why) = match outcome {
            Outcome::Found(_) => ("found", None),
            Outcome::Never(advice) => ("never", Some(advice.to_string())),
            Outcome::KeptOpen { quiet } => ("not_lost", Some(table::kept_open(quiet))),
            Outcome::NothingDue => ("not_lost", Some(table::NOTHING_DUE.to_owned())),
        };
        let finding = outcome.finding();
        Self {
            outcome: kind,
            earliest_ms: finding.map(|finding| Millis(finding.bound.earliest)),
            latest_ms: finding.map(|finding| Millis(finding.bound.latest)),
            by: finding.map(|finding| finding.by.name()),
            or_by: finding.map(|finding| finding.or_by().map(|by| by.name()).collect()),
            why,
        }
    }
}

impl Loss {
    fn new(plan: &Plan, loss: plan::Loss) -> Self {
        let both = |bound: Bound| [Millis(bound.earliest), Millis(bound.latest)];
        let [client, server] = [Side::Client, Side::Server].map(|side| Away {
            away_ms: plan.away(loss, side).map(both),
            given_up_ms: plan.given_up(loss, side).map(both),
        });
        Self { loss: loss.name(), client, server, back_ms: plan.back(loss).map(Millis) }
    }
}

impl From<plan::Warning> for Warning {
    fn from(warning: plan::Warning) -> Self {
        Self { warning: warning.name(), detail: warning.to_string() }
    }
}
