//! Sessions that end because of their tokens.

use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, hello_as, ms, timeout};

use super::v1;
use crate::server::auth::Tokens;
use crate::server::rig::Rig;
use crate::server::{Protocols, ServerConfig, SessionId};
use crate::toy::Toy;
use crate::{Credential, Reason};

const ALL: &str = "GRZmXBAWuWwFk3TtVYoX";
const OF_A: &str = "5Jx2gLq0vD9sPz8nHc7y";
const OF_B: &str = "mB4eTn1wRk6uYf3aQi0o";

/// Of the toy's clock at its beginning: 2001-09-09T02:03:20Z.
const NOW: &str = "2001-09-09T02:03:";

fn with(tokens: &Tokens) -> ServerConfig {
    v1().policy(timeout(3_600_000)).protocols(Protocols::V1WithTokens(tokens.clone()))
}

fn tokens(text: &str) -> Tokens {
    Tokens::parse(text).unwrap()
}

#[track_caller]
fn online(rig: &mut Rig, name: &str, token: &str) -> (Toy, SessionId) {
    let (client, id) = rig.welcomed(&hello_as(name, Some(token.as_bytes())));
    client.got();
    (client, id)
}

#[track_caller]
fn expect_told(client: &Toy, expected: &str) {
    let got = client.got_but_beats();
    let [Got::Bye(ByeCode::Unauthorized, RetryHint::AtWill, detail)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(detail, expected);
}

#[test]
fn a_session_ends_when_its_token_is_removed_and_the_others_stay() {
    let shared = tokens(&format!("{ALL}\na {OF_A}\nb {OF_B}"));
    let mut rig = Rig::start(with(&shared).threads(2));
    let (alice, a) = online(&mut rig, "a", OF_A);
    let (bob, b) = online(&mut rig, "b", OF_B);
    let (carol, c) = online(&mut rig, "c", ALL);
    let (dave, d) = online(&mut rig, "d", ALL);

    shared.replace(&tokens(&format!("b {OF_B}\n{ALL}\nd {OF_A}")));
    rig.run();
    expect_told(&alice, "its token is not accepted any more");
    expect_told(&dave, "its token is not accepted any more");
    alice.close();
    dave.close();
    rig.run();
    let revoked = Reason::Revoked(Credential::Token);
    assert_eq!([rig.offline(a).0, rig.offline(d).0], [revoked; 2]);
    rig.expect_nothing();
    assert_eq!((rig.count("revoked"), rig.count("expired"), rig.handle.count()), (2, 0, 2));
    for (client, id) in [(&bob, b), (&carol, c)] {
        assert_eq!(client.got_but_beats(), []);
        client.data(b"still here");
        rig.run();
        rig.expect_data(id, b"still here");
    }
    // With the token that it has now it comes back.
    let (_, again) = online(&mut rig, "d", OF_A);
    assert_ne!(again, d);
}

/// What is queued for it goes first, and what it has sent is delivered.
#[test]
fn a_session_whose_token_is_removed_loses_nothing_that_was_under_way() {
    let shared = tokens(&format!("a {OF_A}\nb {OF_B}"));
    let mut rig = Rig::start(with(&shared));
    let (alice, a) = online(&mut rig, "a", OF_A);
    rig.handle.send(a, b"queued").unwrap();
    alice.data(b"sent");
    shared.replace(&tokens(&format!("b {OF_B}")));
    rig.run();
    rig.expect_data(a, b"sent");
    let got = alice.got_but_beats();
    assert!(matches!(&got[..], [Got::Data(data), Got::Bye(..)] if data == b"queued"), "{got:?}");
}

#[test]
fn a_client_that_waits_for_its_name_is_rejected_when_its_token_is_removed() {
    let shared = tokens(&format!("a {OF_A}\na {OF_B}\n{ALL}"));
    let mut rig = Rig::start(with(&shared).threads(2));
    online(&mut rig, "x", ALL);
    let (_, holder) = online(&mut rig, "a", OF_A);
    rig.stand_still(1, true);
    let waiting = rig.door.connect();
    waiting.send(&hello_as("a", Some(OF_B.as_bytes())));
    rig.expect_nothing();
    shared.replace(&tokens(&format!("a {OF_A}\n{ALL}")));
    rig.run();
    let got = waiting.got_but_beats();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Unauthorized, RetryHint::Never, _)]), "{got:?}");
    assert_eq!(rig.count("rejected_unauthorized"), 1);
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(rig.offline(holder).0, Reason::TakenOver);
}

#[test]
fn a_session_ends_when_its_token_does() {
    let shared = tokens(&format!("a {OF_A} until={NOW}25Z\nb {OF_B}"));
    let mut rig = Rig::start(with(&shared));
    let (alice, a) = online(&mut rig, "a", OF_A);
    let (_, _) = online(&mut rig, "b", OF_B);
    rig.pass(ms(4_900));
    rig.expect_nothing();
    rig.pass(ms(100));
    expect_told(&alice, "its token has expired");
    alice.close();
    rig.run();
    assert_eq!(rig.offline(a).0, Reason::Expired(Credential::Token));
    // Nothing is left to look at.
    let turns = rig.turns(0);
    rig.pass(ms(90));
    assert_eq!((rig.turns(0) - turns, rig.count("expired")), (0, 1));
    // It is rejected now, also when the clock is set back.
    rig.toy.change_wall(-3_600);
    let client = rig.door.connect();
    client.send(&hello_as("a", Some(OF_A.as_bytes())));
    rig.run();
    let got = client.got_but_beats();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Unauthorized, RetryHint::Never, _)]), "{got:?}");
}

#[test]
fn a_clock_that_is_changed_is_noticed_within_a_minute() {
    let shared = tokens(&format!("a {OF_A} until=2002-01-01T00:00:00Z"));
    let mut rig = Rig::start(with(&shared));
    let (_alice, a) = online(&mut rig, "a", OF_A);
    rig.pass(ms(59_000));
    rig.toy.change_wall(-10_000_000);
    rig.pass(ms(602_000));
    rig.expect_nothing();
    // Just after a look.
    rig.toy.change_wall(10_000_000 + 365 * 86_400);
    rig.pass(ms(57_000));
    rig.expect_nothing();
    rig.pass(ms(3_000));
    assert_eq!(rig.offline(a).0, Reason::Expired(Credential::Token));
}

/// A look at all of them would make a turn too long.
#[test]
fn a_turn_looks_at_few_sessions() {
    let shared = tokens(&format!("{ALL}\na {OF_A}"));
    let mut rig = Rig::start(with(&shared));
    let clients: Vec<_> = (0..1_100).map(|n| online(&mut rig, &format!("n{n}"), ALL)).collect();
    shared.replace(&tokens(&format!("a {OF_A}")));
    let mut ends = Vec::new();
    while rig.turn() {
        ends.push(rig.count("revoked"));
    }
    drop(clients);
    // 512 are found, and 256 are closed, in each turn.
    let most = ends.windows(2).map(|two| two[1] - two[0]).max().unwrap();
    assert!(most <= 256 && *ends.last().unwrap() == 1_100, "{ends:?}");
}
