//! The report as a Markdown page.

use core::fmt::Write;

use heartwire_core::Side;

use super::{Matrix, Report, bound, end_of, mechanisms};
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
             ![{CHART}](faults.svg)\n\n{CELLS}\n"
        )?;
        matrix(page, &report.near)?;
        findings(page, &report.near)?;
    }
    if let Some(profile) = report.far.profile.as_ref().filter(|_| !report.far.records.is_empty()) {
        writeln!(page, "\n## Over a long path\n\nPackets take {profile}.\n")?;
        matrix(page, &report.far)?;
    }
    if !report.long.records.is_empty() {
        writeln!(page, "\n## Until the kernel gives up\n\n{LONG}\n")?;
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

const SUMMARY: &str = "A summary of the chart below: six faults, and how long it took to detect them \
                       with keepalive, with the user timeout, and with heartbeats";

const CHART: &str = "A chart of the bounds that the plan states and the times that were measured, for \
                     each fault and each detector, at the client and at the server";

const CELLS: &str = "\
Each cell is *client / server*: seconds from the fault until that end said so, the least and the most of
all runs. **never**: the plan says never, and nothing was said while it was watched. **kept**: the
connection was not lost, as planned. **> 20**: not found while it was watched, and its bound lies
beyond. **·**: the end that breaks. What the plan did not say stands there in capitals.";

const LONG: &str = "\
What is sent and never acknowledged is sent again 15 times (`tcp_retries2`), for a quarter of an hour.
These were watched for that long.";

fn head(page: &mut String, report: &Report) -> core::fmt::Result {
    let machine = &report.machine;
    let [usual, most] = report.near.resolution();
    let date = humantime::format_rfc3339_seconds(machine.time).to_string();
    let cells: usize = report.matrices().iter().map(|matrix| matrix.records.len()).sum();
    let asked: usize = report.matrices().iter().map(|matrix| matrix.asked()).sum();
    let wrong: usize = report.matrices().iter().map(|matrix| wrong(matrix)).sum();
    writeln!(
        page,
        "<!-- Written by `heartwire-lab net --write docs`. Change the program, not this page. -->\n\n\
         # Faults, and when they are found\n\n\
         The network lab starts the real `heartwire serve` and `heartwire connect` in network \
         namespaces, with a\nrouter between them that translates addresses, breaks something, and \
         compares what both ends say with\nwhat [`heartwire plan`](plan.md) says they will. Each fault \
         is one line to make by hand ([recipes](#recipes)).\n\n\
         **{}** {cells} connections broken, {asked} ends asked, {wrong} outside of the plan.\n\n\
         Linux {}, {} processors, {}, seed {}; {:.0} s in all. Beats every 1 s, timeout 3 s, keepalive \
         1 s, 1 s, 3\n(default: 7200 s, 75 s, 9), user timeout 5 s; what is never found was watched \
         for {:.0} s. A fault takes a\nmoment to make, mostly {} ms and {} ms at most here: a time is \
         early or late only if it is so by either end\nof that moment. Events are stamped by the program that tells \
         them.\n\nRepeat it, as root:\n`cargo build --release --workspace && target/release/heartwire-lab \
         net --runs 3 --sections matrix,far,links,herds,long --write docs`.",
        headline(report),
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

fn headline(report: &Report) -> &'static str {
    if report.is_right() {
        "All as planned."
    } else if report.is_right_where_measured() {
        "All that was measured was as planned; not all could be."
    } else {
        "Not all as planned."
    }
}

/// How many ends saw something else than planned.
fn wrong(matrix: &Matrix) -> usize {
    let sides = matrix.records.iter().flat_map(|record| record.sides.iter());
    sides.filter(|(_, side)| !side.judgement.is_right()).count()
}

fn matrix(page: &mut String, matrix: &Matrix) -> core::fmt::Result {
    write!(page, "| fault |")?;
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
    writeln!(
        page,
        "\n- **A hung process is found by beats, and by no kernel option.** With the server frozen, \
         the client finds out: keepalive, {}; user timeout, {}; beats both ways, {}. The same goes \
         for a middlebox that acknowledges and forwards nothing: {}, {}, {}.",
        client(Fault::ServerFrozen, Detector::KeepaliveTuned),
        client(Fault::ServerFrozen, Detector::UserTimeout),
        client(Fault::ServerFrozen, Detector::BothWays),
        client(Fault::BlackHole, Detector::KeepaliveTuned),
        client(Fault::BlackHole, Detector::UserTimeout),
        client(Fault::BlackHole, Detector::BothWays),
    )?;
    writeln!(
        page,
        "- **A router that forgets connections that are idle for {} s** keeps one that beats every \
         second: after {} s a line that the client sends arrives (with the tuned keepalive too, which \
         probes as often). Without, the line is lost, and from then on the client finds out: user \
         timeout, {}; nothing set, {}. The server, which expects nothing, finds out: {}.",
        NAT_LIFETIME.as_secs(),
        NAT_LIFETIME.as_secs() * 10,
        client(Fault::NatExpiry, Detector::UserTimeout),
        client(Fault::NatExpiry, Detector::None),
        server(Fault::NatExpiry, Detector::UserTimeout),
    )?;
    writeln!(
        page,
        "- **Data in flight mutes keepalive.** Machine gone, tuned keepalive: {} while idle, {} with \
         a line unacknowledged. The user timeout finds that one in {}, and an idle one {}.",
        client(Fault::GoneIdle, Detector::KeepaliveTuned),
        client(Fault::GoneUnacked, Detector::KeepaliveTuned),
        client(Fault::GoneUnacked, Detector::UserTimeout),
        client(Fault::GoneIdle, Detector::UserTimeout),
    )?;
    writeln!(
        page,
        "- **Beats one way leave the sender blind.** The client beats and does not judge: server \
         frozen, {}; machine gone, {}. Where one way is left open, the reset that follows a verdict \
         comes through it: path cut to the server, {}; path cut to the client, {}, because it cannot.",
        client(Fault::ServerFrozen, Detector::OneWay),
        client(Fault::GoneIdle, Detector::OneWay),
        client(Fault::CutToServer, Detector::OneWay),
        client(Fault::CutToClient, Detector::OneWay),
    )?;
    writeln!(
        page,
        "- **A peer that does not read looks alive to everything but the user timeout**: server does \
         not read, both ways, {}; user timeout, {}. A peer that only answers stops answering, so \
         asking finds it: client does not read, {}.",
        client(Fault::ServerNotReading, Detector::BothWays),
        client(Fault::ServerNotReading, Detector::UserTimeout),
        server(Fault::ClientNotReading, Detector::Asking),
    )
}

fn links(page: &mut String, report: &Report) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Bad links that are not dead\n\nBoth ends beat every second and call 3 s of silence \
         death. The client sends lines, rests, and sends\nmore; each has to arrive as it was sent, in \
         its order, and nobody may call the other dead.\n\n\
         | packets | time | lines sent | arrived | connection |\n|---|---|---|---|---|"
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
    writeln!(
        page,
        "\n## Healthy connections that have a hard time\n\nNobody here is dead, so every verdict is \
         false. `default` (beats every 10 s, timeout 30 s) promises none at 1 and\n5 % of packets lost in \
         each direction; the rest is published as it was measured. One server was\nstopped \
         for {} s while all clients went on beating.\n\n\
         | trial | connections | time | beats heard | false verdicts | per million beats | other ends |\n\
         |---|---|---|---|---|---|---|",
        PAUSE.as_secs()
    )?;
    for record in &report.herds {
        let what = match record.herd.trial {
            Trial::Loss { percent, preset } => {
                let preset = format!("{preset:?}").to_lowercase();
                format!("{percent} % loss each way, `{preset}`")
            }
            Trial::Pause => "server stopped, beats 1 s, timeout 3 s".to_owned(),
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
    writeln!(
        page,
        "\nOther ends are mostly the other half of a verdict: who gives one resets the connection, and \
         the client\nconnects again."
    )
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
    writeln!(
        page,
        "\n## Recipes\n\nThree namespaces, `client` – `router` – `server`, two veth pairs; the router \
         has `masquerade` towards the\nserver and names its interfaces after the ends. Rules are \
         nftables rules in a `forward` chain.\n\n| fault | name | how |\n|---|---|---|"
    )?;
    for fault in Fault::ALL {
        writeln!(page, "| {} | `{}` | {} |", fault.title(), fault.name(), fault.recipe())?;
    }
    Ok(())
}

fn details(page: &mut String, report: &Report) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Plan and measurement, cell by cell\n\n<details><summary>All cells</summary>\n\n\
         | fault | detector | end | measured, s | by | plan | by | |\n|---|---|---|---|---|---|---|---|"
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
