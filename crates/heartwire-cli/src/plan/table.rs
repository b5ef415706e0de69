//! The plan as a table for people.

use core::fmt::{self, Write};
use core::time::Duration;

use heartwire::{Bound, Side};
use heartwire_plan::{End, Fault, Outcome, Plan};

use super::report::{Proposed, Report};
use crate::output::grouped;
use crate::values::typed;

/// The plan, without a line break at its end.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text.truncate(text.trim_end().len());
    text
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let plan = &report.plan;
    if let Some(Proposed { within, .. }) = report.proposed {
        writeln!(out, "the cheapest settings that detect every fault within {}:", typed(within))?;
        let [client, server] =
            [Side::Client, Side::Server].map(|side| flags(&plan.end(side), side, plan));
        writeln!(out, "  heartwire serve {server}")?;
        writeln!(out, "  heartwire connect {client} HOST:PORT\n")?;
    }
    writeln!(out, "client: {}", describe(&plan.end(Side::Client)))?;
    writeln!(out, "server: {}", describe(&plan.end(Side::Server)))?;
    let agreed = if plan.is_v1() { ", as agreed" } else { "" };
    writeln!(out, "protocol: {}{agreed}", protocol(plan))?;
    writeln!(out, "path:     {}\n", describe_rtt(plan))?;
    write_faults(out, plan)?;
    write_never(out, plan)?;
    write_warnings(out, plan)?;
    let traffic = plan.traffic();
    write!(
        out,
        "\nheartbeat traffic per connection and day: {} B to the server, {} B to the client\n  \
         ({} B per heartbeat and 52 B per ACK, including IPv4 and TCP headers)",
        grouped(traffic.to_server),
        grouped(traffic.to_client),
        traffic.beat_len
    )?;
    let Some(Proposed { on_v0: Some(on_v0), .. }) = report.proposed else { return Ok(()) };
    write!(
        out,
        "\n  (with --protocol v0, where the server only answers: {} B and {} B)",
        grouped(on_v0.to_server),
        grouped(on_v0.to_client)
    )
}

/// The settings of an end as options of `serve` and `connect`, on top of the default preset.
pub(super) fn flags(end: &End, side: Side, plan: &Plan) -> String {
    let policy = &end.policy;
    let mut flags = Vec::new();
    if side == Side::Client && !plan.is_v1() {
        flags.push("--protocol v0".to_owned());
    }
    match policy.interval() {
        Some(interval) => flags.push(format!("--interval {}", typed(interval))),
        None => flags.push("--interval off".to_owned()),
    }
    if policy.echo() {
        flags.push("--echo".to_owned());
    }
    if let Some(peer_interval) =
        policy.peer_interval().filter(|&interval| Some(interval) != policy.interval())
    {
        flags.push(format!("--peer-interval {}", typed(peer_interval)));
    }
    match policy.timeout() {
        Some(timeout) => flags.push(format!("--timeout {}", typed(timeout))),
        None => flags.push("--timeout off".to_owned()),
    }
    if let Some(keepalive) = end.kernel.keepalive() {
        let (idle, interval) = (keepalive.idle(), keepalive.interval());
        flags.push(format!(
            "--keepalive {},{},{}",
            typed(idle),
            typed(interval),
            keepalive.count()
        ));
    }
    if let Some(user_timeout) = end.kernel.user_timeout() {
        flags.push(format!("--user-timeout {}", typed(user_timeout)));
    }
    flags.join(" ")
}

pub(super) fn protocol(plan: &Plan) -> &'static str {
    if plan.is_v1() { "v1" } else { "v0" }
}

fn describe(end: &End) -> String {
    let policy = &end.policy;
    let interval = match (policy.interval(), policy.echo()) {
        (Some(interval), _) => format!("interval {}", typed(interval)),
        (None, true) => "answers heartbeats".to_owned(),
        (None, false) => "interval off".to_owned(),
    };
    let timeout = match policy.timeout() {
        Some(timeout) => format!("timeout {}", typed(timeout)),
        None => "timeout off".to_owned(),
    };
    format!("{interval}, {timeout}, {}", end.kernel)
}

