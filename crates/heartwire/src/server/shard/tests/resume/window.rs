//! Windows, acknowledgements, and the ends of both directions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use heartwire_core::resume::Position;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_testkit::{END, Got, frame, ms};

use super::{Client, WINDOW, after, data, resumable};
use crate::server::rig::Rig;
use crate::server::{CommandError, Control, Event, ServerConfig, SessionId};
use crate::{Reason, Undelivered};

/// The position that the server's next beat tells.
#[track_caller]
fn told_by_beat(rig: &mut Rig, client: &Client) -> Position {
    client.toy.take_written();
    rig.pass(ms(100));
    let written = client.toy.take_written();
    assert_eq!((written[0], written[4], written.len()), (0, 48, 56));
    let at = |at: usize| u64::from_le_bytes(written[at..at + 8].try_into().unwrap());
    Position { frames: at(40), bytes: at(48) }
}

#[test]
fn each_quarter_of_the_window_that_is_taken_over_is_acknowledged_and_beats_tell_the_rest() {
    let mut rig = Rig::start(resumable());
    let (client, _) = Client::online(&mut rig);
    let body = [7; 92];
    client.toy.data(&body);
    client.toy.data(&body);
    rig.run();
    assert_eq!(client.toy.got_but_beats(), []);
    assert_eq!(told_by_beat(&mut rig, &client), after(&[&body[..]; 2]));
    client.toy.data(&body);
    client.toy.data(&body);
    client.toy.data(&body);
    rig.run();
    // 250 bytes are a quarter.
    assert_eq!(client.toy.got_but_beats(), [Got::Ack(after(&[&body[..]; 5]))]);
    assert_eq!(rig.inbox().events.drain(..).count(), 5);
    assert_eq!(told_by_beat(&mut rig, &client), after(&[&body[..]; 5]));
}

#[test]
fn data_that_the_application_has_no_room_for_is_kept_and_the_link_is_read() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.handle.send(id, b"a").unwrap();
    rig.run();
    client.toy.got();
    rig.inbox().room = 0;
    let body = [7; 92];
    let before = rig.turns(0);
    for _ in 0..4 {
        client.toy.data(&body);
        rig.run();
    }
    client.acknowledge(after(&[b"a"]));
    rig.run();
    // Nothing is taken over, but beats and acknowledgements are read.
    assert_eq!((client.toy.got_but_beats(), client.toy.state().inbound.len()), (vec![], 0));
    assert_eq!(rig.session(id).queued, 0);
    assert_eq!(told_by_beat(&mut rig, &client), Position::default());
    rig.expect_nothing();
    assert!(rig.turns(0) - before < 12, "it spins");
    // It outlives the link, and was received.
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { .. }));
    let (received, _) = client.resume(&mut rig, after(&[b"a"]));
    assert_eq!(received, after(&[&body[..]; 4]));
    assert!(matches!(rig.next(), Event::Back { .. }));
    client.toy.data(b"last");
    rig.expect_nothing();
    rig.leave_room(usize::MAX);
    rig.run();
    for _ in 0..4 {
        rig.expect_data(id, &body);
    }
    rig.expect_data(id, b"last");
    rig.expect_nothing();
    let bodies = [&body[..], &body, &body, &body, b"last"];
    assert_eq!(client.toy.got_but_beats(), [Got::Ack(after(&bodies))]);
}

/// An end is told after everything that was received.
#[test]
fn data_that_was_kept_is_handed_over_before_the_session_ends() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.leave_room(0);
    client.toy.data(b"1");
    client.toy.data(b"2");
    rig.run();
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { .. }));
    rig.expect_nothing();
    rig.pass(ms(30_010));
    rig.expect_data(id, b"1");
    rig.expect_data(id, b"2");
    assert_eq!(rig.gone(id), (Reason::NotBack, Undelivered::NOTHING));
    // So the client may know that they were taken over.
    client.come_back(&mut rig, Position::default());
    rig.leave_room(usize::MAX);
    rig.run();
    rig.told_online();
    assert_eq!(super::welcome_of(&client.toy).lost, Some(after(&[b"1", b"2"])));
}

