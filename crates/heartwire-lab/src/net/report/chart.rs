//! The chart: a row for each fault, a column for each detector, in each cell the bounds of both
//! ends and what was measured.

use core::fmt::Write;
use core::time::Duration;

use heartwire_core::Side;

use super::{Matrix, Summary};
use crate::net::expect::Expected;
use crate::net::fault::{Fault, Kind};

/// Where the columns begin, and how wide and high a cell is.
const LEFT: f64 = 196.0;
const TOP: f64 = 108.0;
const WIDTH: f64 = 170.0;
const HEIGHT: f64 = 30.0;
/// How high the title of a group of faults is.
const GROUP: f64 = 26.0;
/// What is left free at the left side of a cell, and how wide its axis is. To the right of it is
/// room for a sign or a few words.
const MARGIN: f64 = 9.0;
const AXIS: f64 = 102.0;
/// The end and the marks of the scale, in seconds. Later times are written as text.
const LONGEST: f64 = 8.0;
const MARKS: [f64; 5] = [0.0, 2.0, 4.0, 6.0, 8.0];

/// Readable on a bright page and on a dark one. The bright colours are written out, because some
/// viewers support neither variables nor the reader's preference.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px;\
fill:#1f2328}\
.quiet{fill:#59636e;font-size:10px}.sign{font-size:13px}.header{font-weight:600}\
.title{font-size:17px;font-weight:600}\
.page{fill:#ffffff}.band{fill:#f3f5f8}.line{stroke:#d8dee4;stroke-width:1}\
.client{fill:#0969da}.server{fill:#bc4c00}.bound{fill-opacity:.22}\
.dot{stroke:#ffffff;stroke-width:1}\
.wrong{fill:#cf222e}.note{font-size:10px;font-weight:600}.kept{fill:#1a7f37;font-size:12px}\
.row{font-size:14px}.figure{font-size:13px}.small{fill:#59636e}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.quiet,.small{fill:#9198a1}.page{fill:#0d1117}.band{fill:#161b22}\
.line{stroke:#30363d}\
.client{fill:#58a6ff}.server{fill:#f0883e}.dot{stroke:#0d1117}.bound{fill-opacity:.3}\
.wrong{fill:#ff7b72}.kept{fill:#3fb950}}";

/// The whole chart.
pub(super) fn chart(matrix: &Matrix) -> String {
    let mut svg = String::new();
    // Writing into text cannot fail.
    let _ = draw(&mut svg, matrix);
    svg
}

fn draw(svg: &mut String, matrix: &Matrix) -> core::fmt::Result {
    let columns = f64::from(u32::try_from(matrix.detectors().count()).unwrap_or_default());
    let width = LEFT + columns * WIDTH + 6.0;
    let mut rows: Vec<(Fault, f64)> = Vec::new();
    let mut groups: Vec<(Kind, f64)> = Vec::new();
    let mut bottom = TOP;
    for kind in Kind::ALL {
        let of_kind: Vec<Fault> = matrix.faults().filter(|fault| fault.kind() == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        groups.push((kind, bottom));
        bottom += GROUP;
        for fault in of_kind {
            rows.push((fault, bottom));
            bottom += HEIGHT;
        }
    }
    let label = "When each end finds each fault: the planned bound and what was measured";
    open(svg, width, bottom + 24.0, label)?;
    legend(svg)?;
    for (&(fault, top), row) in rows.iter().zip(0_u32..) {
        if row % 2 == 0 {
            band(svg, top, width, HEIGHT)?;
        }
        text(svg, 10.0, top + HEIGHT / 2.0 + 4.0, "", fault.title())?;
    }
    for (detector, left) in matrix.detectors().zip(places(LEFT, WIDTH)) {
        let [first, second] = detector.title();
        text(svg, left + MARGIN, TOP - 34.0, "header", first)?;
        text(svg, left + MARGIN, TOP - 20.0, "quiet", second)?;
        scale(svg, left, bottom)?;
        for &(fault, top) in &rows {
            for (side, middle) in [(Side::Client, top + 9.5), (Side::Server, top + HEIGHT - 9.5)] {
                if let Some(summary) = matrix.summary(fault, detector, side) {
                    cell(svg, &summary, side, left, middle)?;
                }
            }
        }
    }
    for (kind, top) in groups {
        writeln!(
            svg,
            "<rect class=\"page\" x=\"0\" y=\"{}\" width=\"{width}\" height=\"{}\"/>",
            top + 1.0,
            GROUP - 1.0
        )?;
        text(svg, 10.0, top + GROUP - 8.0, "header", kind.title())?;
    }
    close(svg)
}

/// The legend.
fn legend(svg: &mut String) -> core::fmt::Result {
    text(svg, 10.0, 28.0, "title", "When each end finds each fault")?;
    text(svg, 10.0, 46.0, "quiet", "in seconds after the fault")?;
    let signs = [("client", "client"), ("server", "server")];
    for ((class, who), y) in signs.into_iter().zip(places(20.0, 18.0)) {
        writeln!(
            svg,
            "<rect class=\"{class} bound\" x=\"330\" y=\"{}\" width=\"40\" height=\"9\" rx=\"4\"/>\
             <circle class=\"{class} dot\" cx=\"354\" cy=\"{}\" r=\"4\"/>",
            y - 4.5,
            y
        )?;
        text(svg, 380.0, y + 4.0, "", &format!("{who}: planned bound, and measured"))?;
    }
    text(svg, 700.0, 24.0, "kept", "✓ kept, as planned")?;
    text(svg, 700.0, 42.0, "quiet", "∞ never, in the plan and in the measurement")?;
    text(svg, 1000.0, 24.0, "quiet", "› later than it was watched")?;
    text(svg, 1000.0, 42.0, "note wrong", "WORDS: not as planned")
}

/// The lines of the scale of one column, and their marks at both ends.
fn scale(svg: &mut String, left: f64, bottom: f64) -> core::fmt::Result {
    for mark in MARKS {
        let x = x_of(Duration::from_secs_f64(mark), left);
        line(svg, x, TOP, bottom)?;
        for y in [TOP - 5.0, bottom + 13.0] {
            text(svg, x, y, "quiet\" text-anchor=\"middle", &mark.to_string())?;
        }
    }
    Ok(())
}

/// One end of a cell, with its middle at that height.
fn cell(
    svg: &mut String,
    summary: &Summary<'_>,
    side: Side,
    left: f64,
    middle: f64,
) -> core::fmt::Result {
    if *summary.expected == Expected::NotAsked {
        return Ok(());
    }
    let class = match side {
        Side::Client => "client",
        Side::Server => "server",
    };
    if let Some(promise) = summary.expected.promise() {
        let (from, to) = (x_of(promise.earliest, left), x_of(promise.latest, left));
        // One that begins beyond the scale has only its sign.
        if promise.earliest.as_secs_f64() < LONGEST {
            bound(svg, class, from, to, middle)?;
        }
    }
    let dot = if summary.judgement.is_right() { class } else { "wrong" };
    let (is_beyond, times): (Vec<Duration>, Vec<Duration>) =
        summary.times.iter().partition(|time| time.as_secs_f64() > LONGEST);
    for time in times {
        self::dot(svg, dot, x_of(time, left), middle)?;
    }
    let beyond = is_beyond.iter().max().map(|time| format!("{:.1} s", time.as_secs_f64()));
    let (class, sign) = match (summary.expected, beyond) {
        _ if !summary.judgement.is_right() => ("note wrong", summary.judgement.name().to_owned()),
        (_, Some(beyond)) => ("quiet", beyond),
        (Expected::Never, None) => ("sign quiet", "∞".to_owned()),
        (Expected::Kept, None) => ("kept", "✓".to_owned()),
        (Expected::FoundOrKept(_), None) if summary.nothing.is_some() => ("kept", "✓".to_owned()),
        (Expected::Found(_), None) if summary.nothing.is_some() => ("sign quiet", "›".to_owned()),
        (Expected::NotAsked | Expected::Found(_) | Expected::FoundOrKept(_), None) => return Ok(()),
    };
    text(svg, left + MARGIN + AXIS + 9.0, middle + 3.5, class, &sign)
}

/// Begins a chart.
pub(crate) fn open(svg: &mut String, width: f64, height: f64, label: &str) -> core::fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n\
         <style>{STYLE}</style>\n<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"
    )
}

pub(crate) fn close(svg: &mut String) -> core::fmt::Result {
    writeln!(svg, "</svg>")
}

/// The background of every second row.
pub(crate) fn band(svg: &mut String, top: f64, width: f64, height: f64) -> core::fmt::Result {
    writeln!(
        svg,
        "<rect class=\"band\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
    )
}

/// A line of a scale.
pub(crate) fn line(svg: &mut String, x: f64, top: f64, bottom: f64) -> core::fmt::Result {
    writeln!(svg, "<line class=\"line\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>")
}

/// What the plan states.
pub(crate) fn bound(
    svg: &mut String,
    class: &str,
    from: f64,
    to: f64,
    middle: f64,
) -> core::fmt::Result {
    writeln!(
        svg,
        "<rect class=\"{class} bound\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"9\" \
         rx=\"4\"/>",
        middle - 4.5,
        (to - from).max(3.0)
    )
}

/// What was measured.
pub(crate) fn dot(svg: &mut String, class: &str, x: f64, middle: f64) -> core::fmt::Result {
    writeln!(svg, "<circle class=\"{class} dot\" cx=\"{x:.1}\" cy=\"{middle}\" r=\"4\"/>")
}

pub(crate) fn text(svg: &mut String, x: f64, y: f64, class: &str, what: &str) -> core::fmt::Result {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{what}</text>")
}

/// Places one after the other.
pub(crate) fn places(first: f64, each: f64) -> impl Iterator<Item = f64> {
    (0_u32..).map(move |number| first + f64::from(number) * each)
}

/// Where a time is in the column that begins at `left`.
fn x_of(time: Duration, left: f64) -> f64 {
    left + MARGIN + (time.as_secs_f64() / LONGEST).min(1.0) * AXIS
}
