//! Faults that a plan covers.

use core::fmt;

/// A kind of fault, as the ends of a connection see it. Each lasts once it has occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The peer closes the connection (FIN).
    Close,
    /// The peer, or something on the path, resets the connection (RST).
    Reset,
    /// The peer's process is killed; its kernel closes the connection for it. That is a reset where
    /// the process had left bytes unread.
    PeerKilled,
    /// The peer's process hangs (SIGSTOP, a deadlock, an endless loop), while its kernel still
    /// acknowledges.
    PeerFrozen,
    /// The peer's machine is gone silently (power, cable), while no data was in flight to it.
    MachineGoneIdle,
    /// The peer's machine is gone silently just as this end sends something, data or a beat.
    MachineGoneUnacked,
    /// The path from the client to the server is cut; the other direction is up.
    CutToServer,
    /// The path from the server to the client is cut; the other direction is up.
    CutToClient,
    /// A firewall begins to drop the connection's packets silently, in both directions.
    FirewallDrop,
    /// A middlebox forgets the connection, and drops its later packets or answers them with a
    /// reset. (One that makes a new entry from the client's next packet, as Linux does unless
    /// `nf_conntrack_tcp_loose` is 0, forgets nothing while the client sends beats.)
    NatForgotten,
    /// The peer does not read: its window is closed and more data waits to be sent. Counted from
    /// when both are so: beats alone take hours to fill a kernel's buffers (792,280 B measured). A
    /// server also ends a session whose queue is full; that depends on what is sent, so it is in no
    /// plan.
    PeerNotReading,
    /// This end's own process is paused until [`MIN_PAUSE`](heartwire_core::MIN_PAUSE) past its
    /// next deadline or longer, and runs again. Counted from when it runs again. The connection is
    /// not lost, unless the pause lasted so long that the other end detected
    /// [`PeerFrozen`](Self::PeerFrozen).
    OwnPause,
}

impl Fault {
    /// Every fault, the ones that a kernel reports first.
    pub const ALL: [Self; 12] = [
        Self::Close,
        Self::Reset,
        Self::PeerKilled,
        Self::PeerFrozen,
        Self::MachineGoneIdle,
        Self::MachineGoneUnacked,
        Self::CutToServer,
        Self::CutToClient,
        Self::FirewallDrop,
        Self::NatForgotten,
        Self::PeerNotReading,
        Self::OwnPause,
    ];

    /// A short name that does not change between versions, for JSON and file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Reset => "reset",
            Self::PeerKilled => "peer_killed",
            Self::PeerFrozen => "peer_frozen",
            Self::MachineGoneIdle => "machine_gone_idle",
            Self::MachineGoneUnacked => "machine_gone_unacked",
            Self::CutToServer => "cut_to_server",
            Self::CutToClient => "cut_to_client",
            Self::FirewallDrop => "firewall_drop",
            Self::NatForgotten => "nat_forgotten",
            Self::PeerNotReading => "peer_not_reading",
            Self::OwnPause => "own_pause",
        }
    }
}

/// Human-readable, a few words.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Close => "peer closes (FIN)",
            Self::Reset => "connection reset",
            Self::PeerKilled => "peer process killed",
            Self::PeerFrozen => "peer process frozen",
            Self::MachineGoneIdle => "peer machine gone, idle",
            Self::MachineGoneUnacked => "peer machine gone, data unacked",
            Self::CutToServer => "path cut client to server",
            Self::CutToClient => "path cut server to client",
            Self::FirewallDrop => "firewall drops both ways",
            Self::NatForgotten => "NAT entry forgotten",
            Self::PeerNotReading => "peer not reading",
            Self::OwnPause => "own process paused",
        })
    }
}
