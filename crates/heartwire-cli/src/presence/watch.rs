//! `heartwire presence watch`.

mod line;

use anyhow::Context;
use heartwire_presence::{Directory, Reader, Reading};
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use super::args::{WatchArgs, WhichArgs};
use super::connect;
use crate::exit::Exit;
use crate::output::{print_bytes, render};
use crate::signals::Stop;
use crate::values::Format;

use line::Line;

/// How many lines are written at once.
const LINES: usize = 1_000;

pub(super) fn watch(runtime: &Runtime, args: &WatchArgs) -> anyhow::Result<Exit> {
    runtime.block_on(async {
        let mut stop = Stop::listen().context("cannot listen for signals")?;
        tokio::select! {
            directory = connect(&args.redis) => start(args, &directory?, &mut stop).await,
            () = stop.signal() => Ok(Exit::Success),
        }
    })
}

async fn start(args: &WatchArgs, directory: &Directory, stop: &mut Stop) -> anyhow::Result<Exit> {
    let reader = directory.reader();
    let printer = Printer { format: args.redis.format.format(), changes_only: args.changes_only };
    let which = args.which.clone();
    // On a thread of its own: a write may hang.
    let printing = tokio::spawn(printer.print_all(reader, which));
    tokio::select! {
        failed = printing => failed?.map(|()| Exit::Success),
        () = stop.signal() => Ok(Exit::Success),
    }
}

/// Prints readings as they come.
struct Printer {
    format: Format,
    changes_only: bool,
}

impl Printer {
    async fn print_all(self, mut reader: Reader, which: WhichArgs) -> anyhow::Result<()> {
        loop {
            let reading = reader.next().await;
            self.print(reading, &which)?;
            yield_now().await;
        }
    }

    fn print(&self, reading: Reading, which: &WhichArgs) -> anyhow::Result<()> {
        let lines: Vec<Line> = if let Reading::Snapshot { because, mut entries, .. } = reading {
            entries.retain(|entry| which.has(entry, None));
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            let names = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            let listed = if self.changes_only { Vec::new() } else { entries };
            let first = Line::Snapshot { because: because.name(), names };
            core::iter::once(first).chain(listed.into_iter().map(Line::Entry)).collect()
        } else {
            let is_meant = if let Reading::Change(change) = &reading {
                which.has(&change.entry, change.from.as_ref())
            } else {
                true
            };
            is_meant.then(|| Line::of(reading)).flatten().into_iter().collect()
        };
        for lines in lines.chunks(LINES) {
            let text = |line: &Line| render(line, line.time(), self.format) + "\n";
            print_bytes(lines.iter().map(text).collect::<String>().as_bytes())?;
        }
        Ok(())
    }
}
