//! The wrappers against programs that are not ours. Each is started on a port of its own, kept
//! alive by heartbeats alone, used for its purpose, and then frozen.
//!
//! A test whose program is not installed says that it was skipped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says so of whatever it did not expect"
)]

mod mosquitto;
mod nats;
mod peer;
mod redis;
mod websocket;

use core::time::Duration;

use heartwire::{Policy, TICK, Verdict};
use heartwire_testkit::PATIENCE;

use peer::Peer;

const BEAT: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Long enough for two verdicts, if the peer's beats were not seen.
const CALM: Duration = Duration::from_millis(4_500);

fn policy() -> Policy {
    Policy::builder().interval(BEAT).timeout(TIMEOUT).build().unwrap()
}

/// Freezes the peer, and checks the verdict that `wait` waits for.
async fn freeze(peer: &Peer, wait: impl Future<Output = Option<Verdict>>) {
    peer.freeze();
    let verdict = tokio::time::timeout(PATIENCE, wait).await.expect("frozen, and never dead");
    let verdict = verdict.expect("a verdict, not another error");
    println!("{}: {verdict}", peer.name());
    assert_eq!(verdict.silence, TIMEOUT + verdict.paused + verdict.late.min(TICK));
    assert_eq!(verdict.bound.unwrap().latest, TIMEOUT + TICK);
}
