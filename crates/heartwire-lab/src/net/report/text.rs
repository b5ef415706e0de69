//! The report as text.

use core::fmt::Write;

use super::{Matrix, Report, bound, end_of, mechanisms};
use crate::net::client::Client;
use crate::net::herds::Trial;

/// How wide the column of faults is, and each of the others.
const FAULT_WIDTH: usize = 28;
const CELL_WIDTH: usize = 19;

/// The whole report.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing into text cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> core::fmt::Result {
    write_matrix(text, &report.near)?;
    if let Some(profile) = report.far.profile.as_ref().filter(|_| !report.far.records.is_empty()) {
        writeln!(text, "over a path on which packets take {profile}:")?;
        write_matrix(text, &report.far)?;
    }
    let beside = &report.beside;
    for (client, matrix) in [(Client::Connect, &beside.connect), (Client::C, &beside.c)] {
        if !matrix.records.is_empty() {
            writeln!(text, "with {}:", client.name())?;
            write_matrix(text, matrix)?;
        }
    }
    for pair in beside.differences() {
        writeln!(text, "not the same: {}", pair.in_words())?;
    }
    if !report.long.records.is_empty() {
        writeln!(text, "watched for a quarter of an hour:")?;
        write_matrix(text, &report.long)?;
    }
    for link in &report.links {
        let verdict = if link.is_right() { "kept" } else { "WRONG" };
        writeln!(
            text,
            "link: {}: {verdict}, {} of {} lines",
            link.profile, link.arrived, link.sent
        )?;
        for lost in &link.lost {
            writeln!(text, "  {lost}")?;
        }
    }
    for record in &report.herds {
        let [by_server, by_clients] = record.beats;
        let what = match record.herd.trial {
            Trial::Loss { percent, preset } => format!("{percent} % loss, {preset:?}"),
            Trial::Pause => "the server was paused".to_owned(),
        };
        writeln!(
            text,
            "herd of {}: {what}: {} false verdicts in {} beats, {} other ends{}",
            record.herd.clients,
            record.false_verdicts(),
            by_server + by_clients,
            record.otherwise,
            if record.is_right() { "" } else { "  WRONG" },
        )?;
    }
    for error in &report.errors {
        writeln!(text, "not measured: {error}")?;
    }
    let cells: usize = report.matrices().iter().map(|matrix| matrix.records.len()).sum();
    let ends: usize = report.matrices().iter().map(|matrix| matrix.asked()).sum();
    writeln!(
        text,
        "{cells} cells, {ends} ends asked, {} links, {} herds, in {:.0} s; seed {}: {}",
        report.links.len(),
        report.herds.len(),
        report.took.as_secs_f64(),
        report.seed,
        if report.is_right() { "all as planned" } else { "NOT all as planned" }
    )
}

fn write_matrix(text: &mut String, matrix: &Matrix) -> core::fmt::Result {
    if matrix.records.is_empty() {
        return Ok(());
    }
    write!(text, "{:FAULT_WIDTH$}", "client / server, in s")?;
    for detector in matrix.detectors() {
        write!(text, " {:>CELL_WIDTH$}", detector.name())?;
    }
    writeln!(text)?;
    for fault in matrix.faults() {
        write!(text, "{:FAULT_WIDTH$}", fault.title())?;
        for detector in matrix.detectors() {
            write!(text, " {:>CELL_WIDTH$}", matrix.short(fault, detector))?;
        }
        writeln!(text)?;
    }
    for (fault, detector, side, summary) in matrix.summaries() {
        if !summary.judgement.is_right() {
            writeln!(
                text,
                "{}: {} with {}, {}: {} by {:?}; planned {} by {}",
                summary.judgement.name(),
                fault.name(),
                detector.name(),
                end_of(side),
                summary.short(),
                summary.hows,
                bound(summary.expected),
                mechanisms(summary.expected),
            )?;
        }
    }
    Ok(())
}
