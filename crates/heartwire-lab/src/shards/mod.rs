//! `shards`: whether a server's shards share anything, and how much more several of them carry.

mod carry;
mod counts;
mod server;
mod trace;

use core::fmt::Write as _;
use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use humantime::parse_duration;
use serde_json::json;

use self::carry::{Carried, Plan};
use self::counts::Counts;
use crate::output::print;
use crate::process::{machine, need_open_files};

/// Shared accesses per beat up to which shards are said to share nothing. What happens now and
/// then, such as the report of a pause, is no part of a beat.
const MAX_SHARED: f64 = 0.01;

/// The least that a shard carries beside others, in loads of one alone.
const MIN_EACH: f64 = 0.9;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab shards
  heartwire-lab shards --part carry --threads 4 --connections 10000
  heartwire-lab shards --part counts --bin target/traced/release/heartwire

counts: the server runs under valgrind, which says which thread touches which memory, and which
system calls it makes, while 60 clients send beats. Build a program that can run there:
  cargo build --release -p heartwire-cli --features rustix/use-libc-auxv --target-dir target/traced
carry: one shard and several in turn, each with the same load. With two processors for each shard,
one of which plays its clients, they are pinned, and the bar holds.

Exit codes: 0 done; 1 shards share memory while clients send beats, a shard carries less than 0.9 of
what one alone does, or an error; 2 usage.";

/// Arguments of `shards`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to measure [default: all].
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    part: Vec<Part>,

    /// How many shards, each a thread of the server.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(2..=128)
    )]
    threads: u16,

    /// carry: connections of each shard.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    connections: u32,

    /// carry: interval of each connection's beats.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = parse_duration)]
    interval: Duration,

    /// carry: duration of each measurement.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    time: Duration,

    /// carry: number of rounds; medians count.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=100)
    )]
    rounds: u16,

    /// The program to measure [default: the one built beside this one].
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What shards share.
    Counts,
    /// How much more load they carry.
    Carry,
}

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let has = |part| args.part.is_empty() || args.part.contains(&part);
    let bin = args.bin.as_deref();
    let mut counts = Vec::new();
    if has(Part::Counts) {
        counts = counts::count(bin, args.threads)?;
    }
    let mut carried = None;
    if has(Part::Carry) {
        need_open_files(args.connections.saturating_mul(args.threads.into()))?;
        let (connections, interval) = (args.connections, args.interval);
        let plan = Plan { connections, interval, time: args.time, rounds: args.rounds };
        carried = Some(carry::measure(bin, args.threads, plan)?);
    }
    let missed = missed(args.threads, &counts, carried.as_ref());
    if args.json {
        let shards = args.threads;
        print(json!({
            "machine": machine(), "shards": shards, "counts": counts, "carried": carried,
            "missed": missed,
        }))?;
    } else {
        print(render(args.threads, &counts, carried.as_ref(), &missed).trim_end())?;
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The bars that were missed.
fn missed(shards: u16, counts: &[Counts], carried: Option<&Carried>) -> Vec<String> {
    let mut missed = Vec::new();
    for counts in counts.iter().filter(|counts| counts.shared_accesses > MAX_SHARED) {
        let (clients, accesses) = (counts.clients, counts.shared_accesses);
        missed.push(format!("{clients}: {accesses:.2} accesses to shared memory per beat"));
    }
    let least = MIN_EACH * f64::from(shards);
    if let Some(carried) = carried.filter(|carried| carried.pinned && carried.times < least) {
        missed.push(format!("carries {:.2} times the load, and not {least:.1}", carried.times));
    }
    missed
}

fn render(shards: u16, counts: &[Counts], carried: Option<&Carried>, missed: &[String]) -> String {
    let mut text = format!("{}, {shards} shards\n", machine());
    // Writing to a string does not fail.
    for counts in counts {
        let calls: Vec<_> =
            counts.calls.iter().map(|(name, count)| format!("{name} {count:.3}")).collect();
        let _ = writeln!(text, "{}, {} beats", counts.clients, counts.beats);
        let _ = writeln!(text, "  system calls per beat: {}", calls.join(", "));
        let _ = writeln!(
            text,
            "  cache lines: {} written by one shard alone, {} by one and touched by another, \
             {:.3} accesses to those per beat",
            counts.own_lines, counts.shared_lines, counts.shared_accesses
        );
        for line in &counts.shared {
            let _ = writeln!(text, "    {line}");
        }
    }
    if let Some(carried) = carried {
        for (number, cost) in [(1, carried.one), (shards, carried.several)] {
            let _ = writeln!(
                text,
                "{number} shards: {:.0} beats a second, each {:.2} µs of CPU, {:.3} wake-ups",
                cost.beats_per_s, cost.beat_cpu_us, cost.wakeups_per_beat
            );
        }
        let _ = writeln!(text, "so {shards} carry {:.2} times the load of one", carried.times);
        if !carried.pinned {
            let _ = writeln!(
                text,
                "  (not pinned, and no bar: that takes {} processors; here shards take turns with \
                 each other and with their clients)",
                2 * shards
            );
        }
    }
    for missed in missed {
        let _ = writeln!(text, "MISSED {missed}");
    }
    text
}

#[cfg(test)]
mod tests;
