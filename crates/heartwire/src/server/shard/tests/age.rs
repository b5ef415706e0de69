//! The greatest age of a session.

use core::time::Duration;

use heartwire_core::resume::Position;
use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{BEAT, Got, data, hello, ms, timeout};

use super::resume::{Client, after};
use super::{v0, v1};
use crate::server::rig::Rig;
use crate::server::{Event, Resume, ServerConfig, SessionId};
use crate::toy::Toy;
use crate::{Reason, Undelivered};

const MAX_AGE: Duration = ms(40_000);

/// A second before any session of [`MAX_AGE`] ends, from its beginning.
const SOON: Duration = ms(29_000);

const DRAIN: Duration = ms(5_000);

fn aging(config: ServerConfig) -> Rig {
    Rig::start(config.policy(timeout(3_600_000)).max_age(MAX_AGE).drain(DRAIN))
}

fn resumable() -> ServerConfig {
    v1().resume(Resume::new().window(1_000).grace(ms(30_000)))
}

/// Lets the time pass until the session is too old.
fn age(rig: &mut Rig, of: SessionId) {
    let early = of.share_of(MAX_AGE / 4);
    rig.pass(MAX_AGE.checked_sub(SOON + early).unwrap() + ms(5));
}

/// Just before the end of the longest wait for what is under way.
fn nearly_waited(rig: &Rig, of: SessionId) -> Duration {
    let contract = rig.session(of).connection.contract().unwrap();
    let longest = DRAIN + contract.to_server.interval().unwrap_or_default();
    longest.checked_sub(ms(10)).unwrap()
}

