//! The report as a Markdown page.

use core::fmt::Write;

use heartwire_core::Side;

use super::{Matrix, Report, bound, end_of, headline, mechanisms};
use crate::net::detector::Detector;
use crate::net::expect::Expected;
use crate::net::fault::{Fault, NAT_LIFETIME, PAUSE};
use crate::net::herds::Trial;

/// The whole page.
pub(crate) fn markdown(report: &Report) -> String {
    let mut page = String::new();
    // Writing into text cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> core::fmt::Result {
    head(page, report)?;
    if !report.near.records.is_empty() {
        writeln!(
            page,
            "\n![{SUMMARY}](faults-summary.svg)\n\n## Every fault with every detector\n\n\
             ![{CHART}](faults.svg)"
        )?;
        paragraph(page, CELLS)?;
        matrix(page, &report.near)?;
        findings(page, &report.near)?;
    }
    if let Some(profile) = report.far.profile.as_ref().filter(|_| !report.far.records.is_empty()) {
        writeln!(page, "\n## Over a long path")?;
        paragraph(page, &format!("Packets take {profile}."))?;
        matrix(page, &report.far)?;
    }
    if !report.long.records.is_empty() {
        writeln!(page, "\n## Until the kernel gives up")?;
        paragraph(page, LONG)?;
        matrix(page, &report.long)?;
    }
    if !report.links.is_empty() {
        links(page, report)?;
    }
    if !report.herds.is_empty() {
        herds(page, report)?;
    }
    if !report.errors.is_empty() {
        writeln!(page, "\n## Not measured\n")?;
        for error in &report.errors {
            writeln!(page, "- {error}")?;
        }
    }
    recipes(page)?;
    details(page, report)
}

const SUMMARY: &str = "A summary of the chart below: six faults, and how long it took to detect \
                       them with keepalive, with the user timeout, and with heartbeats";

const CHART: &str = "A chart of the bounds that the plan states and the times that were measured, \
                     for each fault and each detector, at the client and at the server";

const INTRODUCTION: &str = "\
The network lab runs the real `heartwire serve` and `heartwire connect` in network namespaces, \
with a NAT router between them. It causes a fault, and compares what both ends report with what \
[`heartwire plan`](plan.md) predicts. The [recipes](#recipes) say how to cause each fault without \
the lab.";

const CELLS: &str = "\
Each cell is *client / server*: the seconds from the fault until that end reported it, lowest to \
highest of all runs. **never**: the plan says never, and the end reported nothing while it was \
observed. **kept**: the connection survived, as planned. **> 20**: not detected while it was \
observed; its bound ends later. **·**: the end with the fault. A result that the plan did not \
predict is in capitals.";

const LONG: &str = "\
The kernel sends unacknowledged data again 15 times (`tcp_retries2`), for about a quarter of an \
hour. These connections were observed for that long.";

const LINKS: &str = "\
Both ends send heartbeats every second and have a timeout of 3 s. The client sends lines, pauses, \
and sends more. Each line must arrive unchanged and in order, and neither end may declare the \
other one dead.";

const OTHER_ENDS: &str = "\
Other ends are mostly the other half of a verdict: the end that gives it resets the connection, \
and the client reconnects.";

const RECIPES: &str = "\
Three namespaces, `client` – `router` – `server`, and two veth pairs. The router has `masquerade` \
towards the server, and its interfaces have the names of the ends. Rules are nftables rules in a \
`forward` chain.";

/// Writes a blank line and a paragraph of at most 100 columns.
pub(super) fn paragraph(page: &mut String, text: &str) -> core::fmt::Result {
    writeln!(page)?;
    lines(page, text, "")
}

/// Writes text in lines of at most 100 columns, and a line break.
fn lines(page: &mut String, text: &str, indent: &str) -> core::fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if column == 0 {
            column = len;
        } else if column + 1 + len <= 100 {
            write!(page, " ")?;
            column += 1 + len;
        } else {
            write!(page, "\n{indent}")?;
            column = indent.len() + len;
        }
        write!(page, "{word}")?;
    }
    writeln!(page)
}

/// Writes an item of a list.
pub(super) fn item(page: &mut String, text: &str) -> core::fmt::Result {
    lines(page, &format!("- {text}"), "  ")
}

fn head(page: &mut String, report: &Report) -> core::fmt::Result {
    let cells: usize = report.matrices().iter().map(|matrix| matrix.records.len()).sum();
    let asked: usize = report.matrices().iter().map(|matrix| matrix.asked()).sum();
    let wrong: usize = report.matrices().iter().map(|matrix| matrix.wrong()).sum();
    writeln!(
        page,
        "<!-- Written by `heartwire-lab net --write docs`. Change the program, not this page. \
         -->\n\n# Faults, and when they are found"
    )?;
    paragraph(page, INTRODUCTION)?;
    let result = format!(
        "**{}** {cells} connections broken, {asked} results, {wrong} outside the plan.",
        headline(report)
    );
    paragraph(page, &result)?;
    paragraph(page, &conditions(report, &report.near))?;
    writeln!(
        page,
        "\nTo repeat it, as root:\n\n```sh\ncargo build --release --workspace\n\
         target/release/heartwire-lab net --runs 3 --sections matrix,far,links,herds,long \\\n    \
         --write docs\n```"
    )
}

