//! Clients that are closed, also while their session has no link.

use super::*;

pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The BYE at the end of these frames, and what is in front of it.
pub(super) fn split_bye(written: &[u8]) -> (&[u8], Bye<'_>) {
    let at = (0..written.len()).find(|&at| {
        let is_bye = written[at..].starts_with(&[4, 0, 0, 0]);
        is_bye && written[at + 4] == u8::try_from(written.len() - at - HEADER_LEN).unwrap_or(0)
    });
    let at = at.expect("there is a BYE");
    (&written[..at], Bye::decode(&written[at + HEADER_LEN..]).unwrap())
}

/// Steps until the client has ended, with time passing.
pub(super) fn ends(rig: &mut Rig) {
    for _ in 0..1000 {
        match rig.life.step() {
            Step::Wait(wait) => rig.pass_until(wait),
            Step::Dial => {
                rig.life.not_connected(SERVER, io::ErrorKind::ConnectionRefused.into());
            }
            Step::Over => return,
        }
    }
    panic!("it does not end")
}

#[test]
fn close_while_away_with_nothing_to_deliver_is_over_at_once() {
    for dials in [false, true] {
        let mut rig = resumable(|config| config);
        rig.sends([1]);
        rig.toy.send(&ack(after(1)));
        rig.wait();
        let wait = rig.loses();
        if dials {
            rig.pass_until(wait);
            assert_eq!(rig.life.step(), Step::Dial);
        }
        rig.client.close();
        assert_eq!(rig.life.step(), Step::Over);
        assert_eq!(rig.end(), (Reason::Shutdown, 0, Undelivered::NOTHING));
    }
}

#[test]
fn close_while_away_comes_back_to_deliver_the_rest() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    rig.sends(1..=2);
    rig.toy.send(&messages([1]));
    rig.wait();
    let wait = rig.loses();
    rig.client.try_send(vec![3]).unwrap();
    rig.client.close();
    assert!(matches!(rig.client.try_send(vec![4]), Err(SendError::Closed(_))));
    assert!(!rig.wait().close, "it is known");
    assert!(rig.comes_back(wait).only, "a new session would be closed at once");
    assert!(!rig.wait().close);
    rig.is_resumed(2, after(1));
    rig.toy.state().unacknowledged = Some(1);
    let written = rig.toy.take_written();
    let (frames, bye) = split_bye(&written[BEAT_FRAME..]);
    assert_eq!(frames, messages(2..=3));
    assert_eq!((bye.code, bye.taken), (ByeCode::Done, Some(after(1))));
    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(after(3)));
    assert_eq!(rig.is_left(&bye.encode()), Step::Over);
    assert_eq!(rig.end(), (Reason::Shutdown, 0, Undelivered::NOTHING));
}

#[test]
fn close_while_away_is_given_up_after_its_timeout_and_the_rest_is_told() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT).offline_queue(true));
    rig.sends(1..=2);
    let began = rig.toy.now();
    rig.loses();
    rig.client.try_send(vec![3]).unwrap();
    rig.client.close();
    ends(&mut rig);
    assert_eq!(rig.toy.now().saturating_since(began), CLOSE_TIMEOUT);
    assert_eq!(rig.end(), (Reason::Unacknowledged, 1, undelivered(3, 3, false)));
}

#[test]
fn close_that_loses_its_link_comes_back_to_deliver_the_rest() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    rig.toy.send(&messages(1..=2));
    rig.wait();
    rig.sends([1]);
    rig.client.close();
    rig.toy.state().unacknowledged = Some(100);
    rig.wait();
    rig.toy.take_written();
    // What comes now is not for the application.
    rig.toy.send(&messages([3]));
    rig.wait();
    rig.toy.state().end = Some(RESET);
    let wait = rig.wait();
    assert_eq!(rig.told(), ["data", "data", "away", &rig_wait(&rig, wait)]);
    let resuming = rig.comes_back(wait);
    assert_eq!((resuming.received, resuming.only), (after(3), true));
    // Nor is what comes right behind the WELCOME.
    rig.is_resumed_with(2, after(0), &messages([4]));
    assert_eq!(rig.told()[1..], ["back"]);
    let written = rig.toy.take_written();
    assert_eq!(written[BEAT_FRAME - 16..BEAT_FRAME], ack(after(2))[HEADER_LEN..]);
    let (frames, bye) = split_bye(&written[BEAT_FRAME..]);
    assert_eq!((frames, bye.taken), (&messages([1])[..], Some(after(2))));
}

