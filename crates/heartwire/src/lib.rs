//! Keeps long-lived TCP connections alive and says, within a stated bound, when one is dead.
//!
//! [`server`] holds many sessions on a few threads and reports each as online, offline or dead.
//! [`client`] keeps one connection to such a server alive, and connects again when it is not. Both
//! leave every decision to [`heartwire_core`], whose types are re-exported here.

pub mod client;
mod clock;
pub mod kernel;
mod reason;
pub mod server;
mod sys;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod tls;
pub mod wrap;

pub use heartwire_core::backoff::{BackoffError, BackoffPolicy};
pub use heartwire_core::{
    Bound, Caps, Cause, Path, Policy, PolicyBuilder, PolicyError, Preset, Settings, Side, Stall,
    Verdict, Violation, Wire,
};
pub use heartwire_core::{frame, plan, v1};
pub use reason::Reason;
pub use tls::{CertificateFault, TlsError, TlsFault};

/// How late a verdict may be: the tick of both drivers. It covers the rounding of the server's wheel
/// (4 ms), the kernel's own (two jiffies), and the time that a loop takes to get round under load. Each
/// verdict says how late it was. A loop that was late by
/// [`STALL_MIN`](heartwire_core::STALL_MIN) has stood still: it says so, and gives everybody who is
/// silent another chance.
pub const TICK: core::time::Duration = core::time::Duration::from_millis(100);
