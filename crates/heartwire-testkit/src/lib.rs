//! What the tests over real sockets are made of: a [`Peer`] that a test plays by hand, a
//! [`ServerRig`] and a [`ClientRig`] around the library's two ends, a [`Proxy`] between them, a
//! [`Process`] with its [`Lines`] around a program, and one [`PATIENCE`].
//!
//! A busy machine runs a thread late, by any amount. So over real sockets a test asserts the order
//! of events, what a verdict says itself (its silence, lateness and bound), and elapsed time only
//! as a lower bound, from an instant that its own thread took just before it wrote, or asked for,
//! what it waits for. Everything else about *when* belongs into the unit tests of the core and into
//! the simulator.
//!
//! The rigs leave out the pauses that a busy machine makes, and check each event against those
//! before it, so that every test is also a test of their order.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]
#![expect(
    clippy::exhaustive_enums,
    clippy::should_implement_trait,
    reason = "only the tests of this workspace use it, and they ask for what comes next"
)]

use core::time::Duration;
use std::thread;
use std::time::Instant;

mod certificates;
mod client;
mod frames;
mod latch;
mod lines;
mod listener;
mod peer;
#[cfg(unix)]
mod process;
mod proxy;
mod server;
mod skip;

pub use certificates::{Authority, Files};
pub use client::{ClientOffline, ClientRig, client_config, fixed};
pub use frames::{
    BEAT, BYE, DATA, HEART, HELLO, PAD, WELCOME, beat_of, data, frame, header, hello, hello_as,
};
pub use latch::Latch;
pub use lines::{Line, LineEvent, Lines};
pub use listener::Listener;
pub use peer::{Beating, End, Got, Peer};
#[cfg(unix)]
pub use process::Process;
pub use proxy::{Proxy, Way};
pub use server::{Offline, ServerRig, echo, verdict_of};
pub use skip::skip;

use heartwire_core::Policy;

/// How long a test waits for something that must come. It keeps a test from hanging, and is the
/// only upper bound of time over real sockets. Programs that need 15 s on an idle machine were seen to
/// need more than 20 s beside two busy processes and a build.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// So many milliseconds.
#[must_use]
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets time pass that a test is about.
pub fn pass(time: Duration) {
    thread::sleep(time);
}

/// Waits until this is so, where no event tells of it.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        pass(ms(1));
    }
}

/// Neither beats nor judges.
#[must_use]
pub fn idle() -> Policy {
    Policy::builder().build().unwrap()
}

/// Beats each so many milliseconds, and gives no verdicts.
#[must_use]
pub fn beat(interval: u64) -> Policy {
    Policy::builder().interval(ms(interval)).build().unwrap()
}

/// Calls so many milliseconds of silence death, and beats never.
#[must_use]
pub fn timeout(silence: u64) -> Policy {
    Policy::builder().timeout(ms(silence)).build().unwrap()
}

/// Beats each so many milliseconds, and calls so many of silence death.
#[must_use]
pub fn policy(interval: u64, silence: u64) -> Policy {
    Policy::builder().interval(ms(interval)).timeout(ms(silence)).build().unwrap()
}

/// Beats every 100 ms, and gives no verdict within a test's time.
#[must_use]
pub fn patient() -> Policy {
    policy(100, 60_000)
}
