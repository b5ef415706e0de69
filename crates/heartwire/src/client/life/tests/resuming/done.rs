//! Sessions that are over because both ends have ended them, and have taken over everything.

use super::closing::split_bye;
use super::*;

const END: [u8; HEADER_LEN] = [7, 0, 0, 0, 0, 0, 0, 0];

/// After so many messages and an END.
const fn ended(messages: u64) -> Position {
    position(messages + 1, 9 * messages + 8)
}

/// A client and a server that have said that they send no more. The application of the client has
/// that.
fn both_ended() -> Rig {
    let mut rig = resumable(|config| config);
    rig.sends(1..=2);
    assert!(rig.client.end());
    rig.toy.send(&[messages([3]), END.to_vec()].concat());
    rig.wait();
    assert_eq!(rig.told(), ["data", "ended"]);
    rig.toy.take_written();
    rig
}

fn bye(taken: Option<Position>) -> Vec<u8> {
    Bye::new(ByeCode::Done, RetryHint::AtWill).taken(taken).encode()
}

/// The client has ended, and says so.
#[track_caller]
fn assert_done(rig: &mut Rig) {
    let told = rig.events();
    let names: Vec<_> = told.iter().map(Event::name).collect();
    assert_eq!(names, ["offline", "closed"]);
    let Event::Offline { reason, unsent: 0, undelivered, .. } = told[0] else { panic!("{told:?}") };
    assert_eq!((reason, undelivered), (Reason::Done, Undelivered::NOTHING));
}

#[test]
fn client_that_knows_it_first_says_bye() {
    let mut rig = both_ended();
    rig.toy.send(&ack(ended(2)));
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let written = rig.toy.take_written();
    let (frames, last) = split_bye(&written);
    assert_eq!(frames, ack(ended(1)));
    assert_eq!(
        (last.code, last.retry, last.taken),
        (ByeCode::Done, RetryHint::AtWill, Some(ended(1)))
    );
    assert!(matches!(rig.client.try_send(vec![2]), Err(SendError::Closed(_))));
    assert_eq!(rig.is_left(&bye(Some(ended(2)))), Step::Over);
    assert_done(&mut rig);
}

#[test]
fn server_that_knows_it_first_says_bye_and_the_client_does_not_reconnect() {
    let mut rig = both_ended();
    assert_eq!(rig.is_left(&bye(Some(ended(2)))), Step::Over);
    assert_done(&mut rig);
}

#[test]
fn bye_that_was_not_answered_is_said_again_on_the_next_link() {
    let mut rig = both_ended();
    rig.toy.send(&ack(ended(2)));
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    rig.toy.take_written();
    rig.toy.state().end = Some(RESET);
    let wait = rig.wait();
    assert_eq!(rig.told()[0], "away");
    assert!(rig.comes_back(wait).only);
    rig.is_resumed(2, ended(2));
    let written = rig.toy.take_written();
    let (frames, last) = split_bye(&written[BEAT_FRAME..]);
    assert_eq!((frames, last.taken), (&[][..], Some(ended(1))));
    rig.told();
    assert_eq!(rig.is_left(&bye(Some(ended(2)))), Step::Over);
    assert_done(&mut rig);
}

/// The server had everything, and its BYE was lost with the link.
#[test]
fn session_that_the_server_knew_to_be_over_is_not_resumed() {
    for (taken, lost) in [
        (Some(ended(2)), None),
        (Some(after(1)), Some(undelivered(1, 1, true))),
        // Only the END.
        (Some(after(2)), Some(Undelivered::NOTHING)),
        (None, Some(undelivered(2, 2, false))),
    ] {
        let mut rig = both_ended();
        let wait = rig.loses();
        assert!(rig.comes_back(wait).only, "another session is of no use");
        rig.told();
        let refusal = Bye::new(ByeCode::NotResumable, RetryHint::AtWill).taken(taken).encode();
        let step = rig.is_left(&refusal);
        let Some(lost) = lost else {
            assert_eq!(step, Step::Over);
            let told = rig.events();
            let names: Vec<_> = told.iter().map(Event::name).collect();
            assert_eq!(names, ["failed", "offline", "closed"]);
            let Event::Offline { reason: Reason::Done, .. } = told[1] else { panic!("{told:?}") };
            continue;
        };
        // As after any session that was lost.
        assert!(matches!(step, Step::Wait(_)));
        assert_eq!(rig.end(), (Reason::NotResumed, 0, lost));
    }
}

#[test]
fn bye_of_a_server_that_has_not_everything_is_no_such_end() {
    for code in [ByeCode::Done, ByeCode::Kicked] {
        let mut rig = both_ended();
        let taken = if code == ByeCode::Done { after(2) } else { ended(2) };
        let words = Bye::new(code, RetryHint::AtWill).taken(Some(taken)).encode();
        assert!(matches!(rig.is_left(&words), Step::Wait(_)), "{code:?}");
        assert_eq!(rig.end(), (Reason::Bye(code), 0, Undelivered::NOTHING));
    }
}

#[test]
fn close_of_the_application_stays_one() {
    let mut rig = both_ended();
    rig.client.close();
    rig.toy.send(&ack(ended(2)));
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    assert_eq!(rig.is_left(&bye(Some(ended(2)))), Step::Over);
    assert_eq!(rig.end(), (Reason::Shutdown, 0, Undelivered::NOTHING));
}
