//! Who may come in, and what those get who are not in.

use core::num::NonZeroU32;

use heartwire::client;
use heartwire::server::auth::Tokens;
use heartwire::server::limits::{Admission, Limits, Refusal};
use heartwire::server::{Event, Protocols};
use heartwire::v1::{ByeCode, RetryHint};
use heartwire::{Credential, Reason};
use heartwire_testkit::{
    ClientRig, DATA, Got, Peer, ServerRig, client_config, fixed, frame, hello, hello_as, ms,
};

use super::config;

const TOKEN: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";
const OF_ALICE: &[u8] = b"bbbbbbbbbbbbbbbbbbbb";

fn tokens() -> Tokens {
    Tokens::parse("aaaaaaaaaaaaaaaaaaaa\nalice bbbbbbbbbbbbbbbbbbbb\n").unwrap()
}

#[test]
fn clients_without_a_token_are_refused_for_good_and_have_no_events() {
    let tokens = tokens();
    let mut rig = ServerRig::start(config().protocols(Protocols::V1WithTokens(tokens.clone())));
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
        assert_eq!((code, retry), (ByeCode::Unauthorized, RetryHint::Never));
        assert!(!detail.contains("aaa") && !detail.contains("bbb"), "{detail}");
    }
    rig.expect_nothing();
    assert_eq!(rig.count("rejected"), 5);
    let (mut inside, _) = Peer::welcomed(rig.addr(), &hello_as("bob", Some(TOKEN)));
    let (id, _) = rig.online();
    let (mut other, _) = Peer::welcomed(rig.addr(), &hello_as("alice", Some(OF_ALICE)));
    let (other_id, _) = rig.online();
    // A new file holds for all.
    tokens.replace(&Tokens::parse("cccccccccccccccccccc\nalice bbbbbbbbbbbbbbbbbbbb\n").unwrap());
    let (code, retry, detail) = inside.expect_bye();
    assert_eq!((code, retry), (ByeCode::Unauthorized, RetryHint::AtWill), "{detail}");
    drop(inside);
    assert_eq!(rig.offline(id), Reason::Revoked(Credential::Token));
    let mut late = Peer::connect(rig.addr());
    late.send(&hello_as("eve", Some(TOKEN)));
    assert_eq!(late.expect_bye().0, ByeCode::Unauthorized);
    other.data(b"still in");
    assert_eq!(rig.data(other_id), b"still in");
    let (_new, _) = Peer::welcomed(rig.addr(), &hello_as("eve", Some(b"cccccccccccccccccccc")));
    rig.online();
    rig.finish();
}

#[test]
fn pending_clients_are_not_listed_and_get_no_broadcast() {
    let mut rig = ServerRig::start(config().threads(1));
    let mut silent = Peer::connect(rig.addr());
    let (mut inside, welcome) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    assert_eq!(id.as_u64(), welcome.session);
    assert_eq!(rig.handle().blocking_list().len(), 1);
    rig.handle().broadcast(b"to all").unwrap();
    assert_eq!(inside.next_but_beats(), Got::Data(b"to all".to_vec()));
    silent.send(&hello());
    // Beats of v0 apart, the welcome is the first thing it gets.
    silent.expect_welcome();
    let (second, _) = rig.online();
    assert_eq!(rig.handle().blocking_list().len(), 2);
    drop(silent);
    assert!(matches!(rig.offline(second), Reason::ClosedByPeer | Reason::Reset));
    rig.finish();
}

#[test]
fn a_full_server_is_called_full_by_its_client_which_returns_when_there_is_room() {
    let mut rig = ServerRig::start(config().admission(Admission::default().max_sessions(1)));
    let (inside, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    let client = ClientRig::start(client_config(rig.addr()).reconnect(fixed(ms(50))));
    client.connecting();
    let error = client.failed();
    let said = "rejected this client: the server is full: maximum number of sessions reached";
    assert!(error.to_string().ends_with(said), "{error}");
    assert!(error.is_retryable() && !error.may_speak_v0());
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
    drop(inside);
    rig.offline(id);
    // Until then it is told again and again, or closed, if it comes more than 16 times in a second.
    while !matches!(client.next(), client::Event::Online { .. }) {}
    let counts = ["accepted", "hellos", "rejected", "cut_off"].map(|name| rig.count(name));
    assert_eq!(counts, [2, 2, 0, 0]);
    assert!(rig.count("refused") >= 1);
    while !matches!(rig.next(), Event::Online { .. }) {}
    client.close();
}

#[test]
fn max_per_address_counts_sessions_and_not_pending_clients() {
    let addresses = Admission::default().max_per_address(NonZeroU32::new(2));
    let limits = Limits::default().handshake_timeout(Some(ms(2000)));
    let config =
        config().admission(addresses).limits(limits).protocols(Protocols::V1WithTokens(tokens()));
    let mut rig = ServerRig::start(config);
    for mut silent in [Peer::connect(rig.addr()), Peer::connect(rig.addr())] {
        silent.expect_end();
    }
    for _ in 0..2 {
        let mut denied = Peer::connect(rig.addr());
        denied.send(&hello());
        assert_eq!(denied.expect_bye().0, ByeCode::Unauthorized);
    }
    let hello = hello_as("bob", Some(TOKEN));
    let _stays = Peer::welcomed(rig.addr(), &hello_as("ann", Some(TOKEN)));
    rig.online();
    let (leaves, _) = Peer::welcomed(rig.addr(), &hello);
    let (id, _) = rig.online();
    let mut refused = Peer::connect(rig.addr());
    refused.send(&hello);
    let (code, retry, detail) = refused.expect_bye();
    assert_eq!((code, retry), (ByeCode::Full, RetryHint::AtWill));
    assert_eq!(detail, "too many sessions from this address");
    let event = rig.next();
    assert_eq!(event, Event::Refusing { cause: Refusal::AddressSessions });
    drop(leaves);
    assert!(matches!(rig.offline(id), Reason::ClosedByPeer | Reason::Reset));
    let _again = Peer::welcomed(rig.addr(), &hello);
    // Whether it says already that it accepts again depends on how quiet it has been.
    while !matches!(rig.next(), Event::Online { .. }) {}
}
