//! Draws the state of the program.

mod header;
mod help;
mod style;
mod table;

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::{App, Mode};
use super::args::{Sort, View};
use super::text::shown;
use crate::output::counted;
pub(super) use style::Palette;
use table::{Part, rows};

/// Lines that a table needs: its title, its head, and two sessions.
const TABLE_LEN: u16 = 4;

/// Draws everything, and has the state know how many sessions fit.
pub(super) fn draw(app: &mut App, area: Rect, buffer: &mut Buffer) {
    draw_at(app, Instant::now(), Palette::from_environment(), area, buffer);
}

pub(super) fn draw_at(
    app: &mut App,
    now: Instant,
    palette: Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    let (mut body, foot) = split_off_foot(area, u16::from(!app.is_once));
    if !foot.is_empty() {
        put(buffer, foot, foot_line(app, palette));
    }
    if app.mode == Mode::Help {
        put_lines(buffer, body, help::lines(palette));
        return;
    }
    let lines = header::lines(app, now, body.width, palette);
    let parts = app.picture.as_ref().map_or(1, |picture| picture.pages.len());
    let tables = TABLE_LEN.saturating_mul(u16::try_from(parts).unwrap_or(1));
    let room = usize::from(body.height.saturating_sub(tables)).max(1);
    let height = put_lines(buffer, body, lines.into_iter().take(room));
    body = Rect {
        y: body.y.saturating_add(height),
        height: body.height.saturating_sub(height),
        ..body
    };
    draw_tables(app, palette, body, buffer);
}

/// One screen as text, as long as it has to be.
pub(super) fn as_text(app: &mut App, width: u16) -> String {
    let sessions = app.picture.as_ref().map_or(0, super::picture::Picture::len);
    let height = u16::try_from(sessions).unwrap_or(u16::MAX).saturating_add(20);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw_at(app, Instant::now(), Palette::plain(), area, &mut buffer);
    text_of(&buffer)
}

