//! Names: one session each, and clients that wait for a name whose older session does not end,
//! because its shard is paused.

use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, data, hello, hello_as, ms};

use super::v1;
use crate::Reason;
use crate::server::auth::Tokens;
use crate::server::limits::{Admission, Limits};
use crate::server::rig::Rig;
use crate::server::{Event, Protocols, ServerConfig, SessionId};
use crate::toy::Toy;

/// Clients come in turn to the first and to the second shard, which stands still. One of its
/// clients has a name, and one that is returned waits for that, on the shard that runs.
#[track_caller]
fn waits(config: ServerConfig) -> (Rig, SessionId, Toy) {
    let mut rig = Rig::start(config.threads(2));
    rig.welcomed(&hello());
    let (_, holder) = rig.welcomed(&hello_as("a", None));
    rig.stand_still(1, true);
    let waiting = rig.door.connect();
    waiting.send(&hello_as("a", None));
    rig.expect_nothing();
    assert_eq!(waiting.got_but_beats(), []);
    (rig, holder, waiting)
}

#[test]
fn clients_that_wait_for_a_name_make_room_for_later_ones_and_get_a_bye() {
    // One for each shard.
    let (mut rig, holder, waiting) = waits(v1().admission(Admission::default().max_pending(2)));
    // This one is handed to the shard that stands still, the next one is not.
    let (_handed_over, next) = (rig.door.connect(), rig.door.connect());
    rig.pass(ms(990));
    assert_eq!(waiting.got_but_beats(), []);
    rig.pass(ms(10));
    let got = waiting.got();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Full, RetryHint::AtWill, _)]), "{got:?}");
    next.send(&hello());
    rig.run();
    rig.told_online();
    assert_eq!(rig.count("rejected_full"), 1);
    // The name is not lost: the older session ends all the same, and then it is free.
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(rig.offline(holder).0, Reason::TakenOver);
    rig.welcomed(&hello_as("a", None));
}

#[test]
fn clients_that_wait_for_a_name_at_a_shutdown_get_a_bye() {
    let (mut rig, _, waiting) = waits(v1().drain(ms(1_700)));
    rig.handle.shutdown();
    rig.run();
    let got = waiting.got();
    let [Got::Bye(ByeCode::Draining, retry, _)] = got[..] else { panic!("{got:?}") };
    assert_eq!(retry, RetryHint::Within { earliest: ms(0), latest: ms(1_700) });
}

#[test]
fn clients_that_wait_too_long_for_a_name_get_a_bye_and_may_retry() {
    let limits = Limits::default().handshake_timeout(Some(ms(1_500)));
    let (mut rig, holder, waiting) = waits(v1().limits(limits));
    rig.pass(ms(1_499));
    assert_eq!(waiting.got(), []);
    rig.pass(ms(5));
    let got = waiting.got();
    let [Got::Bye(ByeCode::NameInUse, RetryHint::AtWill, detail)] = &got[..] else {
        panic!("{got:?}")
    };
    assert!(detail.contains("older session"), "{detail}");
    // The holder ends after all.
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(rig.offline(holder).0, Reason::TakenOver);
}

#[test]
fn the_last_of_three_clients_that_wait_for_a_name_gets_it() {
    let (mut rig, holder, first) = waits(v1());
    let claim = |rig: &mut Rig| {
        // This one is handed to the shard that stands still, the next one is not.
        let (_handed_over, claimer) = (rig.door.connect(), rig.door.connect());
        claimer.send(&hello_as("a", None));
        rig.run();
        claimer
    };
    let (second, last) = (claim(&mut rig), claim(&mut rig));
    for older in [first, second] {
        let got = older.got_but_beats();
        assert!(matches!(got[..], [Got::Bye(ByeCode::TakenOver, RetryHint::Never, _)]), "{got:?}");
    }
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(rig.offline(holder).0, Reason::TakenOver);
    rig.told_online();
    assert!(matches!(last.got_but_beats()[..], [Got::Welcome(_)]));
    rig.expect_nothing();
}

