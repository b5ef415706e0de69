//! Protocol v1: the handshake, and the server's BYEs.

use core::iter;

use heartwire_core::frame::Kind;
use heartwire_core::internal::v1::{BEAT_LEN, Beat};
use heartwire_core::{Event as FromPeer, Protocol, Settings, Violation};

use super::*;
use crate::client::{ConnectError, V1};

fn on_v1(change: impl FnOnce(ClientConfig) -> ClientConfig) -> Rig {
    let mut rig = Rig::new(|config| change(config.v1(V1::default()).policy(Policy::default())));
    rig.connects();
    rig
}

/// The server answers, and the first beat goes out.
fn is_welcomed(rig: &mut Rig) {
    rig.toy.take_written();
    rig.toy.send(&welcome());
    rig.wait();
    rig.wait();
}

fn events(rig: &mut Rig) -> Vec<Event> {
    iter::from_fn(|| rig.events.try_recv().ok()).collect()
}

/// What the attempt came to that has just failed.
fn failed(rig: &mut Rig) -> ConnectError {
    let error = |event| if let Event::Failed { error } = event { Some(error) } else { None };
    events(rig).into_iter().find_map(error).expect("an attempt has failed")
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, u8::try_from(body.len()).unwrap(), 0, 0, 0], body].concat()
}

#[test]
fn a_message_longer_than_the_server_accepts_is_given_back() {
    let mut rig = on_v1(|config| config.offline_queue(true));
    // Before the server has said how long: this one is dropped, and counted as not sent.
    rig.client.try_send(vec![1; 11]).unwrap();
    let offer = Offer::new(&Policy::default());
    let welcome = Welcome::new(7, 0, Terms::new(offer).agree(&offer).unwrap()).max_frame(10);
    rig.toy.send(&welcome.encode());
    rig.wait();
    let refused = rig.client.try_send(vec![2; 11]);
    assert!(matches!(refused, Err(SendError::TooLong { max: 10, .. })), "{refused:?}");
    rig.client.try_send(vec![3; 10]).unwrap();
    rig.wait();
    let written = rig.toy.take_written();
    assert!(written.ends_with(&frame(1, &[3; 10])));
    assert!(!written.windows(11).any(|window| window == [1; 11]));
    rig.is_left(&[]);
    let events = events(&mut rig);
    assert!(events.iter().any(|event| matches!(event, Event::Offline { unsent: 1, .. })));
}

#[test]
fn about_half_of_the_hellos_of_one_client_have_grease() {
    let mut rig = on_v1(|config| config.reconnect(Reconnect::default().seed(7)));
    let mut lens = Vec::new();
    for _ in 0..40 {
        lens.push(rig.toy.take_written().len());
        let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
        rig.pass_until(wait);
        rig.connects();
        rig.wait();
    }
    let shortest = lens.iter().min().unwrap();
    let plain = lens.iter().filter(|&len| len == shortest).count();
    assert!((10..=30).contains(&plain), "{lens:?}");
}

