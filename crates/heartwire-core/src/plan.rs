//! Predicts how fast each end of a connection detects each kind of fault, from the settings of both
//! ends.
//!
//! ```
//! use core::time::Duration;
//! use heartwire_core::plan::{End, Fault, Setup};
//! use heartwire_core::{Preset, Side};
//!
//! let end = |side| End::new(Preset::Fast.policy(side));
//! let setup = Setup::builder(end(Side::Client), end(Side::Server)).rtt(Duration::ZERO).build()?;
//! let row = setup.plan().row(Fault::PeerFrozen);
//! let finding = row.server.finding().expect("the server has a timeout");
//! assert_eq!(finding.bound.to_string(), "5.9 to 8.6 s");
//! assert_eq!(finding.by.name(), "silence");
//! # Ok::<(), heartwire_core::plan::SetupError>(())
//! ```
//!
//! # What the bounds rest on
//!
//! - Both ends are the drivers of this project on Linux with its default `sysctl`s. An end that
//!   gives a verdict resets the connection, so the other end learns of it at once where the path to
//!   it is up.
//! - Only beats and their answers are sent, and nothing is unacknowledged when the fault occurs,
//!   except in [`Fault::MachineGoneUnacked`]. Application data only makes silences shorter; or up
//!   to a round trip longer where it goes to a peer that only answers, which the bounds allow for.
//! - The fault lasts, and what it leaves intact is healthy: a round trip takes `rtt` at most, no
//!   packet is lost, and an end that is not stopped wakes within its `timer_slack`.
//!
//! Times count from the fault: from when the packet that would have shown life could have left, or
//! would have got through. A bound is as wide as these assumptions leave it, and no wider.

mod advice;
mod cells;
mod fault;
mod mechanism;
mod outcome;
mod propose;
mod setup;
mod tcp;
mod traffic;
mod view;
mod warning;

pub use advice::Advice;
pub use fault::Fault;
pub use mechanism::{Mechanism, Mechanisms};
pub use outcome::{Finding, NotLost, Outcome};
pub use propose::{Proposal, ProposeError, Target, propose};
pub use setup::{End, Setup, SetupBuilder, SetupError};
pub use traffic::Traffic;
pub use warning::Warning;

use core::time::Duration;

use crate::policy::Side;

/// When each end of a [`Setup`] detects each fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    setup: Setup,
}

/// When both ends detect one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The fault. If it is a fault of one end, `client` is what the client detects when the
    /// *server* has it, and the other way round; only [`Fault::OwnPause`] is each end's own.
    pub fault: Fault,
    /// What the client detects.
    pub client: Outcome,
    /// What the server detects.
    pub server: Outcome,
}

impl Row {
    /// What one end detects.
    #[must_use]
    pub const fn side(&self, side: Side) -> Outcome {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

impl Plan {
    /// A row for each fault, in the order of [`Fault::ALL`].
    pub fn rows(self) -> impl Iterator<Item = Row> {
        Fault::ALL.into_iter().map(move |fault| self.row(fault))
    }

    /// The row of one fault.
    #[must_use]
    pub fn row(&self, fault: Fault) -> Row {
        cells::row(&self.setup, fault)
    }

    /// The latest time at which all faults are detected on both ends; `None` if one is never
    /// detected on an end.
    #[must_use]
    pub fn latest(&self) -> Option<Duration> {
        let mut latest = Duration::ZERO;
        for outcome in self.rows().flat_map(|row| [row.client, row.server]) {
            match outcome {
                Outcome::Found(finding) => latest = latest.max(finding.bound.latest),
                Outcome::NotLost(_) => {}
                Outcome::Never(_) => return None,
            }
        }
        Some(latest)
    }
}

impl Setup {
    /// When each end detects each fault.
    #[must_use]
    pub const fn plan(&self) -> Plan {
        Plan { setup: *self }
    }
}

#[cfg(test)]
mod tests;