const A: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";
const B: &[u8] = b"bbbbbbbbbbbbbbbbbbbb";

/// A server of two shards, and the sixth client of this name, on the second of them: one more
/// takeover within a minute is a fight.
#[track_caller]
fn six_in_a_row(name: &str) -> (Rig, Toy, SessionId) {
    let tokens = Tokens::parse("aaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb\n").unwrap();
    let mut rig = Rig::start(v1().threads(2).protocols(Protocols::V1WithTokens(tokens)));
    let (mut holder, mut id) = rig.welcomed(&hello_as(name, Some(A)));
    for _ in 0..5 {
        holder = rig.door.connect();
        holder.send(&hello_as(name, Some(A)));
        rig.run();
        assert_eq!(rig.offline(id).0, Reason::TakenOver);
        (id, _) = rig.told_online();
    }
    assert_eq!(id.shard(), 1);
    (rig, holder, id)
}

/// Another one with this token is refused.
#[track_caller]
fn refused(rig: &mut Rig, name: &str, token: &[u8]) -> (ByeCode, RetryHint, String) {
    let client = rig.door.connect();
    client.send(&hello_as(name, Some(token)));
    rig.run();
    match &client.got_but_beats()[..] {
        [Got::Bye(code, retry, detail)] => (*code, *retry, detail.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_fight_is_noticed_named_and_slowed_down() {
    let (mut rig, holder, id) = six_in_a_row("prize");
    let (code, retry, detail) = refused(&mut rig, "prize", A);
    assert_eq!((code, detail.is_empty()), (ByeCode::Fighting, false));
    assert_eq!(retry, RetryHint::Within { earliest: ms(60_000), latest: ms(120_000) });
    let Event::Fighting { name, .. } = rig.next() else { panic!("the application is not told") };
    assert_eq!(&*name, "prize");
    // Said once; the holder is left alone, and so are other names.
    assert_eq!(refused(&mut rig, "prize", A).0, ByeCode::Fighting);
    rig.expect_nothing();
    holder.send(&data(b"mine"));
    rig.run();
    rig.expect_data(id, b"mine");
    rig.welcomed(&hello_as("another", Some(A)));
}

/// No client is refused because of a session whose client has closed, though its shard has not come
/// to read that.
#[test]
fn a_client_that_would_be_refused_has_the_name_if_its_holder_is_gone() {
    for (token, code) in [(A, ByeCode::Fighting), (B, ByeCode::NameInUse)] {
        let (mut rig, holder, id) = six_in_a_row("a");
        assert_eq!(refused(&mut rig, "a", token).0, code);
        if code == ByeCode::Fighting {
            assert!(matches!(rig.next(), Event::Fighting { .. }));
        }
        rig.stand_still(1, true);
        holder.close();
        let (_handed_over, newcomer) = (rig.door.connect(), rig.door.connect());
        newcomer.send(&hello_as("a", Some(token)));
        rig.expect_nothing();
        assert_eq!(newcomer.got_but_beats(), []);
        rig.stand_still(1, false);
        rig.run();
        assert!(matches!(newcomer.got_but_beats()[..], [Got::Welcome(_)]));
        assert_eq!(rig.offline(id).0, Reason::ClosedByPeer);
        rig.told_online();
    }
}

#[test]
fn rejected_events_have_the_name_that_the_client_gave() {
    let tokens = Tokens::parse("a 0123456789abcdef0123456789abcdef").unwrap();
    let mut rig = Rig::start(v1().protocols(Protocols::V1WithTokens(tokens)));
    for (name, valid) in [("a", Some("a")), (" a", None)] {
        let client = rig.door.connect();
        client.send(&hello_as(name, Some(b"not the token that was agreed on")));
        rig.run();
        let told = rig.inbox().rejected.pop().unwrap();
        let Event::Rejected { peer, name, code } = told else { panic!("{told:?}") };
        assert_eq!((name.as_deref(), code), (valid, ByeCode::Unauthorized));
        assert!(peer.ip().is_loopback());
    }
    assert_eq!(rig.inbox().rejected, []);
    rig.expect_nothing();
}
