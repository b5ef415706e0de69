//! One link after the other.

use heartwire_core::resume::Position;
use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, data as data_frame, ms};

use super::{Client, after, data, resumable, welcome_of};
use crate::server::rig::Rig;
use crate::server::{
    Event,
    limits::{Admission, Limits},
};
use crate::{Reason, Replayed, Undelivered};

#[test]
fn over_a_lost_link_every_message_arrives_once_and_in_order_both_ways() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    for body in [b"a", b"b", b"c"] {
        rig.handle.send(id, body).unwrap();
    }
    client.toy.data(b"1");
    client.toy.data(b"22");
    // The third frame is cut off.
    client.toy.send(&data_frame(b"333")[..9]);
    rig.run();
    rig.expect_data(id, b"1");
    rig.expect_data(id, b"22");
    client.lose(&mut rig, id);
    rig.handle.send(id, b"d").unwrap();
    rig.pass(ms(5_000));
    rig.expect_nothing();
    // The client has received two of the server's frames whole.
    let (received, got) = client.resume(&mut rig, after(&[b"a", b"b"]));
    assert_eq!(received, after(&[b"1", b"22"]));
    assert_eq!(got, [data(b"c"), data(b"d")]);
    assert_eq!(rig.back(id, ms(5_000)), Replayed { frames: 1, bytes: 1 });
    client.toy.data(b"333");
    rig.handle.send(id, b"e").unwrap();
    rig.run();
    rig.expect_data(id, b"333");
    assert_eq!(client.toy.got_but_beats(), [data(b"e")]);
    // And once more, after everything was acknowledged.
    client.acknowledge(after(&[b"a", b"b", b"c", b"d", b"e"]));
    rig.run();
    client.lose(&mut rig, id);
    let (received, got) = client.resume(&mut rig, after(&[b"a", b"b", b"c", b"d", b"e"]));
    assert_eq!((received, got), (after(&[b"1", b"22", b"333"]), vec![]));
    assert_eq!(rig.back(id, ms(0)), Replayed::default());
    rig.expect_nothing();
    assert_eq!(["away", "resumed", "lost", "welcomed"].map(|name| rig.count(name)), [2, 2, 0, 1]);
    assert_eq!((rig.handle.count(), rig.handle.away()), (1, 0));
    // Each connection that was accepted is resumed, or that of a session.
    assert_eq!(["accepted", "hellos"].map(|name| rig.count(name)), [3, 3]);
}

/// The client says what it has received, the acknowledgement what it has taken over: between them
/// lies its queue, which it keeps.
#[test]
fn frames_that_were_received_and_not_acknowledged_stay_in_the_log() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    for body in [b"a", b"b", b"c"] {
        rig.handle.send(id, body).unwrap();
    }
    rig.run();
    client.acknowledge(after(&[b"a"]));
    rig.run();
    client.lose(&mut rig, id);
    let (_, got) = client.resume(&mut rig, after(&[b"a", b"b"]));
    assert_eq!(got, [data(b"c")]);
    rig.back(id, ms(0));
    // On this link it loses nothing more; on the next it has received nothing new.
    client.lose(&mut rig, id);
    let (_, got) = client.resume(&mut rig, after(&[b"a", b"b"]));
    assert_eq!(got, [data(b"c")]);
    rig.back(id, ms(0));
    client.acknowledge(after(&[b"a", b"b", b"c"]));
    rig.run();
    client.lose(&mut rig, id);
    let (_, got) = client.resume(&mut rig, after(&[b"a", b"b", b"c"]));
    assert_eq!(got, []);
}

#[test]
fn the_newest_link_wins_at_once_and_the_older_one_is_read_out_first() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    let old = client.toy.clone();
    // The shard has not read this when the client comes back.
    let hello = client.resuming(Position::default());
    client.toy = rig.door.connect();
    client.toy.send(&hello.encode());
    old.data(b"last");
    old.state().has_news = false;
    rig.run();
    rig.expect_data(id, b"last");
    assert_eq!(rig.back(id, ms(0)), Replayed::default());
    rig.expect_nothing();
    assert!(old.state().resets && old.is_dropped());
    let super::Welcome { resumed, .. } = welcome_of(&client.toy);
    assert_eq!(resumed.unwrap().received, after(&[b"last"]));
    client.toy.data(b"next");
    rig.run();
    rig.expect_data(id, b"next");
    assert_eq!((rig.handle.count(), rig.handle.away()), (1, 0));
}

