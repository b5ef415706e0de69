//! The chart: a row for each fault, a column for each detector, in each cell the bounds of both ends
//! and what was measured.

use core::fmt::Write;
use core::time::Duration;

use heartwire_core::Side;

use super::{Matrix, Summary};
use crate::net::expect::Expected;
use crate::net::fault::Fault;

/// Where the columns begin, and how wide and high a cell is.
const LEFT: f64 = 206.0;
const TOP: f64 = 96.0;
const WIDTH: f64 = 116.0;
const HEIGHT: f64 = 30.0;
/// What is left free at both sides of a cell.
const MARGIN: f64 = 8.0;
/// Where the scale ends, in seconds. It is a square root, so that small times are told apart.
const LONGEST: f64 = 20.0;
/// What the scale is marked with.
const MARKS: [f64; 5] = [0.0, 1.0, 3.0, 6.0, 12.0];

/// Readable on a bright page and on a dark one. The bright colours stand for themselves, because some
/// viewers know neither variables nor the reader's preference.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px;\
fill:#1f2328}\
.quiet{fill:#6e7781;font-size:10px}.head{font-weight:600}.title{font-size:16px;font-weight:600}\
.page{fill:#ffffff}.band{fill:#f3f5f8}.line{stroke:#d0d7de;stroke-width:1}\
.client{fill:#0969da}.server{fill:#bc4c00}.bound{fill-opacity:.25}\
.wrong{fill:#cf222e}.note{font-size:10px;font-weight:600}.kept{fill:#1a7f37;font-size:11px}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.quiet{fill:#8d96a0}.page{fill:#0d1117}.band{fill:#161b22}.line{stroke:#3d444d}\
.client{fill:#58a6ff}.server{fill:#f0883e}.wrong{fill:#ff7b72}.kept{fill:#3fb950}}";

/// The whole chart.
pub(super) fn chart(matrix: &Matrix) -> String {
    let mut svg = String::new();
    // Writing into text cannot fail.
    let _ = draw(&mut svg, matrix);
    svg
}

fn draw(svg: &mut String, matrix: &Matrix) -> core::fmt::Result {
    let faults: Vec<Fault> = matrix.faults().collect();
    let rows = f64::from(u32::try_from(faults.len()).unwrap_or_default());
    let columns = f64::from(u32::try_from(matrix.detectors().count()).unwrap_or_default());
    let (width, height) = (LEFT + columns * WIDTH + 8.0, TOP + rows * HEIGHT + 34.0);
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"When each end finds each fault: \
         the planned bound and what was measured\">\n<style>{STYLE}</style>"
    )?;
    writeln!(svg, "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>")?;
    legend(svg)?;
    for (detector, left) in matrix.detectors().zip(places(LEFT, WIDTH)) {
        let middle = left + WIDTH / 2.0;
        let [first, second] = detector.title();
        text(svg, middle, TOP - 30.0, "head\" text-anchor=\"middle", first)?;
        text(svg, middle, TOP - 16.0, "quiet\" text-anchor=\"middle", second)?;
    }
    for ((row, &fault), top) in (0_u32..).zip(&faults).zip(places(TOP, HEIGHT)) {
        if row % 2 == 0 {
            writeln!(
                svg,
                "<rect class=\"band\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\"/>"
            )?;
        }
        text(svg, 10.0, top + HEIGHT / 2.0 + 4.0, "", fault.title())?;
        for (detector, left) in matrix.detectors().zip(places(LEFT, WIDTH)) {
            for (side, middle) in [(Side::Client, top + 9.5), (Side::Server, top + HEIGHT - 9.5)] {
                if let Some(summary) = matrix.summary(fault, detector, side) {
                    cell(svg, &summary, side, left, middle)?;
                }
            }
        }
    }
    scale(svg, matrix, TOP + rows * HEIGHT)?;
    writeln!(svg, "</svg>")
}

/// What the signs mean.
fn legend(svg: &mut String) -> core::fmt::Result {
    text(svg, 10.0, 26.0, "title", "When each end finds each fault")?;
    let mut x = 300.0;
    for (class, what) in [("client", "client"), ("server", "server")] {
        writeln!(
            svg,
            "<rect class=\"{class} bound\" x=\"{x}\" y=\"16\" width=\"34\" height=\"9\" rx=\"4\"/>\
             <circle class=\"{class}\" cx=\"{}\" cy=\"20.5\" r=\"3.6\"/>",
            x + 22.0
        )?;
        text(svg, x + 42.0, 25.0, "", &format!("{what}: planned bound, measured"))?;
        x += 230.0;
    }
    text(svg, x, 25.0, "quiet", "∞ never, in the plan and measured")?;
    text(svg, x, 39.0, "kept", "✓ connection kept, as planned")?;
    text(svg, x + 186.0, 39.0, "quiet", "→ later than was watched")?;
    text(svg, 10.0, 44.0, "quiet", "seconds after the fault; the scale is a square root")
}

/// One end of a cell, with its middle at that height.
fn cell(
    svg: &mut String,
    summary: &Summary<'_>,
    side: Side,
    left: f64,
    middle: f64,
) -> core::fmt::Result {
    let class = match side {
        Side::Client => "client",
        Side::Server => "server",
    };
    let right = left + WIDTH - MARGIN;
    let text_at = middle + 3.5;
    let promise = summary.expected.promise();
    let is_shown = promise.is_some_and(|promise| promise.earliest.as_secs_f64() < LONGEST);
    if let Some(promise) = promise.filter(|_| is_shown) {
        let (from, to) = (x_of(promise.earliest, left), x_of(promise.latest, left));
        writeln!(
            svg,
            "<rect class=\"{class} bound\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"9\" \
             rx=\"4\"/>",
            middle - 4.5,
            (to - from).max(3.0)
        )?;
    }
    for time in summary.found.into_iter().flat_map(|(least, most)| [least, most]) {
        let class = if summary.judgement.is_right() { class } else { "wrong" };
        if *summary.expected != Expected::NotAsked {
            let x = x_of(time, left);
            writeln!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{middle}\" r=\"3.6\"/>")?;
        }
    }
    if !summary.judgement.is_right() {
        let class = "note wrong\" text-anchor=\"end";
        return text(svg, right, text_at, class, summary.judgement.name());
    }
    let (class, sign) = match summary.expected {
        Expected::NotAsked => return Ok(()),
        Expected::Never => ("quiet", "∞"),
        Expected::Kept => ("kept", "✓"),
        Expected::FoundOrKept(_) if summary.nothing.is_some() => ("kept", "✓"),
        Expected::Found(_) if summary.nothing.is_some() => ("quiet", "→"),
        Expected::Found(_) | Expected::FoundOrKept(_) => return Ok(()),
    };
    text(svg, right, text_at, &format!("{class}\" text-anchor=\"end"), sign)
}

/// The lines of the scale, through all rows.
fn scale(svg: &mut String, matrix: &Matrix, bottom: f64) -> core::fmt::Result {
    for (_, left) in matrix.detectors().zip(places(LEFT, WIDTH)) {
        for mark in MARKS {
            let x = x_of(Duration::from_secs_f64(mark), left);
            writeln!(
                svg,
                "<line class=\"line\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\" \
                 opacity=\".5\"/>",
                TOP - 6.0
            )?;
            text(svg, x, bottom + 13.0, "quiet\" text-anchor=\"middle", &mark.to_string())?;
        }
    }
    Ok(())
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, what: &str) -> core::fmt::Result {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{what}</text>")
}

/// Places one after the other.
fn places(first: f64, each: f64) -> impl Iterator<Item = f64> {
    (0_u32..).map(move |number| first + f64::from(number) * each)
}

/// Where a time is in the cell that begins at `left`.
fn x_of(time: Duration, left: f64) -> f64 {
    let part = (time.as_secs_f64() / LONGEST).min(1.0).sqrt();
    left + MARGIN + part * (WIDTH - 2.0 * MARGIN)
}