/// Also if the link is lost in the same moment.
#[test]
fn close_right_after_an_end_comes_back_to_deliver_the_end() {
    for is_away in [true, false] {
        let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
        let away = is_away.then(|| rig.loses());
        assert!(rig.client.end());
        rig.client.close();
        rig.toy.state().end = Some(RESET);
        let wait = rig.wait();
        assert!(rig.comes_back(away.unwrap_or(wait)).only);
        rig.is_resumed(2, after(0));
        let written = rig.toy.take_written();
        assert_eq!(split_bye(&written[BEAT_FRAME..]).0, frame(7, &[]));
        rig.toy.state().unacknowledged = Some(1);
        let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(position(1, 8)));
        assert_eq!(rig.is_left(&bye.encode()), Step::Over);
        assert_eq!(rig.end(), (Reason::Shutdown, 0, Undelivered::NOTHING));
    }
}

fn rig_wait(rig: &Rig, wait: Wait) -> String {
    format!("waiting {:.3} s before attempt 1", rig.left(wait).as_secs_f64())
}

#[test]
fn close_writes_as_the_window_allows() {
    let mut rig = resumable(|config| config);
    let long = vec![5; 492];
    for _ in 0..5 {
        rig.client.try_send(long.clone()).unwrap();
    }
    rig.client.close();
    rig.toy.state().unacknowledged = Some(1);
    let mut received = 0;
    for round in 1..=3 {
        rig.wait();
        let written = rig.toy.take_written();
        received += u64::try_from(written.len() / 500).unwrap();
        assert_eq!(received, (2 * round).min(5));
        if round == 3 {
            assert_eq!(split_bye(&written).0.len(), 500);
        }
        rig.toy.send(&ack(position(received, 500 * received)));
    }
    assert_eq!(rig.is_left(&[]), Step::Over);
    assert_eq!(rig.end(), (Reason::Shutdown, 0, Undelivered::NOTHING));
}

#[test]
fn close_that_the_server_ends_first_tells_what_the_server_told() {
    let mut rig = resumable(|config| config);
    let long = vec![5; 492];
    for _ in 0..3 {
        rig.client.try_send(long.clone()).unwrap();
    }
    rig.client.close();
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let bye = Bye::new(ByeCode::Draining, RetryHint::AtWill).taken(Some(position(1, 500)));
    assert_eq!(rig.is_left(&bye.encode()), Step::Over);
    let lost = undelivered(2, 2 * 492, true);
    assert_eq!(rig.end(), (Reason::Bye(ByeCode::Draining), 1, lost));
}

#[test]
fn close_without_the_servers_word_is_not_exact() {
    let mut rig = resumable(|config| config);
    rig.sends([1]);
    rig.client.close();
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    assert_eq!(rig.is_left(&[]), Step::Over);
    assert_eq!(rig.end(), (Reason::Shutdown, 0, undelivered(1, 1, false)));
}

#[test]
fn close_is_given_up_in_time_while_the_server_does_not_answer() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT / 2));
    rig.sends([1]);
    let wait = rig.loses();
    rig.client.close();
    let began = rig.toy.now();
    rig.wait();
    rig.comes_back(wait);
    ends(&mut rig);
    assert_eq!(rig.toy.now().saturating_since(began), CLOSE_TIMEOUT / 2);
    assert_eq!(rig.end(), (Reason::Unacknowledged, 0, undelivered(1, 1, false)));
}

#[test]
fn close_whose_bye_is_not_answered_comes_back_to_learn_what_was_taken_over() {
    for (taken, reason, lost) in [
        (Some(after(1)), Reason::Shutdown, Undelivered::NOTHING),
        (Some(after(0)), Reason::NotResumed, undelivered(1, 1, true)),
        (None, Reason::NotResumed, undelivered(1, 1, false)),
    ] {
        let mut rig = resumable(|config| config);
        rig.sends([1]);
        rig.client.close();
        rig.wait();
        rig.toy.state().end = Some(RESET);
        let wait = rig.wait();
        assert!(rig.comes_back(wait).only);
        let bye = Bye::new(ByeCode::NotResumable, RetryHint::AtWill).taken(taken);
        assert_eq!(rig.is_left(&bye.encode()), Step::Over);
        assert_eq!(rig.end(), (reason, 0, lost));
    }
}

#[test]
fn close_before_the_server_has_answered_is_over_with_the_grace() {
    let mut rig = resumable(|config| config);
    let began = rig.toy.now();
    let wait = rig.loses();
    rig.pass_until(wait);
    assert_eq!(rig.life.step(), Step::Dial);
    let until = began.saturating_add(GRACE.saturating_sub(SECOND / 2));
    rig.toy.pass(until.saturating_since(rig.toy.now()));
    rig.connects_to_dialled();
    rig.toy.state().unacknowledged = Some(100);
    rig.client.close();
    ends(&mut rig);
    assert_eq!(rig.toy.now().saturating_since(began), GRACE);
    assert_eq!(rig.end(), (Reason::Shutdown, 0, Undelivered::NOTHING));
}
