//! `heartwire presence list`.

use core::fmt;
use core::time::Duration;
use std::io::IsTerminal as _;
use std::time::Instant;

use heartwire_presence::Entry;
use serde::Serialize;

use super::args::ListArgs;
use super::table::Table;
use super::{connect, date, failed, print, shown};
use crate::exit::Exit;
use crate::output::{grouped, inform, print_bytes, to_json};
use crate::values::Format;

/// How often a long list tells how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How many there are.
#[derive(Debug, Serialize)]
struct Count {
    names: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(f)
    }
}

pub(super) async fn list(args: &ListArgs) -> anyhow::Result<Exit> {
    let mut directory = connect(&args.redis).await?;
    let all = directory.count().await.map_err(failed)?;
    if args.count && args.which.is_all() {
        print(&Count { names: all }, &args.redis)?;
        return Ok(Exit::Success);
    }
    let mut printer = Printer::new(args.redis.format.format());
    let (mut names, mut read, mut found) = (directory.list(), 0, 0_u64);
    let mut progress = Progress::new(args.count);
    while let Some(mut portion) = names.portion().await.map_err(failed)? {
        read += portion.len();
        portion.retain(|entry| args.which.has(entry, None));
        found += u64::try_from(portion.len()).unwrap_or(u64::MAX);
        if !args.count {
            printer.print(&portion)?;
        }
        progress.tell(read, all);
    }
    if args.count {
        print(&Count { names: found }, &args.redis)?;
    }
    Ok(Exit::Success)
}

/// Prints names, as a table or as objects.
struct Printer {
    format: Format,
    table: Table<5>,
    is_begun: bool,
}

impl Printer {
    fn new(format: Format) -> Self {
        Self { format, table: Table::new(), is_begun: false }
    }

    fn print(&mut self, entries: &[Entry]) -> anyhow::Result<()> {
        let mut text = String::new();
        match self.format {
            Format::Json => {
                for entry in entries {
                    text.push_str(&to_json(entry));
                    text.push('\n');
                }
            }
            Format::Text => {
                let header = ["NAME", "NODE", "SINCE", "SESSION", "PEER"].map(str::to_owned);
                let begin = (!self.is_begun && !entries.is_empty()).then_some(header);
                let rows: Vec<_> = begin.into_iter().chain(entries.iter().map(row)).collect();
                self.is_begun |= !rows.is_empty();
                rows.iter().for_each(|row| self.table.fit(row));
                rows.iter().for_each(|row| self.table.write(row, &mut text));
            }
        }
        print_bytes(text.as_bytes())
    }
}

fn row(entry: &Entry) -> [String; 5] {
    let name = shown(&entry.name).replace('\t', "\\t");
    [name, shown(entry.node.as_str()), date(entry.since), shown(&entry.session), shown(&entry.peer)]
}

/// Tells how far a long list is, on a terminal that shows nothing else.
struct Progress {
    told_at: Instant,
    is_wanted: bool,
}

impl Progress {
    fn new(is_silent: bool) -> Self {
        let shows_nothing_else = is_silent || !std::io::stdout().is_terminal();
        let is_wanted = shows_nothing_else && std::io::stderr().is_terminal();
        Self { told_at: Instant::now(), is_wanted }
    }

    fn tell(&mut self, read: usize, all: u64) {
        if self.is_wanted && self.told_at.elapsed() >= PROGRESS_EVERY {
            self.told_at = Instant::now();
            let read = grouped(u64::try_from(read).unwrap_or(u64::MAX));
            inform(format_args!("read {read} of {} names", grouped(all)));
        }
    }
}
