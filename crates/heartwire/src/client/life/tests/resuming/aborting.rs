//! Clients that leave without their queue.

use super::closing::{CLOSE_TIMEOUT, ends, split_bye};
use super::*;

#[test]
fn abort_says_bye_at_once_and_drops_what_was_not_written() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    rig.sends(1..=2);
    assert_eq!(rig.toy.take_written(), messages(1..=2));
    // The third has begun.
    rig.toy.state().room = 4;
    rig.sends(3..=5);
    rig.client.abort();
    assert!(matches!(rig.client.try_send(vec![6]), Err(SendError::Closed(_))));
    rig.wait();
    rig.toy.state().room = usize::MAX;
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let written = rig.toy.take_written();
    let (frames, bye) = split_bye(&written);
    assert_eq!((frames, bye.code), (&messages([3])[..], ByeCode::Done));
    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(after(2)));
    assert_eq!(rig.is_left(&bye.encode()), Step::Over);
    assert_eq!(rig.end(), (Reason::Shutdown, 2, undelivered(3, 3, true)));
}

/// A close writes as the window allows; an abort does not wait for it.
#[test]
fn abort_does_not_wait_for_the_window() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    let long = vec![5; 492];
    for _ in 0..5 {
        rig.client.try_send(long.clone()).unwrap();
    }
    rig.wait();
    assert_eq!(rig.toy.take_written().len(), 2 * 500);
    rig.client.abort();
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let written = rig.toy.take_written();
    assert_eq!(split_bye(&written).0, [0; 0]);
}

#[test]
fn abort_while_away_comes_back_to_say_bye_and_nothing_else() {
    for has_unsent in [false, true] {
        let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
        rig.sends([1]);
        rig.toy.send(&ack(after(1)));
        rig.wait();
        let wait = rig.loses();
        if has_unsent {
            rig.client.try_send(vec![2]).unwrap();
            rig.client.end();
        }
        rig.client.abort();
        assert!(!rig.wait().close, "it is known");
        assert!(rig.comes_back(wait).only, "a new session would be closed at once");
        rig.is_resumed(2, after(1));
        rig.toy.state().unacknowledged = Some(1);
        let written = rig.toy.take_written();
        let (frames, bye) = split_bye(&written[BEAT_FRAME..]);
        assert_eq!((frames, bye.code), (&[][..], ByeCode::Done));
        let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(after(1)));
        assert_eq!(rig.is_left(&bye.encode()), Step::Over);
        let unsent = usize::from(has_unsent);
        let lost = u64::from(has_unsent);
        assert_eq!(rig.end(), (Reason::Shutdown, unsent, undelivered(lost, lost, true)));
    }
}

/// Whatever was written and lost: the server is told that it has not got everything.
#[test]
fn abort_while_away_does_not_write_again_what_was_written() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    rig.sends(1..=3);
    let wait = rig.loses();
    rig.client.abort();
    rig.wait();
    rig.comes_back(wait);
    rig.is_resumed(2, after(1));
    rig.toy.state().unacknowledged = Some(1);
    let written = rig.toy.take_written();
    assert_eq!(split_bye(&written[BEAT_FRAME..]).0, [0; 0]);
    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(after(1)));
    assert_eq!(rig.is_left(&bye.encode()), Step::Over);
    assert_eq!(rig.end(), (Reason::Shutdown, 0, undelivered(2, 2, true)));
}

/// Otherwise the server would take what it has got for all.
#[test]
fn abort_says_no_end_after_what_was_dropped() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    let long = vec![5; 492];
    for _ in 0..3 {
        rig.client.try_send(long.clone()).unwrap();
    }
    rig.client.end();
    rig.wait();
    assert_eq!(rig.toy.take_written().len(), 2 * 500, "the third and the END wait");
    rig.client.abort();
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let written = rig.toy.take_written();
    let (frames, bye) = split_bye(&written);
    assert_eq!((frames, bye.code), (&[][..], ByeCode::Done));
}

#[test]
fn abort_while_away_is_given_up_after_the_close_timeout() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    rig.sends([1]);
    rig.toy.send(&ack(after(1)));
    rig.wait();
    let began = rig.toy.now();
    rig.loses();
    rig.client.abort();
    ends(&mut rig);
    assert_eq!(rig.toy.now().saturating_since(began), CLOSE_TIMEOUT);
    assert_eq!(rig.end().2, Undelivered::NOTHING);
}

#[test]
fn abort_in_a_session_that_is_not_resumed_says_bye_at_once() {
    let mut rig = Rig::new(|config| {
        config.v1(V1::default()).policy(Policy::default()).close_timeout(CLOSE_TIMEOUT)
    });
    rig.connects();
    rig.toy.take_written();
    rig.toy.send(&accepted().encode());
    rig.wait();
    rig.toy.take_written();
    rig.toy.state().room = 0;
    rig.sends(1..=3);
    rig.client.abort();
    rig.wait();
    rig.toy.state().room = usize::MAX;
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let written = rig.toy.take_written();
    assert_eq!(split_bye(&written).0, [0; 0]);
}

/// Otherwise the server would take a session for done whose last bytes no application has taken.
#[test]
fn abort_tells_only_what_the_application_has_taken() {
    let mut rig = resumable(|config| config.close_timeout(CLOSE_TIMEOUT));
    rig.toy.send(&messages([1]));
    rig.wait();
    assert_eq!(rig.told(), ["data"]);
    rig.toy.send(&messages([2]));
    rig.wait();
    rig.client.abort();
    rig.toy.state().unacknowledged = Some(1);
    rig.wait();
    let written = rig.toy.take_written();
    let (frames, bye) = split_bye(&written);
    assert_eq!((frames, bye.taken), (&[][..], Some(after(1))));
    assert_eq!(rig.told(), ["data"]);
}
