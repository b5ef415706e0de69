//! What the keys do.

use ratatui::text::{Line, Span};

use super::style::Palette;

const KEYS: &[(&str, &str)] = &[
    ("1 2 3 Tab", "overview, sessions, sessions that are away; the next of them"),
    ("F6 < >", "the order of the sessions: choose, the one before, the next"),
    ("D S R A U I", "order by due, silence, round trip, age, queued, id"),
    ("/ F3", "only sessions with some text in their name; Esc: all again"),
    ("Up Down PgUp PgDn", "move the bar; by id, also to the next page"),
    ("Home End", "the first, the last"),
    ("k F9", "end the session under the bar; asks first; needs --http-token"),
    ("Space", "pause, go on"),
    ("Enter F5", "ask the server now"),
    ("+ - d s", "ask less often, more often, every so often"),
    ("Ctrl-L Ctrl-Z", "draw anew; stop, and fg goes on"),
    ("q F10 Ctrl-C", "quit"),
];

const WORDS: &[(&str, &str)] = &[
    ("SILENCE", "time since the client's last byte"),
    ("DUE", "time left until it is declared dead, if it stays silent"),
    ("RTT", "round trip, measured by heartbeats"),
    ("lateness", "how late the server's own threads noticed silence"),
];

pub(super) fn lines(palette: Palette) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled("keys (any key goes back)", palette.strong())];
    let row = |&(name, says): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("{name:<19}"), palette.strong()), Span::raw(says)])
    };
    lines.extend(KEYS.iter().map(row));
    lines.push(Line::default());
    lines.extend(WORDS.iter().map(row));
    lines
}
