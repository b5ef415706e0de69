//! Packets between systems.

/// A TCP segment, as far as it matters here. Offsets count the bytes of one direction from its
/// start; the end of a direction takes up one after its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Bytes from `from` to `until`; none for a look at the window.
    Bytes { from: u64, until: u64 },
    /// Everything before `until` has arrived, and there is room for what comes before `room`.
    Ack { until: u64, room: u64 },
    /// There is no such connection.
    Reset,
}
