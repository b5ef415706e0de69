//! The state of a connection.

use heartwire_core::v1;

/// The health that this client's beats report, v1.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Ok = 0,
    /// Something does not make progress.
    Degraded = 1,
    /// About to disconnect.
    Draining = 2,
}

/// A number that stands for a [`Health`].
pub type HealthNumber = u32;

/// The state of a connection.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// This client's interval in force; 0: no beats.
    pub interval_ms: u32,
    /// The silence after which the server is dead, under its promise in force; 0: no verdict.
    pub timeout_ms: u32,
    /// How long nothing has come from the server.
    pub silence_ms: u32,
    /// v1: how long ago the server last heard this client, as far as it has said.
    pub unheard_ms: u32,
    /// v1: the round trip in microseconds, as exact as the clock; 0: not known.
    pub rtt_us: u32,
    /// v1: where `rtt_us` is 0, the round trip is below this; 0: not known.
    pub rtt_below_us: u32,
    /// v1: how late the server's last beat was.
    pub peer_late_ms: u32,
    /// v1: the server's health.
    pub peer_health: HealthNumber,
    /// v1: the server says that this client's beats come far too often.
    pub too_fast: bool,
}

impl Health {
    /// The health with this number, as the core has it.
    pub(crate) const fn of_number(number: HealthNumber) -> Option<v1::Health> {
        match number {
            0 => Some(v1::Health::Ok),
            1 => Some(v1::Health::Degraded),
            2 => Some(v1::Health::Draining),
            _ => None,
        }
    }

    /// The number of a health. One of a later version is a kind of degraded.
    pub(crate) const fn number(health: v1::Health) -> HealthNumber {
        match health {
            v1::Health::Ok => 0,
            v1::Health::Draining => 2,
            v1::Health::Degraded | _ => 1,
        }
    }
}
