use core::time::Duration;

use super::*;
use crate::connection::{Connection, Protocol, Settings};
use crate::frame;
use crate::pause::Pause;
use crate::policy::Policy;
use crate::v1::{Beat, Hello, Offer, Terms};

const TIMEOUT: u64 = 10_000;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// On protocol v0, and the first beat of the peer is there.
fn judging() -> Connection {
    let policy = Policy::builder().timeout(ms(TIMEOUT)).build().unwrap();
    let mut connection = Connection::new(Settings::new(policy), at(0));
    hear_beat(&mut connection, 0);
    connection
}

fn hear_beat(connection: &mut Connection, millis: u64) {
    connection.handle_heard(at(millis));
    connection.handle_received(at(millis), &mut frame::BEAT.as_slice()).unwrap();
}

/// A server on protocol v1 that beats every 5 s.
fn beating() -> Connection {
    let policy = Policy::builder().interval(ms(5_000)).timeout(ms(TIMEOUT)).build().unwrap();
    let mut server = Connection::new(Settings::new(policy).protocol(Protocol::V1Only), at(0));
    let hello = Hello::new(Offer::new(&policy)).encode();
    server.handle_heard(at(0));
    server.handle_received(at(0), &mut hello.as_slice()).unwrap();
    server.welcome(at(0), 1, Terms::new(Offer::new(&policy)).agree(&Offer::new(&policy)).unwrap());
    server
}

#[track_caller]
fn read_first(connection: &mut Connection, millis: u64) -> ReadFirst {
    let Next::ReadFirst(read) = connection.poll(at(millis), Outbound::Clear) else {
        panic!("it does not ask for a read")
    };
    read
}

#[track_caller]
fn sleeps(next: Next, until: u64) {
    assert!(matches!(next, Next::SleepUntil(Some(it)) if it == at(until)), "{next:?}");
}

#[test]
fn a_driver_that_does_not_read_gets_no_verdict_and_loses_nothing() {
    let mut connection = judging();
    for _ in 0..3 {
        drop(read_first(&mut connection, TIMEOUT));
        assert!(!connection.has_ended());
    }
    let read = read_first(&mut connection, TIMEOUT + 1);
    let next = connection.judge(read, Found::All, None);
    assert!(matches!(next, Next::Over(Over::Dead(_))), "{next:?}");
    assert!(matches!(connection.poll(at(TIMEOUT + 1), Outbound::Clear), Next::SleepUntil(None)));
}

#[test]
fn bytes_that_are_read_outrank_the_deadline() {
    let mut connection = judging();
    let read = read_first(&mut connection, TIMEOUT);
    hear_beat(&mut connection, TIMEOUT - 1);
    sleeps(connection.judge(read, Found::All, None), 2 * TIMEOUT - 1);
}

#[test]
fn bytes_without_room_count_as_life() {
    let mut connection = judging();
    let read = read_first(&mut connection, TIMEOUT);
    sleeps(connection.judge(read, Found::NoRoom(at(TIMEOUT + 1)), None), 2 * TIMEOUT + 1);
}

#[test]
fn a_pause_that_lies_before_the_last_byte_changes_nothing() {
    let mut connection = judging();
    let pause = |millis| Some(Pause::new(at(millis), ms(1_000)));
    let read = read_first(&mut connection, TIMEOUT);
    sleeps(connection.judge(read, Found::All, pause(4_000)), TIMEOUT + 4_000);
    hear_beat(&mut connection, 5_000);
    let read = read_first(&mut connection, TIMEOUT + 5_000);
    let next = connection.judge(read, Found::All, pause(4_000));
    assert!(matches!(next, Next::Over(Over::Dead(_))), "{next:?}");
}

#[test]
fn a_driver_reads_on_while_a_verdict_is_due_and_there_may_be_more() {
    let mut connection = judging();
    let read = read_first(&mut connection, TIMEOUT);
    let Next::ReadFirst(read) = connection.judge(read, Found::More, None) else {
        panic!("what was read was no life")
    };
    hear_beat(&mut connection, TIMEOUT);
    sleeps(connection.judge(read, Found::More, None), 2 * TIMEOUT);
}

