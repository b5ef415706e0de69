//! The report: as text, as JSON, and as a page with charts.

mod beside;
pub(crate) mod chart;
mod json;
mod markdown;
mod read;
mod summary;
mod text;

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use heartwire_core::Side;

use super::cell::{Record, SideRecord};
use super::detector::Detector;
use super::expect::Expected;
use super::fault::Fault;
use super::herds::HerdRecord;
use super::impair::Profile;
use super::judge::{How, Judgement, Seen};
use super::links::LinkRecord;

pub(super) use self::beside::{Beside, page};
pub(super) use self::json::json;
pub(super) use self::markdown::markdown;
pub(super) use self::text::text;

/// The results of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) seed: u64,
    /// How long a fault that is never detected was observed.
    pub(super) observe: Duration,
    pub(super) took: Duration,
    pub(super) near: Matrix,
    pub(super) far: Matrix,
    /// The faults that were observed for long.
    pub(super) long: Matrix,
    pub(super) links: Vec<LinkRecord>,
    pub(super) herds: Vec<HerdRecord>,
    pub(super) beside: Beside,
    /// What could not be measured.
    pub(super) errors: Vec<String>,
}

/// Faults and detectors, over one path.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    /// The impairments of the path, if any.
    pub(super) profile: Option<Profile>,
    /// Several of a cell if it ran several times.
    pub(super) records: Vec<Record>,
}

/// The machine of the measurement.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) processors: usize,
    pub(super) time: SystemTime,
}

impl Machine {
    /// This machine, now.
    pub(super) fn this() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            kernel: kernel.trim().to_owned(),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            time: SystemTime::now(),
        }
    }
}

impl Report {
    /// Whether all results agree with the plan and the promises.
    pub(super) fn is_right(&self) -> bool {
        self.errors.is_empty() && self.is_right_where_measured()
    }

    fn is_right_where_measured(&self) -> bool {
        self.matrices().iter().all(|matrix| matrix.records.iter().all(Record::is_right))
            && self.links.iter().all(LinkRecord::is_right)
            && self.herds.iter().all(HerdRecord::is_right)
    }

    const fn matrices(&self) -> [&Matrix; 5] {
        let Beside { connect, c } = &self.beside;
        [&self.near, &self.far, &self.long, connect, c]
    }

    /// Whether only the section with the C client ran.
    pub(super) fn is_beside_alone(&self) -> bool {
        self.near.records.is_empty() && !self.beside.c.records.is_empty()
    }

    /// Writes the page, its charts and the numbers into a directory.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        if !self.beside.c.records.is_empty() {
            write_files(directory, [("faults-c.md", page(self)), ("faults-c.json", json(self))])?;
        }
        if self.is_beside_alone() {
            return Ok(());
        }
        let files = [("faults.md", markdown(self)), ("faults.json", json(self))];
        write_files(directory, files)?;
        draw(directory)
    }
}

/// Draws the charts from the numbers in a directory.
pub(super) fn draw(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("faults.json");
    let json = fs::read_to_string(&path);
    let json = json.with_context(|| format!("cannot read {}", path.display()))?;
    let charts = charts(&json).with_context(|| format!("cannot use {}", path.display()))?;
    write_files(directory, charts)
}

