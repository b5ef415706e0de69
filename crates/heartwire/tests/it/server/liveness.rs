//! A verdict over a real socket. Everything about *when* is in the unit tests of the shard and in
//! the simulator.

use std::time::Instant;

use heartwire::Cause;
use heartwire_testkit::{End, ServerRig, policy};

use super::config;

#[test]
fn a_client_that_never_speaks_is_declared_dead_within_its_bound_whatever_it_is_sent() {
    let mut rig = ServerRig::start(config().policy(policy(40, 200)));
    let connecting = Instant::now();
    let (mut peer, id) = rig.connect();
    assert_eq!(rig.expect_verdict(id, 200, connecting).cause, Cause::Silence);
    // It got beats, and then a reset.
    assert_eq!(peer.expect_end(), End::Reset);
    assert_eq!(rig.count("dead"), 1);
    rig.finish();
}
