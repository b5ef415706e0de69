//! Runs the network lab.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use heartwire_core::Preset;

use super::args::{Args, Format, Part, Section};
use super::cell::Cell;
use super::client::Client;
use super::detector::Detector;
use super::experiment::Lab;
use super::fault::Fault;
use super::herds::{Herd, Trial};
use super::impair::Profile;
use super::links::{Link, profiles};
use super::namespace::Maker;
use super::report::{self, Beside, Machine, Matrix, Report};
use super::stop::Stop;
use super::{cuts, herd, impair, middlebox, missing, pool, run_simulator_alone, throughput};
use crate::output::{print, say};

/// How long data is sent over each bad link.
const TALK: Duration = Duration::from_secs(60);

/// The cells of the quick check: one for each way of making a fault and of detecting it.
const SMOKE: [(Fault, Detector); 16] = [
    (Fault::Nothing, Detector::Everything),
    (Fault::ClientCloses, Detector::None),
    (Fault::SocketKilled, Detector::None),
    (Fault::ServerKilled, Detector::None),
    (Fault::ServerKilledUnread, Detector::BothWays),
    (Fault::ServerFrozen, Detector::KeepaliveTuned),
    (Fault::ServerFrozen, Detector::Everything),
    (Fault::GoneIdle, Detector::KeepaliveTuned),
    (Fault::GoneIdle, Detector::OneWay),
    (Fault::GoneUnacked, Detector::UserTimeout),
    (Fault::CutToServer, Detector::Asking),
    (Fault::CutToClient, Detector::BothWays),
    (Fault::NatFlushReset, Detector::OneWay),
    (Fault::BlackHole, Detector::BothWays),
    (Fault::ServerNotReading, Detector::Everything),
    (Fault::BlackoutShort, Detector::BothWays),
];

/// The cells of the quick check that the C client runs as well: one for each way of ending.
const SMOKE_C: [(Fault, Detector); 8] = [
    (Fault::Nothing, Detector::Everything),
    (Fault::ClientCloses, Detector::ProtocolV1),
    (Fault::ServerCloses, Detector::ProtocolV1),
    (Fault::ServerKilledUnread, Detector::BothWays),
    (Fault::GoneIdle, Detector::KeepaliveTuned),
    (Fault::CutToServer, Detector::Asking),
    (Fault::BlackHole, Detector::ProtocolV1),
    (Fault::ClientNotReading, Detector::BothWays),
];

/// The faults and detectors for the long path: those whose bounds depend on the delay.
const FAR_FAULTS: [Fault; 7] = [
    Fault::ServerKilled,
    Fault::ServerFrozen,
    Fault::GoneIdle,
    Fault::GoneUnacked,
    Fault::CutToServer,
    Fault::CutToClient,
    Fault::BlackoutShort,
];
const FAR_DETECTORS: [Detector; 6] = [
    Detector::KeepaliveTuned,
    Detector::UserTimeout,
    Detector::OneWay,
    Detector::Asking,
    Detector::BothWays,
    Detector::Everything,
];

/// The longest time in which only the kernel detects a fault (`tcp_retries2`, see the plan).
const LONG: [(Fault, Detector); 6] = [
    (Fault::GoneUnacked, Detector::None),
    (Fault::GoneUnacked, Detector::KeepaliveTuned),
    (Fault::GoneUnacked, Detector::OneWay),
    (Fault::GoneIdle, Detector::OneWay),
    (Fault::CutToClient, Detector::OneWay),
    (Fault::NatExpiry, Detector::None),
];
const LONG_OBSERVE: Duration = Duration::from_secs(1080);