/// An application that disconnects a client wants nothing more of it.
#[test]
fn data_that_was_kept_of_a_client_that_is_disconnected_was_not_taken_over() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.toy.data(b"taken");
    rig.run();
    rig.expect_data(id, b"taken");
    rig.inbox().room = 0;
    client.toy.data(b"kept");
    client.toy.data(b"kept");
    rig.run();
    rig.handle.kick_with(id, RetryHint::AtWill, "").unwrap();
    rig.run();
    assert_eq!(rig.gone(id).0, Reason::Kicked);
    client.come_back(&mut rig, Position::default());
    rig.told_online();
    assert_eq!(super::welcome_of(&client.toy).lost, Some(after(&[b"taken"])));
}

/// Though there is room when the next data comes: the order stays.
/// The session ends for it, and what is lost is what it was before that word.
#[test]
fn last_word_with_a_position_that_cannot_be_is_not_believed() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    rig.handle.send(id, b"aaaa").unwrap();
    rig.handle.send(id, b"b").unwrap();
    rig.run();
    let within_a_frame = Position { frames: 1, bytes: 10 };
    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(within_a_frame));
    client.toy.send(&bye.encode());
    rig.run();
    let (reason, undelivered) = rig.gone(id);
    assert_eq!(reason.name(), "protocol_error");
    assert_eq!(undelivered, Undelivered { frames: 2, bytes: 5, exact: false });
}

#[test]
fn data_waits_behind_data_that_was_kept() {
    let mut rig = Rig::start(resumable());
    let ((client, id), (other, other_id)) = (Client::online(&mut rig), Client::online(&mut rig));
    rig.inbox().room = 0;
    client.toy.data(b"kept");
    rig.run();
    // There is room from the middle of a turn on.
    rig.inbox().frees_room_when_asked = Some(1);
    other.toy.data(b"other");
    client.toy.data(b"later");
    rig.run();
    rig.leave_room(usize::MAX);
    rig.run();
    let told: Vec<_> = rig.inbox().events.drain(..).collect();
    let of = |of: SessionId| {
        let data = |event: &Event<Vec<u8>>| {
            let Event::Data { id, data } = event else { return None };
            (*id == of).then(|| data.clone())
        };
        told.iter().filter_map(data).collect::<Vec<_>>()
    };
    assert_eq!(of(id), [b"kept".to_vec(), b"later".to_vec()]);
    assert_eq!(of(other_id), [b"other".to_vec()]);
}

#[test]
fn more_than_the_window_is_a_breach() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    rig.leave_room(0);
    let body = [7; 492];
    client.toy.data(&body);
    client.toy.data(&body);
    rig.run();
    rig.expect_nothing();
    client.toy.data(b"");
    rig.run();
    rig.expect_data(id, &body);
    rig.expect_data(id, &body);
    let (reason, _) = rig.gone(id);
    assert!(matches!(reason, Reason::Protocol(violation) if violation.name() == "window"));
    let got = client.toy.got_but_beats();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Protocol, ..)]), "{got:?}");
}

/// A server whose application answers each `go` with frames of a tenth of the window until there is
/// no room, and each `Room` with the same.
fn filling(config: ServerConfig) -> (Rig, Arc<Mutex<Vec<usize>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let fills = Arc::clone(&sent);
    let fill = move |id: SessionId, control: &mut Control<'_>| {
        let mut count = 0;
        let error = loop {
            match control.send(id, &[7; 92]) {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, CommandError::Full);
        fills.lock().unwrap().push(count);
    };
    let rig = Rig::acting(config, move |event, control| {
        if let Event::Room { id } = event {
            return fill(*id, control);
        }
        let Event::Data { id, data } = event else { return };
        match *data {
            b"go" => fill(*id, control),
            _ => assert_eq!(control.send(*id, &[0; 493]), Err(CommandError::TooLong)),
        }
    });
    (rig, sent)
}

