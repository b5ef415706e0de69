//! Faults: the rows of the matrix.

use core::time::Duration;

use heartwire_core::Side;
use heartwire_plan::Fault as Class;

/// How long a router remembers a connection in [`Fault::NatExpiry`].
pub(super) const NAT_LIFETIME: Duration = Duration::from_secs(3);

/// How long an end is paused.
pub(super) const PAUSE: Duration = Duration::from_secs(10);

/// A fault, made on purpose. Each belongs to a [class](Class) of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(super) enum Fault {
    /// Nothing breaks.
    Nothing,
    /// SIGTERM to the client, which says goodbye.
    ClientCloses,
    /// SIGTERM to the server, which says goodbye.
    ServerCloses,
    /// `ss -K` on the client's socket.
    SocketKilled,
    /// SIGKILL to the client.
    ClientKilled,
    /// SIGKILL to the server.
    ServerKilled,
    /// SIGKILL to the server with bytes in its socket that it has not read.
    ServerKilledUnread,
    /// SIGSTOP to the client.
    ClientFrozen,
    /// SIGSTOP to the server.
    ServerFrozen,
    /// The router drops everything in both directions.
    GoneIdle,
    /// The same, with a line and its echo in flight that are never acknowledged.
    GoneUnacked,
    /// The client's own interface goes down.
    ClientLinkDown,
    /// The server's own interface goes down.
    ServerLinkDown,
    /// The client gets another address.
    AddressChanged,
    /// The router drops what comes from the client.
    CutToServer,
    /// The router drops what comes from the server.
    CutToClient,
    /// A rule of a firewall drops both directions, by the port.
    FirewallDrop,
    /// A rule of a firewall rejects both directions with a reset.
    RejectReset,
    /// A rule of a firewall rejects both directions with ICMP "administratively prohibited".
    RejectIcmp,
    /// The router forgets the connection, and lets the client's next packet make a new entry.
    NatFlushLoose,
    /// The router forgets the connection, and drops what comes for it.
    NatFlushDrop,
    /// The router forgets the connection, and answers what comes for it with a reset.
    NatFlushReset,
    /// The router forgets connections that are idle for 3 s; after 30 s the client sends a line.
    NatExpiry,
    /// The router drops long packets, and the client sends a long line.
    MtuHole,
    /// A proxy keeps reading, and forwards nothing.
    BlackHole,
    /// The server reads no more, and the client sends without an end.
    ServerNotReading,
    /// The client reads no more, and the server sends without an end.
    ClientNotReading,
    /// The router drops everything for 0.8 s.
    BlackoutShort,
    /// The router drops everything for 8 s.
    BlackoutLong,
    /// SIGSTOP to the client, and SIGCONT after 10 s.
    ClientPaused,
    /// SIGSTOP to the server, and SIGCONT after 10 s.
    ServerPaused,
}

/// What a fault looks like from the other end: the groups of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A kernel says so, with a FIN or a reset.
    Loud,
    /// No packet says so.
    Silent,
    /// Nothing is broken, or no longer.
    Healthy,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Loud, Self::Silent, Self::Healthy];

    /// Human-readable, a few words.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Loud => "Loud: TCP itself says so",
            Self::Silent => "Silent: no packet says so",
            Self::Healthy => "Healthy, or soon again",
        }
    }
}

/// What is expected at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Nothing: this end is the broken one.
    Broken,
    /// The connection must not be lost.
    Healthy,
    /// When it finds out about a fault of this class.
    Found(Class),
    /// The same, or the connection is not lost after all: the end that sends first decides.
    FoundOrKept(Class),
    /// The path comes back after that time.
    Blackout(Duration),
}

impl Fault {
    pub(super) const ALL: [Self; 31] = [
        Self::Nothing,
        Self::ClientCloses,
        Self::ServerCloses,
        Self::SocketKilled,
        Self::ClientKilled,
        Self::ServerKilled,
        Self::ServerKilledUnread,
        Self::ClientFrozen,
        Self::ServerFrozen,
        Self::GoneIdle,
        Self::GoneUnacked,
        Self::ClientLinkDown,
        Self::ServerLinkDown,
        Self::AddressChanged,
        Self::CutToServer,
        Self::CutToClient,
        Self::FirewallDrop,
        Self::RejectReset,
        Self::RejectIcmp,
        Self::NatFlushLoose,
        Self::NatFlushDrop,
        Self::NatFlushReset,
        Self::NatExpiry,
        Self::MtuHole,
        Self::BlackHole,
        Self::ServerNotReading,
        Self::ClientNotReading,
        Self::BlackoutShort,
        Self::BlackoutLong,
        Self::ClientPaused,
        Self::ServerPaused,
    ];

