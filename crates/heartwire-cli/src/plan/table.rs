//! The plan as a table for people.

use core::fmt::{self, Write};

use heartwire::plan::{End, Fault, NotLost, Outcome, Setup};
use heartwire::{Bound, Side};

use super::Report;
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
    let setup = &report.setup;
    if let Some(target) = &report.proposed_for {
        writeln!(
            out,
            "the cheapest settings that detect every fault within {}:",
            typed(target.within)
        )?;
        writeln!(
            out,
            "  heartwire serve {}",
            flags(&setup.end(Side::Server), Side::Server, setup)
        )?;
        writeln!(
            out,
            "  heartwire connect {} HOST:PORT\n",
            flags(&setup.end(Side::Client), Side::Client, setup)
        )?;
    }
    writeln!(out, "client: {}", describe(&setup.end(Side::Client)))?;
    writeln!(out, "server: {}", describe(&setup.end(Side::Server)))?;
    let agreed = if setup.contract().is_some() { ", as agreed" } else { "" };
    writeln!(out, "protocol: {}{agreed}", protocol(setup))?;
    writeln!(out, "path:     {}\n", describe_rtt(setup))?;
    write_faults(out, setup)?;
    write_never(out, setup)?;
    write_warnings(out, setup)?;
    let traffic = setup.traffic();
    write!(
        out,
        "\nheartbeat traffic per connection and day: {} B to the server, {} B to the client\n  \
         ({} B per heartbeat and 52 B per ACK, including IPv4 and TCP headers)",
        grouped(traffic.to_server),
        grouped(traffic.to_client),
        setup.beat_len()
    )
}

/// The settings of an end as options of `serve` and `connect`, on top of the default preset.
pub(super) fn flags(end: &End, side: Side, setup: &Setup) -> String {
    let policy = &end.policy;
    let mut flags = Vec::new();
    if side == Side::Client && setup.contract().is_none() {
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

pub(super) fn protocol(setup: &Setup) -> &'static str {
    if setup.contract().is_some() { "v1" } else { "v0" }
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

fn describe_rtt(setup: &Setup) -> String {
    let timer_slack = setup.end(Side::Client).timer_slack.max(setup.end(Side::Server).timer_slack);
    let nat_timeout = match setup.nat_timeout() {
        Some(nat_timeout) => {
            format!("forgets a connection after {} without a packet", typed(nat_timeout))
        }
        None => "not known to forget connections".to_owned(),
    };
    format!(
        "round trip up to {}, timers up to {} late, {nat_timeout}",
        typed(setup.rtt()),
        typed(timer_slack)
    )
}

fn write_faults(out: &mut String, setup: &Setup) -> fmt::Result {
    let mut lines =
        vec![["fault", "client finds it", "by", "server finds it", "by"].map(str::to_owned)];
    for row in setup.plan().rows() {
        let ([client, client_by], [server, server_by]) = (cells(row.client), cells(row.server));
        lines.push([row.fault.to_string(), client, client_by, server, server_by]);
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
            let others: Vec<String> = finding.or_by.iter().map(|by| by.to_string()).collect();
            let others = match others.as_slice() {
                [] => String::new(),
                others => format!(" (or {})", others.join(", ")),
            };
            [seconds(finding.bound), format!("{}{others}", finding.by)]
        }
        Outcome::Never(_) => [" never".to_owned(), String::new()],
        Outcome::NotLost(why) => [" not lost".to_owned(), why_not_lost(why)],
    }
}

pub(super) fn why_not_lost(why: NotLost) -> String {
    match why {
        NotLost::KeptOpen { quiet } => format!("a packet every {}", typed(quiet)),
        NotLost::NothingDue => "nothing was due".to_owned(),
        _ => String::new(),
    }
}

/// A bound in tenths of a second, rounded outwards.
fn seconds(bound: Bound) -> String {
    let tenths = |millis: u128| format!("{}.{}", millis / 10, millis % 10);
    let earliest = tenths(bound.earliest.as_millis() / 100);
    let latest = tenths(bound.latest.as_millis().div_ceil(100));
    format!("{earliest:>6} to {latest} s")
}

fn write_never(out: &mut String, setup: &Setup) -> fmt::Result {
    let mut advice: Vec<(String, Vec<Fault>)> = Vec::new();
    for row in setup.plan().rows() {
        for outcome in [row.client, row.server] {
            let Outcome::Never(what) = outcome else { continue };
            let what = what.to_string();
            match advice.iter_mut().find(|(known, _)| *known == what) {
                Some((_, faults)) => faults.push(row.fault),
                None => advice.push((what, vec![row.fault])),
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

fn write_warnings(out: &mut String, setup: &Setup) -> fmt::Result {
    for (number, warning) in setup.warnings().enumerate() {
        if number == 0 {
            writeln!(out, "\nwarning: these settings end healthy connections")?;
        }
        writeln!(out, "  {warning}")?;
    }
    Ok(())
}
