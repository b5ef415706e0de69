//! A connection of a session that can be resumed.

use super::*;
use crate::boxed::Boxed;
use crate::frame::Kind;
use crate::resume::{Ledger, Position};
use crate::v1::{Bye, ByeCode, Hello, Offer, RetryHint, Terms};

/// A server's connection after the WELCOME, with this window in each direction.
fn welcomed(window: u32) -> Connection {
    let offer =
        Offer::new(&Policy::builder().interval(ms(1000)).timeout(ms(3000)).build().unwrap());
    let settings = Settings::new(Policy::default()).protocol(Protocol::Any);
    let mut connection = Connection::new(settings, at(0));
    let hello = Hello::new(offer).encode();
    let received = connection.handle_received(at(0), &mut hello.as_slice());
    assert!(matches!(received, Ok(Some(Event::Hello(_)))));
    let _ = connection.welcome(at(0), 1, Terms::new(offer).agree(&offer).unwrap());
    connection.attach(Boxed::new(Ledger::new(window, window)));
    connection
}

fn receive(connection: &mut Connection, frame: &[u8]) -> Result<(), Violation> {
    connection.handle_received(at(0), &mut &*frame).map(drop)
}

fn ack(frames: u64, bytes: u64) -> Vec<u8> {
    let header = codec::header(Kind::Ack, 16).unwrap();
    [&header[..], &Position { frames, bytes }.encode()].concat()
}

/// What the connection writes next.
fn written(connection: &mut Connection) -> Vec<u8> {
    match connection.poll(at(0), Outbound::Waiting) {
        Next::Write(bytes) => bytes.as_ref().to_vec(),
        Next::ReadFirst(_) | Next::SleepUntil(_) | Next::Over(_) => Vec::new(),
    }
}

#[test]
fn beats_and_acks_tell_what_was_taken_over_and_not_what_came() {
    let mut connection = welcomed(100);
    let first = written(&mut connection);
    assert_eq!(first.len(), 8 + 48);
    assert_eq!(first[40..], [0; 16]);
    receive(&mut connection, &packet(&[0; 22])).unwrap();
    assert!(!connection.has_to_write());
    connection.ledger_mut().unwrap().take(30);
    assert!(connection.has_to_write());
    assert_eq!(written(&mut connection), ack(1, 30));
    assert!(written(&mut connection).is_empty(), "once");
    receive(&mut connection, &packet(&[])).unwrap();
    connection.ledger_mut().unwrap().take(8);
    connection.beat_now();
    let beat = written(&mut connection);
    assert_eq!(beat[40..], Position { frames: 2, bytes: 38 }.encode());
    // The next connection goes on counting.
    let ledger = connection.detach().unwrap();
    assert_eq!(ledger.received(), Position { frames: 2, bytes: 38 });
    assert!(connection.ledger().is_none());
    connection.attach(ledger);
    assert!(connection.ledger().is_some());
}

#[test]
fn a_peers_positions_are_read_from_acks_beats_and_a_bye() {
    let mut connection = welcomed(100);
    let first = written(&mut connection);
    let ledger = connection.ledger_mut().unwrap();
    for _ in 0..3 {
        assert!(ledger.queue(10));
    }
    ledger.handle_written(30);
    receive(&mut connection, &ack(1, 10)).unwrap();
    assert_eq!(connection.ledger().unwrap().undelivered().frames, 2);
    let mut beat = first;
    beat[40..].copy_from_slice(&Position { frames: 2, bytes: 20 }.encode());
    beat[16..24].fill(0); // echoes nothing
    receive(&mut connection, &beat).unwrap();
    assert_eq!(connection.ledger().unwrap().undelivered().frames, 1);
    // A shorter beat says nothing of it.
    let mut short = beat[..40].to_vec();
    short[4] = 32;
    receive(&mut connection, &short).unwrap();
    assert_eq!(connection.ledger().unwrap().undelivered().frames, 1);
    let taken = Some(Position { frames: 3, bytes: 30 });
    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(taken).encode();
    receive(&mut connection, &bye).unwrap();
    assert_eq!(connection.ledger().unwrap().undelivered().frames, 0);
    assert!(connection.has_ended());
    assert_eq!(connection.ledger_mut().unwrap().settle([10, 10, 10]), Ok(3));
}

#[test]
fn positions_that_cannot_be_and_more_than_the_window_are_breaches() {
    let mut connection = welcomed(100);
    let position = Position { frames: 1, bytes: 8 };
    let refused = Err(Violation::BadPosition { position });
    assert_eq!(receive(&mut connection, &ack(1, 8)), refused);
    assert!(connection.has_ended());
    let mut connection = welcomed(100);
    receive(&mut connection, &packet(&[0; 42])).unwrap();
    receive(&mut connection, &packet(&[0; 42])).unwrap();
    let refused = Err(Violation::Window { window: 100 });
    assert_eq!(receive(&mut connection, &packet(&[])), refused);
}

#[test]
fn acks_and_ends_are_for_sessions_that_can_be_resumed() {
    let mut connection = welcomed(100);
    let event = connection.handle_received(at(0), &mut &frame::END[..]);
    assert_eq!(event, Ok(Some(Event::End)));
    let refused = Err(Violation::Unexpected { kind: Kind::Data });
    assert_eq!(receive(&mut connection, &packet(&[])), refused);
    for (bytes, kind) in [(ack(0, 0), Kind::Ack), (frame::END.to_vec(), Kind::End)] {
        let mut connection = welcomed(100);
        let _ = connection.detach();
        assert_eq!(receive(&mut connection, &bytes), Err(Violation::Unexpected { kind }));
    }
}

#[test]
fn bytes_from_before_the_end_are_counted_after_it() {
    let mut connection = welcomed(100);
    let mut rest = connection.without_output(at(0));
    receive(&mut rest, &packet(&[0; 2])).unwrap();
    receive(&mut rest, &ack(0, 0)).unwrap();
    assert_eq!(rest.detach().unwrap().received(), Position { frames: 1, bytes: 10 });
}