#[test]
fn a_handler_is_told_when_there_is_room_again() {
    let (mut rig, sent) = filling(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.toy.data(b"long");
    client.toy.data(b"go");
    rig.run();
    rig.inbox().events.clear();
    assert_eq!(*sent.lock().unwrap(), [10]);
    let body = [7; 92];
    assert_eq!(client.toy.got_but_beats().len(), 10);
    // A frame may take half of the window, so half of it has to be free.
    client.acknowledge(after(&[&body[..]; 4]));
    rig.run();
    rig.expect_nothing();
    client.acknowledge(after(&[&body[..]; 5]));
    rig.run();
    assert_eq!(rig.next(), Event::Room { id });
    assert_eq!(*sent.lock().unwrap(), [10, 5]);
    client.lose(&mut rig, id);
    let (_, got) = client.resume(&mut rig, after(&[&body[..]; 7]));
    assert_eq!(got.len(), 8);
    assert_eq!(rig.back(id, ms(0)).frames, 8);
    client.acknowledge(after(&[&body[..]; 15]));
    rig.run();
    assert_eq!(rig.next(), Event::Room { id });
    assert_eq!(*sent.lock().unwrap(), [10, 5, 10]);
}

#[test]
fn a_sender_that_cannot_wait_ends_a_session_without_room() {
    for is_away in [false, true] {
        let mut rig = Rig::start(resumable());
        let (client, id) = Client::online(&mut rig);
        client.toy.state().room = 0;
        if is_away {
            client.lose(&mut rig, id);
        }
        for _ in 0..2 {
            rig.handle.send(id, &[7; 492]).unwrap();
        }
        rig.run();
        rig.expect_nothing();
        rig.handle.broadcast(b"").unwrap();
        rig.run();
        let (reason, undelivered) = rig.gone(id);
        assert_eq!(reason, Reason::Overflow);
        assert_eq!((undelivered.frames, undelivered.exact), (2, is_away));
    }
}

#[test]
fn each_direction_ends_by_itself_and_the_session_after_both() {
    let mut rig = Rig::acting(resumable(), |event, control| {
        if let Event::Data { id, data } = event {
            let _ = control.send(*id, data);
            if *data == b"bye" {
                control.end(*id).unwrap();
                assert_eq!(control.send(*id, b""), Err(CommandError::Ended));
                assert_eq!(control.end(*id), Err(CommandError::Ended));
            }
        }
    });
    let (mut client, id) = Client::online(&mut rig);
    client.toy.data(b"1");
    client.toy.data(b"bye");
    client.toy.data(b"");
    rig.run();
    rig.inbox().events.clear();
    assert_eq!(client.toy.got_but_beats(), [data(b"1"), data(b"bye"), Got::End]);
    // The END is replayed like data.
    client.lose(&mut rig, id);
    let (_, got) = client.resume(&mut rig, after(&[b"1"]));
    assert_eq!(got, [data(b"bye"), Got::End]);
    assert_eq!(rig.back(id, ms(0)).frames, 1);
    client.toy.send(&frame(END, b""));
    rig.run();
    assert_eq!(rig.next(), Event::Ended { id });
    rig.expect_nothing();
    // The client waits for no more than this.
    assert_eq!(client.toy.got_but_beats(), [Got::Ack(after(&[b"1", b"bye", b"", b""]))]);
    // With the END it has taken over everything.
    client.acknowledge(after(&[b"1", b"bye", b""]));
    rig.run();
    assert_eq!(rig.gone(id), (Reason::Done, Undelivered::NOTHING));
    let got = client.toy.got_but_beats();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Done, ..)]), "{got:?}");
    assert!(client.toy.state().is_shutdown);
}

#[test]
fn a_client_that_knows_first_that_both_are_done_says_bye() {
    for (last, reason) in [
        (after(&[b""]), Reason::Done),
        // It has not taken over the END.
        (after(&[]), Reason::Bye(ByeCode::Done)),
    ] {
        let mut rig = Rig::start(resumable());
        let (client, id) = Client::online(&mut rig);
        rig.handle.end(id).unwrap();
        client.toy.send(&frame(END, b""));
        rig.run();
        assert_eq!(rig.next(), Event::Ended { id });
        client.toy.send(&Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(last)).encode());
        rig.run();
        assert_eq!(rig.gone(id), (reason, Undelivered::NOTHING));
        let got = client.toy.got_but_beats();
        assert!(matches!(got[..], [.., Got::Bye(ByeCode::Done, ..)]), "{got:?}");
    }
}