/// The lines of a buffer without the blanks at their ends, and without empty ones at the end.
pub(super) fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|cells| {
        // A wide character is followed by a cell that it covers.
        let mut line = String::new();
        let mut covered = 0;
        for cell in cells {
            if covered == 0 {
                line.push_str(cell.symbol());
                covered = Span::raw(cell.symbol()).width();
            }
            covered = covered.saturating_sub(1);
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn draw_tables(app: &mut App, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let Some(picture) = &app.picture else { return };
    // A part without a line for a session is not worth its head.
    let room = usize::from(area.height / (TABLE_LEN - 1)).max(1);
    let pages = picture.pages.get(..room).unwrap_or(&picture.pages);
    let mut area = area;
    let mut first = 0;
    let mut page_len = 0;
    for (at, page) in pages.iter().enumerate() {
        let parts_left = u16::try_from(pages.len().saturating_sub(at)).unwrap_or(1).max(1);
        let share = area.height / parts_left;
        // What one part leaves goes to the next.
        let needs = u16::try_from(page.sessions.len()).unwrap_or(u16::MAX).saturating_add(3);
        let height = if parts_left == 1 { area.height } else { share.min(needs) };
        let part = Part {
            title: title(app, at),
            sessions: &page.sessions,
            selected: app.selected.checked_sub(first).filter(|_| !app.is_once),
            sort: if picture.asked.view == View::Overview {
                OVERVIEW.get(at)
            } else {
                Some(&app.sort)
            }
            .copied(),
            is_away: picture.asked.view == View::Away,
        };
        let shown = part.draw(Rect { height, ..area }, palette, buffer);
        page_len = page_len.max(shown);
        first = first.saturating_add(page.sessions.len());
        area = Rect {
            y: area.y.saturating_add(height),
            height: area.height.saturating_sub(height),
            ..area
        };
    }
    app.page_len = page_len.max(1);
}

/// The orders of the parts of the overview.
const OVERVIEW: [Sort; 2] = [Sort::Due, Sort::Rtt];

fn title(app: &App, part: usize) -> String {
    let Some(picture) = &app.picture else { return String::new() };
    let page = picture.pages.get(part);
    let count = page.map_or(0, |page| page.sessions.len());
    let sessions = counted(u64::try_from(count).unwrap_or(u64::MAX), "session");
    let mut title = match (picture.asked.view, part) {
        (View::Overview, 0) => format!("the {sessions} nearest to their verdict"),
        (View::Overview, _) => format!("the {sessions} with the slowest paths"),
        (View::Sessions, _) => format!("{sessions} {}", in_words(picture.asked.sort)),
        (View::Away, _) => format!("{sessions} away, {}", in_words(picture.asked.sort)),
    };
    if picture.asked.after.is_some() || page.is_some_and(|page| page.after.is_some()) {
        title.push_str(&format!(", page {}", app.page()));
    }
    if !picture.asked.search.is_empty() {
        title.push_str(&format!(", with \"{}\" in their name", shown(&picture.asked.search)));
    }
    if page.is_some_and(|page| !page.missing_shards.is_empty()) {
        title.push_str(", without those of threads that did not answer");
    }
    title
}

const fn in_words(sort: Sort) -> &'static str {
    match sort {
        Sort::Due => "nearest to their verdict",
        Sort::Silence => "with the longest silence",
        Sort::Rtt => "with the slowest paths",
        Sort::Age => "that are oldest",
        Sort::Queued => "with the most queued",
        Sort::Id => "by id",
    }
}

/// The last line: a question, an outcome, or the keys.
fn foot_line(app: &App, palette: Palette) -> Line<'static> {
    let text = match &app.mode {
        Mode::Search { .. } => format!("search for names with: {}_", shown(&app.search)),
        Mode::Delay { typed } => {
            format!("ask every (now {:?}; such as 500ms or 5): {}_", app.delay, shown(typed))
        }
        Mode::Kick { session, name } => {
            let name = name.as_ref().map(|name| format!(" ({})", shown(name))).unwrap_or_default();
            let session = shown(session);
            format!("end {session}{name}? y: and it stays away, r: and it may come back, else: no")
        }
        Mode::Sort { at } => return sort_line(*at, palette),
        Mode::Watch | Mode::Help => match &app.notice {
            Some(notice) => shown(notice),
            None => return keys_line(app, palette),
        },
    };
    Line::styled(text, palette.strong())
}

fn sort_line(at: Sort, palette: Palette) -> Line<'static> {
    let mut spans = vec![Span::raw("order: ")];
    for sort in Sort::ALL {
        let style = if sort == at { palette.bar() } else { Style::new() };
        spans.push(Span::styled(format!(" {} ", sort.name()), style));
    }
    spans.push(Span::raw("  arrows, then Enter"));
    Line::from(spans)
}

fn keys_line(app: &App, palette: Palette) -> Line<'static> {
    let paused = if app.is_paused { "Go on" } else { "Pause" };
    let keys = [
        ("h", "Help"),
        ("/", "Search"),
        ("F6", "Order"),
        ("1", "Overview"),
        ("2", "Sessions"),
        ("3", "Away"),
        ("Space", paused),
        ("k", "End"),
        ("q", "Quit"),
    ];
    let mut spans = Vec::new();
    for (key, does) in keys {
        spans.push(Span::raw(key));
        spans.push(Span::styled(format!(" {does}"), palette.bar()));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

fn split_off_foot(area: Rect, len: u16) -> (Rect, Rect) {
    let len = len.min(area.height);
    let height = area.height.saturating_sub(len);
    let foot = Rect { y: area.y.saturating_add(height), height: len, ..area };
    (Rect { height, ..area }, foot)
}

fn put(buffer: &mut Buffer, area: Rect, line: Line<'_>) {
    let area = area.intersection(buffer.area);
    if !area.is_empty() {
        buffer.set_line(area.x, area.y, &line, area.width);
    }
}

/// Returns how many there were room for.
fn put_lines<'a>(
    buffer: &mut Buffer,
    area: Rect,
    lines: impl IntoIterator<Item = Line<'a>>,
) -> u16 {
    let mut height = 0;
    for (line, y) in lines.into_iter().zip(rows(area)) {
        put(buffer, Rect { y, height: 1, ..area }, line);
        height += 1;
    }
    height
}
