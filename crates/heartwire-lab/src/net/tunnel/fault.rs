//! The faults, in words.

use core::time::Duration;

use clap::ValueEnum;

use crate::net::cuts::Kind;

/// What happens to all connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    /// The client's link is down for a while.
    LinkDown,
    /// The client has another address from now on.
    NewAddress,
    /// The router forgets all connections, and drops what still comes of them.
    NatForgotten,
    /// The router forwards nothing for a while.
    RouterFrozen,
    /// The client's sockets to the server are aborted (`ss -K`).
    SocketKilled,
}

impl Fault {
    /// How it is made.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::LinkDown => Kind::LinkDown,
            Self::NewAddress => Kind::NewAddress,
            Self::NatForgotten => Kind::NatDrop,
            Self::RouterFrozen => Kind::RouterFrozen,
            Self::SocketKilled => Kind::ClientSocket,
        }
    }

    /// As typed on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::LinkDown => "link-down",
            Self::NewAddress => "new-address",
            Self::NatForgotten => "nat-forgotten",
            Self::RouterFrozen => "router-frozen",
            Self::SocketKilled => "socket-killed",
        }
    }

    /// For a heading; `down`: how long it lasts, if it does.
    pub(super) fn title(self, down: Duration) -> String {
        let down = format!("{} s", down.as_secs_f64());
        match self {
            Self::LinkDown => format!("The client's link is down for {down}"),
            Self::NewAddress => "The client gets a new address".to_owned(),
            Self::NatForgotten => {
                "The NAT forgets all connections, and drops their packets".to_owned()
            }
            Self::RouterFrozen => format!("The router forwards nothing for {down}"),
            Self::SocketKilled => {
                "The sockets to the server are aborted at the client (`ss -K`)".to_owned()
            }
        }
    }
}
