//! Senders, which wait for room, and receipts, which make it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;

use heartwire_core::resume::Position;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_testkit::{END, Got, frame, hello, ms};

use super::super::v1;
use super::{Client, GRACE, after, data, resumable};
use crate::Reason;
use crate::server::limits::Limits;
use crate::server::rig::Rig;
use crate::server::{CommandError, Control, Event, Receipt, Sender, SessionId};

/// A frame of a tenth of the window.
const BODY: [u8; 92] = [7; 92];

const LAST: [u8; 92] = [8; 92];

/// What a sender lets wait.
const ROOM: usize = 64 * 1024;

/// Polls once. Nothing wakes it: the test polls again.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Sends, and does not wait.
fn send(sender: &mut Sender, body: &[u8]) -> Poll<Result<(), CommandError>> {
    poll(core::pin::pin!(sender.send(body.to_vec())))
}

#[track_caller]
fn sends(sender: &mut Sender, body: &[u8]) {
    assert_eq!(send(sender, body), Poll::Ready(Ok(())));
}

#[track_caller]
fn ends(sender: &mut Sender) {
    assert_eq!(poll(core::pin::pin!(sender.end())), Poll::Ready(Ok(())));
}

/// Fills the window and all that may wait besides. Returns the number of frames.
fn fill(rig: &mut Rig, sender: &mut Sender) -> usize {
    let mut count = 0;
    loop {
        if send(sender, &BODY).is_pending() {
            return count;
        }
        count += 1;
        rig.run();
    }
}

#[test]
fn sender_waits_for_room_and_keeps_the_order_with_the_end_behind_all() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    let mut expected = Vec::new();
    for number in 0..25 {
        let body = [number; 92];
        sends(&mut sender, &body);
        expected.push(body);
    }
    ends(&mut sender);
    rig.run();
    // The handler is told of no room.
    rig.expect_nothing();
    let bodies =
        |count: usize| expected.iter().take(count).map(|body| &body[..]).collect::<Vec<_>>();
    let mut got = client.toy.got_but_beats();
    assert_eq!(got.len(), 10, "a window");
    // A frame may take half of the window, so half of it has to be free.
    client.acknowledge(after(&bodies(4)));
    rig.run();
    assert_eq!(client.toy.got_but_beats(), []);
    for taken in [9, 18, 25] {
        client.acknowledge(after(&bodies(taken)));
        rig.run();
        got.extend(client.toy.got_but_beats());
    }
    let all = expected.iter().map(|body| data(body)).chain([Got::End]);
    assert_eq!(got, all.collect::<Vec<_>>());
    rig.expect_nothing();
    assert_eq!(poll(core::pin::pin!(sender.end())), Poll::Ready(Ok(())), "it is posted");
    rig.run();
    assert_eq!(client.toy.got_but_beats(), [], "once");
}

#[test]
fn sender_is_ready_again_when_what_waited_has_found_room() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    let sent = fill(&mut rig, &mut sender);
    assert_eq!(sent, 10 + ROOM / 100, "the window, and what may wait");
    {
        // A future that is dropped has sent nothing.
        assert!(send(&mut sender, &[9; 92]).is_pending());
    }
    let mut waiting = core::pin::pin!(sender.send(LAST.to_vec()));
    assert!(poll(waiting.as_mut()).is_pending());
    let mut got = client.toy.got_but_beats();
    client.acknowledge(after(&[&BODY[..]; 10]));
    rig.run();
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Ok(())));
    while got.len() <= sent {
        client.acknowledge(after(&vec![&BODY[..]; got.len()]));
        rig.run();
        let more = client.toy.got_but_beats();
        assert!(!more.is_empty());
        got.extend(more);
    }
    assert_eq!(got.len(), sent + 1);
    assert_eq!(got.pop(), Some(data(&LAST)));
    assert!(got.iter().all(|got| *got == data(&BODY)));
}

#[test]
fn sender_that_waits_is_told_that_the_session_has_ended() {
    let ways: [fn(&mut Rig, &Client, SessionId); 3] = [
        |rig, client, _| {
            client.toy.reset();
            rig.run();
            rig.pass(GRACE + ms(5));
        },
        |rig, client, _| {
            client.toy.send(&Bye::new(ByeCode::Done, RetryHint::AtWill).encode());
            rig.run();
        },
        |rig, _, id| {
            rig.handle.kick_with(id, RetryHint::Never, "enough").unwrap();
            rig.run();
        },
    ];
    for way in ways {
        let mut rig = Rig::start(resumable());
        let (client, id) = Client::online(&mut rig);
        let mut sender = rig.handle.sender(id);
        fill(&mut rig, &mut sender);
        let mut waiting = core::pin::pin!(sender.send(BODY.to_vec()));
        assert!(poll(waiting.as_mut()).is_pending());
        way(&mut rig, &client, id);
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err(CommandError::Gone)));
    }
}