#[test]
fn a_beat_of_v1_that_says_what_was_heard_waits_for_a_read_and_one_right_after_it_does_not() {
    let mut server = beating();
    assert!(matches!(server.poll(at(0), Outbound::Clear), Next::Write(_)), "right after the HELLO");
    let read = read_first(&mut server, 5_000);
    let next = server.judge(read, Found::All, None);
    assert!(matches!(next, Next::Write(_)), "{next:?}");
    let next = server.poll(at(5_000), Outbound::Clear);
    assert!(matches!(next, Next::SleepUntil(_)), "{next:?}");
    server.handle_heard(at(7_000));
    server.beat_now();
    assert!(matches!(server.poll(at(7_000), Outbound::Clear), Next::Write(_)), "it was just heard");
    server.beat_now();
    drop(read_first(&mut server, 7_001));
}

#[test]
fn a_verdict_takes_a_read_however_the_silence_is_known() {
    let mut connection = judging();
    let read = read_first(&mut connection, TIMEOUT);
    let Next::ReadFirst(read) = connection.judge(read, Found::Unread(at(0)), None) else {
        panic!("nothing was read")
    };
    let next = connection.judge(read, Found::All, None);
    assert!(matches!(next, Next::Over(Over::Dead(_))), "{next:?}");
    let mut connection = judging();
    let read = read_first(&mut connection, TIMEOUT);
    sleeps(connection.judge(read, Found::Unread(at(TIMEOUT - 1)), None), 2 * TIMEOUT - 1);
}

/// The peer was heard and may not hear this end: 20 s after it last did, that is a verdict.
#[test]
fn a_beat_of_v1_needs_no_read_until_unread_beats_may_say_that_the_path_is_cut() {
    let mut server = beating();
    assert!(matches!(server.poll(at(0), Outbound::Clear), Next::Write(_)), "right after the HELLO");
    for millis in [5_000, 10_000] {
        let read = read_first(&mut server, millis);
        let Next::Write(beat) = server.judge(read, Found::Unread(at(millis - 7)), None) else {
            panic!("no beat after {millis} ms")
        };
        let body = beat.as_ref()[frame::HEADER_LEN..].first_chunk().unwrap();
        assert_eq!(Beat::decode(body).silence_ms, 7);
    }
    let read = read_first(&mut server, 15_000);
    let Next::ReadFirst(read) = server.judge(read, Found::Unread(at(14_993)), None) else {
        panic!("after 20 s it is too late")
    };
    assert!(matches!(server.judge(read, Found::All, None), Next::Write(_)));
}

#[test]
fn a_beat_that_cannot_be_written_asks_for_one_read_and_then_waits() {
    let mut server = beating();
    assert!(matches!(server.poll(at(0), Outbound::Clear), Next::Write(_)));
    let Next::ReadFirst(read) = server.poll(at(5_000), Outbound::Blocked) else {
        panic!("not due")
    };
    sleeps(server.judge(read, Found::All, None), TIMEOUT);
    sleeps(server.poll(at(5_001), Outbound::Blocked), TIMEOUT);
    // It takes bytes again: what has come since is read before it is told.
    let read = read_first(&mut server, 6_000);
    let next = server.judge(read, Found::All, None);
    assert!(matches!(next, Next::Write(_)), "{next:?}");
}

#[test]
fn answers_wait_behind_what_waits() {
    let policy = Policy::builder().echo(true).build().unwrap();
    let mut connection = Connection::new(Settings::new(policy), at(0));
    hear_beat(&mut connection, 0);
    let next = connection.poll(at(0), Outbound::Waiting);
    assert!(matches!(next, Next::SleepUntil(None)), "{next:?}");
    assert!(matches!(connection.poll(at(1), Outbound::Clear), Next::Write(_)));
    assert!(matches!(connection.poll(at(1), Outbound::Clear), Next::SleepUntil(None)));
}
