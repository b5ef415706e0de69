//! Sessions that end, and what is said of what they did not deliver.

use heartwire_core::MIN_PAUSE;

use super::*;

#[test]
fn grace_that_is_over_ends_the_session_and_a_new_one_follows() {
    for queues in [false, true] {
        let mut rig = resumable(|config| config.offline_queue(queues));
        rig.sends(1..=3);
        rig.toy.send(&ack(after(1)));
        rig.wait();
        rig.toy.state().room = 0;
        rig.sends(4..=5);
        let began = rig.toy.now();
        let mut wait = rig.loses();
        rig.client.try_send(vec![6]).unwrap();
        let mut told = Vec::new();
        while !told.iter().any(|event: &Event| event.name() == "offline") {
            rig.pass_until(wait);
            wait = match rig.life.step() {
                Step::Wait(wait) => wait,
                Step::Dial => {
                    rig.life.not_connected(SERVER, io::ErrorKind::ConnectionRefused.into());
                    rig.wait()
                }
                Step::Over => panic!("it goes on"),
            };
            told.extend(rig.events());
        }
        assert_eq!(rig.toy.now().saturating_since(began), GRACE);
        let Some(Event::Offline { reason, unsent, undelivered: lost, .. }) =
            told.into_iter().find(|event| event.name() == "offline")
        else {
            panic!("no end")
        };
        assert_eq!(reason, Reason::NotBack);
        let kept = if queues { 0 } else { 3 };
        assert_eq!((unsent, lost.frames), (kept, 2 + u64::try_from(kept).unwrap()));
        assert_eq!((lost.bytes, lost.exact), (lost.frames, false));
        let sent = rig.client.try_send(vec![7]);
        assert_eq!(sent.is_ok(), queues, "{sent:?}");
        rig.toy.state().room = usize::MAX;
        loop {
            rig.pass_until(wait);
            match rig.life.step() {
                Step::Wait(next) => wait = next,
                Step::Dial => break,
                Step::Over => panic!("it goes on"),
            }
        }
        rig.connects_to_dialled();
        assert_eq!(rig.hello(), None);
        rig.told();
        rig.is_welcomed(None);
        assert_eq!(rig.told(), ["online"]);
        let kept = if queues { messages(4..=7) } else { Vec::new() };
        rig.assert_beat_and(&kept);
    }
}

#[test]
fn grace_is_over_in_time_while_the_client_dials() {
    let mut rig = resumable(|config| config);
    let wait = rig.loses();
    rig.pass_until(wait);
    assert_eq!(rig.life.step(), Step::Dial);
    let wait = rig.wait();
    assert!(rig.left(wait) + FIRST_WAIT >= GRACE && rig.left(wait) <= GRACE);
    rig.pass_until(wait);
    rig.wait();
    assert_eq!(rig.end(), (Reason::NotBack, 0, Undelivered::NOTHING));
    rig.connects_to_dialled();
    assert_eq!(rig.hello(), None, "the attempt goes on");
}

#[test]
fn grace_is_over_in_time_while_the_server_does_not_answer() {
    let mut rig = resumable(|config| config.handshake_timeout(2 * GRACE));
    rig.sends([1]);
    let wait = rig.loses();
    let until = rig.toy.now().saturating_add(GRACE);
    rig.comes_back(wait);
    let wait = rig.wait();
    assert_eq!(wait.until, Some(until));
    rig.pass_until(wait);
    rig.wait();
    assert_eq!(rig.end(), (Reason::NotBack, 0, undelivered(1, 1, false)));
}

#[test]
fn refused_session_ends_before_the_new_one_begins_and_a_told_position_is_exact() {
    for (lost, expected) in [
        (None, undelivered(2, 2, false)),
        (Some(after(1)), undelivered(2, 2, true)),
        (Some(after(2)), undelivered(1, 1, true)),
        (Some(after(3)), Undelivered::NOTHING),
        // These cannot be.
        (Some(after(0)), undelivered(2, 2, false)),
        (Some(after(4)), undelivered(2, 2, false)),
        (Some(position(2, 17)), undelivered(2, 2, false)),
    ] {
        let mut rig = resumable(|config| config);
        rig.sends(1..=3);
        rig.toy.send(&ack(after(1)));
        rig.wait();
        let wait = rig.loses();
        rig.comes_back(wait);
        rig.told();
        rig.is_welcomed(lost);
        let told = rig.events();
        let [Event::Offline { reason, unsent, undelivered, .. }, Event::Online { .. }] = told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!((reason, unsent, undelivered), (Reason::NotResumed, 0, expected), "{lost:?}");
        rig.assert_beat_and(&[]);
        // The new session counts from its own beginning.
        rig.sends([4]);
        let wait = rig.loses();
        assert_eq!(rig.comes_back(wait).link, 2);
    }
}