    /// As typed on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::ClientCloses => "client-closes",
            Self::ServerCloses => "server-closes",
            Self::SocketKilled => "socket-killed",
            Self::ClientKilled => "client-killed",
            Self::ServerKilled => "server-killed",
            Self::ServerKilledUnread => "server-killed-unread",
            Self::ClientFrozen => "client-frozen",
            Self::ServerFrozen => "server-frozen",
            Self::GoneIdle => "gone-idle",
            Self::GoneUnacked => "gone-unacked",
            Self::ClientLinkDown => "client-link-down",
            Self::ServerLinkDown => "server-link-down",
            Self::AddressChanged => "address-changed",
            Self::CutToServer => "cut-to-server",
            Self::CutToClient => "cut-to-client",
            Self::FirewallDrop => "firewall-drop",
            Self::RejectReset => "reject-reset",
            Self::RejectIcmp => "reject-icmp",
            Self::NatFlushLoose => "nat-flush-loose",
            Self::NatFlushDrop => "nat-flush-drop",
            Self::NatFlushReset => "nat-flush-reset",
            Self::NatExpiry => "nat-expiry",
            Self::MtuHole => "mtu-hole",
            Self::BlackHole => "black-hole",
            Self::ServerNotReading => "server-not-reading",
            Self::ClientNotReading => "client-not-reading",
            Self::BlackoutShort => "blackout-short",
            Self::BlackoutLong => "blackout-long",
            Self::ClientPaused => "client-paused",
            Self::ServerPaused => "server-paused",
        }
    }

    /// Human-readable, a few words.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Nothing => "nothing breaks",
            Self::ClientCloses => "client closes",
            Self::ServerCloses => "server closes",
            Self::SocketKilled => "connection reset",
            Self::ClientKilled => "client killed",
            Self::ServerKilled => "server killed",
            Self::ServerKilledUnread => "server killed, bytes unread",
            Self::ClientFrozen => "client frozen",
            Self::ServerFrozen => "server frozen",
            Self::GoneIdle => "machine gone, idle",
            Self::GoneUnacked => "machine gone, data unacked",
            Self::ClientLinkDown => "client's link down",
            Self::ServerLinkDown => "server's link down",
            Self::AddressChanged => "client's address changes",
            Self::CutToServer => "path cut to the server",
            Self::CutToClient => "path cut to the client",
            Self::FirewallDrop => "firewall drops",
            Self::RejectReset => "firewall rejects, RST",
            Self::RejectIcmp => "firewall rejects, ICMP",
            Self::NatFlushLoose => "NAT forgets, begins again",
            Self::NatFlushDrop => "NAT forgets, drops",
            Self::NatFlushReset => "NAT forgets, resets",
            Self::NatExpiry => "NAT forgets idle ones (3 s)",
            Self::MtuHole => "long packets get lost",
            Self::BlackHole => "middlebox acks and drops",
            Self::ServerNotReading => "server does not read",
            Self::ClientNotReading => "client does not read",
            Self::BlackoutShort => "blackout of 0.8 s",
            Self::BlackoutLong => "blackout of 8 s",
            Self::ClientPaused => "client paused for 10 s",
            Self::ServerPaused => "server paused for 10 s",
        }
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::ClientCloses
            | Self::ServerCloses
            | Self::SocketKilled
            | Self::ClientKilled
            | Self::ServerKilled
            | Self::ServerKilledUnread => Kind::Loud,
            Self::ClientFrozen
            | Self::ServerFrozen
            | Self::GoneIdle
            | Self::GoneUnacked
            | Self::ClientLinkDown
            | Self::ServerLinkDown
            | Self::AddressChanged
            | Self::CutToServer
            | Self::CutToClient
            | Self::FirewallDrop
            | Self::RejectReset
            | Self::RejectIcmp
            | Self::NatFlushLoose
            | Self::NatFlushDrop
            | Self::NatFlushReset
            | Self::NatExpiry
            | Self::MtuHole
            | Self::BlackHole
            | Self::ServerNotReading
            | Self::ClientNotReading => Kind::Silent,
            Self::Nothing
            | Self::BlackoutShort
            | Self::BlackoutLong
            | Self::ClientPaused
            | Self::ServerPaused => Kind::Healthy,
        }
    }

    /// How to cause it without the lab.
    pub(super) const fn recipe(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::ClientCloses => "`kill -TERM` the client",
            Self::ServerCloses => "`kill -TERM` the server",
            Self::SocketKilled => "`ss -K` in the client's namespace",
            Self::ClientKilled => "`kill -KILL` the client",
            Self::ServerKilled => "`kill -KILL` the server",
            Self::ServerKilledUnread => "`kill -STOP` the server, send it a line, `kill -KILL`",
            Self::ClientFrozen => "`kill -STOP` the client",
            Self::ServerFrozen => "`kill -STOP` the server",
            Self::GoneIdle => "router: `iifname client drop; iifname server drop`",
            Self::GoneUnacked => {
                "router: `iifname server drop`; the client sends a line, the server echoes it; \
                 then `iifname client drop`"
            }
            Self::ClientLinkDown => "`ip link set dev link down` in the client's namespace",
            Self::ServerLinkDown => "`ip link set dev link down` in the server's namespace",
            Self::AddressChanged => {
                "`ip addr flush dev link` and `ip addr add 192.0.2.3/24 dev link` in the client's \
                 namespace"
            }
            Self::CutToServer => "router: `iifname client drop`",
            Self::CutToClient => "router: `iifname server drop`",
            Self::FirewallDrop => "router: `tcp dport 39002 drop; tcp sport 39002 drop`",
            Self::RejectReset => {
                "router: `meta l4proto tcp reject with tcp reset`, both directions"
            }
            Self::RejectIcmp => "router: `reject with icmp type admin-prohibited`, both directions",
            Self::NatFlushLoose => "router: `conntrack -F` with `nf_conntrack_tcp_loose` 1",
            Self::NatFlushDrop => {
                "router: `conntrack -F` with `nf_conntrack_tcp_loose` 0 and `ct state invalid drop`"
            }
            Self::NatFlushReset => {
                "router: `conntrack -F` with `nf_conntrack_tcp_loose` 0 and `ct state invalid \
                 reject with tcp reset`"
            }
            Self::NatExpiry => {
                "router: `nf_conntrack_tcp_timeout_established` 3, `nf_conntrack_tcp_loose` 0 and \
                 `ct state invalid drop`; after 30 s the client sends a line"
            }
            Self::MtuHole => {
                "router: `meta length > 600 drop`; the client sends a line of 4000 bytes"
            }
            Self::BlackHole => {
                "a TCP proxy on the router, which keeps reading and stops forwarding"
            }
            Self::ServerNotReading => {
                "nothing reads the server's output (`--hold-data`); the client keeps sending lines"
            }
            Self::ClientNotReading => {
                "nothing reads the client's output; it keeps sending lines, which the server echoes"
            }
            Self::BlackoutShort => "the rules of `gone-idle` for 0.8 s",
            Self::BlackoutLong => "the rules of `gone-idle` for 8 s",
            Self::ClientPaused => "`kill -STOP` the client, `kill -CONT` after 10 s",
            Self::ServerPaused => "`kill -STOP` the server, `kill -CONT` after 10 s",
        }
    }

    /// What is expected at one end.
    pub(super) fn question(self, side: Side) -> Question {
        let of_client = matches!(side, Side::Client);
        // The end that has the fault is not asked.
        let peer_of = |broken_client: bool, class| {
            if broken_client == of_client { Question::Broken } else { Question::Found(class) }
        };
        match self {
            Self::Nothing => Question::Healthy,
            Self::ClientCloses => peer_of(true, Class::Close),
            Self::ServerCloses => peer_of(false, Class::Close),
            Self::SocketKilled => Question::Found(Class::Reset),
            Self::ClientKilled => peer_of(true, Class::PeerKilled),
            Self::ServerKilled | Self::ServerKilledUnread => peer_of(false, Class::PeerKilled),
            Self::ClientFrozen => peer_of(true, Class::PeerFrozen),
            Self::ServerFrozen => peer_of(false, Class::PeerFrozen),
            Self::GoneIdle | Self::ClientLinkDown | Self::ServerLinkDown | Self::AddressChanged => {
                Question::Found(Class::MachineGoneIdle)
            }
            Self::GoneUnacked => Question::Found(Class::MachineGoneUnacked),
            // Beats wait behind the line forever.
            Self::CutToServer | Self::MtuHole => Question::Found(Class::CutToServer),
            Self::CutToClient => Question::Found(Class::CutToClient),
            // TCP ignores an ICMP error while it can still retransmit.
            Self::FirewallDrop | Self::RejectIcmp => Question::Found(Class::FirewallDrop),
            Self::NatFlushLoose => Question::FoundOrKept(Class::NatForgotten),
            Self::RejectReset | Self::NatFlushDrop | Self::NatFlushReset | Self::NatExpiry => {
                Question::Found(Class::NatForgotten)
            }
            // The middlebox's kernel answers, as that of a frozen peer does.
            Self::BlackHole => Question::Found(Class::PeerFrozen),
            Self::ServerNotReading => peer_of(false, Class::PeerNotReading),
            Self::ClientNotReading => peer_of(true, Class::PeerNotReading),
            Self::BlackoutShort => Question::Blackout(Duration::from_millis(800)),
            Self::BlackoutLong => Question::Blackout(Duration::from_secs(8)),
            Self::ClientPaused if of_client => Question::Found(Class::OwnPause),
            Self::ServerPaused if !of_client => Question::Found(Class::OwnPause),
            Self::ClientPaused | Self::ServerPaused => Question::Found(Class::PeerFrozen),
        }
    }

    /// How long the fault lasts.
    pub(super) fn lasts(self) -> Option<Duration> {
        if let Question::Blackout(lasts) = self.question(Side::Client) {
            return Some(lasts);
        }
        if self.pauses().is_some() { Some(PAUSE) } else { None }
    }

    /// The end that is paused and resumes.
    pub(super) const fn pauses(self) -> Option<Side> {
        if matches!(self, Self::ClientPaused) {
            Some(Side::Client)
        } else if matches!(self, Self::ServerPaused) {
            Some(Side::Server)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
