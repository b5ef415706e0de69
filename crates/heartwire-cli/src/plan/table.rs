//! The plan as a table for people.

use core::fmt::{self, Write};
use core::time::Duration;

use heartwire::{Bound, Side};
use heartwire_plan::{End, Fault, Loss, Outcome, Plan, Resume, Warning};

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
    if let Some(fleet) = &report.fleet {
        out.truncate(out.trim_end().len());
        writeln!(out)?;
        fleet.write(out)?;
        return write_traffic(out, report);
    }
    write_faults(out, plan)?;
    write_never(out, plan)?;
    write_losses(out, plan)?;
    write_warnings(out, plan)?;
    write_traffic(out, report)
}

/// What the heartbeats cost.
fn write_traffic(out: &mut String, report: &Report) -> fmt::Result {
    let traffic = report.plan.traffic();
    write!(
        out,
        "\nheartbeat traffic per connection and day: {} B to the server, {} B to the client\n  \
         ({} B per heartbeat and 52 B per ACK, including IPv4 and TCP headers)",
        grouped(traffic.to_server),
        grouped(traffic.to_client),
        traffic.beat_len
    )?;
    if let Some(Proposed { on_v0: Some(on_v0), .. }) = report.proposed {
        write!(
            out,
            "\n  (with --protocol v0, where the server only answers: {} B and {} B)",
            grouped(on_v0.to_server),
            grouped(on_v0.to_client)
        )?;
    }
    let tls = if report.serving.tls { " over TLS" } else { "" };
    write!(out, "\na million such sessions{tls} cost their server {}", report.million())
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
    write_lines(out, &lines)
}

/// Lines of cells, with the columns below each other.
pub(super) fn write_lines<const N: usize>(out: &mut String, lines: &[[String; N]]) -> fmt::Result {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    for line in lines {
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
    let earliest = tenths(bound.earliest.as_millis() / 100);
    format!("{earliest:>6} to {} s", tenths_up(bound.latest))
}

fn tenths_up(time: Duration) -> String {
    tenths(time.as_millis().div_ceil(100))
}

fn tenths(tenths: u128) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
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

/// What becomes of a session whose connection is lost.
fn write_losses(out: &mut String, plan: &Plan) -> fmt::Result {
    let Some(Resume { grace, sessions, .. }) = plan.resume() else { return Ok(()) };
    let grace = typed(grace);
    writeln!(
        out,
        "\nsessions outlive their connections, over TLS or on one machine, for {grace}:"
    )?;
    let titles =
        ["lost by", "client away", "server away", "back by", "client gives up", "server gives up"];
    let mut lines = vec![titles.map(str::to_owned)];
    for loss in Loss::ALL {
        let or_never = |bound: Option<Bound>| bound.map_or_else(|| " never".to_owned(), seconds);
        let back = plan
            .back(loss)
            .map_or_else(|| " never".to_owned(), |back| format!("{:>6} s", tenths_up(back)));
        let away = |side| or_never(plan.away(loss, side));
        let given_up = |side| or_never(plan.given_up(loss, side));
        lines.push([
            loss.to_string(),
            away(Side::Client),
            away(Side::Server),
            back,
            given_up(Side::Client),
            given_up(Side::Server),
        ]);
    }
    write_lines(out, &lines)?;
    let Some(all_back) = plan.all_back() else { return Ok(()) };
    let (sessions, all_back) = (grouped(sessions), typed(all_back));
    writeln!(
        out,
        "{sessions} clients that lose it together are back after about {all_back}, over TLS, where \
         they and the server have two processors to themselves",
    )?;
    writeln!(out, "a server that has restarted gives each client a new session")
}

fn write_warnings(out: &mut String, plan: &Plan) -> fmt::Result {
    let is_about_grace = |warning: &Warning| {
        matches!(warning, Warning::GraceTooShort { .. } | Warning::GraceBelowReturn { .. })
    };
    let (sessions, connections): (Vec<_>, Vec<_>) = plan.warnings().partition(is_about_grace);
    for (what, warnings) in [("connections", connections), ("sessions", sessions)] {
        if !warnings.is_empty() {
            writeln!(out, "\nwarning: these settings end healthy {what}")?;
        }
        for warning in warnings {
            writeln!(out, "  {warning}")?;
        }
    }
    Ok(())
}