/// Each chart with its name.
fn charts(json: &str) -> anyhow::Result<[(&'static str, String); 2]> {
    let figures = read::figures(json)?;
    Ok([
        ("faults.svg", chart::chart(&figures.near)),
        ("faults-summary.svg", summary::summary(&figures)),
    ])
}

fn write_files<const N: usize>(
    directory: &Path,
    files: [(&'static str, String); N],
) -> anyhow::Result<()> {
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Matrix {
    /// The faults that were made, in their order.
    fn faults(&self) -> impl Iterator<Item = Fault> {
        let is_there = |fault| self.records.iter().any(|record| record.fault == fault);
        Fault::ALL.into_iter().filter(move |&fault| is_there(fault))
    }

    /// The detectors, in their order.
    fn detectors(&self) -> impl Iterator<Item = Detector> {
        let is_there = |detector| self.records.iter().any(|record| record.detector == detector);
        Detector::ALL.into_iter().filter(move |&detector| is_there(detector))
    }

    /// The results of a cell at one end, of all its runs.
    fn summary(&self, fault: Fault, detector: Detector, side: Side) -> Option<Summary<'_>> {
        let is_it = |record: &&Record| record.fault == fault && record.detector == detector;
        let runs = self.records.iter().filter(is_it).map(|record| record.sides.of(side));
        Summary::of(&runs.collect::<Vec<_>>())
    }

    /// The results of a cell at both ends, in a few characters; empty if it did not run.
    fn short(&self, fault: Fault, detector: Detector) -> String {
        let short = |side| Some(self.summary(fault, detector, side)?.short());
        match (short(Side::Client), short(Side::Server)) {
            (Some(client), Some(server)) => format!("{client} / {server}"),
            _ => String::new(),
        }
    }

    /// Every cell with its results at one end.
    fn summaries(&self) -> impl Iterator<Item = (Fault, Detector, Side, Summary<'_>)> {
        let cells =
            self.faults().flat_map(|fault| self.detectors().map(move |detector| (fault, detector)));
        cells.flat_map(move |(fault, detector)| {
            [Side::Client, Side::Server].into_iter().filter_map(move |side| {
                Some((fault, detector, side, self.summary(fault, detector, side)?))
            })
        })
    }

    /// How far apart the earliest and the latest moment are in which a fault can have been made:
    /// mostly, and at most.
    fn resolution(&self) -> [Duration; 2] {
        let sides = self.records.iter().flat_map(|record| record.sides.iter());
        let seen = sides.filter_map(|(_, side)| match &side.seen {
            Seen::Something(sight) if side.expected != Expected::NotAsked => {
                Some(sight.resolution())
            }
            Seen::Something(_) | Seen::Nothing { .. } => None,
        });
        let mut seen: Vec<Duration> = seen.collect();
        seen.sort();
        let median = seen.get(seen.len() / 2).copied();
        [median, seen.last().copied()].map(Option::unwrap_or_default)
    }

    /// How many ends saw something else than planned.
    fn wrong(&self) -> usize {
        let sides = self.records.iter().flat_map(|record| record.sides.iter());
        sides.filter(|(_, side)| !side.judgement.is_right()).count()
    }

    /// How many ends were measured.
    fn asked(&self) -> usize {
        let sides = self.records.iter().flat_map(|record| record.sides.iter());
        sides.filter(|(_, side)| side.judgement != Judgement::NotAsked).count()
    }
}

/// The results of a cell at one end.
#[derive(Clone, Debug, PartialEq)]
struct Summary<'a> {
    expected: &'a Expected,
    /// The worst of them.
    judgement: Judgement,
    /// When it was found, each time.
    times: Vec<Duration>,
    /// By what.
    hows: Vec<How>,
    /// How long it was observed when it was not detected, if that happened.
    nothing: Option<Duration>,
}

impl<'a> Summary<'a> {
    fn of(runs: &[&'a SideRecord]) -> Option<Self> {
        let first = runs.first()?;
        let mut this = Self {
            expected: &first.expected,
            judgement: first.judgement,
            times: Vec::new(),
            hows: Vec::new(),
            nothing: None,
        };
        for run in runs {
            if this.judgement.is_right() {
                this.judgement = run.judgement;
            }
            match &run.seen {
                Seen::Nothing { during } => this.nothing = this.nothing.max(Some(*during)),
                Seen::Something(sight) => {
                    this.times.push(sight.time());
                    if !this.hows.contains(&sight.how) {
                        this.hows.push(sight.how);
                    }
                }
            }
        }
        Some(this)
    }

    /// The earliest and the latest time at which it was found, if it was.
    fn found(&self) -> Option<(Duration, Duration)> {
        Some((*self.times.iter().min()?, *self.times.iter().max()?))
    }

    /// What was measured, in a few characters, for a table with the end and the fault.
    fn short(&self) -> String {
        if *self.expected == Expected::NotAsked {
            return "·".to_owned();
        }
        let found = self.found().map(|(least, most)| {
            let (least, most) = (seconds(least), seconds(most));
            if least == most { most } else { format!("{least}–{most}") }
        });
        let nothing = self.nothing.map(|during| match self.expected {
            Expected::Never => "never".to_owned(),
            Expected::Kept | Expected::FoundOrKept(_) => "kept".to_owned(),
            Expected::Found(_) | Expected::NotAsked => format!("> {:.0}", during.as_secs_f64()),
        });
        let said: Vec<String> = found.into_iter().chain(nothing).collect();
        let said = said.join(" or ");
        if self.judgement.is_right() { said } else { format!("{said} {}", self.judgement.name()) }
    }

    /// The same for a sentence.
    fn in_words(&self) -> String {
        match (self.found(), self.nothing) {
            (Some(_), _) => format!("{} s", self.short()),
            (None, Some(during)) if matches!(self.expected, Expected::Found(_)) => {
                format!("not within {:.0} s", during.as_secs_f64())
            }
            (None, _) => self.short(),
        }
    }
}

fn headline(report: &Report) -> &'static str {
    if report.is_right() {
        "All is as planned."
    } else if report.is_right_where_measured() {
        "All measurements are as planned; some could not be made."
    } else {
        "Not all is as planned."
    }
}

/// Seconds, to a hundredth.
fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

const fn end_of(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// The bound in seconds, or a word instead.
fn bound(expected: &Expected) -> String {
    match expected {
        Expected::NotAsked => "is the one that breaks".to_owned(),
        Expected::Kept => "not lost".to_owned(),
        Expected::Never => "never".to_owned(),
        Expected::Found(promise) | Expected::FoundOrKept(promise) => {
            let (earliest, latest) = (promise.earliest.as_secs_f64(), promise.latest.as_secs_f64());
            let bound = format!("{earliest:.1} to {latest:.1} s");
            match expected {
                Expected::FoundOrKept(_) => format!("{bound}, or not lost"),
                Expected::NotAsked | Expected::Kept | Expected::Never | Expected::Found(_) => bound,
            }
        }
    }
}

/// The mechanism by the plan.
fn mechanisms(expected: &Expected) -> String {
    let by = expected.promise().map(|promise| promise.by.as_slice()).unwrap_or_default();
    by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