/// What is found on the older link may end the session.
#[test]
fn a_client_that_is_disconnected_for_the_last_of_its_older_link_does_not_come_back() {
    let mut rig = Rig::acting(resumable(), |event, control| {
        if let Event::Data { id, data: b"bad" } = event {
            control.kick(*id).unwrap();
        }
    });
    let (mut client, id) = Client::online(&mut rig);
    let old = client.toy.clone();
    let hello = client.resuming(Position::default());
    client.toy = rig.door.connect();
    client.toy.send(&hello.encode());
    old.data(b"bad");
    old.state().has_news = false;
    rig.run();
    rig.expect_data(id, b"bad");
    assert_eq!(rig.gone(id).0, Reason::Kicked);
    rig.expect_nothing();
    let got = client.toy.got();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Kicked, RetryHint::Never, ..)]), "{got:?}");
}

/// Memory that runs out may end the client that is about to go on, and frees what its TLS holds.
#[test]
fn a_client_that_is_ended_while_the_older_link_is_read_out_does_not_go_on() {
    const LEN: usize = 3_000;
    let limits = Limits::default().max_queue(64).max_buffered(LEN + 1_000);
    let mut rig = Rig::start(resumable().limits(limits));
    let (mut client, _) = Client::online(&mut rig);
    let old = client.toy.clone();
    let mut hello = client.resuming(Position::default()).encode();
    hello.extend(&data_frame(&[0; LEN])[..LEN]);
    client.toy = rig.door.connect();
    client.toy.send(&hello);
    old.send(&data_frame(&[0; 2_000])[..1_500]);
    old.state().has_news = false;
    rig.run();
    assert!(client.toy.is_dropped());
    rig.expect_nothing();
    assert_eq!((rig.handle.count(), rig.handle.away()), (1, 0));
    assert!(!old.is_dropped());
}

/// The client did not get the first WELCOME, so it comes with the next number.
#[test]
fn a_welcome_that_is_lost_is_simply_tried_again() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.handle.send(id, b"a").unwrap();
    rig.run();
    client.lose(&mut rig, id);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { .. }));
    let (_, got) = client.resume(&mut rig, Position::default());
    assert_eq!(got, [data(b"a")]);
    rig.back(id, ms(0));
}

#[test]
fn a_link_comes_to_the_shard_of_its_session() {
    let mut rig = Rig::start(resumable().threads(2));
    let (mut client, id) = Client::online(&mut rig);
    assert_eq!(id.shard(), 0);
    rig.handle.send(id, b"a").unwrap();
    rig.run();
    client.lose(&mut rig, id);
    // This one is accepted by the second shard.
    let (_, got) = client.resume(&mut rig, Position::default());
    assert_eq!(got, [data(b"a")]);
    rig.back(id, ms(0));
    client.toy.data(b"1");
    rig.run();
    rig.expect_data(id, b"1");
    assert_eq!(rig.handle.count(), 1);
    // Once more, and this one is accepted by the first shard.
    client.lose(&mut rig, id);
    client.resume(&mut rig, after(&[b"a"]));
    rig.back(id, ms(0));
    assert_eq!(["accepted", "resumed", "refused"].map(|name| rig.count(name)), [3, 2, 0]);
}

/// A returning client brings its own place, so a session that is away needs none.
/// Deadlines wait for no more of them.
#[test]
fn clients_that_come_back_together_do_so_in_several_turns() {
    let mut rig = Rig::start(resumable());
    let mut clients: Vec<_> = (0..300).map(|_| Client::online(&mut rig).0).collect();
    let toys: Vec<_> = clients.iter().map(|_| rig.door.connect()).collect();
    rig.run();
    for (client, toy) in clients.iter_mut().zip(toys) {
        toy.send(&client.resuming(Position::default()).encode());
        client.toy = toy;
    }
    rig.turn();
    assert_eq!(rig.inbox().events.drain(..).count(), 256);
    rig.run();
    assert_eq!(rig.inbox().events.drain(..).count(), 44);
    assert_eq!(rig.count("resumed"), 300);
}

#[test]
fn a_session_that_is_away_leaves_its_place_to_others() {
    let admission = Admission::default().max_sessions(2);
    let mut rig = Rig::start(resumable().admission(admission));
    let (mut client, id) = Client::online(&mut rig);
    client.lose(&mut rig, id);
    assert!(client.toy.state().is_closed && client.toy.is_dropped());
    assert_eq!((rig.handle.count(), rig.handle.away()), (0, 1));
    let (_stays, _) = Client::online(&mut rig);
    let (other, other_id) = Client::online(&mut rig);
    assert_eq!((rig.handle.count(), rig.handle.away()), (2, 1));
    other.lose(&mut rig, other_id);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    assert_eq!((rig.handle.count(), rig.handle.away()), (2, 1));
    // There are no more sessions away than may be online: those away longest end.
    rig.pass(ms(1));
    client.lose(&mut rig, id);
    assert_eq!(rig.handle.away(), 2);
    let (third, third_id) = Client::online(&mut rig);
    third.lose(&mut rig, third_id);
    assert_eq!(rig.gone(other_id), (Reason::ReplayFull, Undelivered::NOTHING));
    assert_eq!(rig.handle.away(), 2);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
}

