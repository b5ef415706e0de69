//! What a server has counted of those that speak v1.

use std::collections::BTreeMap;

use heartwire::Reason;
use heartwire::server::Protocols;
use heartwire::server::auth::Tokens;
use heartwire::v1::{ByeCode, Hello, Offer, RetryHint};
use heartwire_core::internal::v1::Beat;
use heartwire_testkit::{
    BYE, HEART, HELLO, Peer, ServerRig, beat_of, frame, header, hello, hello_as, policy,
};

use super::config;

/// What was counted, less what depends on how the server went about it.
fn counted(rig: &ServerRig) -> BTreeMap<&'static str, u64> {
    // Whether a peer that goes away has taken its BYE is up to chance.
    let by_chance = ["pauses", "cut_off"];
    let counts = rig.stats().counts();
    counts.filter(|(name, count)| *count > 0 && !by_chance.contains(name)).collect()
}

#[test]
fn those_that_come_in_and_what_they_promise_are_counted() {
    let mut rig = ServerRig::start(config());
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    for promise_ms in [200, 200, 300] {
        peer.beat_with(|beat| beat.promise_ms = promise_ms);
    }
    rig.next();
    rig.next();
    assert_eq!(
        counted(&rig),
        BTreeMap::from([("accepted", 1), ("hellos", 1), ("welcomed", 1), ("promises", 2)])
    );
    rig.handle().kick(id).unwrap();
    rig.offline(id);
    rig.finish();
}

#[test]
fn those_that_are_rejected_are_counted_by_what_they_are_told() {
    let tokens = Tokens::parse("aaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb\n").unwrap();
    let mut rig = ServerRig::start(config().protocols(Protocols::V1WithTokens(tokens)));
    let (a, b) = (Some(&b"aaaaaaaaaaaaaaaaaaaa"[..]), Some(&b"bbbbbbbbbbbbbbbbbbbb"[..]));
    let _holder = Peer::welcomed(rig.addr(), &hello_as("holder", a));
    rig.online();
    let mut contrary = Hello::new(Offer::new(&policy(100, 400)).min_interval(None));
    contrary.token = a;
    for (hello, code) in [
        (hello(), ByeCode::Unauthorized),
        (hello_as("holder", b), ByeCode::NameInUse),
        (hello_as("no\tname", a), ByeCode::Protocol),
        (contrary.encode(), ByeCode::Conflict),
    ] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&hello);
        let bye = peer.expect_bye();
        assert_eq!((bye.0, bye.1), (code, RetryHint::Never), "{}", bye.2);
    }
    rig.expect_nothing();
    assert_eq!(
        counted(&rig),
        BTreeMap::from([
            ("accepted", 5),
            ("hellos", 5),
            ("welcomed", 1),
            ("rejected", 4),
            ("rejected_unauthorized", 1),
            ("rejected_name_in_use", 1),
            ("rejected_protocol", 1),
            ("rejected_conflict", 1),
        ])
    );
    rig.finish();
}

#[test]
fn breaches_of_v1_are_counted_one_by_one() {
    let mut rig = ServerRig::start(config());
    let mut breaches = 0;
    let mut breach = |rig: &mut ServerRig, bytes: &[u8]| {
        let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
        let (id, _) = rig.online();
        peer.send(bytes);
        assert!(matches!(rig.offline(id), Reason::Protocol(_)), "{bytes:?}");
        breaches += 1;
    };
    let beat = |change: fn(&mut Beat)| {
        let mut beat = beat_of(1);
        change(&mut beat);
        frame(HEART, &beat.encode())
    };
    breach(&mut rig, &hello());
    breach(&mut rig, &frame(HEART, &[0; 8]));
    breach(&mut rig, &frame(BYE, &[0xff]));
    breach(&mut rig, &beat(|beat| beat.echo = u64::MAX));
    breach(&mut rig, &beat(|beat| beat.promise_ms = u32::MAX));
    breach(&mut rig, &vec![beat(|_| {}); 200].concat());
    // A later version is told so whatever else its HELLO holds: here a name that is none.
    let later = [0xa2, 0, 0x82, 2, 2, 1, 0x60];
    for (bad, expected) in [
        (&[0xff][..], ByeCode::Protocol),
        (&[0xa2, 0, 0x82, 2, 3, 7, 1], ByeCode::Version),
        (&later, ByeCode::Version),
    ] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&frame(HELLO, bad));
        let (code, retry, _) = peer.expect_bye();
        assert_eq!((code, retry), (expected, RetryHint::Never), "{bad:?}");
        breaches += 1;
    }
    // One is too long for anything, which its header tells, and one is cut off.
    let mut long = Peer::connect(rig.addr());
    long.send(&header(HELLO, 2049));
    long.expect_end();
    let mut partial = Peer::connect(rig.addr());
    partial.send(&hello()[..20]);
    partial.half_close();
    partial.expect_end();
    breaches += 1;
    assert_eq!(
        counted(&rig),
        BTreeMap::from([
            ("hellos", 6),
            ("welcomed", 6),
            ("accepted", 11),
            ("protocol_error", breaches),
            ("unexpected", 1),
            ("beat_length", 1),
            ("bad_bye", 1),
            ("unknown_nonce", 1),
            ("promise_too_long", 1),
            ("too_fast", 1),
            ("bad_hello", 1),
            ("no_common_version", 2),
            ("too_long", 1),
            ("truncated", 1),
        ])
    );
    rig.finish();
}
