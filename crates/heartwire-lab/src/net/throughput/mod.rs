//! `throughput`: how much one connection carries, with and without resume in turn.

mod end;

use core::fmt::Write as _;
use core::time::Duration;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context;
use clap::ValueEnum;
use heartwire_core::Side;
use serde_json::{Value, json};

pub(super) use self::end::{Args as EndArgs, run as run_end};
use self::end::{Direction, End};
use super::cuts::certificate;
use super::impair::Profile;
use super::missing;
use super::namespace::{Maker, this_program};
use super::program::{Program, Telling};
use super::run::Progress;
use super::size::size;
use super::stop::Stop;
use super::topology::{SERVER, Topology};
use crate::output::print;
use crate::process::Usage;

/// What a connection must carry with resume, of what it carries without.
const LEAST_RATIO: f64 = 0.95;

/// How long one measurement may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Answers that the client asks for at once, in windows: more than one, so that the window is what
/// limits a session that can be resumed.
const AHEAD: usize = 4;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab throughput
      over loopback, and over a path of 60 ms with a window of twice bandwidth x delay
  heartwire-lab throughput --over loopback --tls --rounds 9 --format json

Each round measures a connection without resume and one with it, in turn, and takes their ratio. It
needs root, as `cuts` does.

Exit codes: 0 with resume a connection carries at least 0.95 of what it does without, in the median
of the rounds; 1 it carries less, or could not be measured; 2 usage.";

/// Arguments of `throughput`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The paths [default: both].
    #[arg(long, value_name = "PATH", value_enum, value_delimiter = ',')]
    over: Vec<Path>,

    /// Which way the data goes [default: all].
    #[arg(long, value_name = "WAY", value_enum, value_delimiter = ',')]
    direction: Vec<Direction>,

    /// Number of rounds.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    rounds: u16,

    /// How much is sent over loopback.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    bytes: u64,

    /// How much is sent over the far path.
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = size)]
    far_bytes: u64,

    /// The length of each frame.
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = size)]
    frame: u64,

    /// The window on loopback.
    #[arg(long, value_name = "SIZE", default_value = "2MiB", value_parser = size)]
    window: u64,

    /// How much the far path carries, in Mbit/s.
    #[arg(long, value_name = "MBITS", default_value_t = 40)]
    far_rate: u32,

    /// Use TLS.
    #[arg(long)]
    tls: bool,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Path {
    /// Both ends in one namespace, over its loopback interface.
    Loopback,
    /// Both ends behind a router with a delay of 30 ms each way and a limited rate.
    Far,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// The round trip of the far path.
const FAR: Duration = Duration::from_millis(60);

/// A connection that is measured with resume and without.
#[derive(Clone, Copy, Debug)]
struct Trial {
    path: Path,
    direction: Direction,
    bytes: u64,
    window: u64,
}

/// Its results, one pair for each round: without resume, and with it.
struct Record {
    trial: Trial,
    pairs: Vec<[Figures; 2]>,
}

/// What one connection has done.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// In one direction.
    bytes_per_s: f64,
    /// Processor time of both ends.
    cpu_s: f64,
}

/// Runs it.
///
/// # Errors
///
/// When it cannot run, and says what is missing.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let maker = Maker::this()?;
    missing::nothing(maker)?;
    let stop = Stop::begin()?;
    let records = match measure(args, maker, &stop) {
        Err(_) if stop.is_asked() => return Ok(Stop::exit()),
        records => records?,
    };
    match args.format {
        Format::Text => print(text(&records).trim_end())?,
        Format::Json => print(object(args, &records))?,
    }
    let is_fine = records.iter().all(|record| record.ratio() >= LEAST_RATIO);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(args: &Args, maker: Maker, stop: &Stop) -> anyhow::Result<Vec<Record>> {
    let trials = args.trials();
    let mut progress = Progress::new("rounds", trials.len() * usize::from(args.rounds));
    let mut records = Vec::new();
    for (number, &trial) in trials.iter().enumerate() {
        let profile = Profile { delay: FAR / 2, ..Profile::default() };
        let is_far = trial.path == Path::Far;
        let topology = Topology::make(maker, number, is_far.then_some(&profile))?;
        if is_far {
            topology.limit_rate(&format!("{}mbit", args.far_rate))?;
        }
        let mut pairs = Vec::new();
        for round in 0..args.rounds {
            let mut pair = [Figures::default(); 2];
            // Each of them is the first one as often as the other.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for resumes in order {
                let figures = trial.run(args, &topology, stop, resumes == 1)?;
                if let Some(place) = pair.get_mut(resumes) {
                    *place = figures;
                }
            }
            pairs.push(pair);
            progress.step(false);
        }
        records.push(Record { trial, pairs });
    }
    Ok(records)
}