/// Nothing but a HELLO was written.
fn assert_hello(written: &[u8]) {
    assert_eq!(written[..8], frame(2, &written[8..])[..8]);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time_and_may_be_one_of_v0() {
    let within = Duration::from_millis(200);
    let mut silent = on_v1(|config| config.handshake_timeout(within));
    let wait = silent.wait();
    assert_eq!(silent.left(wait), within);
    silent.pass_until(wait);
    silent.wait();
    let mut closing = on_v1(|config| config);
    closing.is_left(&[]);
    let mut talking = on_v1(|config| config);
    talking.is_left(&frame(1, b"data"));
    let data = Reason::Protocol(Violation::Unexpected { kind: Kind::Data });
    let no_frame = Reason::Protocol(Violation::NoFirstFrame { waited: within });
    let all = [(silent, no_frame), (closing, Reason::ClosedByPeer), (talking, data)];
    for (mut rig, expected) in all {
        let error = failed(&mut rig);
        let text = error.to_string();
        assert!(text.contains("one that speaks v0 only") && !text.contains("--"), "{text}");
        assert!(error.may_speak_v0() && error.is_retryable());
        assert!(matches!(error, ConnectError::NoWelcome { reason, .. } if reason == expected));
    }
}

#[test]
fn a_server_that_answers_wrongly_is_told_nothing_and_not_taken_for_one_of_v0() {
    let wrong_time = "at the wrong time";
    for (answer, said) in [
        (frame(3, b"\xa0"), "a WELCOME that is not as specified"),
        (frame(3, b"\xa1\x00\x02"), "a WELCOME that is not as specified"),
        (frame(4, b"\xa0"), "a BYE that is not as specified"),
        (frame(0, &[0; BEAT_LEN]), wrong_time),
        (frame(2, b""), wrong_time),
        (frame(5, &[0; 10]), wrong_time),
        (frame(6, b""), wrong_time),
        (frame(7, b""), wrong_time),
        (frame(8, b""), "unknown frame type"),
        (b"HTTP/1.1".to_vec(), "unknown frame type"),
    ] {
        let mut rig = on_v1(|config| config);
        assert_hello(&rig.toy.take_written());
        rig.is_left(&answer);
        let text = failed(&mut rig).to_string();
        assert!(text.contains("its answer is not Heartwire's"), "{text}");
        assert!(text.contains(said) && !text.contains("v0"), "{text}");
        assert_eq!(rig.toy.take_written(), [0; 0], "{text}");
    }
}

#[test]
fn nothing_is_sent_before_the_server_has_answered() {
    let refusing = on_v1(|config| config);
    assert!(matches!(refusing.client.try_send(vec![1]), Err(SendError::NotConnected(_))));

    let mut rig = on_v1(|config| config.offline_queue(true));
    rig.client.try_send(vec![11]).unwrap();
    rig.wait();
    assert_hello(&rig.toy.take_written());
    let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
    rig.pass_until(wait);
    rig.connects();
    rig.client.try_send(vec![22]).unwrap();
    rig.wait();
    assert_hello(&rig.toy.state().written);
    is_welcomed(&mut rig);
    let written = rig.toy.take_written();
    let (beat, data) = written.split_at(8 + BEAT_LEN);
    assert_eq!(beat[..8], frame(0, &[0; BEAT_LEN])[..8], "the beat goes first");
    assert_eq!(data, [frame(1, &[11]), frame(1, &[22])].concat());
}

#[test]
fn a_client_that_is_closed_while_it_awaits_an_answer_ends() {
    let mut rig = on_v1(|config| config);
    rig.client.close();
    while let Step::Wait(wait) = rig.life.step() {
        rig.pass_until(wait);
    }
    assert_eq!(rig.told(), ["connecting, attempt 1", "closed"]);
}

#[test]
fn a_frame_on_its_way_is_finished_before_the_clients_bye_and_what_waits_stays() {
    let [one, two] = [frame(1, &[11]), frame(1, &[22])];
    let mut rig = on_v1(|config| config.offline_queue(true));
    is_welcomed(&mut rig);
    rig.toy.take_written();
    rig.toy.state().room = 3;
    rig.client.try_send(vec![11]).unwrap();
    rig.client.try_send(vec![22]).unwrap();
    rig.wait();
    assert_eq!(rig.toy.take_written(), one[..3]);
    rig.toy.send(&frame(99, b""));
    rig.wait();
    rig.toy.state().room = 1000;
    rig.wait();
    let written = rig.toy.take_written();
    let (rest, bye) = written.split_at(one.len() - 3);
    assert_eq!(rest, &one[3..]);
    assert_eq!(Bye::decode(&bye[8..]).unwrap().code, ByeCode::Protocol);
    let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
    assert_eq!(rig.told()[2], "protocol_error, 0");
    rig.pass_until(wait);
    rig.connects();
    assert_hello(&rig.toy.state().written);
    is_welcomed(&mut rig);
    assert_eq!(rig.toy.take_written()[8 + BEAT_LEN..], two);
}

#[test]
fn a_client_does_as_its_server_says_about_coming_back() {
    let (earliest, latest) = (SECOND * 20, SECOND * 30);
    let hints = [RetryHint::Never, RetryHint::AtWill, RetryHint::Within { earliest, latest }];
    for code in [ByeCode::Done, ByeCode::Draining, ByeCode::Kicked, ByeCode::Other(4_000_000)] {
        for (retry, is_in) in hints.into_iter().flat_map(|hint| [(hint, false), (hint, true)]) {
            let bye = Bye::new(code, retry).detail("because\n\u{1b}[31m").encode();
            let before = if is_in { welcome() } else { Vec::new() };
            let words = [before, bye, frame(1, b"late")].concat();
            // Its own will is asked first.
            let mut unwilling = on_v1(|config| config.reconnect(None));
            assert_eq!(unwilling.is_left(&words), Step::Over);
            let mut rig = on_v1(|config| config);
            let step = rig.is_left(&words);
            match (step, retry) {
                (Step::Over, RetryHint::Never) => {}
                (Step::Wait(wait), RetryHint::AtWill) => assert_eq!(rig.left(wait), WAIT),
                (Step::Wait(wait), RetryHint::Within { .. }) => {
                    assert!((earliest..=latest).contains(&rig.left(wait)), "{wait:?}");
                }
                (step, _) => panic!("{step:?} after {retry:?}"),
            }
            let told = events(&mut rig);
            let name = if is_in { "offline" } else { "failed" };
            let end = told.iter().find(|event| event.name() == name).unwrap();
            let text = end.to_string();
            assert!(text.contains("because") && !text.contains(['\n', '\u{1b}']), "{text}");
            if let Event::Failed { error } = end {
                assert_eq!(error.is_retryable(), retry != RetryHint::Never);
            }
            if let Event::Offline { reason, bye, .. } = end {
                assert_eq!(*reason, Reason::Bye(code));
                let said = bye.as_deref().unwrap();
                assert_eq!((said.code, said.retry), (code, retry));
                assert_eq!(said.detail, "because\n\u{1b}[31m");
            }
            assert!(told.iter().all(|event| event.name() != "data"), "nothing comes after a BYE");
        }
    }
}

#[test]
fn a_bye_is_not_remembered_for_the_next_connection() {
    let mut rig = on_v1(|config| config);
    let bye = Bye::new(ByeCode::Kicked, RetryHint::AtWill).encode();
    for (words, is_said) in [([welcome(), bye].concat(), true), (welcome(), false)] {
        let Step::Wait(wait) = rig.is_left(&words) else { panic!("it comes back") };
        let is_end =
            |event: &Event| matches!(event, Event::Offline { bye, .. } if bye.is_some() == is_said);
        assert!(events(&mut rig).iter().any(is_end), "{is_said}");
        rig.pass_until(wait);
        rig.connects();
    }
}

#[test]
fn a_promise_is_kept_over_a_new_connection_until_it_is_taken_back() {
    let mut rig = on_v1(|config| config);
    for promise in [Some(SECOND * 20), None] {
        rig.client.promise(promise);
        for _ in 0..2 {
            is_welcomed(&mut rig);
            let written = rig.toy.take_written();
            let beat = Beat::decode(written[written.len() - BEAT_LEN..].try_into().unwrap());
            assert_eq!(beat.promise() == Some(SECOND * 20), promise.is_some(), "{beat:?}");
            let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
            rig.pass_until(wait);
            rig.connects();
        }
    }
}

/// What the HELLO that was just written says of the last connection.
fn said_of_the_last(rig: &Rig) -> Option<(String, Duration, Option<u64>)> {
    let now = rig.toy.now();
    let mut server =
        Connection::new(Settings::new(Policy::default()).protocol(Protocol::V1Only), now);
    let written = rig.toy.take_written();
    let said = server.handle_received(now, &mut written.as_slice());
    let Ok(Some(FromPeer::Hello(hello))) = said else { panic!("{said:?}") };
    hello.last.map(|last| (last.reason.to_owned(), last.ago, last.session))
}

/// The server is gone after these words, and the client comes back after the wait.
fn comes_back_after(rig: &mut Rig, words: &[u8]) {
    let Step::Wait(wait) = rig.is_left(words) else { panic!("it comes back") };
    assert_eq!(rig.left(wait), WAIT);
    rig.pass_until(wait);
    rig.connects();
}

#[test]
fn a_hello_says_how_the_last_connection_that_was_online_ended() {
    let mut rig = on_v1(|config| config);
    assert_eq!(said_of_the_last(&rig), None);
    comes_back_after(&mut rig, &[]);
    assert_eq!(said_of_the_last(&rig), None, "no connection was online");
    comes_back_after(&mut rig, &welcome());
    let closed = |ago| Some(("closed_by_peer".to_owned(), ago, Some(1)));
    assert_eq!(said_of_the_last(&rig), closed(WAIT));
    // It stays the last one over attempts that fail, with and without a server.
    let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
    rig.pass_until(wait);
    let wait = rig.fails();
    rig.pass_until(wait);
    rig.connects();
    assert_eq!(said_of_the_last(&rig), closed(WAIT * 3));
    // The one that breaks the protocol is told so first, and that takes time.
    rig.toy.send(&welcome());
    rig.wait();
    rig.toy.send(&frame(99, b""));
    rig.wait();
    rig.toy.pass(SECOND / 2);
    comes_back_after(&mut rig, &[]);
    let broke = ("protocol_error".to_owned(), WAIT + SECOND / 2, Some(1));
    assert_eq!(said_of_the_last(&rig), Some(broke));
}
