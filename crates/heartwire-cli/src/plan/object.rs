//! The plan as JSON. `docs/events.md` describes the fields.

use heartwire::Side;
use heartwire::plan::{End, Outcome, Setup};
use serde_json::{Value, json};

use super::{Report, table};
use crate::output::millis;

pub(super) fn render(report: &Report) -> Value {
    let setup = &report.setup;
    let [client, server] = [Side::Client, Side::Server].map(|side| setup.end(side));
    let traffic = setup.traffic();
    let faults = setup.plan().rows().map(|row| {
        json!({
            "fault": row.fault.name(),
            "client": outcome(row.client),
            "server": outcome(row.server),
        })
    });
    json!({
        "protocol": table::protocol(setup),
        "client": end(&client, Side::Client, setup),
        "server": end(&server, Side::Server, setup),
        "rtt_ms": millis(setup.rtt()),
        "timer_slack_ms": millis(client.timer_slack.max(server.timer_slack)),
        "nat_timeout_ms": setup.nat_timeout().map(millis),
        "faults": faults.collect::<Vec<_>>(),
        "latest_ms": setup.plan().latest().map(millis),
        "warnings": warnings(setup),
        "traffic": { "to_server": traffic.to_server, "to_client": traffic.to_client },
        "within_ms": report.proposed_for.map(|target| millis(target.within)),
    })
}

fn end(end: &End, side: Side, setup: &Setup) -> Value {
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
        "flags": table::flags(end, side, setup),
    })
}

fn outcome(outcome: Outcome) -> Value {
    let (kind, why) = match outcome {
        Outcome::Found(_) => ("found", None),
        Outcome::Never(advice) => ("never", Some(advice.to_string())),
        Outcome::NotLost(why) => ("not_lost", Some(table::why_not_lost(why))),
    };
    let finding = outcome.finding();
    let or_by = finding.map(|finding| finding.or_by.iter().map(|by| by.name()).collect::<Vec<_>>());
    json!({
        "outcome": kind,
        "earliest_ms": finding.map(|finding| millis(finding.bound.earliest)),
        "latest_ms": finding.map(|finding| millis(finding.bound.latest)),
        "by": finding.map(|finding| finding.by.name()),
        "or_by": or_by,
        "why": why,
    })
}

fn warnings(setup: &Setup) -> Vec<Value> {
    let warning = |warning: heartwire::plan::Warning| json!({ "warning": warning.name(), "detail": warning.to_string() });
    setup.warnings().map(warning).collect()
}
