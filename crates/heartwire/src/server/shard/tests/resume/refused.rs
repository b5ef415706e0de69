//! Clients that may not go on with a session, and sessions that are gone.

use heartwire_core::resume::Position;
use heartwire_core::v1::{ByeCode, Hello, RetryHint, Welcome};
use heartwire_testkit::{Got, ms};

use super::{Client, GRACE, after, resumable, welcome_of};
use crate::server::auth::Tokens;
use crate::server::rig::Rig;
use crate::server::{Event, Protocols, Resume};
use crate::{Credential, Reason, Replayed, Undelivered};

const A: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";
const B: &[u8] = b"bbbbbbbbbbbbbbbbbbbb";

fn tokens(text: &str) -> Tokens {
    Tokens::parse(text).unwrap()
}

/// The client is refused, with this code, and its session is as it was, away.
#[track_caller]
fn is_refused(rig: &mut Rig, client: &mut Client, hello: &Hello<'_>) -> (ByeCode, RetryHint) {
    let away = rig.handle.away();
    client.connect_with(rig, hello);
    let got = client.toy.got_but_beats();
    let [Got::Bye(code, retry, detail)] = &got[..] else { panic!("not refused: {got:?}") };
    assert!(!detail.is_empty());
    assert_eq!(rig.handle.away(), away);
    rig.expect_nothing();
    (*code, *retry)
}

/// Neither a wrong key nor any other number in the HELLO is covered by the proof.
#[test]
fn a_wrong_proof_is_refused_and_touches_no_session() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.handle.send(id, b"a").unwrap();
    rig.run();
    client.lose(&mut rig, id);
    let unauthorized = (ByeCode::Unauthorized, RetryHint::Never);
    let changes: [fn(&mut Hello<'_>); 5] = [
        |hello| hello.resuming.as_mut().unwrap().proof.0[31] ^= 1,
        |hello| hello.resuming.as_mut().unwrap().link += 1,
        |hello| hello.resuming.as_mut().unwrap().received = after(&[b"a"]),
        |hello| hello.resuming.as_mut().unwrap().session += 1,
        |hello| hello.resuming.as_mut().unwrap().session = u64::MAX,
    ];
    for change in changes {
        let mut hello = client.resuming(Position::default());
        change(&mut hello);
        assert_eq!(is_refused(&mut rig, &mut client, &hello), unauthorized);
    }
    // It does not even disturb a link that lives.
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    let link = client.toy.clone();
    let mut hello = client.resuming(Position::default());
    hello.resuming.as_mut().unwrap().proof.0[0] ^= 1;
    assert_eq!(is_refused(&mut rig, &mut client, &hello), unauthorized);
    link.data(b"still here");
    rig.run();
    rig.expect_data(id, b"still here");
}

#[test]
fn a_link_whose_number_was_there_is_refused() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    let first = client.resuming(Position::default());
    client.lose(&mut rig, id);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    client.lose(&mut rig, id);
    let unauthorized = (ByeCode::Unauthorized, RetryHint::AtWill);
    // Recorded on the path, and sent again.
    assert_eq!(is_refused(&mut rig, &mut client, &first), unauthorized);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    client.lose(&mut rig, id);
    // With the number of the last link.
    client.link -= 1;
    let same = client.resuming(Position::default());
    assert_eq!(is_refused(&mut rig, &mut client, &same), unauthorized);
}

#[test]
fn a_resume_is_a_login_with_the_token_and_the_name_of_the_session() {
    let all = tokens("aaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb");
    let config = resumable().protocols(Protocols::V1WithTokens(all.clone()));
    let mut rig = Rig::start(config);
    let (mut client, id) = Client::online_as(&mut rig, Some("a"), Some(A));
    client.lose(&mut rig, id);
    // Another name, and none.
    for name in [Some("b"), None] {
        let mut hello = client.resuming(Position::default());
        hello.name = name;
        let refused = is_refused(&mut rig, &mut client, &hello);
        assert_eq!(refused, (ByeCode::Unauthorized, RetryHint::Never), "{name:?}");
    }
    // The token of another principal.
    let mut hello = client.resuming(Position::default());
    hello.token = Some(B);
    let refused = is_refused(&mut rig, &mut client, &hello);
    assert_eq!(refused, (ByeCode::NameInUse, RetryHint::Never));
    // The right one goes on.
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    rig.inbox().rejected.clear();
}

