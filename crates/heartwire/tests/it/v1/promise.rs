//! Contracts that change while a connection lasts.

use std::time::Instant;

use heartwire::server::{Event, SessionId};
use heartwire::v1::{Beat, ByeCode, Health, Offer};
use heartwire::{Reason, Violation};
use heartwire_testkit::{
    ClientRig, Listener, PATIENCE, Peer, Proxy, ServerRig, client_config, hello, ms, patient,
    policy,
};

use super::config;

#[track_caller]
fn promised(rig: &mut ServerRig, of: SessionId) -> (core::time::Duration, core::time::Duration) {
    match rig.next() {
        Event::Promise { id, beat, limit } if id == of => (beat, limit.unwrap()),
        other => panic!("no promise: {other:?}"),
    }
}

#[track_caller]
fn health(rig: &mut ServerRig, of: SessionId) -> Health {
    match rig.next() {
        Event::Health { id, health } if id == of => health,
        other => panic!("no health: {other:?}"),
    }
}

#[test]
fn a_longer_promise_moves_the_verdict_back_and_a_shorter_one_forward() {
    let mut rig = ServerRig::start(config().policy(policy(100, 2000)));
    let proxy = Proxy::plain(rig.addr());
    let client = ClientRig::start(client_config(proxy.addr).policy(policy(100, 60_000)));
    client.online();
    let (id, _) = rig.online();
    client.client().promise(Some(ms(10_000)));
    assert_eq!(promised(&mut rig, id), (ms(10_000), ms(20_000)));
    // More than the limit that was agreed, with two beats at most.
    let before = rig.info(id).beats;
    rig.expect_quiet(ms(2500));
    assert!(rig.info(id).beats - before <= 2);
    client.client().promise(Some(ms(200)));
    assert_eq!(promised(&mut rig, id), (ms(200), ms(2100)));
    // The deadline moved forward: by the one that was set before, the verdict would be far too
    // late.
    proxy.cut_to_server();
    let verdict = rig.verdict(id);
    assert_eq!(verdict.bound.unwrap().earliest, ms(2100));
}

/// Nothing else would have the server look at this session before the old deadline: it sends no
/// beats of its own, and lets those of others lie.
#[test]
fn a_server_that_does_not_beat_hears_of_a_shorter_promise_at_once() {
    let judging = heartwire_testkit::limit(2000);
    let beating = heartwire_testkit::beat(100);
    let mut rig = ServerRig::start(config().policy(judging).coalesce(1000));
    let proxy = Proxy::plain(rig.addr());
    let client = ClientRig::start(client_config(proxy.addr).policy(beating));
    assert_eq!(client.online().contract.to_client.beat(), None);
    let (id, _) = rig.online();
    client.client().promise(Some(ms(30_000)));
    let limit = promised(&mut rig, id).1;
    // Past the deadline that was set before, so that the next one is further away than a test
    // waits.
    assert!(limit >= PATIENCE + ms(10_000), "{limit:?}");
    rig.expect_quiet(ms(2500));
    client.client().promise(None);
    let (beat, limit) = promised(&mut rig, id);
    assert!(limit < ms(2500), "{beat:?} {limit:?}");
    proxy.cut_to_server();
    assert_eq!(rig.verdict(id).bound.unwrap().earliest, limit);
}

#[test]
fn a_promise_is_kept_over_a_new_connection() {
    let mut rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()));
    client.online();
    let (first, _) = rig.online();
    client.client().promise(Some(ms(5000)));
    promised(&mut rig, first);
    rig.handle().kick(first).unwrap();
    assert_eq!(rig.offline(first), Reason::Kicked);
    assert_eq!(client.offline(), Reason::Bye(ByeCode::Kicked));
    client.online();
    let (second, _) = rig.online();
    assert_eq!(promised(&mut rig, second).0, ms(5000));
    client.client().promise(None);
    assert_eq!(promised(&mut rig, second).0, ms(100));
    client.close();
}

#[test]
fn a_promise_beyond_the_ceiling_is_a_breach_and_one_below_the_floor_is_not() {
    let ours = policy(100, 400);
    let server = config().policy(ours).offer(Offer::new(&ours).ceiling(ms(10_000)));
    let mut rig = ServerRig::start(server);
    let (mut peer, welcome) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    let max = welcome.contract.to_server.promise_max();
    assert_eq!(max, ms(5000));
    peer.beat_with(|beat| beat.promise_ms = 1);
    peer.beat_with(|beat| beat.promise_ms = 5000);
    assert_eq!(promised(&mut rig, id), (ms(5000), ms(10_000)));
    peer.beat_with(|beat| beat.promise_ms = 5001);
    match rig.offline(id) {
        Reason::Protocol(Violation::PromiseTooLong { promise, max }) => {
            assert_eq!((promise, max), (ms(5001), ms(5000)));
        }
        other => panic!("{other}"),
    }
    let (code, _, detail) = peer.expect_bye();
    assert_eq!(code, ByeCode::Protocol);
    assert!(detail.contains("5s"), "{detail}");
    rig.finish();
}

#[test]
fn a_client_whose_application_does_not_check_in_is_degraded_until_it_does() {
    let mut rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()).progress(ms(2000)));
    client.online();
    let (id, _) = rig.online();
    let checked_in = Instant::now();
    client.client().check_in();
    assert_eq!(health(&mut rig, id), Health::Degraded);
    assert!(checked_in.elapsed() >= ms(2000), "early: {:?}", checked_in.elapsed());
    assert_eq!(rig.info(id).path.unwrap().peer_health, Health::Degraded);
    // Said once, and not held against it.
    rig.expect_quiet(ms(500));
    client.client().check_in();
    assert_eq!(health(&mut rig, id), Health::Ok);
    assert_eq!(health(&mut rig, id), Health::Degraded);
    client.close();
}

#[test]
fn whoever_is_degraded_from_the_start_is_told_of_right_after_online() {
    let mut rig = ServerRig::start(config());
    let beat = |beat: &mut Beat| beat.promise_ms = 100;
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    peer.beat_with(|b| {
        beat(b);
        b.health = Health::Draining;
    });
    assert_eq!(health(&mut rig, id), Health::Draining);
    rig.finish();
}

#[test]
fn a_client_hears_how_its_server_is() {
    let listener = Listener::new();
    let client = ClientRig::start(client_config(listener.addr()));
    let mut peer = listener.accept();
    peer.welcome_by(&heartwire::v1::Terms::new(Offer::new(&patient())));
    client.online();
    peer.beat_with(|beat| beat.health = Health::Draining);
    match client.next() {
        heartwire::client::Event::Health(Health::Draining) => {}
        other => panic!("{other}"),
    }
    peer.beat_with(|beat| beat.too_fast = true);
    match client.next() {
        heartwire::client::Event::Health(Health::Ok) => {}
        other => panic!("{other}"),
    }
    match client.next() {
        heartwire::client::Event::TooFast => {}
        other => panic!("{other}"),
    }
    client.close();
}
