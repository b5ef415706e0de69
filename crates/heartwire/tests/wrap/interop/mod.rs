//! Against programs that nobody here wrote. Each is started on a port of its own, kept alive by beats
//! alone, used for what it is there for, and then frozen.
//!
//! A test whose program is not installed says that it was skipped.

mod mosquitto;
mod nats;
mod peer;
mod redis;
mod websocket;

use core::time::Duration;
use std::time::Instant;

use heartwire::{Policy, TICK, Verdict};

use self::peer::Peer;

const BEAT: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(1);

/// Long enough for several verdicts, if the peer's beats were not seen.
const CALM: Duration = Duration::from_millis(2_500);

fn policy() -> Policy {
    Policy::builder().beat(BEAT).limit(LIMIT).build().unwrap()
}

/// Freezes the peer, and checks the verdict that `wait` waits for.
async fn freeze(peer: &Peer, wait: impl Future<Output = Option<Verdict>>) {
    peer.freeze();
    let frozen_at = Instant::now();
    let verdict = tokio::time::timeout(LIMIT * 10, wait).await.expect("frozen, and never dead");
    let after = frozen_at.elapsed();
    let verdict = verdict.expect("a verdict, not another error");
    println!("{}: {verdict}, {:.3} s after it was frozen", peer.name(), after.as_secs_f64());
    let bound = verdict.bound.unwrap();
    assert!(bound.contains(verdict.silence - verdict.stalled), "{verdict}");
    // Its last answer may have come as long before as its beats are apart.
    let bound = policy().bound_after_fault(TICK).unwrap();
    assert!(after >= bound.earliest, "dead {after:?} after it was frozen: {bound}");
    assert!(after <= bound.latest + verdict.stalled, "dead {after:?} after it was frozen: {bound}");
}
