//! What each end knows of both directions, from beats alone. How exact that is, and when it judges,
//! the simulator holds.

use std::time::Instant;

use heartwire::client::Retry;
use heartwire::server::{Event, ServerConfig};
use heartwire::v1::{Hello, Offer};
use heartwire::{Cause, Reason};
use heartwire_testkit::{
    ClientRig, PATIENCE, Peer, ServerRig, client_config, ms, pass, policy, verdict_of,
};

use super::config;
use super::proxy::{Proxy, Way};

/// Of both ends, where a path is cut: long enough for a thread that a busy machine runs late.
const LIMIT: u64 = 1500;

fn judging() -> ServerConfig {
    config().policy(policy(100, LIMIT))
}

/// A client of the same mind behind a proxy, that does not come back.
fn client_behind(proxy: &Proxy) -> ClientRig {
    let client = client_config(proxy.addr).policy(policy(100, LIMIT)).retry(Retry::Never);
    let client = ClientRig::start(client);
    client.online();
    client
}

#[test]
fn both_ends_are_told_the_round_trip_of_both_ways() {
    let mut rig = ServerRig::start(config().coalesce(4));
    let proxy = Proxy::new(rig.addr(), Way::delayed(ms(30)), Way::delayed(ms(50)));
    let client = ClientRig::start(client_config(proxy.addr));
    client.online();
    let (id, _) = rig.online();
    let started = Instant::now();
    let (mut at_client, mut at_server) = (None, None);
    // One that is nearly right: a busy machine makes some of them longer, and none shorter.
    let is_told = |rtt: Option<_>| rtt.is_some_and(|rtt| rtt < ms(80 + 25));
    while !is_told(at_client) || !is_told(at_server) {
        assert!(started.elapsed() < PATIENCE, "{at_client:?} {at_server:?}");
        pass(ms(50));
        at_client = client.client().path().and_then(|path| path.rtt);
        at_server = rig.info(id).path.and_then(|path| path.rtt);
        let least = [at_client, at_server].into_iter().flatten().min();
        assert!(least.is_none_or(|least| least >= ms(75)), "{at_client:?} {at_server:?}");
    }
    client.close();
}

/// What the client's own kernel takes, which is megabytes, is half a minute under way.
#[test]
fn beats_behind_bulk_data_kill_nobody() {
    let mut rig = ServerRig::start(config().policy(policy(100, 2000)));
    let proxy = Proxy::new(rig.addr(), Way::slow(100_000), Way::default());
    let config = client_config(proxy.addr).policy(policy(100, 2000)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    rig.online();
    let (started, mut received) = (Instant::now(), 0);
    while started.elapsed() < ms(5000) {
        // There is always something to write.
        while client.client().try_send(vec![0; 16 * 1024]).is_ok() {}
        match rig.next_within(ms(1)) {
            Some(Event::Data { data, .. }) => received += data.len(),
            None => {}
            Some(other) => panic!("{other:?} after {:?}", started.elapsed()),
        }
    }
    assert!(received > 100_000, "{received} bytes");
    client.expect_quiet(ms(0));
}

/// Both ends come to a verdict, or see what the other's came to, within what silence alone
/// promises.
#[test]
fn a_way_that_is_cut_is_found_by_both_ends() {
    let cut_off = |reason| {
        assert!(
            matches!(reason, Reason::ClosedByPeer | Reason::Reset | Reason::Dead(_)),
            "{reason}"
        );
    };
    for to_server in [true, false] {
        let mut rig = ServerRig::start(judging());
        let proxy = Proxy::plain(rig.addr());
        let client = client_behind(&proxy);
        let (id, _) = rig.online();
        let verdict = if to_server {
            proxy.cut_to_server();
            let verdict = rig.verdict(id);
            // The server has closed the connection, which gets through on this way.
            cut_off(client.offline());
            verdict
        } else {
            proxy.cut_to_client();
            let verdict = verdict_of(client.offline());
            cut_off(rig.offline(id));
            verdict
        };
        assert_eq!(verdict.cause, Cause::Silence);
        assert_eq!(verdict.bound.unwrap().earliest, ms(LIMIT));
    }
}

/// It beats, and says with each beat that it hears nothing. A client of ours would have left.
#[test]
fn a_client_that_does_not_hear_the_server_is_found_by_its_own_account() {
    let mut rig = ServerRig::start(config().policy(policy(100, 2000)));
    let mut hello = Hello::new(Offer::new(&policy(100, 500)));
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