/// It does not wait for its client, which could not come back.
#[test]
fn a_session_that_is_away_ends_when_its_token_is_removed_and_cannot_be_resumed() {
    let all = Tokens::parse("a aaaaaaaaaaaaaaaaaaaa\nb bbbbbbbbbbbbbbbbbbbb").unwrap();
    let config = resumable().protocols(Protocols::V1WithTokens(all.clone()));
    let mut rig = Rig::start(config);
    let (mut client, id) = Client::online_as(&mut rig, Some("a"), Some(A));
    client.toy.data(b"taken over");
    rig.run();
    rig.expect_data(id, b"taken over");
    rig.handle.send(id, b"not received").unwrap();
    rig.run();
    client.lose(&mut rig, id);
    all.replace(&Tokens::parse("a bbbbbbbbbbbbbbbbbbbb").unwrap());
    rig.run();
    let undelivered = Undelivered { frames: 1, bytes: 12, exact: false };
    assert_eq!(rig.gone(id), (Reason::Revoked(Credential::Token), undelivered));
    assert_eq!(rig.handle.away(), 0);
    // With that token it is rejected.
    let hello = client.resuming(Position::default());
    let refused = is_refused(&mut rig, &mut client, &hello);
    assert_eq!(refused, (ByeCode::Unauthorized, RetryHint::Never));
    // With another one it gets a new session, and is told what became of the old one.
    client.token = Some(B);
    client.come_back(&mut rig, Position::default());
    let welcome = welcome_of(&client.toy);
    assert_ne!(welcome.session, id.as_u64());
    assert_eq!(welcome.lost, Some(after(&[b"taken over"])));
    rig.told_online();
    rig.inbox().rejected.clear();
}

/// A session goes on with the token of its latest link.
#[test]
fn a_session_keeps_the_token_that_its_client_came_back_with() {
    for shards in [1, 2] {
        let all = Tokens::parse("a aaaaaaaaaaaaaaaaaaaa\na bbbbbbbbbbbbbbbbbbbb").unwrap();
        let config = resumable().threads(shards).protocols(Protocols::V1WithTokens(all.clone()));
        let mut rig = Rig::start(config);
        let (mut client, id) = Client::online_as(&mut rig, Some("a"), Some(A));
        client.lose(&mut rig, id);
        client.token = Some(B);
        client.resume(&mut rig, Position::default());
        rig.back(id, ms(0));
        all.replace(&Tokens::parse("a bbbbbbbbbbbbbbbbbbbb").unwrap());
        rig.expect_nothing();
        all.replace(&Tokens::parse("a aaaaaaaaaaaaaaaaaaaa").unwrap());
        rig.run();
        assert_eq!(rig.gone(id).0, Reason::Revoked(Credential::Token));
    }
}

#[test]
fn a_position_that_cannot_be_ends_the_session() {
    // Two frames are queued, of which one was written, and one of these was acknowledged.
    for received in [
        Position { frames: 3, bytes: 30 },
        Position { frames: 2, bytes: 19 },
        Position { frames: 1, bytes: 10 },
        Position { frames: 2, bytes: 1 << 40 },
        Position { frames: u64::MAX, bytes: u64::MAX },
        Position::default(),
    ] {
        let mut rig = Rig::start(resumable());
        let (mut client, id) = Client::online(&mut rig);
        rig.handle.send(id, b"a").unwrap();
        rig.handle.send(id, b"b").unwrap();
        rig.run();
        client.acknowledge(after(&[b"a"]));
        rig.run();
        client.lose(&mut rig, id);
        rig.handle.send(id, b"never written").unwrap();
        rig.run();
        client.come_back(&mut rig, received);
        let got = client.toy.got_but_beats();
        let [Got::Bye(ByeCode::Protocol, RetryHint::AtWill, _)] = &got[..] else {
            panic!("{received:?}: {got:?}")
        };
        let (reason, undelivered) = rig.gone(id);
        let Reason::Protocol(violation) = reason else { panic!("{reason}") };
        assert_eq!((violation.name(), undelivered.frames), ("bad_position", 2));
        assert_eq!((rig.handle.away(), rig.count("bad_position")), (0, 1));
    }
}

/// Two programs with a copy of one state: each comes back when the other has taken its link.
#[test]
fn two_clients_that_share_a_session_take_it_from_each_other_once_in_5_seconds() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    for _ in 0..10 {
        client.resume(&mut rig, Position::default());
        rig.back(id, ms(0));
    }
    let link = client.toy.clone();
    let within = |earliest| RetryHint::Within { earliest: ms(earliest), latest: ms(2 * earliest) };
    let hello = client.resuming(Position::default());
    let fighting = (ByeCode::Fighting, within(5_000));
    assert_eq!(is_refused(&mut rig, &mut client, &hello), fighting);
    // The one that has the session keeps it.
    link.data(b"still here");
    rig.run();
    rig.expect_data(id, b"still here");
    // A session that carries something may lose its link as often as it likes.
    for _ in 0..20 {
        client.resume(&mut rig, Position::default());
        rig.back(id, ms(0));
        client.toy.data(b"on");
        rig.run();
        rig.expect_data(id, b"on");
        rig.handle.send(id, b"to").unwrap();
        rig.run();
    }
    let to = [b"to".as_slice(); 20];
    for received in 1..=20 {
        client.acknowledge(after(&to[..received]));
        rig.run();
        client.resume(&mut rig, after(&to[..received]));
        rig.back(id, ms(0));
    }
    let hello = client.resuming(after(&to));
    assert_eq!(is_refused(&mut rig, &mut client, &hello), fighting);
    rig.pass(ms(5_000));
    client.resume(&mut rig, after(&to));
    rig.back(id, ms(0));
    let hello = client.resuming(after(&to));
    assert_eq!(is_refused(&mut rig, &mut client, &hello), fighting);
    assert_eq!((rig.count("rejected_fighting"), rig.count("resumed")), (3, 51));
}

