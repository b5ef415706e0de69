//! Presence on several nodes with a real Redis, while both are killed, stopped, cut off and
//! emptied: who is online is held against what the nodes themselves say.

mod args;
mod check;
mod clients;
mod crowd;
mod draw;
mod figures;
mod governor;
mod hooks;
mod long;
mod many;
mod node;
mod play;
mod proxy;
mod receiver;
mod record;
mod redis;
mod taken;
mod watcher;
mod world;

use std::process::ExitCode;

pub use self::args::Args;
use self::args::What;

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Schedules(args) => many::run(args),
        What::Crowd(args) => long::run(args),
        What::Figures(args) => figures::run(args),
        What::Hooks(args) => hooks::run(args),
        What::Governor(args) => governor::run(args),
        What::Receiver => receiver::run().map(|()| ExitCode::SUCCESS),
        What::Clients(args) => clients::run(args).map(|()| ExitCode::SUCCESS),
    }
}
