//! The report as JSON: one object, with each cell on its own line.

use core::time::Duration;

use heartwire_core::Side;
use serde_json::{Value, json as object};

use super::{Matrix, Report, end_of};
use crate::net::cell::{Record, SideRecord};
use crate::net::expect::Expected;
use crate::net::herds::{HerdRecord, Trial};
use crate::net::impair::Profile;
use crate::net::judge::Seen;
use crate::net::links::LinkRecord;

/// The whole report. Times are in milliseconds.
pub(crate) fn json(report: &Report) -> String {
    let head = object!({
        "kernel": report.machine.kernel,
        "processors": report.machine.processors,
        "time": humantime::format_rfc3339_seconds(report.machine.time).to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "seed": report.seed,
        "took_ms": ms(report.took),
        "observe_ms": ms(report.observe),
        "resolution_ms": report.near.resolution().map(ms),
        "far_path": report.far.profile.as_ref().map(path),
        "right": report.is_right(),
        "errors": report.errors,
    });
    let cells = |matrix: &Matrix| matrix.records.iter().map(cell).collect();
    let sections: [(&str, Vec<Value>); 7] = [
        ("cells", cells(&report.near)),
        ("far_cells", cells(&report.far)),
        ("long_cells", cells(&report.long)),
        ("links", report.links.iter().map(link).collect()),
        ("herds", report.herds.iter().map(herd).collect()),
        ("connect_cells", cells(&report.beside.connect)),
        ("c_cells", cells(&report.beside.c)),
    ];
    let sections = sections.map(|(name, objects)| {
        let lines: Vec<String> = objects.iter().map(|object| format!("    {object}")).collect();
        format!("  \"{name}\": [\n{}\n  ]", lines.join(",\n"))
    });
    let head = head.to_string();
    format!("{},\n{}\n}}\n", head.trim_end_matches('}'), sections.join(",\n"))
}

/// To a hundredth.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

fn cell(record: &Record) -> Value {
    let side = |side: Side| (end_of(side).to_owned(), one_side(record.sides.of(side)));
    let mut cell = object!({ "fault": record.fault.name(), "detector": record.detector.name() });
    if let Some(cell) = cell.as_object_mut() {
        cell.extend([side(Side::Client), side(Side::Server)]);
    }
    cell
}

fn one_side(side: &SideRecord) -> Value {
    if side.expected == Expected::NotAsked {
        return Value::Null;
    }
    let promise = side.expected.promise();
    let plan = match &side.expected {
        Expected::NotAsked => "not_asked",
        Expected::Kept => "kept",
        Expected::Never => "never",
        Expected::Found(_) => "found",
        Expected::FoundOrKept(_) => "found_or_kept",
    };
    let (found_ms, watched_ms, how, detail) = match &side.seen {
        Seen::Nothing { during } => (None, Some(ms(*during)), None, None),
        Seen::Something(sight) => {
            let times = sight.after.map(|after| after.map(ms));
            // A correct result needs no details.
            let detail = (!side.judgement.is_right()).then_some(sight.detail.as_str());
            (times, None, Some(sight.how.name()), detail)
        }
    };
    object!({
        "plan": plan,
        "bound_ms": promise.map(|promise| [ms(promise.earliest), ms(promise.latest)]),
        "by": promise.map(|p| p.by.iter().map(|by| by.name()).collect::<Vec<_>>()),
        "found_ms": found_ms,
        "watched_ms": watched_ms,
        "how": how,
        "detail": detail,
        "judgement": side.judgement.name(),
    })
}

fn path(profile: &Profile) -> Value {
    object!({
        "delay_ms": ms(profile.delay),
        "jitter_ms": ms(profile.jitter),
        "reorder_percent": profile.reorder,
        "duplicate_percent": profile.duplicate,
        "flip_percent": profile.flip,
        "loss_percent": profile.loss,
        "seed": profile.seed,
    })
}

fn link(record: &LinkRecord) -> Value {
    object!({
        "path": path(&record.profile),
        "time_ms": ms(record.time),
        "lines_sent": record.sent,
        "lines_arrived": record.arrived,
        "lost": record.lost,
    })
}

fn herd(record: &HerdRecord) -> Value {
    let (trial, percent, preset) = match record.herd.trial {
        Trial::Loss { percent, preset } => {
            ("loss", Some(percent), Some(format!("{preset:?}").to_lowercase()))
        }
        Trial::Pause => ("pause", None, None),
    };
    let ([server, clients], [by_server, by_clients]) = (record.beats, record.dead);
    object!({
        "trial": trial,
        "loss_percent": percent,
        "preset": preset,
        "clients": record.herd.clients,
        "time_ms": ms(record.took),
        "beats_heard": { "server": server, "clients": clients },
        "false_verdicts": { "server": by_server, "clients": by_clients },
        "other_ends": record.otherwise,
        "pauses_noticed": record.pauses,
    })
}
