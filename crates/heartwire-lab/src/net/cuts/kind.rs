//! The kinds of cut, and how each is made.

use core::time::Duration;
use std::time::SystemTime;

use clap::ValueEnum;
use heartwire_plan::{Loss, Plan};

use crate::net::command::run;
use crate::net::topology::Topology;

/// What cuts all sessions off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::net) enum Kind {
    /// The client's sockets are aborted (`ss -K`), which resets them at both ends.
    ClientSocket,
    /// The server's are.
    ServerSocket,
    /// The client's link is down for longer than the timeout.
    LinkDown,
    /// The client has another address from now on.
    NewAddress,
    /// The router forwards nothing for longer than the timeout.
    RouterFrozen,
    /// The router forgets all connections, and drops what still comes of them.
    NatDrop,
    /// The same, and it resets them.
    NatReset,
}

/// A router that makes no new entry from a packet in the middle of a connection.
const STRICT: &str = "net.netfilter.nf_conntrack_tcp_loose=0";

impl Kind {
    /// As typed on the command line.
    pub(in crate::net) const fn name(self) -> &'static str {
        match self {
            Self::ClientSocket => "client-socket",
            Self::ServerSocket => "server-socket",
            Self::LinkDown => "link-down",
            Self::NewAddress => "new-address",
            Self::RouterFrozen => "router-frozen",
            Self::NatDrop => "nat-drop",
            Self::NatReset => "nat-reset",
        }
    }

    /// Whether no other connection gets through either, until it is healed.
    pub(in crate::net) const fn is_outage(self) -> bool {
        matches!(self, Self::LinkDown | Self::RouterFrozen)
    }

    /// How long after it, or after the end of an outage, the sessions have to be back; `alone`:
    /// there is only one.
    pub(super) fn bound(self, plan: &Plan, alone: bool) -> Option<Duration> {
        match self {
            _ if !alone => plan.all_back(),
            Self::ClientSocket | Self::ServerSocket => plan.back(Loss::Reset),
            Self::NewAddress => plan.back(Loss::NewAddress),
            // A client is reset when it sends something, and that can be its next beat.
            Self::NatDrop | Self::NatReset => plan.back(Loss::Unnoticed),
            Self::LinkDown | Self::RouterFrozen => plan.all_back(),
        }
    }

    /// Sets what all of them need.
    pub(in crate::net) fn prepare(topology: &Topology) -> anyhow::Result<()> {
        topology.router.set_sysctls(&[STRICT])
    }

    /// Makes it, as cut number `number` of a run. Returns the moment before.
    pub(in crate::net) fn make(
        self,
        topology: &Topology,
        number: u32,
    ) -> anyhow::Result<SystemTime> {
        let Topology { client, router, server, .. } = topology;
        // What the router does with packets of connections that it does not know.
        topology.clear_rules()?;
        let reject = "ct state invalid meta l4proto tcp reject with tcp reset";
        let rule = if self == Self::NatReset { reject } else { "ct state invalid drop" };
        topology.add_rules(&[rule])?;
        let at = SystemTime::now();
        match self {
            Self::ClientSocket => {
                run(client.command("ss").args(["-K", "dst", "198.51.100.2"])).map(drop)
            }
            Self::ServerSocket => {
                run(server.command("ss").args(["-K", "sport", "=", ":39002"])).map(drop)
            }
            Self::LinkDown => client.ip("link set dev link down"),
            Self::NewAddress => client.ip(&format!(
                "addr flush dev link\n\
                 addr add 192.0.2.{}/24 dev link\n\
                 route add default via 192.0.2.1\n",
                // Another one than before, and not the router's.
                3 + number % 200,
            )),
            Self::RouterFrozen => topology.add_rules(&["drop"]),
            Self::NatDrop | Self::NatReset => run(router.command("conntrack").arg("-F")).map(drop),
        }?;
        Ok(at)
    }

    /// Ends an outage. Returns the moment before.
    pub(in crate::net) fn heal(self, topology: &Topology) -> anyhow::Result<SystemTime> {
        let at = SystemTime::now();
        match self {
            Self::LinkDown => {
                topology.client.ip("link set dev link up\nroute add default via 192.0.2.1\n")
            }
            Self::RouterFrozen => topology.clear_rules(),
            Self::ClientSocket
            | Self::ServerSocket
            | Self::NewAddress
            | Self::NatDrop
            | Self::NatReset => Ok(()),
        }?;
        Ok(at)
    }
}

/// How long an outage lasts: longer than the timeout, so that both ends lose the connection.
pub(super) fn outage(timeout: Duration, rng: &mut fastrand::Rng) -> Duration {
    let (least, more) = (Duration::from_millis(200), Duration::from_millis(800));
    timeout + least + more.mul_f64(rng.f64())
}
