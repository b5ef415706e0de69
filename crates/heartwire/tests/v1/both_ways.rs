//! What each end knows of both directions, from beats alone.

use core::time::Duration;
use std::time::Instant;

use heartwire::client::Retry;
use heartwire::server::{Event, SessionId};
use heartwire::v1::Offer;
use heartwire::{Cause, Reason};

use crate::peer::{Peer, hello};
use crate::proxy::{Proxy, Way};
use crate::rig::{ClientRig, PATIENCE, Rig, client_config, config, ms, pass, policy, verdict_of};

/// Of both ends, where a path is cut: long enough for a thread that a busy machine runs late.
const LIMIT: Duration = ms(1500);

/// Waits until both ends have told a round trip of at most `most` several times. None may be shorter than
/// `least`; longer ones are a machine's that is busy. How exact each is, the simulator holds them to.
#[track_caller]
fn expect_round_trips(
    rig: &Rig,
    client: &ClientRig,
    id: SessionId,
    least: Duration,
    most: Duration,
) {
    let started = Instant::now();
    let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
    let are_enough = |told: &[Duration]| told.iter().filter(|&&rtt| rtt <= most).count() >= 5;
    while !are_enough(&at_client) || !are_enough(&at_server) {
        assert!(started.elapsed() < PATIENCE, "{at_client:?} {at_server:?}");
        pass(ms(100));
        at_client.extend(client.client.path().and_then(|path| path.rtt));
        at_server.extend(rig.info(id).path.and_then(|path| path.rtt));
    }
    let told = at_client.iter().chain(&at_server);
    assert!(told.copied().all(|rtt| rtt >= least), "{at_client:?} {at_server:?}");
}

#[test]
fn the_round_trip_over_loopback_is_next_to_nothing() {
    for coalesce in [0, 4, 100] {
        let mut rig = Rig::start(config().coalesce(coalesce));
        let client = ClientRig::start(client_config(rig.addr()));
        client.online();
        let (id, _) = rig.online();
        expect_round_trips(&rig, &client, id, ms(0), ms(5));
        client.close();
    }
}

#[test]
fn the_round_trip_of_a_long_path_is_that_of_both_ways() {
    for coalesce in [0, 4] {
        let mut rig = Rig::start(config().coalesce(coalesce));
        let proxy = Proxy::new(rig.addr(), Way::delayed(ms(30)), Way::delayed(ms(50)));
        let client = ClientRig::start(client_config(proxy.addr));
        client.online();
        let (id, _) = rig.online();
        // Two threads stand for the path.
        expect_round_trips(&rig, &client, id, ms(75), ms(80 + 25));
        client.close();
    }
}

/// Data wake the server while beats lie unread, which must not make those look younger than they are.
#[test]
fn data_between_the_beats_do_not_spoil_the_round_trip() {
    let mut rig = Rig::start(config().coalesce(100).policy(policy(400, 60_000)));
    let client = ClientRig::start(client_config(rig.addr()).policy(policy(150, 60_000)));
    client.online();
    let (id, _) = rig.online();
    let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
    for round in 0..60_u64 {
        client.send(b"data");
        assert_eq!(rig.data(id), b"data");
        pass(ms(37 + round % 23));
        at_client.extend(client.client.path().and_then(|path| path.rtt));
        at_server.extend(rig.info(id).path.and_then(|path| path.rtt));
    }
    // Tens of milliseconds would be the time that a beat lay there. What is usual, because a busy machine
    // adds to some of them; the simulator looks at each.
    for mut told in [at_client, at_server] {
        told.sort_unstable();
        assert!(told.len() > 10, "{told:?}");
        assert!(told[told.len() / 2] < ms(30), "{told:?}");
    }
    client.close();
}

#[test]
fn beats_behind_bulk_data_to_the_server_kill_nobody() {
    // What the client's own kernel takes, which is megabytes, is half a minute under way on the one path,
    // and a second on the other.
    for (rate, beats_min) in [(100_000, 0), (4_000_000, 3)] {
        let mut rig = Rig::start(config().policy(policy(100, 2000)));
        let proxy = Proxy::new(rig.addr(), Way::slow(rate), Way::default());
        let config = client_config(proxy.addr).policy(policy(100, 2000)).retry(Retry::Never);
        let client = ClientRig::start(config);
        client.online();
        let (id, _) = rig.online();
        let started = Instant::now();
        let mut received = 0;
        while started.elapsed() < ms(6000) {
            // There is always something to write.
            while client.client.try_send(vec![0; 16 * 1024]).is_ok() {}
            while let Some(event) = rig.next_within(ms(1)) {
                match event {
                    Event::Data { data, .. } => received += data.len(),
                    other => panic!("{other:?} after {:?}", started.elapsed()),
                }
                while client.client.try_send(vec![0; 16 * 1024]).is_ok() {}
            }
        }
        assert!(received > 100_000, "{received} bytes");
        // They do not wait for a pause, which never comes.
        let beats = rig.info(id).beats;
        assert!(beats >= beats_min, "{beats} beats before {received} bytes");
        client.expect_quiet(ms(10));
    }
}

