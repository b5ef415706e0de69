//! What is happening, on standard error: one line that changes on a terminal, else a line for each
//! phase.

use core::fmt;
use core::time::Duration;
use std::io::{self, IsTerminal};
use std::time::Instant;

use crate::output::{redraw, say};

/// How often the line changes; drawing it is work for the generator's own thread.
const REDRAW: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    /// What the phases belong to: which server, which round.
    prefix: String,
    drawn_at: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(prefix: String) -> Self {
        Self { terminal: io::stderr().is_terminal(), prefix, drawn_at: None }
    }

    /// A phase begins.
    pub(crate) fn phase(&mut self, what: impl fmt::Display) {
        if self.terminal {
            self.draw(what);
        } else {
            say(format_args!("{}{what}", self.prefix));
        }
    }

    /// It goes on.
    pub(crate) fn update(&mut self, what: impl fmt::Display) {
        if self.terminal && self.drawn_at.is_none_or(|at| at.elapsed() >= REDRAW) {
            self.draw(what);
        }
    }

    fn draw(&mut self, what: impl fmt::Display) {
        redraw(format_args!("{}{what}", self.prefix));
        self.drawn_at = Some(Instant::now());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn_at.is_some() {
            redraw("");
        }
    }
}