fn describe_rtt(plan: &Plan) -> String {
    let timer_slack = plan.end(Side::Client).timer_slack.max(plan.end(Side::Server).timer_slack);
    let nat_timeout = match plan.nat_timeout() {
        Some(nat_timeout) => {
            format!("forgets a connection after {} without a packet", typed(nat_timeout))
        }
        None => "not known to forget connections".to_owned(),
    };
    format!(
        "round trip up to {}, timers up to {} late, {nat_timeout}",
        typed(plan.rtt()),
        typed(timer_slack)
    )
}

fn write_faults(out: &mut String, plan: &Plan) -> fmt::Result {
    let mut lines =
        vec![["fault", "client finds it", "by", "server finds it", "by"].map(str::to_owned)];
    for fault in Fault::ALL {
        let [client, client_by] = cells(plan.outcome(fault, Side::Client));
        let [server, server_by] = cells(plan.outcome(fault, Side::Server));
        lines.push([fault.to_string(), client, client_by, server, server_by]);
    }
    let width = |column| lines.iter().map(|line| line.get(column).map_or(0, String::len)).max();
    let widths = [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or(0));
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("   ").trim_end())?;
    }
    Ok(())
}

/// The time of a detection, and what detects it.
fn cells(outcome: Outcome) -> [String; 2] {
    match outcome {
        Outcome::Found(finding) => {
            let others: Vec<String> = finding.or_by().map(|by| by.to_string()).collect();
            let others = match others.as_slice() {
                [] => String::new(),
                others => format!(" (or {})", others.join(", ")),
            };
            [seconds(finding.bound), format!("{}{others}", finding.by)]
        }
        Outcome::Never(_) => [" never".to_owned(), String::new()],
        Outcome::KeptOpen { quiet } => [" not lost".to_owned(), kept_open(quiet)],
        Outcome::NothingDue => [" not lost".to_owned(), NOTHING_DUE.to_owned()],
    }
}

/// Why nothing is detected of a middlebox that forgets.
pub(super) fn kept_open(quiet: Duration) -> String {
    format!("a packet every {}", typed(quiet))
}

/// Why nothing is detected of a pause.
pub(super) const NOTHING_DUE: &str = "nothing was due";

/// A bound in tenths of a second, rounded outwards.
fn seconds(bound: Bound) -> String {
    let tenths = |millis: u128| format!("{}.{}", millis / 10, millis % 10);
    let earliest = tenths(bound.earliest.as_millis() / 100);
    let latest = tenths(bound.latest.as_millis().div_ceil(100));
    format!("{earliest:>6} to {latest} s")
}

fn write_never(out: &mut String, plan: &Plan) -> fmt::Result {
    let mut advice: Vec<(String, Vec<Fault>)> = Vec::new();
    for fault in Fault::ALL {
        for side in [Side::Client, Side::Server] {
            let Outcome::Never(what) = plan.outcome(fault, side) else { continue };
            let what = what.to_string();
            match advice.iter_mut().find(|(known, _)| *known == what) {
                Some((_, faults)) => faults.push(fault),
                None => advice.push((what, vec![fault])),
            }
        }
    }
    for (number, (what, faults)) in advice.iter().enumerate() {
        if number == 0 {
            writeln!(out, "\nto detect the faults marked \"never\":")?;
        }
        let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
        writeln!(out, "  {what}\n    ({})", faults.join("; "))?;
    }
    Ok(())
}

fn write_warnings(out: &mut String, plan: &Plan) -> fmt::Result {
    for (number, warning) in plan.warnings().enumerate() {
        if number == 0 {
            writeln!(out, "\nwarning: these settings end healthy connections")?;
        }
        writeln!(out, "  {warning}")?;
    }
    Ok(())
}