/// The machine, and the settings of all cells.
pub(super) fn conditions(report: &Report, matrix: &Matrix) -> String {
    let machine = &report.machine;
    let [usual, most] = matrix.resolution();
    let date = humantime::format_rfc3339_seconds(machine.time).to_string();
    format!(
        "Linux {}, {} processors, {}, seed {}; {:.0} s in all. Heartbeats every 1 s, timeout 3 s, \
         keepalive 1 s, 1 s, 3 (default: 7200 s, 75 s, 9), user timeout 5 s. What is never \
         detected was observed for {:.0} s. Causing a fault takes a moment, here mostly {} ms and \
         at most {} ms: a result is early or late only if it is so counted from the beginning and \
         from the end of that moment. Each program sets the time of its own events.",
        machine.kernel,
        machine.processors,
        date.split('T').next().unwrap_or_default(),
        report.seed,
        report.took.as_secs_f64(),
        report.observe.as_secs_f64(),
        usual.as_millis(),
        most.as_millis(),
    )
}

pub(super) fn matrix(page: &mut String, matrix: &Matrix) -> core::fmt::Result {
    write!(page, "\n| fault |")?;
    for detector in matrix.detectors() {
        let [first, second] = detector.title();
        write!(page, " {first}<br>{second} |")?;
    }
    writeln!(page, "\n|---|{}", "---|".repeat(matrix.detectors().count()))?;
    for fault in matrix.faults() {
        write!(page, "| {} |", fault.title())?;
        for detector in matrix.detectors() {
            write!(page, " {} |", matrix.short(fault, detector))?;
        }
        writeln!(page)?;
    }
    Ok(())
}

/// The results of the table in words, with its numbers.
fn findings(page: &mut String, matrix: &Matrix) -> core::fmt::Result {
    if matrix.faults().count() < Fault::ALL.len()
        || matrix.detectors().count() < Detector::ALL.len()
    {
        return Ok(());
    }
    let said = |fault, detector, side| {
        matrix.summary(fault, detector, side).map_or_else(String::new, |s| s.in_words())
    };
    let client = |fault, detector| said(fault, detector, Side::Client);
    let server = |fault, detector| said(fault, detector, Side::Server);
    writeln!(page)?;
    let hung = format!(
        "**Only heartbeats detect a hung process; no kernel option does.** With the server frozen, \
         the client detects it: keepalive, {}; user timeout, {}; heartbeats both ways, {}. With a \
         middlebox that acknowledges data and forwards nothing: {}, {}, {}.",
        client(Fault::ServerFrozen, Detector::KeepaliveTuned),
        client(Fault::ServerFrozen, Detector::UserTimeout),
        client(Fault::ServerFrozen, Detector::BothWays),
        client(Fault::BlackHole, Detector::KeepaliveTuned),
        client(Fault::BlackHole, Detector::UserTimeout),
        client(Fault::BlackHole, Detector::BothWays),
    );
    item(page, &hung)?;
    let forgets = format!(
        "**A router that forgets connections that are idle for {} s** keeps one with a heartbeat \
         every second: a line that the client sends after {} s arrives (with the tuned keepalive \
         too, which probes as often). Without heartbeats the line is lost, and the client detects \
         that: user timeout, {}; nothing set, {}. The server expects nothing, and detects it: {}.",
        NAT_LIFETIME.as_secs(),
        NAT_LIFETIME.as_secs() * 10,
        client(Fault::NatExpiry, Detector::UserTimeout),
        client(Fault::NatExpiry, Detector::None),
        server(Fault::NatExpiry, Detector::UserTimeout),
    );
    item(page, &forgets)?;
    let unacknowledged = format!(
        "**Unacknowledged data silences keepalive.** Machine gone, tuned keepalive: idle, {}; with \
         a line unacknowledged, {}. With the user timeout it is the other way round: idle, {}; \
         with a line unacknowledged, {}.",
        client(Fault::GoneIdle, Detector::KeepaliveTuned),
        client(Fault::GoneUnacked, Detector::KeepaliveTuned),
        client(Fault::GoneIdle, Detector::UserTimeout),
        client(Fault::GoneUnacked, Detector::UserTimeout),
    );
    item(page, &unacknowledged)?;
    let one_way = format!(
        "**Heartbeats in one direction leave their sender blind.** The client sends heartbeats and \
         has no timeout: server frozen, {}; machine gone, {}. The server's verdict resets the \
         connection, and the client learns that only if packets still reach it: path cut to the \
         server, {}; path cut to the client, {}.",
        client(Fault::ServerFrozen, Detector::OneWay),
        client(Fault::GoneIdle, Detector::OneWay),
        client(Fault::CutToServer, Detector::OneWay),
        client(Fault::CutToClient, Detector::OneWay),
    );
    item(page, &one_way)?;
    let not_reading = format!(
        "**A peer that does not read looks alive to keepalive and heartbeats; the user timeout \
         detects it.** Server does not read: heartbeats both ways, {}; user timeout, {}. A peer \
         that only answers heartbeats stops answering, so asking detects that one: client does not \
         read, {}.",
        client(Fault::ServerNotReading, Detector::BothWays),
        client(Fault::ServerNotReading, Detector::UserTimeout),
        server(Fault::ClientNotReading, Detector::Asking),
    );
    item(page, &not_reading)
}

