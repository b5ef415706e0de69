//! `heartwire bench`: what a server costs, measured from outside.
//!
//! One thread plays all clients ([`load`]), `/proc` says what that cost the server ([`process`]),
//! and the clients' notes of their last beats are the judge of its verdicts ([`lateness`]).

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "shown in the help only"))]
mod args;
#[cfg(target_os = "linux")]
mod compare;
#[cfg(target_os = "linux")]
mod lateness;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod progress;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod schedule;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod tls;

pub(crate) use args::{BenchArgs, EXAMPLES};

use crate::exit::Exit;

#[cfg(target_os = "linux")]
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Exit> {
    run::check(args)?;
    if args.compare { compare::run(args) } else { run::run(args) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_args: &BenchArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("bench reads a server's costs from /proc, which only Linux has")
}
