//! More sessions than one machine holds: how many, what each does, and what happens when some are
//! lost.

use core::fmt;
use core::time::Duration;

use heartwire_core::Side;

use crate::price::{Price, Serving};
use crate::traffic::DAY;
use crate::{Fault, Plan, Storm};

mod redis;

pub use redis::Redis;

/// One machine of a fleet, with the limits of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Processors.
    pub processors: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// How many connections its servers may have open together (`LimitNOFILE`, `--max-sessions`).
    pub descriptors: u64,
    /// Packets a second that it can take and send, together. This was not measured here: it depends
    /// on the network card, or on what a provider allows.
    pub packets_per_s: u64,
    /// How many clients it accepts in a second at most (`--accept-rate`).
    pub accept_rate: u64,
}

/// Eight processors, 32 GiB, a million descriptors and packets a second, and the accept rate of
/// this project's server.
impl Default for Node {
    fn default() -> Self {
        Self {
            processors: 8,
            memory: 32 << 30,
            descriptors: 1_000_000,
            packets_per_s: 1_000_000,
            accept_rate: 10_000,
        }
    }
}

/// What a node can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Processor time.
    Processors,
    /// Memory, the kernel's included.
    Memory,
    /// Open files.
    Descriptors,
    /// Packets a second.
    Packets,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Processors, Self::Memory, Self::Descriptors, Self::Packets];

    /// A short name that does not change between versions, for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processors => "processors",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Packets => "packets",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a fleet can lose at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// One node.
    Node,
    /// All nodes of a zone.
    Zone,
    /// All nodes, which are back after the outage.
    All,
}

impl Lost {
    /// All of them, the smallest in front.
    pub const ALL: [Self; 3] = [Self::Node, Self::Zone, Self::All];

    /// A short name that does not change between versions, for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Zone => "zone",
            Self::All => "all",
        }
    }
}

/// What becomes of the clients of lost nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Return {
    /// How many clients lose their connection.
    pub clients: u64,
    /// How many nodes take them.
    pub nodes: u64,
    /// When the last client notices, if the machines are gone without a word: of nodes whose
    /// processes are killed they are told at once. `None`: never.
    pub noticed: Option<Duration>,
    /// The storm at each of the nodes that take them, counted from when clients notice.
    pub storm: Storm,
}

/// Many nodes that carry sessions together.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Fleet {
    plan: Plan,
    price: Price,
    sessions: u64,
    node: Node,
    zones: u64,
    free_percent: u64,
    outage: Duration,
}

impl Fleet {
    /// A fleet for this many idle sessions with the settings of a plan: default [`Node`]s in three
    /// zones, of which half is kept free, and an outage of a minute.
    pub fn new(plan: Plan, serving: Serving, sessions: u64) -> Self {
        Self {
            plan,
            price: plan.price(serving),
            sessions,
            node: Node::default(),
            zones: 3,
            free_percent: 50,
            outage: Duration::from_secs(60),
        }
    }

    /// Of these nodes.
    pub const fn node(mut self, node: Node) -> Self {
        self.node = node;
        self
    }

    /// In this many zones, of which one may be lost; with one zone or none, one node may be.
    pub const fn zones(mut self, zones: u64) -> Self {
        self.zones = zones;
        self
    }

    /// With this share of each node's processors, memory and packets kept free of idle sessions, 99
    /// at most: for handshakes, data, and the application.
    pub fn free_percent(mut self, percent: u64) -> Self {
        self.free_percent = percent.min(99);
        self
    }

