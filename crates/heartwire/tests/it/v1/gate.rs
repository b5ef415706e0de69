//! Who may come in, and what those get who are not in.

use core::num::NonZeroU32;
use std::time::Instant;

use heartwire::Reason;
use heartwire::client::ConnectError;
use heartwire::server::{AddressCaps, Event, Rate, Refusal, SharedTokens, Tokens};
use heartwire::v1::{ByeCode, Retry};
use heartwire_testkit::{
    ClientRig, DATA, Got, PATIENCE, Peer, ServerRig, client_config, frame, hello, hello_as, ms,
};

use super::config;

const TOKEN: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";

fn tokens() -> SharedTokens {
    SharedTokens::new(Tokens::parse("aaaaaaaaaaaaaaaaaaaa\nalice bbbbbbbbbbbbbbbbbbbb\n").unwrap())
}

#[test]
fn whoever_has_no_token_is_refused_for_good_and_heard_of_by_nobody() {
    let mut rig = ServerRig::start(config().tokens(tokens()));
    for hello in [
        hello(),
        hello_as("bob", None),
        hello_as("bob", Some(b"aaaaaaaaaaaaaaaaaaab")),
        hello_as("alice", Some(TOKEN)),
        hello_as("bob", Some(b"bbbbbbbbbbbbbbbbbbbb")),
    ] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&[hello, frame(DATA, b"sneaked in")].concat());
        let (code, retry, detail) = peer.expect_bye();
        assert_eq!((code, retry), (ByeCode::Unauthorized, Retry::Never));
        assert!(!detail.contains("aaa") && !detail.contains("bbb"), "{detail}");
    }
    rig.expect_nothing();
    assert_eq!(rig.stats().turned_away, 5);
    let client = ClientRig::start(client_config(rig.addr()).name("bob").token(TOKEN));
    client.online();
    rig.online();
    let wrong = ClientRig::start(client_config(rig.addr()).token(b"not the right one".to_vec()));
    wrong.connecting();
    assert!(matches!(wrong.failed(), ConnectError::TurnedAway { code: ByeCode::Unauthorized, .. }));
    wrong.closed();
    client.close();
}

#[test]
fn whoever_is_not_in_is_neither_listed_nor_told() {
    let mut rig = ServerRig::start(config().shards(1));
    let mut silent = Peer::connect(rig.addr());
    let (mut inside, welcome) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    assert_eq!(id.as_u64(), welcome.session);
    assert_eq!(rig.handle().list().len(), 1);
    rig.handle().broadcast(b"to all").unwrap();
    assert_eq!(inside.next_but_beats(), Got::Data(b"to all".to_vec()));
    silent.send(&hello());
    // Beats of v0 apart, the welcome is the first thing it gets.
    silent.expect_welcome();
    let (second, _) = rig.online();
    assert_eq!(rig.handle().list().len(), 2);
    drop(silent);
    assert!(matches!(rig.offline(second), Reason::ClosedByPeer | Reason::Reset));
    rig.finish();
}

#[test]
fn an_address_has_only_so_many_sessions_at_a_time() {
    let caps = AddressCaps::default().sessions(NonZeroU32::new(3));
    let mut rig = ServerRig::start(config().addresses(caps));
    let mut peers: Vec<_> = (0..3).map(|_| Peer::welcomed(rig.addr(), &hello()).0).collect();
    let ids: Vec<_> = (0..3).map(|_| rig.online().0).collect();
    // It may find out before it has done anything.
    if let Some(mut refused) = Peer::try_connect(rig.addr()) {
        let _ = refused.try_send(&hello());
        assert!(matches!(refused.next(), Got::Reset | Got::Closed));
    }
    match rig.next() {
        Event::Refusing { cause: Refusal::AddressSessions } => {}
        other => panic!("{other:?}"),
    }
    drop(peers.pop());
    assert!(matches!(rig.offline(ids[2]), Reason::ClosedByPeer | Reason::Reset));
    let (_again, _) = Peer::welcomed(rig.addr(), &hello());
    // Whether it says already that it accepts again depends on how quiet it has been.
    loop {
        match rig.next() {
            Event::Online { .. } => break,
            Event::Accepting { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    drop(peers);
}

#[test]
fn an_address_whose_client_never_got_in_gives_its_place_back() {
    let caps = AddressCaps::default().sessions(NonZeroU32::new(2));
    let first_frame = heartwire::Caps::default().first_frame(Some(ms(2000)));
    let mut rig = ServerRig::start(config().addresses(caps).caps(first_frame).tokens(tokens()));
    for _ in 0..2 {
        let silent = [Peer::connect(rig.addr()), Peer::connect(rig.addr())];
        for mut peer in silent {
            peer.expect_end();
        }
        let mut denied = Peer::connect(rig.addr());
        denied.send(&hello());
        assert_eq!(denied.expect_bye().0, ByeCode::Unauthorized);
    }
    let (_peer, _) = Peer::welcomed(rig.addr(), &hello_as("bob", Some(TOKEN)));
    rig.online();
}

#[test]
fn an_address_comes_only_so_fast() {
    let rate = Rate::new(NonZeroU32::new(10).unwrap(), NonZeroU32::new(5).unwrap());
    let caps = AddressCaps::default().arrivals(Some(rate));
    let rig = ServerRig::start(config().addresses(caps));
    let started = Instant::now();
    let mut taken_in = 0_u32;
    while started.elapsed() < ms(1000) || rig.stats().refused == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is refused");
        // Whoever is refused may find out before it has done anything.
        let Some(mut peer) = Peer::try_connect(rig.addr()) else { continue };
        let _ = peer.try_send(&hello());
        if matches!(peer.next(), Got::Welcome(_)) {
            taken_in += 1;
        }
    }
    let most = 5 + 10 * u32::try_from(started.elapsed().as_millis()).unwrap() / 1000 + 1;
    assert!(taken_in <= most, "{taken_in} of {most}");
    assert!(taken_in >= 5, "{taken_in}");
}

#[test]
fn a_new_file_of_tokens_holds_for_those_who_come_after_it() {
    let shared = tokens();
    let mut rig = ServerRig::start(config().tokens(shared.clone()));
    let (mut inside, _) = Peer::welcomed(rig.addr(), &hello_as("bob", Some(TOKEN)));
    let (id, _) = rig.online();
    shared.replace(Tokens::parse("cccccccccccccccccccc\n").unwrap());
    let mut late = Peer::connect(rig.addr());
    late.send(&hello_as("eve", Some(TOKEN)));
    assert_eq!(late.expect_bye().0, ByeCode::Unauthorized);
    inside.data(b"still in");
    assert_eq!(rig.data(id), b"still in");
    let (_new, _) = Peer::welcomed(rig.addr(), &hello_as("eve", Some(b"cccccccccccccccccccc")));
    rig.online();
    rig.finish();
}
