//! A readable log of one run.

use core::fmt;

use super::time::WorldTime;

/// The log lines of a run, which are dropped unless they were asked for.
#[derive(Debug, Default)]
pub(super) struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps its lines.
    pub(super) const fn kept() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    pub(super) fn line(&mut self, at: WorldTime, who: &dyn fmt::Display, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            let (at, who) = (at.to_string(), who.to_string());
            lines.push(format!("{at:>16}  {who:<13} {what}"));
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
