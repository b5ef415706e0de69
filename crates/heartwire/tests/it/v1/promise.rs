//! Contracts that change while a connection lasts.

use core::time::Duration;

use heartwire::server::{Event, SessionId};
use heartwire_testkit::{ClientRig, PATIENCE, Proxy, ServerRig, client_config, ms};

use super::config;

#[track_caller]
fn promised(rig: &mut ServerRig, of: SessionId) -> (Duration, Duration) {
    match rig.next() {
        Event::Promise { id, interval: beat, timeout } if id == of => (beat, timeout.unwrap()),
        other => panic!("no promise: {other:?}"),
    }
}

/// Nothing else would have the server look at this session before the old deadline: it sends no
/// beats of its own, and lets those of others lie.
#[test]
fn a_server_that_does_not_beat_hears_of_a_shorter_promise_at_once() {
    let judging = heartwire_testkit::timeout(2000);
    let beating = heartwire_testkit::beat(100);
    let mut rig = ServerRig::start(config().policy(judging).coalesce(1000));
    let proxy = Proxy::plain(rig.addr());
    let client = ClientRig::start(client_config(proxy.addr).policy(beating));
    assert_eq!(client.online().contract.to_client.interval(), None);
    let (id, _) = rig.online();
    client.client().promise(Some(ms(60_000)));
    let timeout = promised(&mut rig, id).1;
    // Past the deadline that was set before, so that the next one is further away than a test
    // waits.
    assert!(timeout >= PATIENCE + ms(10_000), "{timeout:?}");
    rig.expect_quiet(ms(2500));
    client.client().promise(None);
    let (beat, timeout) = promised(&mut rig, id);
    assert!(timeout < ms(2500), "{beat:?} {timeout:?}");
    proxy.cut_to_server();
    assert_eq!(rig.verdict(id).bound.unwrap().earliest, timeout);
}
