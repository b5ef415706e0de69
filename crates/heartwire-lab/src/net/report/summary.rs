//! The chart for the README: six faults and three ways to detect them, legible at 830 pixels.

use core::time::Duration;

use heartwire_core::Side;

use super::chart::{self, places, text};
use super::read::Figures;
use super::{Matrix, Summary};
use crate::net::detector::Detector;
use crate::net::expect::Expected;
use crate::net::fault::Fault;

const WIDTH: f64 = 830.0;
const LEFT: f64 = 232.0;
const TOP: f64 = 116.0;
const COLUMN: f64 = 198.0;
const ROW: f64 = 44.0;
/// How wide the axis of a column is; beside it stands in words what was measured.
const AXIS: f64 = 108.0;
const LONGEST: f64 = 6.0;
const MARKS: [f64; 4] = [0.0, 2.0, 4.0, 6.0];

const COLUMNS: [(Detector, &str, &str); 3] = [
    (Detector::KeepaliveTuned, "TCP keepalive", "1 s, 1 s, 3 probes"),
    (Detector::UserTimeout, "TCP user timeout", "5 s"),
    (Detector::BothWays, "Heartwire heartbeats", "interval 1 s, timeout 3 s"),
];

/// The title, the faults of the matrix that belong to it, and the ends that count.
const ROWS: [(&str, &str, &[Fault]); 5] = [
    ("machine gone,", "connection idle", &[Fault::GoneIdle]),
    ("machine gone,", "data in flight", &[Fault::GoneUnacked]),
    ("server process hangs", "", &[Fault::ServerFrozen]),
    ("middlebox acknowledges", "and drops", &[Fault::BlackHole]),
    ("path cut one way", "", &[Fault::CutToServer, Fault::CutToClient]),
];

/// The whole chart.
pub(super) fn summary(figures: &Figures) -> String {
    let mut svg = String::new();
    // Writing into text cannot fail.
    let _ = draw(&mut svg, figures);
    svg
}

fn draw(svg: &mut String, figures: &Figures) -> core::fmt::Result {
    let label = "How long until a fault is detected: six faults, with keepalive, with the user \
                 timeout, and with heartbeats";
    let bottom = TOP + 5.0 * ROW;
    chart::open(svg, WIDTH, bottom + ROW + 30.0, label)?;
    text(svg, 14.0, 29.0, "title", "How long until a dead connection is detected")?;
    let quiet =
        "measured, in seconds after the fault; the bar is the bound that heartwire plan states";
    text(svg, 14.0, 48.0, "small", quiet)?;
    for (row, top) in (0_u32..6).zip(places(TOP, ROW)) {
        if row % 2 == 0 {
            chart::band(svg, top, WIDTH, ROW)?;
        }
    }
    for ((first, second, _), top) in ROWS.into_iter().zip(places(TOP, ROW)) {
        title(svg, top, first, second)?;
    }
    title(svg, bottom, "server paused for 10 s,", "then resumed")?;
    for ((detector, first, second), left) in COLUMNS.into_iter().zip(places(LEFT, COLUMN)) {
        text(svg, left, 74.0, "header", first)?;
        text(svg, left, 90.0, "small", second)?;
        for mark in MARKS {
            let x = x_of(Duration::from_secs_f64(mark), left);
            chart::line(svg, x, TOP, bottom)?;
            text(svg, x, TOP - 6.0, "small\" text-anchor=\"middle", &mark.to_string())?;
        }
        for ((_, _, faults), top) in ROWS.into_iter().zip(places(TOP, ROW)) {
            cell(svg, &figures.near, faults, detector, left, top + ROW / 2.0)?;
        }
        let (class, said) = blamed(figures, detector);
        text(svg, left, bottom + ROW / 2.0 + 4.5, class, &said)?;
    }
    let y = bottom + ROW + 20.0;
    let note = "never: the plan says never, and the lab saw nothing;  \
                >: not detected while the lab watched";
    text(svg, 14.0, y, "small", note)?;
    chart::close(svg)
}

/// The name of a row, in one line or two.
fn title(svg: &mut String, top: f64, first: &str, second: &str) -> core::fmt::Result {
    let middle = top + ROW / 2.0;
    if second.is_empty() {
        return text(svg, 14.0, middle + 4.5, "row", first);
    }
    text(svg, 14.0, middle - 3.5, "row", first)?;
    text(svg, 14.0, middle + 13.5, "row", second)
}

/// The measurements of some faults with one detector, at all ends that count.
fn cell(
    svg: &mut String,
    matrix: &Matrix,
    faults: &[Fault],
    detector: Detector,
    left: f64,
    middle: f64,
) -> core::fmt::Result {
    let of_fault = |&fault: &Fault| {
        let sides = [Side::Client, Side::Server];
        sides.into_iter().filter_map(move |side| matrix.summary(fault, detector, side))
    };
    let is_asked = |summary: &Summary<'_>| *summary.expected != Expected::NotAsked;
    let ends: Vec<Summary<'_>> = faults.iter().flat_map(of_fault).filter(is_asked).collect();

    let promises = || ends.iter().filter_map(|end| end.expected.promise());
    let earliest = promises().map(|promise| promise.earliest).min().unwrap_or_default();
    let latest = promises().map(|promise| promise.latest).max().unwrap_or_default();
    if promises().count() > 0 && earliest.as_secs_f64() < LONGEST {
        chart::bound(svg, "client", x_of(earliest, left), x_of(latest, left), middle)?;
    }
    for time in ends.iter().flat_map(|end| &end.times) {
        chart::dot(svg, "client", x_of(*time, left), middle)?;
    }
    let (class, said) = said(&ends);
    text(svg, left + AXIS + 10.0, middle + 4.5, class, &said)
}

/// The numbers of a cell, and their class.
fn said(ends: &[Summary<'_>]) -> (&'static str, String) {
    if let Some(wrong) = ends.iter().find(|end| !end.judgement.is_right()) {
        return ("wrong", wrong.judgement.name().to_owned());
    }
    if let Some(during) = ends.iter().filter_map(|end| end.nothing).max() {
        let is_never = ends.iter().all(|end| *end.expected == Expected::Never);
        let said = format!("> {:.0} s", during.as_secs_f64());
        return ("wrong", if is_never { "never".to_owned() } else { said });
    }
    let least = ends.iter().filter_map(|end| end.found()).map(|(least, _)| least).min();
    let most = ends.iter().filter_map(|end| end.found()).map(|(_, most)| most).max();
    let said = least
        .zip(most)
        .map(|(least, most)| format!("{:.1}–{:.1} s", least.as_secs_f64(), most.as_secs_f64()));
    ("figure", said.unwrap_or_default())
}

/// False verdicts of a server that was paused itself: all its clients are healthy.
fn blamed(figures: &Figures, detector: Detector) -> (&'static str, String) {
    if detector == Detector::BothWays {
        return figures.paused.map_or_else(Default::default, |[clients, dead]| {
            let class = if dead == 0 { "kept" } else { "wrong" };
            (class, format!("✓ {dead} of {clients} clients blamed"))
        });
    }
    let end = figures.near.summary(Fault::ServerPaused, detector, Side::Server);
    match end {
        Some(end) if end.judgement.is_right() && *end.expected == Expected::Kept => {
            ("kept", "✓ no client blamed".to_owned())
        }
        Some(end) => ("wrong", end.judgement.name().to_owned()),
        None => Default::default(),
    }
}

fn x_of(time: Duration, left: f64) -> f64 {
    left + (time.as_secs_f64() / LONGEST).min(1.0) * AXIS
}