#[track_caller]
fn expect_told(client: &Toy) {
    let got = client.got_but_beats();
    let [.., Got::Bye(ByeCode::Draining, retry, detail)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(*retry, RetryHint::Within { earliest: ms(0), latest: ms(1_000) });
    assert_eq!(detail, "the session has reached its greatest age");
}

#[test]
fn a_session_that_is_too_old_is_told_to_come_back() {
    let mut rig = aging(v1());
    let (client, id) = rig.welcomed(&hello());
    rig.pass(SOON);
    rig.expect_nothing();
    age(&mut rig, id);
    expect_told(&client);
    client.close();
    rig.run();
    assert_eq!(rig.offline(id).0, Reason::MaxAge);
    assert_eq!((rig.count("max_age"), rig.count("cut_off")), (1, 0));
    rig.welcomed(&hello());
    rig.expect_nothing();
}

#[test]
fn a_session_of_v0_that_is_too_old_is_closed_between_frames() {
    let mut rig = aging(v0());
    let (client, id) = rig.online();
    client.beat();
    rig.pass(SOON);
    client.send(&data(b"first")[..10]);
    age(&mut rig, id);
    rig.expect_nothing();
    assert!(!client.state().is_shutdown);
    client.send(&data(b"first")[10..]);
    rig.pass(ms(60));
    rig.expect_data(id, b"first");
    assert!(client.state().is_shutdown && !client.state().resets);
    client.close();
    rig.run();
    assert_eq!(rig.offline(id).0, Reason::MaxAge);
}

/// Nothing tells the shard of bytes that wait for the mark.
#[test]
fn bytes_that_wait_in_the_socket_are_delivered_before_the_end() {
    let mut rig = aging(v0().coalesce(10));
    let (client, id) = rig.online();
    client.send(&BEAT);
    rig.pass(SOON);
    client.send(&[&data(b"")[..], &BEAT].concat());
    age(&mut rig, id);
    rig.expect_data(id, b"");
    client.close();
    rig.run();
    assert_eq!(rig.offline(id), (Reason::MaxAge, 2));
}

#[test]
fn data_that_is_queued_is_sent_before_the_end_or_for_as_long_as_a_drain() {
    for is_read in [true, false] {
        let mut rig = aging(v1());
        let (client, id) = rig.welcomed(&hello());
        rig.pass(SOON);
        client.got();
        client.state().room = 0;
        rig.handle.send(id, b"queued").unwrap();
        age(&mut rig, id);
        rig.expect_nothing();
        if is_read {
            client.state().room = usize::MAX;
            rig.pass(ms(110));
            expect_told(&client);
            client.close();
        } else {
            rig.pass(nearly_waited(&rig, id));
            rig.expect_nothing();
            rig.pass(ms(1_200));
        }
        rig.run();
        assert_eq!(rig.offline(id).0, Reason::MaxAge);
        assert_eq!(rig.count("cut_off"), u64::from(!is_read));
    }
}

/// Its timer is set for a time after this turn, or the turn would not end.
#[test]
fn a_session_that_is_too_old_is_looked_at_once_in_a_turn_that_takes_long() {
    let mut rig = aging(v1());
    let (client, id) = rig.welcomed(&hello());
    rig.pass(SOON);
    client.got();
    client.state().room = 0;
    rig.handle.send(id, b"queued").unwrap();
    rig.stand_still(0, true);
    age(&mut rig, id);
    client.state().held_up_reading = Some((ms(200), Vec::new()));
    client.data(b"read");
    rig.stand_still(0, false);
    rig.run();
    rig.expect_data(id, b"read");
    client.state().room = usize::MAX;
    rig.pass(ms(110));
    expect_told(&client);
}

#[test]
fn sessions_that_began_together_end_apart() {
    const COUNT: u64 = 400;
    let mut rig = aging(v0().threads(2));
    let clients: Vec<_> = (0..COUNT).map(|_| rig.door.connect()).collect();
    clients.iter().for_each(Toy::beat);
    rig.pass(SOON + ms(1_000));
    let mut ended = Vec::new();
    for _ in 0..10 {
        rig.pass(ms(1_000));
        clients.iter().filter(|client| client.state().is_shutdown).for_each(Toy::close);
        rig.run();
        ended.push(rig.count("max_age") - ended.iter().sum::<u64>());
    }
    assert_eq!(ended.iter().sum::<u64>(), COUNT);
    assert!(ended.iter().all(|&ended| (20..=60).contains(&ended)), "{ended:?}");
}

#[test]
fn a_session_that_can_be_resumed_ends_when_all_is_taken_over() {
    let mut rig = aging(resumable());
    let (client, id) = Client::online(&mut rig);
    rig.pass(SOON);
    rig.handle.send(id, b"to the client").unwrap();
    client.toy.data(b"to the server");
    age(&mut rig, id);
    rig.expect_data(id, b"to the server");
    rig.expect_nothing();
    client.toy.got();
    client.acknowledge(after(&[b"to the client"]));
    rig.pass(ms(60));
    expect_told(&client.toy);
    client.toy.close();
    rig.run();
    let end = rig.next();
    let Event::Offline { reason, undelivered, .. } = end else { panic!("{end:?}") };
    assert_eq!((reason, undelivered), (Reason::MaxAge, Undelivered::NOTHING));
}

#[test]
fn a_session_whose_client_acknowledges_nothing_ends_all_the_same_and_says_what_is_open() {
    let mut rig = aging(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.pass(SOON);
    client.toy.data(b"to the server");
    rig.handle.send(id, b"to the client").unwrap();
    age(&mut rig, id);
    rig.expect_data(id, b"to the server");
    rig.pass(nearly_waited(&rig, id));
    rig.expect_nothing();
    rig.pass(ms(70));
    expect_told(&client.toy);
    client.toy.close();
    rig.run();
    let end = rig.next();
    let Event::Offline { reason, undelivered, .. } = end else { panic!("{end:?}") };
    let open = Undelivered { frames: 1, bytes: 13, exact: false };
    assert_eq!((reason, undelivered), (Reason::MaxAge, open));
    // Its client has not seen the BYE, and learns what became of the session.
    client.come_back(&mut rig, Position::default());
    let got = client.toy.got();
    let [Got::Welcome(welcome), ..] = &got[..] else { panic!("{got:?}") };
    assert_eq!(welcome.lost, Some(after(&[b"to the server"])));
    rig.told_online();
}

#[test]
fn a_session_that_is_away_ends_when_its_client_is_back_and_has_everything() {
    let mut rig = aging(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.pass(SOON);
    client.lose(&mut rig, id);
    rig.handle.send(id, b"meanwhile").unwrap();
    age(&mut rig, id);
    rig.pass(ms(10_000));
    rig.expect_nothing();
    let (_, sent_again) = client.resume(&mut rig, Position::default());
    assert_eq!(sent_again, [Got::Data(b"meanwhile".to_vec())]);
    assert!(matches!(rig.next(), Event::Back { .. }));
    client.acknowledge(after(&[b"meanwhile"]));
    rig.pass(ms(60));
    expect_told(&client.toy);
    client.toy.close();
    rig.run();
    assert!(matches!(rig.next(), Event::Offline { reason: Reason::MaxAge, .. }));
}
