//! The picture of `crowd --grow`: CPU, memory and lateness by the number of sessions.

use core::fmt::Write as _;

use super::page::grouped;
use super::{Growth, Report};
use crate::net::report::chart::{close, dot, line, open, places, text};

const WIDTH: f64 = 830.0;
const HEIGHT: f64 = 300.0;
/// Where the first panel begins, how far one is from the next, and how wide and high its field is.
const LEFT: f64 = 44.0;
const PANEL: f64 = 272.0;
const FIELD: f64 = 204.0;
const TOP: f64 = 104.0;
const BOTTOM: f64 = 250.0;
/// How many parts the scale has.
const PARTS: u32 = 4;

/// Lines between the points. Colours are those of the points.
const STYLE: &str = "\
.trend{fill:none;stroke-width:2}.trend.client{fill:none;stroke:#0969da}\
.trend.server{fill:none;stroke:#bc4c00}.end{text-anchor:end}.middle{text-anchor:middle}\
@media(prefers-color-scheme:dark){.trend.client{stroke:#58a6ff}.trend.server{stroke:#f0883e}}";

/// A figure of each size.
struct Series {
    class: &'static str,
    name: &'static str,
    figure: fn(&Report) -> Option<f64>,
}

struct Panel {
    title: &'static str,
    unit: &'static str,
    series: &'static [Series],
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "Servers' CPU per beat",
        unit: "µs",
        series: &[
            Series { class: "client", name: "user + system", figure: |it| Some(it.beat_cpu_us) },
            Series { class: "server", name: "user", figure: |it| Some(it.beat_user_us) },
        ],
    },
    Panel {
        title: "Memory per session",
        unit: "KB",
        series: &[
            Series {
                class: "client",
                name: "kernel, both ends",
                figure: |it| Some(it.kernel_bytes_both_ends / 1e3),
            },
            Series { class: "server", name: "server", figure: |it| Some(it.user_bytes / 1e3) },
        ],
    },
    Panel {
        title: "Verdict, after the timeout",
        unit: "ms",
        series: &[
            Series { class: "client", name: "p99.9", figure: |it| Some(it.verdict_ms?.p999) },
            Series { class: "server", name: "p50", figure: |it| Some(it.verdict_ms?.p50) },
        ],
    },
];

/// The whole picture.
pub(super) fn chart(growth: &Growth) -> String {
    let mut svg = String::new();
    // Writing into text cannot fail.
    let _ = draw(&mut svg, growth);
    svg
}

fn draw(svg: &mut String, growth: &Growth) -> core::fmt::Result {
    let label = "CPU per beat, memory per session and lateness of verdicts, by the number of \
                 sessions";
    open(svg, WIDTH, HEIGHT, label)?;
    writeln!(svg, "<style>{STYLE}</style>")?;
    text(svg, 14.0, 29.0, "title", "What a session costs, while there are more of them")?;
    let most = growth.sizes.last().map_or(0, |it| it.sessions);
    let how = format!(
        "up to {} sessions on one machine, clients and servers; {}",
        grouped(most),
        growth.machine
    );
    text(svg, 14.0, 48.0, "small", &how)?;
    for (panel, left) in PANELS.iter().zip(places(LEFT, PANEL)) {
        draw_panel(svg, panel, &growth.sizes, left)?;
    }
    close(svg)
}

fn draw_panel(svg: &mut String, panel: &Panel, sizes: &[Report], left: f64) -> core::fmt::Result {
    text(svg, left, 74.0, "header", panel.title)?;
    let figures =
        |series: &Series| -> Vec<Option<f64>> { sizes.iter().map(series.figure).collect() };
    let all = panel.series.iter().flat_map(figures).flatten();
    let top = round_up(all.fold(0.0, f64::max));
    for part in 0..=PARTS {
        let share = f64::from(part) / f64::from(PARTS);
        let y = BOTTOM - share * (BOTTOM - TOP);
        let (from, to) = (left, left + FIELD);
        writeln!(
            svg,
            "<line class=\"line\" x1=\"{from:.1}\" y1=\"{y:.1}\" x2=\"{to:.1}\" y2=\"{y:.1}\"/>"
        )?;
        let unit = if part == PARTS { panel.unit } else { "" };
        text(svg, left - 6.0, y + 4.0, "quiet end", &format!("{}{unit}", short(share * top)))?;
    }
    let place = |index: u32| {
        let last = u32::try_from(sizes.len().saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        left + 14.0 + f64::from(index) / f64::from(last) * (FIELD - 40.0)
    };
    for (report, index) in sizes.iter().zip(0..) {
        let x = place(index);
        line(svg, x, TOP, BOTTOM)?;
        text(svg, x, BOTTOM + 15.0, "quiet middle", &count(report.sessions))?;
    }
    for (series, x) in panel.series.iter().zip(places(left, 110.0)) {
        dot(svg, series.class, x + 4.0, 87.0)?;
        text(svg, x + 12.0, 91.0, "small", series.name)?;
        let points: Vec<(f64, f64, f64)> = figures(series)
            .into_iter()
            .zip(0..)
            .filter_map(|(figure, index)| Some((place(index), figure?)))
            .map(|(x, figure)| (x, BOTTOM - figure / top * (BOTTOM - TOP), figure))
            .collect();
        let path: Vec<String> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        writeln!(
            svg,
            "<polyline class=\"trend {}\" points=\"{}\"/>",
            series.class,
            path.join(" ")
        )?;
        for (x, y, figure) in points {
            writeln!(
                svg,
                "<circle class=\"{} dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>",
                series.class
            )?;
            text(svg, x, y - 8.0, "quiet middle", &short(figure))?;
        }
    }
    Ok(())
}

/// The end of a scale: 1, 2, 4 or 8 times a power of ten, so that its quarters are short.
fn round_up(figure: f64) -> f64 {
    let power = 10_f64.powf(figure.max(0.001).log10().floor());
    let ends = [1.0, 2.0, 4.0, 8.0, 10.0].map(|factor| factor * power);
    // The highest point has its figure above it.
    ends.into_iter().find(|end| *end >= figure * 1.05).unwrap_or(20.0 * power)
}

/// With as many digits as are of interest.
fn short(figure: f64) -> String {
    let text = match figure {
        ..1.0 => format!("{figure:.2}"),
        1.0..10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    };
    let is_round = figure.fract() == 0.0;
    if is_round { format!("{figure:.0}") } else { text }
}

/// A number of sessions in few letters.
fn count(sessions: u32) -> String {
    match sessions {
        1_000_000.. if sessions.is_multiple_of(1_000_000) => format!("{} M", sessions / 1_000_000),
        1_000.. if sessions.is_multiple_of(1_000) => format!("{} k", sessions / 1_000),
        _ => sessions.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_above_the_highest_figure() {
        let ends = [0.0, 0.18, 1.0, 3.9, 7.7, 9.6, 99.0].map(round_up);
        let expected = [0.001, 0.2, 2.0, 8.0, 10.0, 20.0, 200.0];
        for (end, expected) in ends.into_iter().zip(expected) {
            assert!((end - expected).abs() < 1e-9, "{end} {expected}");
        }
    }

    #[test]
    fn numbers_of_sessions_are_short() {
        assert_eq!(
            [999, 1_000, 1_500, 100_000, 2_000_000].map(count),
            ["999", "1 k", "1500", "100 k", "2 M"]
        );
        assert_eq!([0.0, 0.171, 4.62, 9.0, 12.34].map(short), ["0", "0.17", "4.6", "9", "12"]);
        assert_eq!([5, 1_000, 1_000_000].map(grouped), ["5", "1,000", "1,000,000"]);
    }
}