#[test]
fn refusing_server_without_resume_ends_the_session_too() {
    let mut rig = resumable(|config| config);
    rig.sends([1]);
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.toy.send(&welcome());
    rig.wait();
    assert_eq!(rig.end(), (Reason::NotResumed, 0, undelivered(1, 1, false)));
    rig.toy.take_written();
    rig.sends([2]);
    rig.loses();
    assert_eq!(rig.end(), (Reason::ClosedByPeer, 0, Undelivered::NOTHING), "that is not known");
}

#[test]
fn bye_of_the_server_ends_the_session_and_its_position_is_exact() {
    for (taken, expected) in [
        (None, undelivered(2, 2, false)),
        (Some(after(1)), undelivered(2, 2, true)),
        (Some(after(3)), Undelivered::NOTHING),
    ] {
        let mut rig = resumable(|config| config);
        rig.sends(1..=3);
        rig.toy.send(&ack(after(1)));
        rig.wait();
        rig.is_left(&Bye::new(ByeCode::Kicked, RetryHint::AtWill).taken(taken).encode());
        assert_eq!(rig.end(), (Reason::Bye(ByeCode::Kicked), 0, expected), "{taken:?}");
        assert!(matches!(rig.client.try_send(vec![1]), Err(SendError::NotConnected(_))));
    }
}

#[test]
fn position_that_was_not_sent_ends_the_session() {
    let received = [after(0), after(4), position(2, 17), position(1, 18)];
    for received in received {
        let mut rig = resumable(|config| config);
        rig.sends(1..=3);
        rig.toy.send(&ack(after(1)));
        rig.wait();
        let wait = rig.loses();
        rig.comes_back(wait);
        rig.told();
        rig.is_resumed(2, received);
        let written = rig.toy.take_written();
        assert_eq!(Bye::decode(&written[HEADER_LEN..]).unwrap().code, ByeCode::Protocol);
        rig.is_left(&[]);
        let (reason, unsent, lost) = rig.end();
        let Reason::Protocol(Violation::BadPosition { .. }) = reason else {
            panic!("{reason:?} after {received:?}")
        };
        assert_eq!((unsent, lost), (0, undelivered(2, 2, false)));
    }
}

#[test]
fn client_that_may_not_come_back_tells_the_end_of_its_session() {
    for code in [ByeCode::Unauthorized, ByeCode::TakenOver] {
        let mut rig = resumable(|config| config);
        rig.sends([1]);
        let wait = rig.loses();
        rig.comes_back(wait);
        rig.told();
        let words = Bye::new(code, RetryHint::Never).encode();
        assert_eq!(rig.is_left(&words), Step::Over);
        let told = rig.events();
        let names: Vec<_> = told.iter().map(Event::name).collect();
        assert_eq!(names, ["failed", "offline", "closed"]);
        let Event::Offline { reason, undelivered: lost, .. } = told[1] else { panic!() };
        assert_eq!((reason, lost), (Reason::Bye(code), undelivered(1, 1, false)));
    }
}

/// Two servers may mistake the order of the sessions of one client.
#[test]
fn client_whose_session_was_taken_over_by_its_own_comes_back_with_a_new_one() {
    let second = RetryHint::Within { earliest: Duration::ZERO, latest: SECOND };
    let bye = Bye::new(ByeCode::TakenOver, second).taken(Some(after(1))).encode();
    let policy = BackoffPolicy::default().first(Duration::from_millis(10)).stable(SECOND);
    let mut rig = resumable(|config| config.reconnect(Reconnect::new(policy)));
    rig.sends([1]);
    rig.toy.pass(SECOND);
    let Step::Wait(wait) = rig.is_left(&bye) else { panic!("it comes back") };
    assert_eq!(rig.end(), (Reason::Bye(ByeCode::TakenOver), 0, Undelivered::NOTHING));
    assert!(rig.left(wait) <= SECOND);
    rig.pass_until(wait);
    rig.connects();
    assert_eq!(rig.hello(), None, "its session is gone");
    rig.is_welcomed(None);

    // Also where it was told when it wanted to go on with that.
    rig.sends([2]);
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.told();
    let Step::Wait(wait) = rig.is_left(&bye) else { panic!("it comes back") };
    assert_eq!(rig.end().0, Reason::Bye(ByeCode::TakenOver));
    rig.pass_until(wait);
    rig.connects();
    assert_eq!(rig.hello(), None, "its session is gone");
}

