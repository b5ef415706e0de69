//! Predicts when each end of a Heartwire connection detects each kind of fault, from the settings
//! of both ends; or proposes settings that detect every fault in time.
//!
//! Nothing here runs beside a connection: a plan is arithmetic, for a test that fails when a
//! setting is changed. `heartwire plan` prints the same for people.
//!
//! ```
//! use core::time::Duration;
//! use heartwire_core::{Preset, Side};
//! use heartwire_plan::{End, Fault, Setup};
//!
//! let end = |side| End::new(Preset::Fast.policy(side));
//! let plan = Setup::new(end(Side::Client), end(Side::Server)).rtt(Duration::ZERO).plan()?;
//! let outcome = plan.outcome(Fault::PeerFrozen, Side::Server);
//! let finding = outcome.finding().expect("the server has a timeout");
//! assert_eq!(finding.bound.to_string(), "5.9 to 8.6 s");
//! assert_eq!(finding.by.name(), "silence");
//! # Ok::<(), heartwire_plan::PlanError>(())
//! ```
//!
//! The other way round, from how soon a fault must be known:
//!
//! ```
//! use core::time::Duration;
//! use heartwire_core::Side;
//! use heartwire_plan::Target;
//!
//! let plan = Target::new(Duration::from_secs(9)).propose()?;
//! let client = plan.end(Side::Client).policy;
//! assert_eq!(client.interval(), Some(Duration::from_millis(2_800)));
//! assert_eq!(client.timeout(), Some(Duration::from_secs(7)));
//! # Ok::<(), heartwire_plan::PlanError>(())
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
//!
//! The crate is `no_std` and allocates nothing.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod advice;
mod cells;
mod error;
mod fault;
pub mod fleet;
mod mechanism;
mod outcome;
pub mod price;
mod propose;
mod resume;
mod setup;
mod storm;
mod tcp;
mod traffic;
mod view;
mod warning;

pub use advice::Advice;
pub use error::PlanError;
pub use fault::Fault;
pub use mechanism::Mechanism;
pub use outcome::{Finding, Outcome};
pub use propose::Target;
pub use resume::{Loss, Resume};
pub use setup::{End, Setup};
pub use storm::{Storm, Waits};
pub use traffic::Traffic;
pub use warning::Warning;

use core::time::Duration;

use heartwire_core::Side;
use view::View;

/// When each end of a connection detects each fault, what its heartbeats cost, and when a session
/// that outlives it is back.
///
/// It comes of a [`Setup`], or of a [`Target`]. The settings are possible, but may still end
/// healthy connections: see [`warnings`](Self::warnings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    client: End,
    server: End,
    rtt: Duration,
    nat_timeout: Option<Duration>,
    is_v1: bool,
    resume: Option<Resume>,
}

impl Plan {
    /// What one end detects of a fault.
    ///
    /// If it is a fault of one end, this is what `side` detects when the *other* end has it; only
    /// [`Fault::OwnPause`] is each end's own.
    #[must_use]
    pub fn outcome(&self, fault: Fault, side: Side) -> Outcome {
        cells::outcome(self, fault, &View::new(self, side))
    }

    /// The latest time at which all faults are detected on both ends; `None` if one is never
    /// detected on an end.
    #[must_use]
    pub fn latest(&self) -> Option<Duration> {
        let mut latest = Duration::ZERO;
        for fault in Fault::ALL {
            for side in [Side::Client, Side::Server] {
                match self.outcome(fault, side) {
                    Outcome::Found(finding) => latest = latest.max(finding.bound.latest),
                    Outcome::KeptOpen { .. } | Outcome::NothingDue => {}
                    Outcome::Never(_) => return None,
                }
            }
        }
        Some(latest)
    }

    /// One of the ends. On protocol v1 its policy is what both ends agree on.
    #[must_use]
    pub const fn end(&self, side: Side) -> End {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// Whether both ends speak protocol v1; v0 otherwise.
    #[must_use]
    pub const fn is_v1(&self) -> bool {
        self.is_v1
    }

    /// The longest round trip while the path is healthy.
    #[must_use]
    pub const fn rtt(&self) -> Duration {
        self.rtt
    }

    /// After how long without packets a middlebox on the path forgets the connection, if that is
    /// known.
    #[must_use]
    pub const fn nat_timeout(&self) -> Option<Duration> {
        self.nat_timeout
    }
}

#[cfg(test)]
mod tests;
