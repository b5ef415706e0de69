//! Test kit for real sockets: a [`Peer`] that a test plays by hand, a [`ServerRig`] and a
//! [`ClientRig`] around the library's two ends, a [`Proxy`] between them, a [`Process`] with its
//! [`Lines`] around a program, a [`RedisServer`], programs in C, and one [`PATIENCE`].
//!
//! A busy machine runs a thread late, by any amount. So over real sockets a test asserts the order
//! of events, a verdict's own numbers (silence, lateness and bound), and elapsed time only as a
//! lower bound, from an instant that its own thread took just before it wrote, or asked for, what
//! it waits for. Everything else about *when* belongs in the unit tests of the core and in the
//! simulator.
//!
//! The rigs skip the pauses of a busy machine, and check each event against those before it, so
//! that every test also checks their order.

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

mod c;
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
#[cfg(unix)]
mod redis;
mod resume;
mod server;
mod skip;
#[cfg(unix)]
mod tmux;

pub use c::{SANITIZERS, c_library, c_sources, cc_has, compile_c};
pub use certificates::{Authority, Files};
pub use client::{ClientOffline, ClientRig, client_config, fixed};
pub use frames::{
    ACK, BEAT, BYE, DATA, END, HEART, HELLO, PAD, WELCOME, beat_of, data, frame, header, hello,
    hello_as,
};
pub use latch::Latch;
pub use lines::{Line, LineEvent, Lines};
pub use listener::{Listener, lasting_address};
pub use peer::{Beating, End, Got, Peer};
#[cfg(unix)]
pub use process::Process;
#[cfg(target_os = "linux")]
pub use process::{descendants, wait_until_gone};
pub use proxy::{Proxy, Way};
#[cfg(unix)]
pub use redis::RedisServer;
pub use resume::{Resumable, after};
pub use server::{Offline, ServerRig, echo, verdict_of};
pub use skip::{built_beside, skip};
#[cfg(unix)]
pub use tmux::Tmux;

use heartwire_core::Policy;

/// How long a test waits for something that must come. It keeps a test from hanging, and is the
/// only upper bound of time over real sockets. Programs that need 15 s on an idle machine were seen
/// to need more than 20 s beside two busy processes and a build.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// `millis` milliseconds.
#[must_use]
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sleeps, where passing time is what the test is about.
pub fn pass(time: Duration) {
    thread::sleep(time);
}

/// Polls until `is_so` is true, where no event reports it.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        pass(ms(1));
    }
}

/// A policy without interval and timeout.
#[must_use]
pub fn idle() -> Policy {
    Policy::builder().build().unwrap()
}

/// A policy with this interval, in milliseconds, and no timeout.
#[must_use]
pub fn beat(interval: u64) -> Policy {
    Policy::builder().interval(ms(interval)).build().unwrap()
}

/// A policy with this timeout, in milliseconds, and no interval.
#[must_use]
pub fn timeout(silence: u64) -> Policy {
    Policy::builder().timeout(ms(silence)).build().unwrap()
}

/// A policy with this interval and timeout, in milliseconds.
#[must_use]
pub fn policy(interval: u64, silence: u64) -> Policy {
    Policy::builder().interval(ms(interval)).timeout(ms(silence)).build().unwrap()
}

/// A policy with an interval of 100 ms and a timeout longer than a test.
#[must_use]
pub fn patient() -> Policy {
    policy(100, 60_000)
}