#[test]
fn client_that_comes_back_even_if_rejected_keeps_its_session_for_its_grace() {
    let again =
        |config: ClientConfig| config.reconnect(Reconnect::default().even_if_rejected(SECOND));
    let mut rig = resumable(again);
    rig.sends([1]);
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.told();
    let words = Bye::new(ByeCode::Unauthorized, RetryHint::Never).encode();
    let Step::Wait(wait) = rig.is_left(&words) else { panic!("it comes back") };
    assert!((SECOND..=SECOND * 2).contains(&rig.left(wait)));
    assert_eq!(rig.comes_back(wait).link, 3);
    let words = Bye::new(ByeCode::TakenOver, RetryHint::Never).encode();
    let Step::Wait(_) = rig.is_left(&words) else { panic!("it comes back") };
    assert_eq!(rig.end().0, Reason::Bye(ByeCode::TakenOver), "another client has it");
}

#[test]
fn client_that_does_not_reconnect_comes_back_to_its_session_only() {
    let mut rig = resumable(|config| config.reconnect(None));
    rig.sends(1..=2);
    let wait = rig.loses();
    assert!(rig.comes_back(wait).only);
    rig.is_resumed(2, after(1));
    rig.assert_beat_and(&messages([2]));
    let wait = rig.loses();
    assert!(rig.comes_back(wait).only);
    rig.told();
    let bye = Bye::new(ByeCode::NotResumable, RetryHint::AtWill).taken(Some(after(1)));
    assert_eq!(rig.is_left(&bye.encode()), Step::Over);
    assert_eq!(rig.end(), (Reason::NotResumed, 0, undelivered(1, 1, true)));

    let mut rig = resumable(|config| config.reconnect(None));
    let wait = rig.loses();
    rig.pass_until(wait);
    assert_eq!(rig.life.step(), Step::Dial);
    rig.toy.pass(GRACE);
    assert_eq!(rig.life.step(), Step::Over);
    assert_eq!(rig.end().0, Reason::NotBack);
}

/// The client could not come back meanwhile, and the server may still have its session, or know
/// what it had taken over of it.
#[test]
fn pause_of_the_client_until_after_its_grace_is_followed_by_another() {
    let mut rig = resumable(|config| config);
    rig.sends([1]);
    rig.loses();
    rig.toy.pass(GRACE + MIN_PAUSE);
    assert_eq!(rig.life.step(), Step::Dial);
    assert_eq!(rig.names(), ["away", "waiting", "connecting"]);
    // Also where the machine is suspended while an attempt is under way.
    rig.wait();
    rig.toy.suspend(GRACE);
    rig.connects_to_dialled();
    rig.hello().expect("it goes on with its session");
    // And while the server does not answer.
    rig.toy.pass(GRACE + MIN_PAUSE);
    rig.wait();
    rig.is_resumed(2, after(0));
    assert_eq!(rig.told(), ["paused", "back"]);
    // A machine that is a little late pauses nothing.
    let wait = rig.loses();
    rig.pass_until(wait);
    assert_eq!(rig.life.step(), Step::Dial);
    let wait = rig.wait();
    rig.pass_until(wait);
    rig.toy.pass(MIN_PAUSE.saturating_sub(Duration::from_nanos(1)));
    rig.wait();
    assert_eq!(rig.end(), (Reason::NotBack, 0, undelivered(1, 1, false)));
}

#[test]
fn waits_start_small_again_after_a_session_that_lasted() {
    let ms = Duration::from_millis;
    let policy = BackoffPolicy::default().first(ms(10)).cap(ms(10_000)).stable(ms(2_000));
    let mut rig = resumable(|config| config.reconnect(Reconnect::new(policy).seed(7)));
    let kicked = Bye::new(ByeCode::Kicked, RetryHint::AtWill).encode();
    let mut longest = ms(0);
    for _ in 0..10 {
        let Step::Wait(wait) = rig.is_left(&kicked) else { panic!("it comes back") };
        longest = longest.max(rig.left(wait));
        rig.pass_until(wait);
        rig.connects();
        rig.hello();
        rig.is_welcomed(None);
    }
    assert!(longest > ms(100), "{longest:?}");
    rig.toy.pass(ms(2_000));
    let Step::Wait(wait) = rig.is_left(&kicked) else { panic!("it comes back") };
    assert!(rig.left(wait) <= ms(10));
}
