//! Colours that can be read on dark terminals and on light ones.

use ratatui::style::{Color, Modifier, Style};

/// Yellow, blue, cyan and white vanish on one background or the other; so there are three colours,
/// and none is needed to read a line.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Palette {
    has_colors: bool,
}

impl Palette {
    pub(in super::super) const fn plain() -> Self {
        Self { has_colors: false }
    }

    #[cfg(test)]
    pub(in super::super) const fn colored() -> Self {
        Self { has_colors: true }
    }

    /// Without colours where `NO_COLOR` asks for that (no-color.org).
    pub(super) fn from_environment() -> Self {
        Self { has_colors: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn good(self) -> Style {
        self.color(Color::Green)
    }

    pub(super) fn warn(self) -> Style {
        self.color(Color::Magenta)
    }

    pub(super) fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