#[test]
fn beats_behind_bulk_data_to_the_client_kill_nobody() {
    let mut rig = Rig::start(config().policy(policy(100, 2000)).outbound_max(16 << 20));
    let proxy = Proxy::new(rig.addr(), Way::default(), Way::slow(100_000));
    let config = client_config(proxy.addr).policy(policy(100, 2000)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    for _ in 0..64 {
        rig.handle().send(id, &[0; 60_000]).unwrap();
    }
    let started = Instant::now();
    while started.elapsed() < ms(6000) {
        match client.next_within(ms(100)) {
            None | Some(heartwire::client::Event::Data(_)) => {}
            Some(other) => panic!("{other} after {:?}", started.elapsed()),
        }
    }
    rig.expect_quiet(ms(10));
    client.close();
}

/// Both ends come to a verdict, or see what the other's came to, within what silence alone promises.
#[test]
fn a_way_to_the_server_that_is_cut_is_found_by_both_ends() {
    let mut rig = Rig::start(config().policy(policy(100, 1500)));
    let proxy = Proxy::plain(rig.addr());
    let config = client_config(proxy.addr).policy(policy(100, 1500)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    pass(ms(300));
    proxy.cut_to_server();
    let verdict = rig.verdict(id);
    assert_eq!(verdict.cause, Cause::Silence);
    assert_eq!(verdict.bound.unwrap().earliest, LIMIT);
    // The server has closed the connection, which gets through on this way.
    let reason = client.offline();
    assert!(matches!(reason, Reason::ClosedByPeer | Reason::Reset | Reason::Dead(_)), "{reason}");
}

#[test]
fn a_way_to_the_client_that_is_cut_is_found_by_both_ends() {
    let mut rig = Rig::start(config().policy(policy(100, 1500)));
    let proxy = Proxy::plain(rig.addr());
    let config = client_config(proxy.addr).policy(policy(100, 1500)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    pass(ms(300));
    proxy.cut_to_client();
    let verdict = verdict_of(client.offline());
    assert_eq!(verdict.cause, Cause::Silence);
    assert_eq!(verdict.bound.unwrap().earliest, LIMIT);
    let reason = rig.offline(id);
    assert!(matches!(reason, Reason::ClosedByPeer | Reason::Reset | Reason::Dead(_)), "{reason}");
}

#[test]
fn a_path_that_is_cut_both_ways_is_found_by_both_ends_on_their_own() {
    let mut rig = Rig::start(config().policy(policy(100, 1500)));
    let proxy = Proxy::plain(rig.addr());
    let config = client_config(proxy.addr).policy(policy(100, 1500)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    pass(ms(300));
    proxy.cut_to_client();
    proxy.cut_to_server();
    for verdict in [rig.verdict(id), verdict_of(client.offline())] {
        assert_eq!(verdict.cause, Cause::Silence);
        assert_eq!(verdict.bound.unwrap().earliest, LIMIT);
    }
}

/// It beats, and says with each beat that it hears nothing. A client of ours would have left.
#[test]
fn a_client_that_does_not_hear_the_server_is_found_by_its_own_account() {
    let mut rig = Rig::start(config().policy(policy(100, 2000)));
    let mut hello = heartwire::v1::Hello::new(Offer::new(&policy(100, 500)));
    hello.agent = Some("deaf");
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello.encode());
    let (id, _) = rig.online();
    let deaf_since = Instant::now();
    let reason = loop {
        let silence_ms = u32::try_from(deaf_since.elapsed().as_millis()).unwrap();
        peer.beat_with(|beat| beat.silence_ms = silence_ms);
        match rig.next_within(ms(50)) {
            None => assert!(deaf_since.elapsed() < PATIENCE, "it is never found"),
            Some(Event::Verdict { verdict, .. }) => break Reason::Dead(verdict),
            Some(other) => panic!("{other:?}"),
        }
    };
    // It tells its silence in whole milliseconds, which may be one more than it was.
    assert!(deaf_since.elapsed() >= ms(2499), "early: {reason} after {:?}", deaf_since.elapsed());
    let verdict = verdict_of(reason);
    assert_eq!(verdict.cause, Cause::Unheard);
    // Its limit and ours.
    assert_eq!(verdict.bound.unwrap().earliest, ms(500 + 2000));
    assert_eq!(rig.offline(id), reason);
}

#[test]
fn a_reset_is_a_reset_at_both_ends() {
    let mut rig = Rig::start(config());
    let (peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    peer.reset();
    assert_eq!(rig.offline(id), Reason::Reset);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = client_config(listener.local_addr().unwrap()).retry(Retry::Never);
    let client = ClientRig::start(config);
    let mut peer = Peer::accept(&listener);
    peer.welcome_by(&heartwire::v1::Terms::new(Offer::new(&crate::rig::patient())));
    client.online();
    peer.reset();
    assert_eq!(client.offline(), Reason::Reset);
}
