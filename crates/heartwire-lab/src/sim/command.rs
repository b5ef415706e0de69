//! `heartwire-lab sim`.

use core::time::Duration;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;

use super::{kept, report, run_many, run_seed, trace_seed};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab sim --seeds 1000000
      a million seeds, on all processors
  heartwire-lab sim --from 1000000 --seeds 50000 --jobs 1 --format json
      others, on one processor, as JSON
  heartwire-lab sim --seed 4711
      what happens in one of them
  heartwire-lab sim --kept
      the seeds that once found a fault

Each seed is three runs: a life, in which anything can go wrong; one fault alone, which both ends
must detect when the plan says; and a quiet path, whose round trip the beats must measure. A seed
means the same on every machine, until the simulator changes.

Exit codes:
  0  no promise was broken
  1  one was; or in 10,000 seeds or more something never happened that can; or there are no such
     seeds; or the output could not be written
  2  usage";

/// With this many seeds every kind of event must occur.
const ENOUGH_FOR_ALL: u64 = 10_000;

/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
const PROGRESS_EVERY_LOGGED: Duration = Duration::from_secs(10);

/// Arguments of `sim`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of seeds to run.
    #[arg(long, value_name = "N", default_value = "100000",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// Threads, 1 to 1024 [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Run only this seed, and print what happens in it.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "jobs", "kept"])]
    seed: Option<u64>,

    /// Run the seeds that once found a fault.
    #[arg(long, conflicts_with_all = ["seeds", "from", "jobs"])]
    kept: bool,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// Runs it.
///
/// # Errors
///
/// When the output cannot be written, or the seeds asked for do not exist.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let all_well = if let Some(seed) = args.seed {
        run_one(seed, args.format)?
    } else if args.kept {
        run_kept(args.format)?
    } else {
        run_range(args)?
    };
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_range(args: &Args) -> anyhow::Result<bool> {
    let end = args.from.checked_add(args.seeds).context("there are no seeds above 2^64 - 1")?;
    let jobs = args
        .jobs
        .map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let begun_at = Instant::now();
    let progress = Progress::new(args.seeds);
    let totals = run_many(args.from..end, jobs, |done| progress.report(done));
    progress.clear();
    let took = begun_at.elapsed();
    match args.format {
        Format::Text => {
            report::text(args.from, &totals, took).iter().try_for_each(output::print)?
        }
        Format::Json => output::print(report::object(args.from, &totals, took))?,
    }
    if !totals.failures.is_empty() {
        output::say(format_args!(
            "{} seeds broke a promise; keep such a seed in crates/heartwire-lab/seeds/kept.txt",
            totals.failures.len()
        ));
        return Ok(false);
    }
    let missing = totals.never_happened();
    if args.seeds >= ENOUGH_FOR_ALL && !missing.is_empty() {
        output::say(format_args!("never happened: {}", missing.join(", ")));
        return Ok(false);
    }
    Ok(true)
}

fn run_one(seed: u64, format: Format) -> anyhow::Result<bool> {
    let runs = trace_seed(seed);
    let all_well = runs.iter().all(|run| run.failure.is_none());
    match format {
        Format::Text => {
            for run in &runs {
                output::print(format_args!("== {}", run.run))?;
                run.lines.iter().try_for_each(output::print)?;
            }
            runs.iter().filter_map(|run| run.failure.as_ref()).try_for_each(output::print)?;
            if all_well {
                output::print(format_args!("seed {seed} keeps every promise"))?;
            }
        }
        Format::Json => {
            let runs = runs.iter().map(|run| {
                let failure = run.failure.as_ref().map(report::failure);
                json!({ "run": run.run, "failure": failure, "lines": run.lines })
            });
            output::print(json!({ "seed": seed, "runs": runs.collect::<Vec<_>>() }))?;
        }
    }
    Ok(all_well)
}

fn run_kept(format: Format) -> anyhow::Result<bool> {
    let mut all_well = true;
    let mut seeds = Vec::new();
    for kept in kept() {
        let failure = run_seed(kept.seed).err();
        all_well &= failure.is_none();
        match (format, &failure) {
            (Format::Json, _) => seeds.push(json!({
                "seed": kept.seed,
                "why": kept.why,
                "failure": failure.as_ref().map(report::failure),
            })),
            (Format::Text, None) => {
                output::print(format_args!("{:>8}  kept   {}", kept.seed, kept.why))?;
            }
            (Format::Text, Some(failure)) => {
                output::print(format_args!("{:>8}  BROKEN {}\n{failure}", kept.seed, kept.why))?;
            }
        }
    }
    if format == Format::Json {
        output::print(json!({ "kept": seeds }))?;
    }
    Ok(all_well)
}

/// Progress, on standard error: a line that changes on a terminal, else a line now and then.
struct Progress {
    all: u64,
    is_terminal: bool,
    reported_at: Mutex<Instant>,
}

impl Progress {
    fn new(all: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { all, is_terminal, reported_at: Mutex::new(Instant::now()) }
    }

    fn report(&self, done: u64) {
        let Ok(mut reported_at) = self.reported_at.lock() else { return };
        let every = if self.is_terminal { PROGRESS_EVERY } else { PROGRESS_EVERY_LOGGED };
        if reported_at.elapsed() < every {
            return;
        }
        *reported_at = Instant::now();
        if self.is_terminal {
            output::redraw(format_args!("{done} of {} seeds", self.all));
        } else {
            output::say(format_args!("{done} of {} seeds", self.all));
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            output::redraw("");
        }
    }
}
