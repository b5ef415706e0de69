//! When the client calls its server dead: that its timer and its sockets do what the core decides.
//! Everything about *when* is in the simulator.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use heartwire::Cause;
use heartwire_testkit::{BEAT, ClientRig, ms, timeout, verdict_of};

#[test]
fn a_silent_server_is_dead_after_the_timeout_and_not_before() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(timeout(2_345)));
    let last_byte_at = Instant::now();
    peer.send(&BEAT);
    let offline = rig.expect_offline();
    assert!(last_byte_at.elapsed() >= ms(2_345));
    let verdict = verdict_of(offline.reason);
    assert_eq!(verdict.cause, Cause::Silence);
    assert_eq!(verdict.bound.unwrap().earliest, ms(2_345));
    assert_eq!(offline.beats, 1);
    rig.waiting();
}

#[test]
fn a_server_that_wakes_after_its_verdict_finds_the_connection_reset() {
    // So nothing of it stays in the kernel, which would go on sending for a quarter of an hour.
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(timeout(100)));
    peer.expect_heart();
    verdict_of(rig.offline());
    let error = peer.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