#[test]
fn client_that_has_to_wait_is_back_within_a_short_grace() {
    let mut rig = Rig::start(resumable().resume(Resume::new().grace(ms(2_000))));
    let (mut client, id) = Client::online(&mut rig);
    for _ in 0..10 {
        client.resume(&mut rig, Position::default());
        rig.back(id, ms(0));
    }
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { .. }));
    let hello = client.resuming(Position::default());
    let retry = RetryHint::Within { earliest: ms(500), latest: ms(1_000) };
    assert_eq!(is_refused(&mut rig, &mut client, &hello), (ByeCode::Fighting, retry));
    rig.pass(ms(1_000));
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(1_000));
}

/// With a new session, and, if the client wants none, with a BYE.
#[test]
fn a_session_that_has_ended_is_said_to_be_lost() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.toy.data(b"taken");
    rig.run();
    rig.expect_data(id, b"taken");
    client.lose(&mut rig, id);
    rig.pass(GRACE + ms(5));
    assert_eq!(rig.gone(id).0, Reason::NotBack);
    let mut again = client.clone();
    again.only = true;
    again.come_back(&mut rig, Position::default());
    let got = again.toy.got_but_beats();
    assert!(matches!(got[..], [Got::Bye(ByeCode::NotResumable, RetryHint::AtWill, _)]), "{got:?}");
    client.come_back(&mut rig, Position::default());
    let (new, _) = rig.told_online();
    let Welcome { session, resume, resumed, lost, .. } = welcome_of(&client.toy);
    assert_eq!((session, resumed, lost), (new.as_u64(), None, Some(after(&[b"taken"]))));
    assert_ne!(resume.unwrap().key, client.terms.key);
    assert_eq!(rig.count("lost"), 2);
    // What was known of it is forgotten after another grace.
    rig.pass(GRACE + ms(5));
    client.come_back(&mut rig, Position::default());
    assert_eq!(welcome_of(&client.toy).lost, None);
}

/// Whatever its id and its key: they are of another run.
#[test]
fn a_session_of_another_run_of_the_server_is_lost_and_no_fault() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.lose(&mut rig, id);
    let mut hello = client.resuming(Position::default());
    hello.resuming.as_mut().unwrap().server += 1;
    client.connect_with(&mut rig, &hello);
    let (new, _) = rig.told_online();
    assert_ne!(new, id);
    let Welcome { resume, resumed, lost, .. } = welcome_of(&client.toy);
    assert_eq!((resume.is_some(), resumed, lost), (true, None, None));
    // The older one waits on.
    assert_eq!((rig.handle.count(), rig.handle.away()), (1, 1));
    hello.resuming.as_mut().unwrap().only = true;
    client.connect_with(&mut rig, &hello);
    let got = client.toy.got_but_beats();
    assert!(matches!(got[..], [Got::Bye(ByeCode::NotResumable, ..)]), "{got:?}");
}

#[test]
fn a_session_is_resumable_only_where_both_ends_want_it_and_its_key_is_not_read_on_the_path() {
    let far = "192.0.2.1".parse().unwrap();
    let near = "::ffff:127.0.0.1".parse().unwrap();
    let in_the_clear = Resume::new().in_the_clear(true);
    for (config, from, offers, expected) in [
        (resumable(), near, true, true),
        (resumable(), far, true, false),
        (resumable().resume(in_the_clear), far, true, true),
        (resumable(), near, false, false),
        (super::v1(), near, true, false),
    ] {
        let mut rig = Rig::start(config);
        let toy = rig.door.connect_from(from);
        let mut hello = Client::hello(None, None);
        hello.resume = hello.resume.filter(|_| offers);
        toy.send(&hello.encode());
        rig.run();
        let (id, agreed) = rig.told_online();
        assert_eq!(agreed.unwrap().grace.is_some(), expected);
        assert_eq!(welcome_of(&toy).resume.is_some(), expected);
        toy.beat_with(|_| {});
        toy.reset();
        rig.run();
        if expected {
            assert!(matches!(rig.next(), Event::Away { .. }));
        } else {
            assert_eq!(rig.gone(id).0, Reason::Reset);
        }
    }
}

#[test]
fn a_client_goes_on_from_another_address() {
    let mut rig = Rig::start(resumable().resume(Resume::new().in_the_clear(true)));
    let (mut client, id) = Client::online(&mut rig);
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { peer, .. } if peer.ip().is_loopback()));
    let hello = client.resuming(Position::default());
    client.toy = rig.door.connect_from("192.0.2.7".parse().unwrap());
    client.toy.send(&hello.encode());
    rig.run();
    let Event::Back { id: back, peer, replayed, .. } = rig.next() else { panic!("not back") };
    assert_eq!((back, replayed), (id, Replayed::default()));
    assert_eq!(peer.ip().to_string(), "192.0.2.7");
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { peer: from, .. } if from == peer));
}
