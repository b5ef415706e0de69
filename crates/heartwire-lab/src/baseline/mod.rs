//! Baselines for `heartwire-lab bench --compare`: servers of a hundred lines each, which only
//! accept connections and read beats.

use core::net::SocketAddr;
use core::time::Duration;

use clap::ValueEnum;

mod epoll;
mod sweep;
mod tokio;

/// Arguments of `baseline`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Which one.
    #[arg(value_enum)]
    baseline: Baseline,

    /// Address to listen on; the first line on standard output says which one that is.
    #[arg(value_name = "ADDR")]
    listen: SocketAddr,

    /// Close a connection after this silence.
    #[arg(value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Baseline {
    /// One thread, one epoll, one `recv` for each wake-up, and no liveness.
    Epoll,
    /// A tokio task and a timeout for each connection.
    Tokio,
    /// A map from connection to missed beats, which is swept.
    Sweep,
}

impl Baseline {
    /// As typed on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Tokio => "tokio",
            Self::Sweep => "sweep",
        }
    }
}

/// Serves until it is killed.
///
/// # Errors
///
/// When a system call fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.baseline {
        Baseline::Epoll => epoll::run(args.listen),
        Baseline::Tokio => tokio::run(args.listen, args.timeout),
        Baseline::Sweep => sweep::run(args.listen, args.timeout),
    }
}
