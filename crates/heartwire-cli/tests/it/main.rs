//! The program `heartwire` as its users meet it: processes, signals, exit codes, pipes and sockets.
//!
//! Tests wait for lines and events, never for a time in which something ought to have happened.
//! Nothing may come early, by however little.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod bad_usage;
mod balancers;
mod boards;
mod config;
mod demo;
mod devices;
mod environment;
mod errors;
mod firmware;
mod frozen;
mod health;
mod hostile;
mod http;
mod interop;
mod limits;
mod microcontroller;
mod nodes;
mod operate;
mod page;
mod presence;
mod printing;
mod program;
mod reference;
mod stop;
#[cfg(target_os = "linux")]
mod systemd;
mod tls;
mod top;
mod tunnel;
mod v1;

use std::thread;

/// A story to be told beside others.
type Story = (&'static str, fn());

/// Tells stories at the same time: they spend theirs waiting, and there are few processors.
fn side_by_side(stories: &[Story]) {
    let told = thread::scope(|scope| {
        let threads: Vec<_> = stories
            .iter()
            .map(|&(name, story)| {
                let thread = thread::Builder::new().name(name.to_owned());
                (name, thread.spawn_scoped(scope, story).unwrap())
            })
            .collect();
        threads.into_iter().map(|(name, thread)| (name, thread.join())).collect::<Vec<_>>()
    });
    let failed: Vec<_> =
        told.iter().filter(|(_, outcome)| outcome.is_err()).map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "these failed: {failed:?}");
}
