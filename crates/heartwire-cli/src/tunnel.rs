//! `heartwire tunnel`: carries the connections of other programs over sessions that outlive
//! theirs.
//!
//! One session for each connection. The far end ([`serve`]) is a server whose handler passes data
//! on to a task for each session, with the receipts that make the windows the flow control. The
//! near end ([`connect`]) is a client for each connection.

mod args;
mod carry;
mod connect;
mod line;
mod local;
mod open;
mod serve;
mod service;

use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;

use heartwire::v1::Offer;
use heartwire::{Policy, TICK};
use tokio::runtime;

use crate::exit::{Exit, Usage};
use crate::memory;
use crate::output::{counted, inform};
use crate::settings::{ConfigArgs, Settings};
use crate::systemd::Passed;
use crate::values::{Format, typed};

use args::OutageArgs;
pub(crate) use args::{EXAMPLES, TunnelCommand};
pub(crate) use connect::CannotListen;
use line::Outages;
pub(crate) use serve::Running;

pub(crate) fn run(command: &TunnelCommand, given: &Settings) -> anyhow::Result<Exit> {
    memory::keep_freed();
    match command {
        TunnelCommand::Serve(args) => serve::run(args, given),
        TunnelCommand::Connect(args) => connect::run(args),
    }
}

pub(crate) const fn config(command: &TunnelCommand) -> &ConfigArgs {
    match command {
        TunnelCommand::Serve(args) => &args.config,
        TunnelCommand::Connect(args) => &args.config,
    }
}

/// Checks the options and the files that they name.
pub(crate) fn check(command: &TunnelCommand) -> anyhow::Result<()> {
    match command {
        TunnelCommand::Serve(args) => serve::prepare(args, Passed::default()).map(drop),
        TunnelCommand::Connect(args) => connect::check(args),
    }
}

pub(crate) const fn format(command: &TunnelCommand) -> Format {
    match command {
        TunnelCommand::Serve(args) => args.format.format(),
        TunnelCommand::Connect(args) => args.format.format(),
    }
}

/// The kernel may hold so much that it has not sent, so that a heartbeat does not wait behind more:
/// at 1 Mbit/s, for one second.
const MAX_UNSENT: u32 = 128 * 1024;

/// A runtime with one thread for so many processors. Most of what its threads do is to pass bytes
/// on to each other, so more of them carry less.
fn threads(processors: usize) -> runtime::Builder {
    let all = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads((all / processors).max(1));
    builder
}

fn offer(args: &OutageArgs, policy: &Policy) -> Offer {
    Offer::new(policy).min_interval(Some(args.interval.min(Duration::from_secs(1))))
}

/// What the start-up line says about outages.
fn outages(args: &OutageArgs) -> Result<Outages, Usage> {
    let policy = args.policy()?;
    let noticed = policy.bound(TICK).map_or(args.timeout, |bound| bound.latest);
    let suspected = args.interval.mul_f64(1.5);
    Ok(Outages::new(suspected, noticed, args.grace, args.window))
}

/// Waits a moment after a failed accept: without descriptors the next one fails as well.
async fn rest_after(error: &io::Error) {
    tracing::warn!(%error, "cannot accept connections now");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The program may go on for a while.
fn tell_stopping(connections: usize, drain: Duration) {
    if connections > 0 {
        let count = counted(u64::try_from(connections).unwrap_or(u64::MAX), "connection");
        let drain = typed(drain);
        inform(format_args!("told to stop: waits up to {drain} for {count} to end"));
    }
}