/// Runs it. If something is missing it says what, and runs only the simulator.
///
/// # Errors
///
/// When the program under test is missing, or the results cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(part) = &args.part {
        match part {
            Part::Impair(args) => impair::run(args)?,
            Part::Middlebox(args) => middlebox::run(args)?,
            Part::Herd(args) => herd::run(args)?,
            Part::Cut(args) => cuts::run_end(args)?,
            Part::Bulk(args) => throughput::run_end(args)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.list {
        list()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(directory) = &args.draw {
        report::draw(directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    let maker = Maker::this()?;
    let missing = missing::find(maker);
    if !missing.is_empty() {
        return run_simulator_alone(&missing);
    }
    let heartwire = missing::heartwire(args.bin.as_deref())?;
    let c_client = missing::c_client(args.c_client.as_deref(), &args.sections)?;
    let lab = Lab { maker, heartwire, c_client, stop: Stop::begin()? };
    let mut work = Work::of(args);
    if !missing::has_tun() {
        say("heartwire-lab: skips bad links and long paths: no /dev/net/tun (modprobe tun)");
        work.far_cells.clear();
        work.links.clear();
    }
    let report = work.run(&lab);
    if lab.stop.is_asked() {
        return Ok(Stop::exit());
    }
    let told = match args.format {
        Format::Text => report::text(&report),
        Format::Json => report::json(&report),
        Format::Markdown if report.is_beside_alone() => report::page(&report),
        Format::Markdown => report::markdown(&report),
    };
    print(told.trim_end())?;
    if let Some(directory) = &args.write {
        report.write(directory)?;
    }
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list() -> anyhow::Result<()> {
    print("Faults:")?;
    for fault in Fault::ALL {
        print(format_args!("  {:21} {}: {}", fault.name(), fault.title(), fault.recipe()))?;
    }
    print("\nDetectors:")?;
    for detector in Detector::ALL {
        print(format_args!("  {:21} {}", detector.name(), detector.title().join(", ")))?;
    }
    Ok(())
}

/// The work to do.
#[derive(Debug)]
struct Work {
    cells: Vec<Cell>,
    far_path: Option<Profile>,
    far_cells: Vec<Cell>,
    long_cells: Vec<Cell>,
    links: Vec<Link>,
    herds: Vec<Herd>,
    beside_cells: Vec<Cell>,
    jobs: NonZeroUsize,
    seed: u64,
    observe: Duration,
    /// Whether everything runs at once, which is faster, and disturbs the measurements more.
    at_once: bool,
}

impl Work {
    fn of(args: &Args) -> Self {
        let seed = args.seed.unwrap_or_else(random_seed);
        let mut this = Self {
            cells: Vec::new(),
            far_path: None,
            far_cells: Vec::new(),
            long_cells: Vec::new(),
            links: Vec::new(),
            herds: Vec::new(),
            beside_cells: Vec::new(),
            jobs: args.jobs,
            seed,
            observe: args.observe,
            at_once: args.smoke,
        };
        if args.smoke {
            this.smoke(args);
        } else {
            this.everything(args);
        }
        this
    }

    fn everything(&mut self, args: &Args) {
        let picked = !args.only.is_empty() || !args.detector.is_empty();
        let has = |section| {
            if !args.sections.is_empty() {
                args.sections.contains(&section)
            } else if args.c_client.is_some() {
                section == Section::C
            } else {
                section == Section::Matrix
                    || (!picked && !matches!(section, Section::Long | Section::C))
            }
        };
        let faults = picked_of(&Fault::ALL, &args.only);
        let detectors = picked_of(&Detector::ALL, &args.detector);
        if has(Section::Matrix) {
            self.cells = cells(&faults, &detectors, None, args.runs);
        }
        if has(Section::C) {
            let cells = cells(&faults, &detectors, None, args.runs).into_iter();
            // One after the other, so that both have the same conditions.
            let both = |cell: Cell| Client::ALL.map(|client| Cell { client, ..cell.clone() });
            self.beside_cells = cells.flat_map(both).collect();
        }
        if has(Section::Far) {
            let far = far_path(self.seed);
            self.far_cells = cells(&FAR_FAULTS, &FAR_DETECTORS, Some(&far), args.runs);
            self.far_path = Some(far);
        }
        if has(Section::Long) {
            self.long_cells = LONG.map(|pair| cell(pair, Client::Connect)).to_vec();
        }
        if has(Section::Links) {
            let links = profiles(self.seed).into_iter();
            self.links = links.map(|profile| Link { profile, time: TALK }).collect();
        }
        if has(Section::Herds) {
            let herd = |trial| Herd { trial, clients: args.herd, time: args.herd_time };
            self.herds = Trial::ALL.map(herd).to_vec();
        }
    }

    fn smoke(&mut self, args: &Args) {
        self.observe = Duration::from_secs(8);
        self.cells = SMOKE.map(|pair| cell(pair, Client::Connect)).to_vec();
        if args.c_client.is_some() {
            self.beside_cells = SMOKE_C.map(|pair| cell(pair, Client::C)).to_vec();
        }
        let far = far_path(self.seed);
        self.far_cells = cells(&[Fault::CutToClient], &[Detector::BothWays], Some(&far), 1);
        self.far_path = Some(far);
        let time = Duration::from_secs(10);
        let worst = profiles(self.seed).pop().into_iter();
        self.links = worst.map(|profile| Link { profile, time }).collect();
        let loss = Trial::Loss { percent: 5, preset: Preset::Default };
        let herd = |trial| Herd { trial, clients: 100, time };
        self.herds = [Trial::Pause, loss].map(herd).to_vec();
    }

    fn run(self, lab: &Lab) -> Report {
        let start = Instant::now();
        let mut report = Report {
            machine: Machine::this(),
            seed: self.seed,
            observe: self.observe,
            took: Duration::ZERO,
            near: Matrix::default(),
            far: Matrix { profile: self.far_path.clone(), records: Vec::new() },
            long: Matrix::default(),
            links: Vec::new(),
            herds: Vec::new(),
            beside: Beside::default(),
            errors: Vec::new(),
        };
        let (seed, observe) = (self.seed, self.observe);
        // Every experiment has a number of its own, which names its namespaces.
        let far_from = self.cells.len();
        let long_from = far_from + self.far_cells.len();
        let links_from = long_from + self.long_cells.len();
        let herds_from = links_from + self.links.len();
        let beside_from = herds_from + self.herds.len();
        let cell = |number, cell: &Cell| cell.run(lab, number, seed, observe);
        let link = |number, link: &Link| link.run(lab, number);
        let herd = |number, herd: &Herd| herd.run(lab, number);
        let near = || self.section(lab, "cells", 0, &self.cells, cell);
        let far = || self.section(lab, "far cells", far_from, &self.far_cells, cell);
        let links = || self.section(lab, "links", links_from, &self.links, link);
        let herds = || self.section(lab, "herds", herds_from, &self.herds, herd);
        let beside = || self.section(lab, "c cells", beside_from, &self.beside_cells, cell);
        let long = |number, cell: &Cell| cell.run(lab, number, seed, LONG_OBSERVE);
        let long = || self.section(lab, "long cells", long_from, &self.long_cells, long);
        let (near, far, links, herds, beside, long) = thread::scope(|scope| {
            // They wait for a quarter of an hour, and disturb nothing.
            let long = scope.spawn(long);
            let (near, far, links, herds, beside) = if self.at_once {
                let (far, links) = (scope.spawn(far), scope.spawn(links));
                let (herds, beside) = (scope.spawn(herds), scope.spawn(beside));
                (near(), joined(far), joined(links), joined(herds), joined(beside))
            } else {
                (near(), far(), links(), herds(), beside())
            };
            (near, far, links, herds, beside, joined(long))
        });
        report.near.records = keep(near, &mut report.errors);
        report.far.records = keep(far, &mut report.errors);
        report.long.records = keep(long, &mut report.errors);
        report.links = keep(links, &mut report.errors);
        report.herds = keep(herds, &mut report.errors);
        report.beside = Beside::of(keep(beside, &mut report.errors));
        report.took = start.elapsed();
        report
    }

    /// Runs one kind of experiment, numbered from `first`, and reports progress.
    fn section<J: Sync, R: Send>(
        &self,
        lab: &Lab,
        what: &'static str,
        first: usize,
        jobs: &[J],
        work: impl Fn(usize, &J) -> anyhow::Result<R> + Sync,
    ) -> Vec<anyhow::Result<R>> {
        let mut progress = Progress::new(what, jobs.len());
        let work = |number, job: &J| (!lab.stop.is_asked()).then(|| work(first + number, job));
        pool::run_all(self.jobs, jobs, work, |outcome| progress.step(outcome.is_err()))
    }
}

/// The result of a thread; its panic is passed on.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The results, without the errors, which are kept elsewhere.
fn keep<R>(outcomes: Vec<anyhow::Result<R>>, errors: &mut Vec<String>) -> Vec<R> {
    let mut kept = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => kept.push(outcome),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    kept
}

/// A cell that runs once, over a good path.
const fn cell((fault, detector): (Fault, Detector), client: Client) -> Cell {
    Cell { fault, detector, client, profile: None, run: 0 }
}

/// A path across an ocean, with a little jitter.
fn far_path(seed: u64) -> Profile {
    let ms = Duration::from_millis;
    Profile { delay: ms(50), jitter: ms(20), seed, ..Profile::default() }
}

/// The selected values, in the order of all; all, if none were selected.
fn picked_of<T: Copy + PartialEq>(all: &[T], picked: &[T]) -> Vec<T> {
    let is_picked = |one: &T| picked.is_empty() || picked.contains(one);
    all.iter().copied().filter(is_picked).collect()
}

/// Every fault with every detector and `connect`, this many times.
fn cells(
    faults: &[Fault],
    detectors: &[Detector],
    profile: Option<&Profile>,
    runs: u32,
) -> Vec<Cell> {
    let mut cells = Vec::new();
    for run in 0..runs {
        for &fault in faults {
            for &detector in detectors {
                let (client, profile) = (Client::Connect, profile.cloned());
                cells.push(Cell { fault, detector, client, profile, run });
            }
        }
    }
    cells
}

/// A seed. Without a standard generator it differs from run to run as much as it must.
pub(super) fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    fastrand::Rng::with_seed(nanos).u64(..)
}

/// Progress of a section, on standard error: one line that changes on a terminal, else one for each
/// tenth.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    all: usize,
    done: usize,
    failed: usize,
}

impl Progress {
    pub(super) const fn new(what: &'static str, all: usize) -> Self {
        Self { what, all, done: 0, failed: 0 }
    }

    pub(super) fn step(&mut self, failed: bool) {
        self.done += 1;
        self.failed += usize::from(failed);
        let failed = if self.failed == 0 {
            String::new()
        } else {
            format!(", {} not measured", self.failed)
        };
        let line = format!("{}: {} of {}{failed}", self.what, self.done, self.all);
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            let end = if self.done == self.all { "\n" } else { "" };
            // Nothing can be done if it fails.
            let _ = write!(err, "\r\x1b[K{line}{end}").and_then(|()| err.flush());
        } else if self.done == self.all || self.done.is_multiple_of(self.all.div_ceil(10)) {
            let _ = writeln!(err, "{line}");
        }
    }
}
