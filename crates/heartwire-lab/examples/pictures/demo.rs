//! What one run of `heartwire demo` printed, as a picture.

use core::time::Duration;

use anyhow::Context as _;

use crate::frame::Frame;
use crate::svg::Anchor;

const FIRST_Y: f64 = 80.0;
const ROW: f64 = 32.0;

/// A client's row of the demo. Each character stands for the same time.
struct Row<'a> {
    number: &'a str,
    cells: &'a str,
}

pub(crate) fn demo(printed: &str) -> anyhow::Result<String> {
    let rows: Vec<Row<'_>> = printed.lines().filter_map(row).collect();
    let frozen = rows.iter().find(|row| row.cells.contains('.')).context("no client is frozen")?;
    let frozen_cells = frozen.cells.find('.').unwrap_or_default();
    let (cell, measured, stated) = figures(printed).context("the figures are missing")?;
    let at = |cells: usize| cell.saturating_mul(u32::try_from(cells).unwrap_or(u32::MAX));
    let longest = rows.iter().map(|row| row.cells.len()).max().unwrap_or_default();
    let (from, to) = (at(frozen_cells), at(frozen_cells).saturating_add(measured));

    let title = format!("heartwire demo: {} clients, and one of them is frozen", rows.len());
    let back = frozen.back().context("the frozen client does not come back")?;
    let mut frame = Frame::new(&title, at(longest));
    let text = "Each bar is a heartbeat, as the server hears it.";
    frame.svg.text(18.0, 49.0, "quiet", Anchor::Start, text);
    let mut y = FIRST_Y;
    for row in &rows {
        let is_frozen = row.number == frozen.number;
        let name = format!("client {}", row.number);
        frame.lane(y, &name, "client", is_frozen.then_some(from));
        for (index, _) in row.cells.match_indices('|') {
            let x = frame.x(at(index));
            frame.svg.line("client bar", (x, y - 9.0), (x, y + 9.0));
        }
        if is_frozen {
            let (x_from, x_to) = (frame.x(from), frame.x(to));
            frame.svg.rect("still", (x_from, y - 10.0), (x_to, y + 10.0));
            let text = "frozen; its kernel still answers";
            frame.svg.text(x_from + 10.0, y + 4.0, "quiet", Anchor::Start, text);
            frame.svg.cross(x_to, y, 6.0);
            let x_back = frame.x(at(back));
            frame.svg.line("line", (x_back, y), (frame.x(at(longest)), y));
            let x = frame.x(at(longest)) + 5.0;
            frame.svg.text(x, y + 4.0, "client", Anchor::Start, "back; nothing lost");
        }
        y += ROW;
    }
    let (x_from, x_to) = (frame.x(from), frame.x(to));
    for x in [x_from, x_to] {
        frame.svg.line("line", (x, y - 6.0), (x, y + 6.0));
    }
    frame.svg.line("line", (x_from, y), (x_to, y));
    let text = format!("{:.1} s", measured.as_secs_f64());
    let dead = format!("declared dead after {text}");
    frame.svg.text(x_from - 8.0, y + 4.0, "bad", Anchor::End, &dead);
    let stated = format!("stated in advance: {stated}");
    frame.svg.text(x_to + 13.0, y + 4.0, "", Anchor::Start, &stated);
    frame.axis(y + 22.0, 1);
    let label = format!(
        "Rows of heartbeats. One client is frozen, declared dead after {text}, and back without \
         loss"
    );
    Ok(frame.finish(y + 52.0, &label))
}

impl Row<'_> {
    /// The cell of its first heartbeat after the verdict.
    fn back(&self) -> Option<usize> {
        let dead = self.cells.find('x')?;
        self.cells.get(dead..)?.find('|').map(|cells| dead + cells)
    }
}

fn row(line: &str) -> Option<Row<'_>> {
    let (number, cells) = line.strip_prefix("  client ")?.split_once(' ')?;
    Some(Row { number, cells: cells.trim() })
}

/// Seconds per cell, the time from the freeze to the verdict, and its bound, as the demo prints
/// them.
fn figures(printed: &str) -> Option<(Duration, Duration, &str)> {
    let (before, stated) = printed.split_once(" s measured, ")?;
    let (stated, _) = stated.split_once(" stated")?;
    let (before_cell, _) = before.split_once(" ms each)")?;
    let last_word = |text: &str| text.rsplit([' ', '(']).next()?.parse().ok();
    let cell: f64 = last_word(before_cell)?;
    let measured: f64 = last_word(before)?;
    Some((Duration::from_secs_f64(cell / 1e3), Duration::from_secs_f64(measured), stated))
}