impl Args {
    fn trials(&self) -> Vec<Trial> {
        fn or_all<T: ValueEnum>(some: &[T]) -> Vec<T> {
            if some.is_empty() { T::value_variants().to_vec() } else { some.to_vec() }
        }
        let mut trials = Vec::new();
        for path in or_all(&self.over) {
            let (bytes, window) = match path {
                Path::Loopback => (self.bytes, self.window),
                Path::Far => (self.far_bytes, self.far_window()),
            };
            for direction in or_all(&self.direction) {
                trials.push(Trial { path, direction, bytes, window });
            }
        }
        trials
    }

    /// Twice bandwidth times delay.
    fn far_window(&self) -> u64 {
        let bytes_per_ms = u64::from(self.far_rate) * 1_000_000 / 8 / 1_000;
        2 * bytes_per_ms * u64::try_from(FAR.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Trial {
    fn run(
        &self,
        args: &Args,
        topology: &Topology,
        stop: &Stop,
        resumes: bool,
    ) -> anyhow::Result<Figures> {
        let files = args.tls.then(certificate).transpose()?;
        let (address, client) = match self.path {
            Path::Loopback => ("127.0.0.1:39002", &topology.server),
            Path::Far => (SERVER, &topology.client),
        };
        let server = EndArgs {
            end: End::Server,
            address: address.to_owned(),
            window: if resumes { Some(u32::try_from(self.window)?) } else { None },
            tls: files.as_ref().map(|files| files.path().to_owned()),
        };
        let ahead = usize::try_from(self.window / args.frame)?.max(1) * AHEAD;
        let (bytes, frame) = (usize::try_from(self.bytes)?, usize::try_from(args.frame)?);
        let end = End::Client { direction: self.direction, bytes, frame, ahead };
        let other = EndArgs { end, ..server.clone() };

        let (tell, told) = mpsc::channel();
        let mut telling = Telling::new(told, stop.clone());
        let program = this_program()?;
        let start = |namespace, side, args: &EndArgs| {
            Program::part(side, namespace, &program, "bulk", &args.typed(), &tell)
        };
        let server = start(&topology.server, Side::Server, &server)?;
        telling.expect(Side::Server, "listening", PATIENCE).with_context(|| server.complaints())?;
        let before = Usage::of(server.pid())?;
        let client = start(client, Side::Client, &other)?;
        telling.expect(Side::Client, "done", PATIENCE).with_context(|| client.complaints())?;
        let mut told = telling.so_far.iter();
        let done = told.rfind(|told| told.event == "done").context("no end")?;
        let cpu_ns = (Usage::of(server.pid())? - before).cpu_ns + done.count("cpu_ns");
        #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "it is below 2^53")]
        let bytes = self.bytes as f64;
        Ok(Figures {
            bytes_per_s: bytes / done.number("seconds"),
            cpu_s: Duration::from_nanos(cpu_ns).as_secs_f64(),
        })
    }
}

impl Record {
    /// The median of the rounds' ratios.
    fn ratio(&self) -> f64 {
        median(self.pairs.iter().map(|[without, with]| with.bytes_per_s / without.bytes_per_s))
    }

    /// The same of the processor time.
    fn cpu_ratio(&self) -> f64 {
        median(self.pairs.iter().map(|[without, with]| with.cpu_s / without.cpu_s))
    }

    /// The medians in MiB a second, without resume and with it.
    fn speeds(&self) -> [f64; 2] {
        let mib = f64::from(1 << 20);
        [
            median(self.pairs.iter().map(|[without, _]| without.bytes_per_s / mib)),
            median(self.pairs.iter().map(|[_, with]| with.bytes_per_s / mib)),
        ]
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

const fn path_name(path: Path) -> &'static str {
    match path {
        Path::Loopback => "loopback",
        Path::Far => "far",
    }
}

fn text(records: &[Record]) -> String {
    let mut text =
        "path      way   without, MiB/s  with, MiB/s  ratio  CPU ratio  window\n".to_owned();
    for record in records {
        let ([without, with], Trial { path, direction, window, .. }) =
            (record.speeds(), record.trial);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:9} {:5} {without:14.2} {with:12.2}  {:5.3}  {:9.3}  {window} B",
            path_name(path),
            direction.name(),
            record.ratio(),
            record.cpu_ratio(),
        );
    }
    text
}

fn object(args: &Args, records: &[Record]) -> Value {
    let records = records.iter().map(|record| {
        let ([without, with], trial) = (record.speeds(), record.trial);
        json!({
            "path": path_name(trial.path),
            "direction": trial.direction.name(),
            "bytes": trial.bytes,
            "window": trial.window,
            "without_mib_per_s": without,
            "with_mib_per_s": with,
            "ratio": record.ratio(),
            "cpu_ratio": record.cpu_ratio(),
        })
    });
    let records: Vec<Value> = records.collect();
    json!({ "tls": args.tls, "frame": args.frame, "rounds": args.rounds, "records": records })
}
