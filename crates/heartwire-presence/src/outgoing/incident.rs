//! Incidents: many clients lost at once.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::collections::HashMap;

use serde::{Serialize, Serializer};

/// Number of networks that an incident names.
const MAX_NETWORKS: usize = 8;

/// Why an incident began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncidentCause {
    /// This node itself was paused for this long, before clients were lost.
    Paused(Duration),
    /// An interface of this node, with this name, went down before clients were lost.
    InterfaceDown(Box<str>),
    /// Not a byte came from any client, while at least 100 were lost.
    Silence,
    /// Far more clients than usual were lost within 10 s.
    Burst,
}

impl IncidentCause {
    /// A short name that does not change between versions.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Paused(_) => "paused",
            Self::InterfaceDown(_) => "interface_down",
            Self::Silence => "silence",
            Self::Burst => "burst",
        }
    }
}

impl Serialize for IncidentCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for IncidentCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused(gap) => write!(f, "this node was paused for {:.3} s", gap.as_secs_f64()),
            Self::InterfaceDown(name) => write!(f, "interface {name} went down"),
            Self::Silence => f.write_str("nothing came from any client"),
            Self::Burst => f.write_str("far more than usual were lost at once"),
        }
    }
}

/// Many clients of a node were lost at once. Their offline events are held back until
/// `held_until`; those of clients that are not back by then follow at a pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Incident {
    /// Its id, which the offline events of its clients have, too.
    pub incident: Box<str>,
    /// When it began: microseconds since 1970.
    pub began: u64,
    /// Why.
    pub cause: IncidentCause,
    /// Names lost so far.
    pub lost: u32,
    /// Names that were online before.
    pub of: u32,
    /// The networks that most of them were in: eight at most, the largest first.
    pub networks: Vec<NetworkLoss>,
    /// How many were lost on each shard of the server.
    pub shards: Vec<u32>,
    /// How long their offline events are held: microseconds since 1970. If it was `began`, they
    /// are not: another incident ended within the hour before.
    pub held_until: u64,
    /// When the last of them is told, if no name is back by then: microseconds since 1970. More
    /// names than `of`, lost meanwhile, make it later.
    pub released_by: u64,
    /// The same in words, beginning with the id.
    pub text: Box<str>,
}

/// How many names of a network were lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NetworkLoss {
    /// A /24 of IPv4 or a /48 of IPv6, such as `10.1.2.0/24`.
    pub network: Box<str>,
    /// Names lost in it.
    pub lost: u32,
}

/// An incident is over: every name that was lost is back, or was told offline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IncidentOver {
    /// Its id.
    pub incident: Box<str>,
    /// How long it lasted, in milliseconds.
    pub lasted_ms: u64,
    /// Names lost in all: those that are back, and those that are gone.
    pub lost: u32,
    /// Names that were back before their offline event was told. There is none of them.
    pub returned: u32,
    /// Names that were told offline.
    pub gone: u32,
}

impl fmt::Display for IncidentOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incident, lasted_ms, lost, returned, gone } = self;
        let seconds = Duration::from_millis(*lasted_ms).as_secs_f64();
        write!(
            f,
            "incident {incident} is over after {seconds:.3} s: of {lost} names lost, {returned} \
             are back and {gone} are offline"
        )
    }
}

/// What was lost in an incident so far.
#[derive(Debug, Default)]
pub(super) struct Shape {
    networks: HashMap<Network, u32>,
    shards: Vec<u32>,
}

impl Shape {
    pub(super) fn count(&mut self, peer: IpAddr, shard: usize) {
        *self.networks.entry(Network::of(peer)).or_default() += 1;
        if self.shards.len() <= shard {
            self.shards.resize(shard + 1, 0);
        }
        if let Some(lost) = self.shards.get_mut(shard) {
            *lost += 1;
        }
    }

    pub(super) fn networks(&self) -> Vec<NetworkLoss> {
        let mut networks: Vec<_> =
            self.networks.iter().map(|(&network, &lost)| (lost, network)).collect();
        networks.sort_by(|(a_lost, a), (b_lost, b)| b_lost.cmp(a_lost).then(a.cmp(b)));
        networks.truncate(MAX_NETWORKS);
        let name = |(lost, network): (u32, Network)| NetworkLoss {
            network: network.to_string().into(),
            lost,
        };
        networks.into_iter().map(name).collect()
    }

    pub(super) fn shards(&self) -> Vec<u32> {
        self.shards.clone()
    }
}

/// The network of an address: a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Network {
    V4(u32),
    V6(u128),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits() & u32::MAX << 8),
            IpAddr::V6(v6) => Self::V6(v6.to_bits() & u128::MAX << 80),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(bits) => write!(f, "{}/24", Ipv4Addr::from_bits(bits)),
            Self::V6(bits) => write!(f, "{}/48", Ipv6Addr::from_bits(bits)),
        }
    }
}