    /// With an outage of this length when all nodes are lost.
    pub const fn outage(mut self, outage: Duration) -> Self {
        self.outage = outage;
        self
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn sessions(&self) -> u64 {
        self.sessions
    }

    /// What one session costs.
    #[must_use]
    pub const fn price(&self) -> Price {
        self.price
    }

    /// How many sessions one resource of a node is enough for.
    #[must_use]
    pub fn room(&self, resource: Resource) -> u64 {
        let Node { processors, memory, descriptors, packets_per_s, .. } = self.node;
        let Price { processor_a_day, user_bytes, kernel_bytes, packets_a_day, .. } = self.price;
        let day = DAY.as_nanos();
        let used = u128::from(100_u64.saturating_sub(self.free_percent));
        let (have, each, is_shared) = match resource {
            Resource::Processors => {
                (u128::from(processors).saturating_mul(day), processor_a_day.as_nanos(), true)
            }
            Resource::Memory => {
                (memory.into(), user_bytes.saturating_add(kernel_bytes).into(), true)
            }
            Resource::Descriptors => (descriptors.into(), 1, false),
            Resource::Packets => {
                let in_a_day = u128::from(packets_per_s).saturating_mul(DAY.as_secs().into());
                (in_a_day, packets_a_day.into(), true)
            }
        };
        let have = if is_shared { have.saturating_mul(used) / 100 } else { have };
        u64::try_from(have / each.max(1)).unwrap_or(u64::MAX)
    }

    /// The resource that is used up first, and how many sessions a node can carry for it.
    #[must_use]
    pub fn most(&self) -> (Resource, u64) {
        let rooms = Resource::ALL.map(|resource| (resource, self.room(resource)));
        let least = rooms.into_iter().min_by_key(|&(_, room)| room);
        least.map_or((Resource::Descriptors, 1), |(resource, room)| (resource, room.max(1)))
    }

    /// How many nodes it takes, so that those which are left after the loss of a zone can carry all
    /// sessions: as many in each zone.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        let needed = self.sessions.div_ceil(self.most().1).max(1);
        match self.zones {
            0 | 1 => needed.saturating_add(1),
            zones => needed.div_ceil(zones.saturating_sub(1)).saturating_mul(zones),
        }
    }

    /// Sessions on each node while none is lost.
    #[must_use]
    pub fn sessions_per_node(&self) -> u64 {
        self.sessions.div_ceil(self.nodes())
    }

    /// Packets in a second of this many sessions, in both directions.
    #[must_use]
    pub fn packets_per_s(&self, sessions: u64) -> u64 {
        per_second(self.price.packets_a_day, sessions)
    }

    /// Bits in a second of all sessions: to the servers, and to the clients.
    #[must_use]
    pub fn bits_per_s(&self) -> [u64; 2] {
        let traffic = self.plan.traffic();
        [traffic.to_server, traffic.to_client]
            .map(|bytes| per_second(bytes.saturating_mul(8), self.sessions))
    }

    /// How many handshakes a node can do in a second, in the processor time that is kept free.
    #[must_use]
    pub fn handshakes_per_s(&self) -> u64 {
        let free = u128::from(self.node.processors)
            .saturating_mul(self.free_percent.max(1).into())
            .saturating_mul(Duration::from_secs(1).as_nanos())
            / 100;
        u64::try_from(free / self.price.accept.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    /// What becomes of the clients of lost nodes: others take them, in equal shares.
    #[must_use]
    pub fn lost(&self, lost: Lost) -> Return {
        let nodes = self.nodes();
        let zones = self.zones.max(1);
        let gone = match lost {
            Lost::Node => 1,
            Lost::Zone => nodes / zones,
            Lost::All => nodes,
        };
        // Where nothing is left, the lost nodes come back.
        let left = nodes.saturating_sub(gone);
        let (left, outage) = if left == 0 { (nodes, self.outage) } else { (left, Duration::ZERO) };
        let share = u128::from(self.sessions).saturating_mul(gone.into());
        let clients = u64::try_from(share.div_ceil(nodes.into())).unwrap_or(u64::MAX);
        let noticed = self.plan.outcome(Fault::MachineGoneIdle, Side::Client).finding();
        Return {
            clients,
            nodes: left,
            noticed: noticed.map(|finding| finding.bound.latest),
            storm: Storm {
                clients: clients.div_ceil(left),
                servers: left,
                handshakes_per_s: self.handshakes_per_s(),
                accept_rate: self.node.accept_rate,
                outage,
                waits: self.plan.waits(),
                rtt: self.plan.rtt(),
            },
        }
    }
}

/// What comes in a second of so many sessions, of what each has in a day.
fn per_second(a_day: u64, sessions: u64) -> u64 {
    let all = u128::from(a_day).saturating_mul(sessions.into());
    u64::try_from(all.div_ceil(DAY.as_secs().into())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