#[test]
fn sender_that_did_not_wait_learns_of_the_end_from_what_it_sends_then() {
    let mut rig = Rig::start(resumable());
    let (_client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    rig.handle.kick(id).unwrap();
    rig.run();
    // The shard has to look first.
    sends(&mut sender, b"late");
    rig.run();
    assert_eq!(send(&mut sender, b"later"), Poll::Ready(Err(CommandError::Gone)));
    assert_eq!(rig.gone(id).0, Reason::Kicked);
    rig.expect_nothing();
}

#[test]
fn sender_goes_on_while_its_session_is_away_and_when_it_is_back() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    for number in 0..5 {
        sends(&mut sender, &[number; 92]);
    }
    rig.run();
    client.lose(&mut rig, id);
    for number in 5..15 {
        sends(&mut sender, &[number; 92]);
    }
    ends(&mut sender);
    rig.expect_nothing();
    let body = |number: u8| [number; 92];
    let (first, second) = ([body(0), body(1), body(2)], [body(3), body(4)]);
    let received = first.iter().map(|body| &body[..]).collect::<Vec<_>>();
    let (_, mut got) = client.resume(&mut rig, after(&received));
    assert_eq!(rig.back(id, ms(0)).frames, 2);
    assert_eq!(got[..2], second.map(|body| data(&body)));
    let all: Vec<_> = (0..15).map(body).collect();
    while got.last() != Some(&Got::End) {
        let taken = all.iter().take(3 + got.len()).map(|body| &body[..]).collect::<Vec<_>>();
        client.acknowledge(after(&taken));
        rig.run();
        let more = client.toy.got_but_beats();
        assert!(!more.is_empty(), "{got:?}");
        got.extend(more);
    }
    let expected = (3..15).map(|number| data(&body(number))).chain([Got::End]);
    assert_eq!(got, expected.collect::<Vec<_>>());
}

/// What waits for room is lost with the session, and the application counts it as not sent.
#[test]
fn sender_has_what_found_room_counted_at_the_end() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    for _ in 0..15 {
        sends(&mut sender, &BODY);
    }
    rig.run();
    client.lose(&mut rig, id);
    rig.pass(GRACE + ms(5));
    let (reason, undelivered) = rig.gone(id);
    assert_eq!((reason, undelivered.frames), (Reason::NotBack, 10));
}

#[test]
fn sender_of_a_session_that_ends_with_its_connection_sends_and_the_session_ends_at_its_bound() {
    let mut rig = Rig::start(v1().limits(Limits::default().max_queue(1_000)));
    let (client, id) = rig.welcomed(&hello());
    let mut sender = rig.handle.sender(id);
    for number in 0..50 {
        sends(&mut sender, &[number; 92]);
    }
    rig.run();
    let got = client.got_but_beats();
    assert_eq!(got, (0..50).map(|number| data(&[number; 92])).collect::<Vec<_>>());
    ends(&mut sender);
    rig.expect_nothing();
    client.state().room = 0;
    while rig.inbox().events.is_empty() {
        sends(&mut sender, &BODY);
        rig.run();
    }
    assert_eq!(rig.offline(id).0, Reason::SlowReader);
    assert_eq!(send(&mut sender, &BODY), Poll::Ready(Err(CommandError::Gone)));
}

#[test]
fn sender_refuses_what_is_too_long_and_what_comes_after_the_end() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    let too_long = vec![0; 10 << 20];
    assert_eq!(send(&mut sender, &too_long), Poll::Ready(Err(CommandError::TooLong)));
    sends(&mut sender, b"1");
    ends(&mut sender);
    rig.run();
    assert_eq!(client.toy.got_but_beats(), [data(b"1"), Got::End]);
    rig.expect_nothing();
    // It would never be sent: an end that has been said is one.
    sends(&mut sender, b"2");
    rig.run();
    assert_eq!(rig.gone(id).0, Reason::Overflow);
    assert_eq!(send(&mut sender, b"3"), Poll::Ready(Err(CommandError::Gone)));
}