#[test]
fn an_end_does_not_wait_for_the_window() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    let body = [7; 492];
    for _ in 0..2 {
        rig.handle.send(id, &body).unwrap();
    }
    rig.handle.end(id).unwrap();
    rig.run();
    assert_eq!(client.toy.got_but_beats(), [data(&body), data(&body), Got::End]);
}

/// Though the shard has counted what was before it already.
#[test]
fn an_end_that_was_taken_out_of_a_channel_is_acknowledged_at_once() {
    let receipts = Arc::new(Mutex::new(VecDeque::new()));
    let keeps = Arc::clone(&receipts);
    let mut rig = Rig::acting(resumable(), move |_, control| {
        keeps.lock().unwrap().extend(control.receipt());
    });
    let (client, id) = Client::online(&mut rig);
    client.toy.data(b"last");
    client.toy.send(&frame(END, b""));
    rig.run();
    rig.expect_data(id, b"last");
    assert_eq!(rig.next(), Event::Ended { id });
    let take = || drop(receipts.lock().unwrap().pop_front());
    take();
    rig.leave_room(usize::MAX);
    rig.run();
    assert_eq!(client.toy.got_but_beats(), []);
    take();
    rig.run();
    assert_eq!(client.toy.got_but_beats(), [Got::Ack(after(&[b"last", b""]))]);
}

#[test]
fn an_end_of_both_directions_is_told_to_a_client_that_is_away() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.handle.end(id).unwrap();
    rig.leave_room(0);
    client.toy.send(&frame(END, b""));
    client.acknowledge(after(&[]));
    rig.run();
    client.acknowledge(after(&[b""]));
    rig.run();
    client.toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { .. }));
    rig.leave_room(usize::MAX);
    rig.run();
    assert_eq!(rig.next(), Event::Ended { id });
    rig.expect_nothing();
    client.come_back(&mut rig, after(&[b""]));
    assert!(matches!(rig.next(), Event::Back { .. }));
    assert_eq!(rig.gone(id), (Reason::Done, Undelivered::NOTHING));
    let got = client.toy.got_but_beats();
    assert!(matches!(got[..], [Got::Welcome(_), Got::Bye(ByeCode::Done, ..)]), "{got:?}");
}

#[test]
fn a_session_that_ends_with_its_connection_has_no_directions() {
    let mut rig = Rig::acting(super::v1(), |event, control| {
        if let Event::Online { id, .. } = event {
            assert_eq!(control.end(*id), Err(CommandError::NotResumable));
        }
    });
    rig.welcomed(&heartwire_testkit::hello());
}

/// A coalescing server does not sleep while it waits for an acknowledgement.
#[test]
fn the_socket_wakes_the_server_for_every_byte_while_something_is_unacknowledged() {
    let mut rig = Rig::start(resumable().coalesce(4));
    let (client, id) = Client::online(&mut rig);
    let mark = |client: &Client| client.toy.state().receive_mark;
    let idle = mark(&client);
    assert!(idle > 100, "{idle}");
    rig.handle.send(id, b"a").unwrap();
    rig.run();
    assert_eq!(mark(&client), 1);
    client.acknowledge(after(&[b"a"]));
    rig.run();
    assert_eq!((mark(&client), rig.session(id).queued), (idle, 0));
    // An idle session holds nothing.
    assert_eq!(rig.session(id).held, 0);
}

#[test]
fn a_log_is_freed_when_it_is_acknowledged_and_not_before() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    rig.handle.send(id, &[7; 400]).unwrap();
    rig.run();
    let held = rig.session(id).held;
    assert!((408..=2 * WINDOW).contains(&held), "{held}");
    client.acknowledge(after(&[&[7; 400]]));
    rig.run();
    assert_eq!(rig.session(id).held, 0);
}
