//! The sessions, a line for each.

use core::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;

use super::super::args::Sort;
use super::super::picture::Session;
use super::super::text::{shown, time_if_known};
use super::style::Palette;

/// Some sessions in an order.
pub(super) struct Part<'a> {
    pub(super) title: String,
    pub(super) sessions: &'a [Session],
    /// The one under the bar, if it is one of these.
    pub(super) selected: Option<usize>,
    pub(super) sort: Option<Sort>,
    pub(super) is_away: bool,
}

/// The lines of an area.
pub(super) fn rows(area: Rect) -> Range<u16> {
    area.y..area.y.saturating_add(area.height)
}

impl Part<'_> {
    /// Returns how many sessions there is room for.
    pub(super) fn draw(&self, area: Rect, palette: Palette, buffer: &mut Buffer) -> usize {
        let area = area.intersection(buffer.area);
        let mut lines = rows(area);
        let width = usize::from(area.width);
        if let Some(y) = lines.next() {
            buffer.set_stringn(area.x, y, &self.title, width, palette.strong());
        }
        let columns = columns(area.width, self.is_away);
        if let Some(y) = lines.next() {
            for column in &columns {
                let is_sorted = self.sort.is_some_and(|sort| column.kind.sort() == Some(sort));
                let style = palette.strong().add_modifier(Modifier::UNDERLINED);
                let style = if is_sorted { style.add_modifier(Modifier::REVERSED) } else { style };
                column.put(buffer, area.x, y, column.kind.head(), style);
            }
        }
        let room = lines.len();
        // A page that has the bar in it.
        let page = self.selected.and_then(|at| at.checked_div(room)).unwrap_or_default();
        let first = page.saturating_mul(room);
        for ((at, session), y) in self.sessions.iter().enumerate().skip(first).zip(lines) {
            if self.selected == Some(at) {
                let bar = Rect { y, height: 1, ..area };
                buffer.set_style(bar, palette.bar());
            }
            for column in &columns {
                let (text, style) = column.kind.cell(session, palette);
                column.put(buffer, area.x, y, &text, style);
            }
        }
        room
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Session,
    Name,
    Peer,
    Silence,
    Due,
    Within,
    Rtt,
    Age,
    Queued,
    Beats,
    Health,
}

/// A column at its place.
struct Column {
    kind: Kind,
    x: u16,
    width: u16,
}

/// In the order in which they are drawn.
const ALL: [Kind; 11] = [
    Kind::Session,
    Kind::Name,
    Kind::Peer,
    Kind::Silence,
    Kind::Due,
    Kind::Within,
    Kind::Rtt,
    Kind::Age,
    Kind::Queued,
    Kind::Beats,
    Kind::Health,
];

/// A name gets what the other columns leave.
const MIN_NAME: u16 = 8;

/// A longer name would push the figures away from it.
const MAX_NAME: u16 = 48;

/// As many columns as fit.
fn columns(width: u16, is_away: bool) -> Vec<Column> {
    let due = if is_away { Kind::Within } else { Kind::Due };
    // The first are needed most.
    let wanted = [
        Kind::Session,
        due,
        Kind::Name,
        Kind::Silence,
        Kind::Rtt,
        Kind::Peer,
        Kind::Age,
        Kind::Queued,
        Kind::Beats,
        Kind::Health,
    ];
    let mut left = width;
    let mut fitting = Vec::new();
    for kind in wanted {
        let needs = kind.width().saturating_add(u16::from(!fitting.is_empty()));
        let Some(rest) = left.checked_sub(needs) else { break };
        left = rest;
        fitting.push(kind);
    }
    let mut x = 0;
    let mut columns = Vec::new();
    for kind in ALL.into_iter().filter(|kind| fitting.contains(kind)) {
        let more = if kind == Kind::Name { left.min(MAX_NAME - MIN_NAME) } else { 0 };
        let width = kind.width().saturating_add(more);
        columns.push(Column { kind, x, width });
        x = x.saturating_add(width).saturating_add(1);
    }
    columns
}

impl Column {
    fn put(&self, buffer: &mut Buffer, x: u16, y: u16, text: &str, style: Style) {
        let width = usize::from(self.width);
        let span = Span::raw(text);
        let blank = if self.kind.is_number() { width.saturating_sub(span.width()) } else { 0 };
        let x = x.saturating_add(self.x).saturating_add(u16::try_from(blank).unwrap_or(0));
        buffer.set_stringn(x, y, text, width.saturating_sub(blank), style);
    }
}

impl Kind {
    const fn head(self) -> &'static str {
        match self {
            Self::Session => "SESSION",
            Self::Name => "NAME",
            Self::Peer => "PEER",
            Self::Silence => "SILENCE",
            Self::Due => "DUE",
            Self::Within => "GIVEN UP",
            Self::Rtt => "RTT",
            Self::Age => "AGE",
            Self::Queued => "QUEUED",
            Self::Beats => "BEATS",
            Self::Health => "HEALTH",
        }
    }

    const fn width(self) -> u16 {
        match self {
            Self::Session => 11,
            Self::Name => MIN_NAME,
            Self::Peer => 21,
            Self::Silence | Self::Due | Self::Rtt | Self::Age | Self::Queued => 7,
            Self::Within => 8,
            Self::Beats => 9,
            Self::Health => 8,
        }
    }

    const fn is_number(self) -> bool {
        !matches!(self, Self::Session | Self::Name | Self::Peer | Self::Health)
    }

    const fn sort(self) -> Option<Sort> {
        match self {
            Self::Session => Some(Sort::Id),
            Self::Silence => Some(Sort::Silence),
            Self::Due | Self::Within => Some(Sort::Due),
            Self::Rtt => Some(Sort::Rtt),
            Self::Age => Some(Sort::Age),
            Self::Queued => Some(Sort::Queued),
            Self::Name | Self::Peer | Self::Beats | Self::Health => None,
        }
    }

    fn cell(self, session: &Session, palette: Palette) -> (String, Style) {
        let plain = Style::new();
        match self {
            Self::Session => (shown(&session.session), plain),
            Self::Name => (session.name.as_deref().map(shown).unwrap_or_default(), plain),
            Self::Peer => (shown(&session.peer), plain),
            Self::Silence => (time_if_known(session.silence_ms), plain),
            Self::Due if session.away_within_ms.is_some() => ("away".to_owned(), palette.warn()),
            Self::Due => (time_if_known(session.due_ms), urgency(session, palette)),
            Self::Within => (time_if_known(session.away_within_ms), palette.warn()),
            Self::Rtt => (time_if_known(session.rtt_ms), plain),
            Self::Age => (time_if_known(session.age_ms), plain),
            Self::Queued => (super::super::text::bytes(session.queued), plain),
            Self::Beats => (session.beats.to_string(), plain),
            Self::Health => {
                let health = session.health.as_deref().unwrap_or("-");
                let style = if matches!(health, "ok" | "-") { plain } else { palette.bad() };
                (shown(health), style)
            }
        }
    }
}

/// How much of its timeout is left.
fn urgency(session: &Session, palette: Palette) -> Style {
    let share = session.due_ms.zip(session.timeout_ms).map(|(due, timeout)| due / timeout);
    match share {
        Some(share) if share < 0.1 => palette.bad(),
        Some(share) if share < 1.0 / 3.0 => palette.warn(),
        Some(_) | None => Style::new(),
    }
}