fn links(page: &mut String, report: &Report) -> core::fmt::Result {
    writeln!(page, "\n## Bad links that are not dead")?;
    paragraph(page, LINKS)?;
    writeln!(
        page,
        "\n| packets | time | lines sent | arrived | connection |\n|---|---|---|---|---|"
    )?;
    for link in &report.links {
        writeln!(
            page,
            "| {} | {:.0} s | {} | {} | {} |",
            link.profile,
            link.time.as_secs_f64(),
            link.sent,
            link.arrived,
            if link.lost.is_empty() { "kept".to_owned() } else { link.lost.join("; ") }
        )?;
    }
    Ok(())
}

fn herds(page: &mut String, report: &Report) -> core::fmt::Result {
    writeln!(page, "\n## Healthy connections that have a hard time")?;
    let about = format!(
        "No end is dead here, so every verdict is false. `default` (heartbeats every 10 s, timeout \
         30 s) promises none with 1 and 5 % of packets lost in each direction; the other rows are \
         as they were measured. One server was paused for {} s while all clients kept sending \
         heartbeats.",
        PAUSE.as_secs()
    );
    paragraph(page, &about)?;
    writeln!(
        page,
        "\n| trial | connections | time | beats heard | false verdicts | per million beats | other \
         ends |\n|---|---|---|---|---|---|---|"
    )?;
    for record in &report.herds {
        let what = match record.herd.trial {
            Trial::Loss { percent, preset } => {
                let preset = format!("{preset:?}").to_lowercase();
                format!("{percent} % loss each way, `{preset}`")
            }
            Trial::Pause => "server paused, heartbeats every 1 s, timeout 3 s".to_owned(),
        };
        let beats: u64 = record.beats.iter().sum();
        let [by_server, by_clients] = record.dead;
        writeln!(
            page,
            "| {what} | {} | {:.0} s | {beats} | {} ({by_server} by the server, {by_clients} by \
             clients){} | {} | {} |",
            record.herd.clients,
            record.took.as_secs_f64(),
            record.false_verdicts(),
            if record.is_right() { "" } else { " **WRONG**" },
            rate(record.false_verdicts(), beats),
            record.otherwise,
        )?;
    }
    paragraph(page, OTHER_ENDS)
}

/// In a million.
fn rate(count: u64, of: u64) -> String {
    if of == 0 {
        return "?".to_owned();
    }
    let whole = count.saturating_mul(10_000_000) / of;
    format!("{}.{}", whole / 10, whole % 10)
}

fn recipes(page: &mut String) -> core::fmt::Result {
    writeln!(page, "\n## Recipes")?;
    paragraph(page, RECIPES)?;
    writeln!(page, "\n| fault | name | how |\n|---|---|---|")?;
    for fault in Fault::ALL {
        writeln!(page, "| {} | `{}` | {} |", fault.title(), fault.name(), fault.recipe())?;
    }
    Ok(())
}

fn details(page: &mut String, report: &Report) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Plan and measurement, cell by cell\n\n<details><summary>All cells</summary>\n\n\
         | fault | detector | end | measured, s | by | plan | by | |\n\
         |---|---|---|---|---|---|---|---|"
    )?;
    for (fault, detector, side, summary) in report.near.summaries() {
        if *summary.expected == Expected::NotAsked {
            continue;
        }
        let by: Vec<&str> = summary.hows.iter().map(|how| how.name()).collect();
        let measured = summary.short().replace('–', " to ");
        writeln!(
            page,
            "| {} | {} | {} | {measured} | {} | {} | {} | {} |",
            fault.name(),
            detector.name(),
            end_of(side),
            by.join(", "),
            bound(summary.expected),
            mechanisms(summary.expected),
            summary.judgement.name(),
        )?;
    }
    writeln!(page, "\n</details>\n\nThe same as data: [faults.json](faults.json).")
}
