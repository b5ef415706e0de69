#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at whatever it did not expect")]

use core::time::Duration;
use std::net::TcpListener;

use heartwire_core::{Policy, Wire};

use crate::Reason;
use crate::client::{Client, ClientConfig, Event};
use crate::clock::pretended;

/// The client and the test share a thread, and so the suspend that the test makes up. The client's timer
/// is punctual: only its clocks, compared, tell of it.
#[test]
fn a_suspend_that_made_nothing_late_gives_the_server_another_limit() {
    const LIMIT: Duration = Duration::from_millis(500);
    const SUSPENDED: Duration = Duration::from_secs(25);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let policy = Policy::builder().limit(LIMIT).build().unwrap();
    let config =
        ClientConfig::new(silent.local_addr().unwrap().to_string()).policy(policy).wire(Wire::V0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_client, mut events) = Client::start(config);
        let mut noticed = false;
        loop {
            match events.recv().await.unwrap() {
                Event::Online { .. } => pretended::suspend(SUSPENDED),
                Event::Stalled(stall) => noticed |= stall.gap >= SUSPENDED,
                Event::Offline { reason: Reason::Dead(verdict), .. } => {
                    assert!(noticed, "{verdict} before the suspend was told");
                    assert!(!verdict.stalled.is_zero(), "{verdict}");
                    assert!(verdict.silence >= verdict.stalled + LIMIT, "{verdict}");
                    return;
                }
                Event::Connecting { .. } => {}
                other => panic!("{other}"),
            }
        }
    });
}