#[test]
fn data_that_a_sender_lets_wait_counts_in_the_bound_for_all() {
    let limits = Limits::default().max_queue(64).max_buffered(30_000);
    let mut rig = Rig::start(resumable().limits(limits));
    let ((_slow, slow_id), (_idle, _)) = (Client::online(&mut rig), Client::online(&mut rig));
    let mut sender = rig.handle.sender(slow_id);
    for _ in 0..200 {
        sends(&mut sender, &BODY);
    }
    rig.run();
    let held = rig.session(slow_id).held;
    assert!(held >= 200 * 100, "{held}");
    rig.expect_nothing();
    for _ in 0..150 {
        let _ = send(&mut sender, &BODY);
    }
    rig.run();
    assert_eq!(rig.gone(slow_id).0, Reason::MostBuffered);
    assert_eq!(send(&mut sender, &BODY), Poll::Ready(Err(CommandError::Gone)));
    rig.expect_nothing();
}

#[test]
fn a_session_holds_nothing_when_what_waited_was_acknowledged() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    for _ in 0..15 {
        sends(&mut sender, &BODY);
    }
    rig.run();
    client.acknowledge(after(&[&BODY[..]; 10]));
    rig.run();
    client.acknowledge(after(&[&BODY[..]; 15]));
    rig.run();
    assert_eq!(rig.session(id).held, 0);
}

/// Keeps the receipts of all events, in order.
fn keeping() -> (Rig, Arc<Mutex<VecDeque<Receipt>>>) {
    let receipts = Arc::new(Mutex::new(VecDeque::new()));
    let keeps = Arc::clone(&receipts);
    let rig = Rig::acting(resumable(), move |event, control: &mut Control<'_>| {
        let receipt = control.receipt();
        assert_eq!(receipt.is_some(), matches!(event, Event::Data { .. } | Event::Ended { .. }));
        assert!(control.receipt().is_none(), "once for each");
        keeps.lock().unwrap().extend(receipt);
    });
    (rig, receipts)
}

#[test]
fn receipts_keep_the_window_in_use_until_another_thread_drops_them() {
    let (mut rig, receipts) = keeping();
    let (mut client, id) = Client::online(&mut rig);
    for _ in 0..10 {
        client.toy.data(&BODY);
    }
    rig.run();
    assert_eq!(rig.inbox().events.drain(..).count(), 10);
    assert_eq!(client.toy.got_but_beats(), []);
    // The window stays full over a resume.
    client.lose(&mut rig, id);
    let (received, got) = client.resume(&mut rig, Position::default());
    assert_eq!((received, got), (after(&[&BODY[..]; 10]), vec![]));
    rig.back(id, ms(0));
    let taken: Vec<_> = receipts.lock().unwrap().drain(..3).collect();
    thread::spawn(move || drop(taken)).join().unwrap();
    rig.run();
    assert_eq!(client.toy.got_but_beats(), [Got::Ack(after(&[&BODY[..]; 3]))]);
    for _ in 0..3 {
        client.toy.data(&BODY);
    }
    rig.run();
    assert_eq!(rig.inbox().events.drain(..).count(), 3);
    // A fourth would be more than the window.
    client.toy.data(&BODY);
    rig.run();
    assert!(matches!(rig.gone(id).0, Reason::Protocol(violation) if violation.name() == "window"));
    // Those of a session that has ended do nothing.
    receipts.lock().unwrap().clear();
    rig.expect_nothing();
}

#[test]
fn receipts_are_of_no_use_in_sessions_that_end_with_their_connection() {
    let mut rig = Rig::acting(v1(), |_, control| assert!(control.receipt().is_none()));
    let (client, id) = rig.welcomed(&hello());
    client.data(b"1");
    rig.run();
    rig.expect_data(id, b"1");
}

#[test]
fn receipts_of_an_end_keep_the_session_until_they_are_dropped() {
    let (mut rig, receipts) = keeping();
    let (client, id) = Client::online(&mut rig);
    let mut sender = rig.handle.sender(id);
    ends(&mut sender);
    client.toy.send(&frame(END, b""));
    rig.run();
    assert_eq!(rig.next(), Event::Ended { id });
    client.acknowledge(after(&[b""]));
    rig.expect_nothing();
    receipts.lock().unwrap().clear();
    rig.run();
    assert_eq!(rig.gone(id).0, Reason::Done);
}
