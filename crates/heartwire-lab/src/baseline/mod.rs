//! Baselines for `heartwire-lab bench --compare`: servers of a hundred lines each, which only
//! accept connections and read beats.

use core::net::SocketAddr;
use core::time::Duration;

use std::os::fd::OwnedFd;

use clap::ValueEnum;
use rustix::event::epoll::{CreateFlags, EventData, EventFlags, add, create};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

use crate::output;

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
    /// The same, and one `send` for each `recv`.
    Answer,
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
            Self::Answer => "answer",
            Self::Tokio => "tokio",
            Self::Sweep => "sweep",
        }
    }
}

/// The data of the listening socket's events; no descriptor is that large.
const LISTENER: u64 = u64::MAX;

/// Of the listening socket, and of those that it accepts.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Listens on an address, prints which one that is, and returns the socket and an epoll that
/// watches it.
fn listen_on(addr: SocketAddr) -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    bind(&listener, &addr)?;
    listen(&listener, 4096)?;
    let local = SocketAddr::try_from(getsockname(&listener)?)?;
    output::print(format_args!("listening on {local}"))?;
    let poll = create(CreateFlags::CLOEXEC)?;
    add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    Ok((listener, poll))
}

/// Serves until it is killed.
///
/// # Errors
///
/// When a system call fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.baseline {
        Baseline::Epoll => epoll::run(args.listen, false),
        Baseline::Answer => epoll::run(args.listen, true),
        Baseline::Tokio => tokio::run(args.listen, args.timeout),
        Baseline::Sweep => sweep::run(args.listen, args.timeout),
    }
}
