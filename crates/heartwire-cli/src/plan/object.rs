//! The plan as JSON. `docs/events.md` describes the fields.

use heartwire::Side;
use heartwire_plan::{End, Fault, Outcome, Plan};
use serde_json::{Value, json};

use super::{Report, table};
use crate::output::millis;

pub(super) fn render(report: &Report) -> Value {
    let plan = &report.plan;
    let [client, server] = [Side::Client, Side::Server].map(|side| plan.end(side));
    let traffic = plan.traffic();
    let faults = Fault::ALL.map(|fault| {
        json!({
            "fault": fault.name(),
            "client": outcome(plan.outcome(fault, Side::Client)),
            "server": outcome(plan.outcome(fault, Side::Server)),
        })
    });
    json!({
        "protocol": table::protocol(plan),
        "client": end(&client, Side::Client, plan),
        "server": end(&server, Side::Server, plan),
        "rtt_ms": millis(plan.rtt()),
        "timer_slack_ms": millis(client.timer_slack.max(server.timer_slack)),
        "nat_timeout_ms": plan.nat_timeout().map(millis),
        "faults": faults,
        "latest_ms": plan.latest().map(millis),
        "warnings": warnings(plan),
        "traffic": { "to_server": traffic.to_server, "to_client": traffic.to_client },
        "within_ms": report.proposed.as_ref().map(|proposed| millis(proposed.within)),
    })
}

fn end(end: &End, side: Side, plan: &Plan) -> Value {
    let keepalive = end.kernel.keepalive().map(|keepalive| {
        json!({
            "idle_ms": millis(keepalive.idle()),
            "interval_ms": millis(keepalive.interval()),
            "count": keepalive.count(),
        })
    });
    json!({
        "interval_ms": end.policy.interval().map(millis),
        "timeout_ms": end.policy.timeout().map(millis),
        "echo": end.policy.echo(),
        "keepalive": keepalive,
        "user_timeout_ms": end.kernel.user_timeout().map(millis),
        "flags": table::flags(end, side, plan),
    })
}

fn outcome(outcome: Outcome) -> Value {
    let (kind, why) = match outcome {
        Outcome::Found(_) => ("found", None),
        Outcome::Never(advice) => ("never", Some(advice.to_string())),
        Outcome::KeptOpen { quiet } => ("not_lost", Some(table::kept_open(quiet))),
        Outcome::NothingDue => ("not_lost", Some(table::NOTHING_DUE.to_owned())),
    };
    let finding = outcome.finding();
    let or_by = finding.map(|finding| finding.or_by().map(|by| by.name()).collect::<Vec<_>>());
    json!({
        "outcome": kind,
        "earliest_ms": finding.map(|finding| millis(finding.bound.earliest)),
        "latest_ms": finding.map(|finding| millis(finding.bound.latest)),
        "by": finding.map(|finding| finding.by.name()),
        "or_by": or_by,
        "why": why,
    })
}

fn warnings(plan: &Plan) -> Vec<Value> {
    let warnings = plan.warnings();
    warnings
        .map(|warning| json!({ "warning": warning.name(), "detail": warning.to_string() }))
        .collect()
}