/// So an address cannot fill the places of all, and those of it that come back find theirs.
#[test]
fn as_many_sessions_of_an_address_are_away_as_may_be_connected() {
    let admission = Admission::default().max_per_address(2.try_into().ok());
    let resume = super::Resume::new().grace(super::GRACE).in_the_clear(true);
    let mut rig = Rig::start(resumable().admission(admission).resume(resume));
    let mut away: Vec<_> = (0..2).map(|_| Client::online(&mut rig)).collect();
    for (client, id) in &away {
        client.lose(&mut rig, *id);
    }
    let (third, third_id) = Client::online(&mut rig);
    third.toy.reset();
    rig.run();
    assert_eq!(rig.gone(third_id), (Reason::ReplayFull, Undelivered::NOTHING));
    assert_eq!((rig.handle.count(), rig.handle.away()), (0, 2));
    // Those that are away find room, also from elsewhere, and leave room.
    let (client, id) = &mut away[0];
    let hello = client.resuming(Position::default());
    client.toy = rig.door.connect_from("192.0.2.7".parse().unwrap());
    client.toy.send(&hello.encode());
    rig.run();
    rig.back(*id, ms(0));
    let (fourth, fourth_id) = Client::online(&mut rig);
    fourth.lose(&mut rig, fourth_id);
    let (fifth, fifth_id) = Client::online(&mut rig);
    fifth.toy.reset();
    rig.run();
    assert_eq!(rig.gone(fifth_id).0, Reason::ReplayFull);
    // Those that are given up leave room, too.
    rig.pass(super::GRACE + ms(5));
    assert_eq!((rig.handle.away(), rig.count("not_back")), (0, 2));
    rig.inbox().events.clear();
    let (sixth, sixth_id) = Client::online(&mut rig);
    sixth.lose(&mut rig, sixth_id);
    rig.expect_nothing();
}

#[test]
fn bytes_that_come_with_the_hello_are_read_after_the_welcome() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.lose(&mut rig, id);
    let hello = client.resuming(Position::default());
    client.toy = rig.door.connect();
    client.toy.send(&[hello.encode(), data_frame(b"1"), data_frame(b"2")].concat());
    rig.run();
    rig.back(id, ms(0));
    rig.expect_data(id, b"1");
    rig.expect_data(id, b"2");
    assert!(matches!(client.toy.got()[..], [Got::Welcome(_), Got::Beat(_)]));
}

#[test]
fn as_many_of_the_longer_beats_wait_until_a_byte_more_wakes_the_shard() {
    let mut rig = Rig::start(resumable().coalesce(4));
    let hello = Client::hello(None, None);
    let mut plain = hello;
    plain.resume = None;
    for (hello, wake_bytes) in [(hello, 4 * 56 + 1), (plain, 4 * 40 + 1)] {
        let toy = rig.door.connect();
        toy.send(&hello.encode());
        rig.run();
        rig.told_online();
        assert_eq!(welcome_of(&toy).contract.wake_bytes, wake_bytes);
        toy.beat_with(|_| {});
        rig.run();
        assert_eq!(u32::try_from(toy.state().receive_mark), Ok(wake_bytes));
    }
}

/// The shard is woken for the acknowledgement, and the beat has come long before.
#[test]
fn beats_that_waited_until_data_was_sent_are_not_taken_for_new() {
    let mut rig = Rig::start(resumable().coalesce(4));
    let (client, id) = Client::online(&mut rig);
    client.toy.beat_with(|_| {});
    rig.pass(ms(60));
    assert!(rig.silence(id) >= ms(60), "it was not read");
    // So that the shard knows that what is reported now is new.
    let _other = Client::online(&mut rig);
    rig.handle.send(id, b"!").unwrap();
    rig.run();
    let silence = rig.silence(id);
    assert!(silence >= ms(60 - 12) && silence <= ms(60), "{silence:?}");
    // What comes now has woken the shard.
    client.toy.beat_with(|_| {});
    rig.run();
    assert_eq!(rig.silence(id), ms(0));
}
